"""`audio_player`: the topic `audio`, played on the robot's sound device."""

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
from k2so_tts.ros.messages import (
    SAMPLE_FIELDS,
    AudioStamped,
    MessageError,
    foreign_qos,
    from_message,
    playhead_qos,
    speech_qos,
    state_qos,
    to_playhead,
)
from k2so_tts.ros.parameters import Parameters
from k2so_tts.settings import Setting

IN_TURN, MIX = "in_turn", "mix"

PARAMETERS = (
    Setting(
        "device",
        "auto",
        "Where sound goes: auto (the system's default), a PortAudio index or part of a name, null "
        "(nowhere, in real time) or wav:FILE.",
        live=True,
    ),
    Setting(
        "prebuffer_chunks", 3, "Chunks collected before an utterance starts.", 1, 64, live=True
    ),
    Setting("max_buffer", 30.0, "Seconds of audio held at most.", 1.0, 600.0, live=True),
    Setting("volume", 1.0, "Linear gain.", 0.0, 1.0, live=True),
    Setting(
        "publishers",
        IN_TURN,
        "Several publishers at once: each is heard to its end (in_turn), or together (mix).",
        choices=(IN_TURN, MIX),
        live=True,
    ),
    Setting(
        "block_frames", 128, "Frames the device asks for at a time; 0: its own choice.", 0, 8192
    ),
    Setting(
        "device_latency",
        0.0,
        "Seconds of sound the device holds; 0: as little as it can. More starts later and "
        "survives a busier machine.",
        0.0,
        0.5,
    ),
    Setting(
        "rest_after",
        30.0,
        "Seconds of silence after which the device is closed, to be opened again for the next "
        "chunk: it costs nothing meanwhile; 0: never.",
        0.0,
        86_400.0,
    ),
    Setting(
        "warn_underruns",
        1,
        "How often an utterance must run dry for a warning; 0: never one.",
        0,
        1000,
        live=True,
    ),
    Setting("warn_latency_ms", 300.0, "Latency that is a warning.", 1.0, 60_000.0, live=True),
    Setting("error_latency_ms", 2000.0, "Latency that is an error.", 1.0, 60_000.0, live=True),
)

_LOG_SECONDS = 5.0
_REMEMBERED = 128


class AudioPlayer(Node):
    """Plays speech and says when it was heard.

    Subscribes to `audio` (AudioStamped). Publishes `playhead` (TimeReference), `is_speaking`
    (Bool), `~/buffered_ms` (Float32, with each playhead, if anybody listens) and
    `/diagnostics`. Services: `~/stop` (Trigger), `~/mute` and `~/pause` (SetBool). Parameters:
    `PARAMETERS`.

    Raises:
        SettingError: a parameter makes no sense.
        DeviceError: a WAV file can't be written.
    """

    def __init__(self) -> None:
        super().__init__("audio_player")
        self._settings = Parameters(self, PARAMETERS)
        self._refused = 0
        self._last: PlaybackStats | None = None
        self._latency = RollingMetric("perceived_latency_ms", 1000)
        self._buffering = RollingMetric("buffering_ms", 1000)
        self._clocks = StampClocks()
        self._clock_offset_ns = 0
        self._senders: OrderedDict[str, Hashable] = OrderedDict()
        self._player = Player(_player_settings(self._settings.values), self)
        self._player.start()
        self._settings.on_change(self._apply)
        self._once: _Once | None = None
        self._listen()
        self._playhead = self.create_publisher(TimeReference, "playhead", playhead_qos())
        self._buffered = self.create_publisher(Float32, "~/buffered_ms", 10)
        self._is_speaking = self.create_publisher(Bool, "is_speaking", state_qos())
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
        """Fall silent, close the device, join every thread."""
        self._player.close()

    def _listen(self) -> None:
        """Subscribe, before anything tells others that a player is there."""
        self.create_subscription(
            AudioStamped,
            "audio",
            self._on_audio,
            speech_qos(),
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=lambda _: self._listen_to_best_effort(),
                use_default_callbacks=False,
            ),
        )

    def _on_audio(
        self, message: AudioStamped, info: Mapping[str, Any], *, best_effort: bool = False
    ) -> None:
        source = _source(message, info)
        if self._once is not None and not self._once.is_new(source, message, best_effort):
            return
        try:
            received = from_message(message)
        except MessageError as error:
            self._refused += 1
            self.get_logger().warning(
                f"a message on 'audio' was dropped: {error}", throttle_duration_sec=_LOG_SECONDS
            )
            return
        self._note_sender(message.header.frame_id, source)
        accepted = self._player.receive(
            source, received.stamp_ns, received.format, received.samples
        )
        if received.stamp_ns:
            sent_ns = info.get("source_timestamp", 0)
            arrived_ns = self.get_clock().now().nanoseconds
            self._clocks.note(source, received.stamp_ns, sent_ns, arrived_ns)
        if not accepted:
            self.get_logger().warning(
                f"'audio' comes faster than it can be heard: no more than "
                f"{self._settings['max_buffer']:g} s (max_buffer) may wait; it is refused",
                throttle_duration_sec=_LOG_SECONDS,
            )

    def _note_sender(self, name: str, source: Hashable) -> None:
        """A node that was started anew sends under its old name: who did so before is gone."""
        before = self._senders.pop(name, source)
        self._senders[name] = source
        if len(self._senders) > _REMEMBERED:
            self._senders.popitem(last=False)
        if name and before != source:
            self._player.supersede(before)

    def _listen_to_best_effort(self) -> None:
        """A publisher offers best effort only: subscribe so as well, and hear the others once."""
        if self._once is None:
            self._once = _Once()
            self.create_subscription(
                AudioStamped,
                "audio",
                lambda message, info: self._on_audio(message, info, best_effort=True),
                foreign_qos(),
            )

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._player.stop()
        response.success = True
        return response

    def _on_mute(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._player.muted = request.data
        response.success = True
        return response

    def _on_pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._player.paused = request.data
        response.success = True
        return response

    # Called from the player's thread (see playback.report.Listener).

    def on_playhead(self, stamp_ns: int, heard_at: float, lost_frames: int) -> None:
        name = self.get_fully_qualified_name()
        self._playhead.publish(to_playhead(stamp_ns, self._ros_ns(heard_at), name, lost_frames))
        if self._buffered.get_subscription_count():
            self._buffered.publish(Float32(data=1000 * self._player.buffered_seconds))

    def on_speaking(self, speaking: bool) -> None:
        self._is_speaking.publish(Bool(data=speaking))

    def on_utterance(self, heard: PlaybackStats) -> None:
        self._last = heard
        self._clock_offset_ns = self._clocks.offset_ns(heard.source)
        latency_s = None
        if heard.began_at is not None and heard.stamp_ns and not self._clock_offset_ns:
            latency_s = (self._ros_ns(heard.began_at) - heard.stamp_ns) / NANOSECONDS
        self._latency.add(latency_s)
        self._buffering.add(heard.buffering_s)
        if self.executor is not None:
            self.executor.create_task(self._diagnostics.publish)

    def _ros_ns(self, moment: float) -> int:
        """ROS time of a moment on the monotonic clock."""
        ago = time.monotonic() - moment
        return max(0, int(self.get_clock().now().nanoseconds - ago * NANOSECONDS))

    # What there is to know and to set.

    def _apply(self, changes: Mapping[str, Any]) -> None:
        player = self._player
        player.prebuffer_chunks = changes.get("prebuffer_chunks", player.prebuffer_chunks)
        player.max_buffer = changes.get("max_buffer", player.max_buffer)
        player.volume = changes.get("volume", player.volume)
        player.mix = changes.get("publishers", MIX if player.mix else IN_TURN) == MIX
        if "device" in changes:
            player.output.change(changes["device"])

    def _collect(self) -> StatusReport:
        health = StatusReport()
        output, counters = self._player.output, self._player.counters
        health.values.update(
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
            refused_messages=self._refused,
            device_xruns=output.xruns,
            device_losses=output.losses,
            muted=self._player.muted,
            paused=self._player.paused,
        )
        health.values.update(self._latency.values() | self._buffering.values())
        if self._last is not None:
            health.values.update(
                duration_s=self._last.duration_s,
                last_underruns=self._last.underruns,
                last_lost_frames=self._last.lost_frames,
            )
        if self._clock_offset_ns:
            health.values["publisher_clock_offset_ms"] = self._clock_offset_ns / 1e6
        self._assess(health)
        return health

    def _assess(self, health: StatusReport) -> None:
        if self._player.output.error is not None:
            health.errors.append(f"no sound: {self._player.output.error}")
        if self._latency.last is not None:
            health.judge_latency(self._latency.last, self._settings.values, self._advice())
        if self._last is not None and 0 < self._settings["warn_underruns"] <= self._last.underruns:
            health.warnings.append(
                f"the last utterance ran dry {self._last.underruns} times: the engine or the "
                "network is slow; raise prebuffer_chunks"
            )
        if self._last is not None and self._last.lost_frames:
            health.warnings.append(
                f"{self._last.lost_frames} frames of the last utterance were lost on the way: "
                "look at the network, and at what else publishes on the topic audio"
            )
        if self._clock_offset_ns:
            offset = describe_offset("who published the last utterance", self._clock_offset_ns)
            health.notes.append(
                f"{offset}, so perceived_latency_ms means nothing here: look at buffering_ms and "
                "at the server's figure, or synchronise the clocks"
            )

    def _advice(self) -> str:
        """What to do about the latency of the last utterance."""
        assert self._latency.last is not None
        buffering_ms = self._buffering.last or 0.0
        if buffering_ms > self._latency.last / 2:
            return (
                f"{buffering_ms:.0f} ms of it here; lower prebuffer_chunks or device_latency, or "
                "see whether the chunks come late"
            )
        return (
            f"{self._latency.last - buffering_ms:.0f} ms of it before its first chunk came; see "
            "time_to_first_chunk_ms of speak_server"
        )


def _source(message: AudioStamped, info: Mapping[str, Any]) -> Hashable:
    """Who has sent a message: the publisher, where ROS tells it (since Kilted), and its frame."""
    publisher = info.get("publisher_gid") or {}
    return bytes(publisher.get("data", b"")), message.header.frame_id


class _Once:
    """Tells what came over both subscriptions, to be heard once, from what came over one."""

    def __init__(self) -> None:
        self._surplus: OrderedDict[Hashable, int] = OrderedDict()
        """How many more of a message came over the first subscription (negative: the second)."""

    def is_new(self, source: Hashable, message: AudioStamped, best_effort: bool) -> bool:
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
