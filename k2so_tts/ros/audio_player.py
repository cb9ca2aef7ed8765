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

"""`audio_player`: plays the topic `audio` on the robot's sound device."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any

from rclpy.node import Node

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks
from sensor_msgs.msg import TimeReference
from std_msgs.msg import Bool, Float32
from std_srvs.srv import SetBool, Trigger

from k2so_tts.audio import NANOSECONDS
from k2so_tts.metrics import PlaybackStats
from k2so_tts.playback.player import Player, PlayerSettings
from k2so_tts.ros.clock_offset import StampClocks, describe_offset
from k2so_tts.ros.diagnostics import Diagnostics, RollingMetric, StatusReport
from k2so_tts.ros.graph import publisher_of, with_info
from k2so_tts.ros.messages import (
    SAMPLE_FIELDS,
    AudioStamped,
    MessageError,
    foreign_qos,
    from_message,
    metric_qos,
    playhead_qos,
    speech_qos,
    state_qos,
    to_playhead,
)
from k2so_tts.ros.parameters import Parameters
from k2so_tts.ros.player_parameters import IN_TURN, MIX, PARAMETERS
from k2so_tts.ros.player_replies import reply_to_mute, reply_to_pause, reply_to_stop
from k2so_tts.ros.wire_timeline import DEVICE, MUTED, NOWHERE, PlayerTrack

_LOG_SECONDS = 5.0
_REMEMBERED = 128
"""Senders, and messages that came over one of two subscriptions, that are remembered."""


class AudioPlayer(Node):
    """Plays speech and reports when it is heard.

    Publishers:
        playhead (sensor_msgs/TimeReference): `time_ref` is the stamp of the frame that leaves the
            device at `header.stamp`; 20 times a second while there is something to play. See
            `messages.to_playhead` for what else it says.
        is_speaking (std_msgs/Bool): whether something is audible, at each change.
        mouth (std_msgs/Float32): how loud what leaves the device now is, from 0 (silence) to 1
            (loud speech); 30 times a second while it is audible, and once when it falls silent, if
            anybody subscribes.
        ~/buffered_ms (std_msgs/Float32): what is buffered, with each playhead, if anybody
            subscribes.
        /diagnostics (diagnostic_msgs/DiagnosticArray): see `Diagnostics`.

    Subscriptions:
        audio (audio_common_msgs/AudioStamped): what to play; a message without frames ends an
            utterance.

    Services, which answer with a sentence that says what they did:
        ~/stop (std_srvs/Trigger): drop everything that is buffered.
        ~/mute (std_srvs/SetBool): go on in silence.
        ~/pause (std_srvs/SetBool): stand still and keep what is buffered.

    Parameters: `player_parameters.PARAMETERS`.

    The methods of `playback.playhead.Listener` are called in the player's thread, all others in
    the executor's.

    Raises:
        SettingError: a parameter is invalid.
        DeviceError: a WAV file can't be written.
    """

    def __init__(self) -> None:
        super().__init__("audio_player")
        self._settings = Parameters(self, PARAMETERS)
        self._refused_messages = 0
        self._last: PlaybackStats | None = None
        self._latency = RollingMetric("perceived_latency_ms", 1000)
        self._buffering = RollingMetric("buffering_ms", 1000)
        self._clocks = StampClocks()
        self._clock_offset_ns = 0
        self._senders: OrderedDict[str, Hashable] = OrderedDict()
        self._player = Player(_player_settings(self._settings.values), self)
        self._player.start()
        self._settings.on_change(self._on_parameters)
        self._duplicates: _DuplicateFilter | None = None
        self._subscribe()
        self._playhead = self.create_publisher(TimeReference, "playhead", playhead_qos())
        self._buffered = self.create_publisher(Float32, "~/buffered_ms", metric_qos())
        self._is_speaking = self.create_publisher(Bool, "is_speaking", state_qos())
        self._mouth = self.create_publisher(Float32, "mouth", metric_qos())
        self._diagnostics = Diagnostics(self, self._collect)
        self.create_service(Trigger, "~/stop", self._on_stop)
        self.create_service(SetBool, "~/mute", self._on_mute)
        self.create_service(SetBool, "~/pause", self._on_pause)
        self._is_speaking.publish(Bool(data=False))
        self.get_logger().info(f"playing on {self._player.output.device.name!r}")

    @property
    def broken(self) -> str | None:
        """Why only a new process can play again; None while this one can."""
        return "the sound library hangs" if self._player.output.unresponsive else None

    def close(self) -> None:
        """Stop playing, close the device, join every thread."""
        self._player.close()

    def _subscribe(self) -> None:
        """Subscribe to `audio`, before any publisher announces the player."""
        self.create_subscription(
            AudioStamped,
            "audio",
            with_info(self._on_audio),
            speech_qos(),
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=lambda _: self._subscribe_best_effort(),
                use_default_callbacks=False,
            ),
        )

    def _on_audio(
        self, message: AudioStamped, info: Mapping[str, Any], *, best_effort: bool = False
    ) -> None:
        source = _source(message, info)
        duplicates = self._duplicates
        if duplicates is not None and not duplicates.is_new(source, message, best_effort):
            return
        try:
            received = from_message(message)
        except MessageError as error:
            self._refused_messages += 1
            self.get_logger().warning(
                f"a message on 'audio' was dropped: {error}", throttle_duration_sec=_LOG_SECONDS
            )
            return
        self._note_sender(message.header.frame_id, source)
        self._look_for_mouths()
        accepted = self._player.receive(
            source, received.stamp_ns, received.format, received.samples
        )
        if received.stamp_ns:
            sent_ns = info.get("source_timestamp", 0)
            arrived_ns = self.get_clock().now().nanoseconds
            self._clocks.note(source, received.stamp_ns, sent_ns, arrived_ns)
        if not accepted:
            self.get_logger().warning(
                f"a message on 'audio' was refused: the buffer is full "
                f"(max_buffer: {self._settings['max_buffer']:g} s)",
                throttle_duration_sec=_LOG_SECONDS,
            )

    def _note_sender(self, name: str, source: Hashable) -> None:
        """Give up the previous sender of a name: its node was restarted."""
        previous = self._senders.pop(name, source)
        self._senders[name] = source
        if len(self._senders) > _REMEMBERED:
            self._senders.popitem(last=False)
        if name and previous != source:
            self._player.supersede(previous)

    def _subscribe_best_effort(self) -> None:
        """Subscribe a second time, for a publisher that offers best effort only.

        What comes over both subscriptions is played once.
        """
        if self._duplicates is None:
            self._duplicates = _DuplicateFilter()
            self.create_subscription(
                AudioStamped,
                "audio",
                with_info(lambda message, info: self._on_audio(message, info, best_effort=True)),
                foreign_qos(),
            )

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.message = reply_to_stop(self._player.stop())
        response.success = True
        return response

    def _on_mute(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        was_muted, self._player.muted = self._player.muted, request.data
        response.message = reply_to_mute(was_muted, request.data, self._sink())
        response.success = True
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        was_paused, self._player.paused = self._player.paused, request.data
        buffered_seconds = self._player.buffered_seconds
        response.message = reply_to_pause(was_paused, request.data, buffered_seconds)
        response.success = True
        return response

    # playback.playhead.Listener

    def on_playhead(self, stamp_ns: int, heard_at: float, start_ns: int, lost_frames: int) -> None:
        """Publish that the frame stamped `stamp_ns` leaves the device at `heard_at`."""
        name = self.get_fully_qualified_name()
        heard_ns = self._ros_ns(heard_at)
        track = PlayerTrack(start_ns, lost_frames, self._sink())
        self._playhead.publish(to_playhead(stamp_ns, heard_ns, name, track))
        self._look_for_mouths()
        if self._buffered.get_subscription_count():
            self._buffered.publish(Float32(data=1000 * self._player.buffered_seconds))

    def on_speaking(self, speaking: bool) -> None:
        """Publish that speech has become audible, or silent."""
        self._is_speaking.publish(Bool(data=speaking))

    def on_level(self, level: float) -> None:
        """Publish how loud what leaves the device now is."""
        self._mouth.publish(Float32(data=level))

    def on_utterance(self, heard: PlaybackStats) -> None:
        """Take in what was measured of an utterance that has ended."""
        self._last = heard
        self._clock_offset_ns = self._clocks.offset_ns(heard.source)
        latency_s = None
        if heard.began_at is not None and heard.stamp_ns and not self._clock_offset_ns:
            latency_s = (self._ros_ns(heard.began_at) - heard.stamp_ns) / NANOSECONDS
        self._latency.add(latency_s)
        self._buffering.add(heard.buffering_s)
        if self.executor is not None:
            self.executor.create_task(self._diagnostics.publish)

    def _look_for_mouths(self) -> None:
        """Measure levels if anybody subscribes to them, and not otherwise."""
        self._player.meter.wanted = self._mouth.get_subscription_count() > 0

    def _sink(self) -> str:
        """Where sound goes now: `DEVICE`, `MUTED` or `NOWHERE`."""
        player = self._player
        if player.output.device.discards:
            return NOWHERE
        return MUTED if player.muted or not player.volume else DEVICE

    def _ros_ns(self, moment: float) -> int:
        """The ROS time (ns) of a moment on the monotonic clock (s)."""
        ago = time.monotonic() - moment
        return max(0, int(self.get_clock().now().nanoseconds - ago * NANOSECONDS))

    # Parameters and diagnostics

    def _on_parameters(self, changes: Mapping[str, Any]) -> None:
        player = self._player
        player.prebuffer_chunks = changes.get("prebuffer_chunks", player.prebuffer_chunks)
        player.max_buffer = changes.get("max_buffer", player.max_buffer)
        player.volume = changes.get("volume", player.volume)
        player.mix = changes.get("publishers", MIX if player.mix else IN_TURN) == MIX
        if "device" in changes:
            player.output.change(changes["device"])

    def _collect(self) -> StatusReport:
        report = StatusReport()
        output, counters = self._player.output, self._player.counters
        report.values.update(
            device=output.device.name,
            device_rate_hz=output.device.rate,
            device_rests=output.idle_closed,
            realtime_priority=output.device.realtime,
            buffered_ms=1000 * self._player.buffered_seconds,
            utterances=counters.utterances,
            underruns=counters.underruns,
            lost_frames=counters.lost_frames,
            dropped_frames=counters.dropped_frames,
            overflow_frames=counters.overflow_frames,
            refused_messages=self._refused_messages,
            device_xruns=output.xruns,
            device_losses=output.losses,
            muted=self._player.muted,
            paused=self._player.paused,
        )
        report.values.update(self._latency.values() | self._buffering.values())
        if self._last is not None:
            report.values.update(
                duration_s=self._last.duration_s,
                last_underruns=self._last.underruns,
                last_lost_frames=self._last.lost_frames,
            )
        if self._clock_offset_ns:
            report.values["publisher_clock_offset_ms"] = self._clock_offset_ns / 1e6
        self._assess(report)
        return report

    def _assess(self, report: StatusReport) -> None:
        if self._player.output.error is not None:
            report.errors.append(f"no sound: {self._player.output.error}")
        if self._latency.last is not None:
            report.assess_latency(
                self._latency.last, self._settings.values, self._remedy(self._latency.last)
            )
        if self._last is not None and 0 < self._settings["warn_underruns"] <= self._last.underruns:
            report.warnings.append(
                f"the last utterance had {self._last.underruns} underruns: the engine or the "
                "network is slow; raise prebuffer_chunks"
            )
        if self._last is not None and self._last.lost_frames:
            report.warnings.append(
                f"{self._last.lost_frames} frames of the last utterance were lost on the way: "
                "look at the network, and at what else publishes on the topic audio"
            )
        if self._clock_offset_ns:
            offset = describe_offset("the last utterance's publisher", self._clock_offset_ns)
            report.notes.append(
                f"{offset}, so perceived_latency_ms is not measured here: see buffering_ms and "
                "the server's value, or synchronise the clocks"
            )

    def _remedy(self, latency_ms: float) -> str:
        """Where the latency of the last utterance comes from, and what to do about it."""
        buffering_ms = self._buffering.last or 0.0
        if buffering_ms > latency_ms / 2:
            return (
                f"{buffering_ms:.0f} ms of it here; lower prebuffer_chunks or device_latency, or "
                "see whether the chunks come late"
            )
        return (
            f"{latency_ms - buffering_ms:.0f} ms of it before its first chunk came; see "
            "time_to_first_chunk_ms of speak_server"
        )


def _source(message: AudioStamped, info: Mapping[str, Any]) -> Hashable:
    """The sender of a message: its publisher's GID (known since Kilted) and the frame_id."""
    return publisher_of(info), message.header.frame_id


class _DuplicateFilter:
    """Recognises messages that come over two subscriptions to one topic."""

    def __init__(self) -> None:
        self._surplus: OrderedDict[Hashable, int] = OrderedDict()
        """How often more a message came reliably than by best effort."""

    def is_new(self, source: Hashable, message: AudioStamped, best_effort: bool) -> bool:
        """Whether this is the first copy of a message. The other one is expected once."""
        stamp, data = message.header.stamp, message.audio.audio_data
        content = (bytes(getattr(data, field)) for field in SAMPLE_FIELDS)
        key = (source, stamp.sec, stamp.nanosec, *content)
        step = -1 if best_effort else 1
        surplus = self._surplus.pop(key, 0) + step
        if surplus:
            self._surplus[key] = surplus
        if len(self._surplus) > _REMEMBERED:
            self._surplus.popitem(last=False)
        return surplus * step > 0


def _player_settings(values: Mapping[str, Any]) -> PlayerSettings:
    return PlayerSettings(
        device=values["device"],
        prebuffer_chunks=values["prebuffer_chunks"],
        max_buffer=values["max_buffer"],
        volume=values["volume"],
        mix=values["publishers"] == MIX,
        block_frames=values["block_frames"],
        device_latency=values["device_latency"],
        idle_close=values["rest_after"],
    )
