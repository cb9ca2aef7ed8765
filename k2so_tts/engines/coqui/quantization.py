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

"""The matrices of a GPT-2 in 8 or 16 bits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers.pytorch_utils import Conv1D

from k2so_tts.engines.coqui.settings import FP16, INT8


def replace_matrices(network: torch.nn.Module, make: Callable[[Conv1D], torch.nn.Module]) -> None:
    """Replace the matrices of a GPT-2, one after the other, by what `make` makes of them."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, Conv1D):
                setattr(parent, name, make(layer))


class Int8Matrix(torch.nn.Module):  # type: ignore[misc]
    """A matrix in 8 bits, scaled row by row; its input is quantized as it comes.

    Torch's own dynamic quantization is for `torch.nn.Linear` only, which GPT-2 does not use.
    """

    def __init__(self, layer: Conv1D) -> None:
        super().__init__()
        weights = layer.weight.detach().T.contiguous()
        scales = weights.abs().amax(dim=1).clamp(min=1e-8).double() / 127
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        quantized = torch.quantize_per_channel(weights, scales, zeros, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(quantized, layer.bias.detach())

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The product, shape (..., columns), of inputs of shape (..., rows)."""
        return torch.ops.quantized.linear_dynamic(inputs, self._packed, reduce_range=True)


class Fp16Matrix(torch.nn.Module):  # type: ignore[misc]
    """A matrix in 16 bits; its input is converted to 16 bits for the multiplication."""

    def __init__(self, layer: Conv1D) -> None:
        super().__init__()
        self._layer = layer.half()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The product, shape (..., columns), of inputs of shape (..., rows)."""
        return self._layer(inputs.half()).to(inputs.dtype)


MATRICES = {INT8: Int8Matrix, FP16: Fp16Matrix}
"""The class of matrices for each quantization."""
