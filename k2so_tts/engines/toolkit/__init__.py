# Copyright 2026 The k2so_tts authors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The public kit for engine authors. Each module is imported by itself, with what it needs.

- `worker_client`: run a library in a process of its own. `WorkerClient`, `worker_command`,
  `python_environment`. Needs the standard library only.
- `worker_protocol`: the other side of it, for that process. `next_connection`, `read_request`,
  `record`, `report_error`, `MARK`, `LENGTH`, `RECORD`, `MOST_BYTES`, `PR_SET_PDEATHSIG`. Needs the
  standard library only.
- `long_text`: speak long texts with a network that takes short ones. `split_text`, `speak_pieces`,
  `stretch_for`.
- `chunked_decoder`: run a decoder in blocks that join without a seam. `ReceptiveField`,
  `DecodeWindow`, `decode_windows`, `decode_in_blocks`, `to_pcm`.
- `disk_cache`: keep on disk what was computed. `cache_directory`, `state_of`, `cached_arrays`,
  `cached_directory`.
- `time_stretch`: change speed and pitch. `TimeStretch`. Needs libsonic.
- `loudness`: measure how loud speech is (ITU-R BS.1770). `integrated_loudness`.
- `program`: run a program that prepares a model, and end it with the engine. `ProgramRunner`.
- `onnx_session`: run ONNX graphs on the CPU. `open_session`, `run`. Needs onnxruntime.

What is listed in the `__all__` of these modules and of `k2so_tts.engines`, `k2so_tts.audio.Block`,
`Mark` and `Pcm`, and `k2so_tts.settings.Setting` are the public API for engines.
"""
