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

"""`speak_server`: speaks the goals of `say` and `speak`, as chunks on the topic `audio`."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import TimeReference
from std_msgs.msg import Bool, Float32
from std_srvs.srv import Trigger

from k2so_tts.audio import Chunk, Pcm
from k2so_tts.engines import EngineError
from k2so_tts.ros.actions import ACTIONS, SAY, SpeechRequest
from k2so_tts.ros.admission import GoalRefused
from k2so_tts.ros.client_watch import ClientWatch, WatchedGoal
from k2so_tts.ros.clock_offset import SenderClock, describe_offset
from k2so_tts.ros.diagnostics import Diagnostics, StatusReport
from k2so_tts.ros.endings import Ending, Outcome, Reason
from k2so_tts.ros.goals import GoalServer
from k2so_tts.ros.graph import (
    describe_rivals,
    participant_of,
    player_subscribes,
    with_info,
)
from k2so_tts.ros.messages import (
    MOST_UNHEARD_CHUNKS,
    AudioStamped,
    Speak,
    metric_qos,
    playhead_qos,
    speech_qos,
    state_qos,
    to_message,
    to_nanoseconds,
    track_of,
)
from k2so_tts.ros.parameters import Parameters
from k2so_tts.ros.queue_thread import QueueThread
from k2so_tts.ros.reception import Admitted, Reception
from k2so_tts.ros.server_parameters import PARAMETERS, STOP, queue_settings
from k2so_tts.ros.server_statistics import ServerStatistics
from k2so_tts.ros.speech_queue import SpeechQueue
from k2so_tts.ros.text_input import TextInput
from k2so_tts.ros.utterance import Utterance
from k2so_tts.ros.voice_selection import VoiceSelector, engine_parameters
from k2so_tts.ros.word_publisher import WordPublisher
from k2so_tts.settings import brief
from k2so_tts.synthesis.synthesis import Synthesis
from k2so_tts.synthesis.word_timeline import TimedWord
from k2so_tts.text import speakable
from k2so_tts.text.stream import TextStream, printable

_JOIN_SECONDS = 2.0
_DELIVER_SECONDS = 1.0


class SpeakServer(Node):
    """Speaks goals and streamed texts, one after the other.

    Action servers:
        say (audio_common_msgs/TTS): speak a text; the feedback is each chunk as it is heard.
        speak (k2so_tts_msgs/Speak): the same with all that can be said of an utterance; the
            feedback is each word as it is heard. Where its messages were not built it is missing.

    Publishers:
        audio (audio_common_msgs/AudioStamped): the speech, ahead of its time; a message without
            frames ends an utterance.
        words (k2so_tts_msgs/Word): each word ahead of its sound, if anybody subscribes.
        ~/perceived_latency_ms (std_msgs/Float32): from a goal's turn to its first frame heard.
        /diagnostics (diagnostic_msgs/DiagnosticArray): see `Diagnostics`.

    Subscriptions:
        playhead (sensor_msgs/TimeReference): which frame a player plays, and when.
        is_speaking (std_msgs/Bool): announces a player.
        text_pieces, say_stream: texts that are still being written; see `TextInput`.

    Services:
        ~/stop (std_srvs/Trigger): abort everything that is spoken or waits.

    Parameters: `server_parameters.PARAMETERS`, and the options of the engines as
    `<engine>.<option>`.

    The methods of `SpeechQueueDelegate` are called in the queue's thread, the events of the engine
    supervisor in its threads, all other callbacks in the executor's thread.

    Raises:
        SettingError: a parameter is invalid.
        EngineUnavailable: the engine can't run on this machine.
    """

    def __init__(self) -> None:
        super().__init__("speak_server")
        self._settings = Parameters(self, PARAMETERS)
        self._settings.declare(engine_parameters(self._settings.values))
        values = self._settings.values
        self._voices = VoiceSelector(values, on_fault=self._log_error, on_ready=self._log_info)
        self._statistics = ServerStatistics()
        self._streams: dict[Hashable, str] = {}
        """The names of the streams of goals that have one."""
        self._syntheses: set[Synthesis] = set()
        self._faults: dict[str, str] = {}
        self._logged_warnings: set[str] = set()
        """Those of the engine, and of texts that it could not read."""
        self._unheard: dict[int, AudioStamped] = {}
        """The chunks of the current utterance that were sent and are not heard yet, by stamp."""
        self._frame_id = self.get_fully_qualified_name()
        self._reported_players = 0
        self._player_clock: SenderClock | None = None
        self._player_participant = b""
        self._queue_thread = QueueThread(self, queue_settings(values, MOST_UNHEARD_CHUNKS))
        self._settings.on_change(self._on_parameters)
        self._connect(values)
        self._queue_thread.start()
        self._goals = GoalServer(
            self,
            ACTIONS,
            admit=self._reception.admit,
            accept=self._accept,
            cancel=lambda key: self._queue_thread.post(lambda queue: queue.cancel(key)),
            on_end=self._diagnostics.publish,
        )
        self._client_watch = ClientWatch(self, self._watched, self._on_client_lost)
        supervisor = self._voices.supervisor
        self._log_info(f"ready to speak with {supervisor.fallback_name or supervisor.name}")
        if Speak is None:
            self._log_info("k2so_tts_msgs is not built here: 'say' is served, 'speak' is not")

    def _connect(self, values: Mapping[str, Any]) -> None:
        """Publish, subscribe and offer services; goals come last."""
        self._audio = self.create_publisher(AudioStamped, "audio", speech_qos())
        self.create_subscription(
            TimeReference, "playhead", with_info(self._on_playhead), playhead_qos()
        )
        self.create_subscription(Bool, "is_speaking", with_info(self._on_speaking), state_qos())
        self._texts = TextInput(
            self,
            values,
            self._begin_unnamed,
            lambda: self._queue_thread.post(SpeechQueue.expect_delay),
        )
        self._reception = Reception(values, self._voices.options, self._texts.named.is_open)
        self._latency_topic = self.create_publisher(Float32, "~/perceived_latency_ms", metric_qos())
        self._words = WordPublisher(self)
        self.create_service(Trigger, "~/stop", self._on_stop)
        self._diagnostics = Diagnostics(self, self._collect)

    @property
    def broken(self) -> str | None:
        """Why only a new process can go on (see `main.py`); None while this one can."""
        return self._queue_thread.failure

    def close(self) -> None:
        """End every goal with what was heard of it, deliver the results, join every thread."""
        self._queue_thread.close("speak_server is shutting down")
        self._goals.close(_DELIVER_SECONDS)
        self._voices.close()
        for synthesis in list(self._syntheses):
            synthesis.cancel()
            synthesis.join(_JOIN_SECONDS)

    # Requests and messages

    def _accept(self, key: bytes, request: SpeechRequest, admitted: Admitted) -> None:
        self._client_watch.check()
        text: str | TextStream = printable(request.text)
        if request.stream:
            text = self._texts.open(request.stream, request.text)
            self._streams[key] = request.stream
        now = time.monotonic(), self.now_ns()
        voice, turn = request.voice or request.language, (request.policy, request.priority)
        utterance = Utterance(key, text, admitted.options, *now, voice, *turn)
        if isinstance(text, TextStream) or text.strip():
            self._submit(utterance, admitted.dropped)
        else:
            self.begin(utterance)
            self.finish(utterance, Ending(Reason.FINISHED, message="there was nothing to say"))

    def _submit(self, utterance: Utterance, dropped: Hashable | None) -> None:
        """Put an utterance into the queue, in the place of another one if there was no room."""
        self._reception.line.accept(utterance.key, utterance.priority)
        if dropped is not None:
            self._reception.line.end(dropped)
            message = "dropped from the full queue for a more urgent goal (max_queue)"
            self._queue_thread.post(lambda queue: queue.end(dropped, Reason.DROPPED, message))
        self._queue_thread.post(lambda queue: queue.submit(utterance))

    def _begin_unnamed(self, text: TextStream) -> None:
        """A text without a name begins on `say_stream`: put it into the queue, or cancel it."""
        try:
            admitted = self._reception.admit(SpeechRequest(""))
        except GoalRefused as refusal:
            self._goals.rejected += 1
            self.get_logger().warning(f"streamed text refused: {refusal}")
            text.cancel()
            return
        utterance = Utterance(text, text, admitted.options, time.monotonic(), self.now_ns())
        self._submit(utterance, admitted.dropped)

    def _watched(self) -> list[WatchedGoal]:
        """The goals that are to be stopped when their client dies."""
        return self._goals.watched() if self._settings["when_client_dies"] == STOP else []

    def _on_client_lost(self, key: Hashable) -> None:
        message = "its client has left the graph (when_client_dies: stop)"
        self._queue_thread.post(lambda queue: queue.end(key, Reason.CLIENT_LOST, message))

    def _on_playhead(self, message: TimeReference, info: Mapping[str, Any]) -> None:
        self._player_participant = participant_of(info)
        stamp_ns, track = to_nanoseconds(message.time_ref), track_of(message)
        self._queue_thread.post(lambda queue: queue.playhead(stamp_ns, message.source, track))
        self._player_clock = self._player_clock or SenderClock()
        self._player_clock.note(to_nanoseconds(message.header.stamp), self.now_ns())

    def _on_speaking(self, message: Bool, info: Mapping[str, Any]) -> None:
        self._player_participant = participant_of(info)
        if not message.data:  # a player that starts says so; the last of one that dies may be true
            self._queue_thread.post(SpeechQueue.player_seen)
        if self.players() != self._reported_players:
            self._diagnostics.publish()

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        count = len(self._reception.line)
        self._queue_thread.post(lambda queue: queue.stop(Reason.STOPPED, "stopped by ~/stop"))
        response.success = True
        response.message = (
            f"stopped {count} goal{'s' * (count != 1)}" if count else "nothing to stop"
        )
        return response

    # SpeechQueueDelegate

    def now_ns(self) -> int:
        """ROS time."""
        return int(self.get_clock().now().nanoseconds)

    def subscribers(self) -> int:
        """How many subscriptions to `audio` there are."""
        return int(self._audio.get_subscription_count())

    def players(self) -> int:
        """How many publishers of `playhead` there are."""
        return int(self.count_publishers("playhead"))

    def player_ids(self) -> frozenset[Hashable]:
        """The GIDs of the publishers of `playhead`."""
        publishers = self.get_publishers_info_by_topic("playhead")
        return frozenset(bytes(publisher.endpoint_gid) for publisher in publishers)

    def players_subscribe(self) -> bool:
        """Whether the player that was heard of last, or else any, is known to subscribe."""
        return player_subscribes(
            self._player_participant,
            self.get_publishers_info_by_topic("playhead"),
            self.get_subscriptions_info_by_topic("audio"),
        )

    def synthesise(self, utterance: Utterance) -> Synthesis:
        """Start the synthesis of an utterance."""
        engine, options = self._voices.begin(utterance.language, utterance.options)
        synthesis = Synthesis(
            engine,
            utterance.text,
            options,
            chunk_frames=self._settings["chunk_frames"],
            streaming=self._settings["streaming"],
            fail_over=partial(self._voices.fail_over, utterance.language, utterance.options),
            find_reader=partial(self._voices.reader, utterance.options),
            on_change=self._queue_thread.wake,
        )
        self._syntheses = {other for other in self._syntheses if not other.join(0.0)} | {synthesis}
        synthesis.start()
        return synthesis

    def begin(self, utterance: Utterance) -> None:
        """It is an utterance's turn."""
        self._reception.line.begin(utterance.key)
        self._goals.begin(utterance.key)

    def publish(self, stamp_ns: int, pcm: Pcm, rate: int) -> None:
        """Publish a chunk, or the end marker (no frames)."""
        message = to_message(stamp_ns, pcm, rate, self._frame_id)
        if len(pcm):
            self._unheard[stamp_ns] = message
        self._audio.publish(message)

    def audible(self, utterance: Utterance, chunk: Chunk) -> None:
        """A chunk begins to be heard: publish it as feedback."""
        message = self._unheard.pop(utterance.stamp_ns(chunk.start))
        self._goals.audible_chunk(utterance.key, message)

    def wants_words(self, utterance: Utterance) -> bool:
        """Whether the utterance's client, or a subscriber of `words`, wants to know its words."""
        return self._words.wanted or self._goals.wants_words(utterance.key)

    def audible_word(self, utterance: Utterance, word: TimedWord, elapsed_s: float) -> None:
        """A word begins to be heard: publish it as feedback."""
        self._goals.audible_word(utterance.key, word, elapsed_s)

    def upcoming_word(self, utterance: Utterance, word: TimedWord, in_s: float) -> None:
        """A word will be heard: publish it ahead of its time."""
        stream = self._streams.get(utterance.key, "")
        self._words.publish(word, utterance.rate, in_s, stream)

    def finish(self, utterance: Utterance, ending: Ending) -> None:
        """An utterance has ended."""
        self._reception.line.end(utterance.key)
        lost = self._texts.named.close(self._streams.pop(utterance.key, ""))
        if remarks := utterance.remarks(lost):
            ending = replace(ending, message="; ".join([ending.message, *remarks]))
        if ending.outcome is Outcome.ABORTED:
            self.get_logger().warning(f"ended after {brief(ending.heard)}: {ending.message}")
        if utterance.in_turn:
            self._unheard.clear()
        if utterance.sent:
            assert utterance.synthesis is not None
            latency_s = utterance.spoken().perceived_latency_s
            engine = utterance.synthesis.engine.name
            ending = replace(ending, perceived_latency_s=latency_s, engine=engine)
        try:
            self._measure(utterance, ending.outcome)
        finally:
            self._goals.finish(utterance.key, ending)

    def _measure(self, utterance: Utterance, outcome: Outcome) -> None:
        statistics, synthesis = self._statistics, utterance.synthesis
        statistics.count(outcome)
        if synthesis is None or not utterance.sent:
            return
        statistics.note_speaker(synthesis.engine.name, synthesis.unreadable)
        if outcome is Outcome.SUCCEEDED:
            self._voices.supervisor.spoke(synthesis.engine)
            statistics.add(utterance.spoken())
            if statistics.latency_ms is not None:
                self._latency_topic.publish(Float32(data=statistics.latency_ms))

    def fault(self, name: str, message: str | None) -> None:
        """Report a fault, once; None: it is over."""
        if message is None:
            self._faults.pop(name, None)
        elif name not in self._faults:
            self._faults[name] = message
            self.get_logger().error(message)

    def abandon_engine(self, utterance: Utterance, reason: str) -> bool:
        """Give up an engine that stalled. Whether another one goes on with the utterance."""
        assert utterance.synthesis is not None
        self._voices.supervisor.abandon(utterance.synthesis.engine)
        return utterance.synthesis.abandon_engine(EngineError(reason))

    # Events of the engine supervisor, in its threads

    def _log_error(self, message: str) -> None:
        self.get_logger().error(message)

    def _log_info(self, message: str) -> None:
        self.get_logger().info(message)

    # Parameters and diagnostics

    def _log_warnings(self, warnings: Iterable[str]) -> None:
        """Log what limits the engine, or what it could not read, each once."""
        for warning in warnings:
            if warning not in self._logged_warnings:
                self._logged_warnings.add(warning)
                self.get_logger().warning(warning)

    def _on_parameters(self, changes: Mapping[str, Any]) -> None:
        settings = {**self._settings.values, **changes}
        rewriting = any(setting.name in changes for setting in speakable.SETTINGS)
        self._voices.configure(settings, rewriting=rewriting)
        changed = queue_settings(settings, MOST_UNHEARD_CHUNKS)
        self._queue_thread.post(lambda queue: setattr(queue, "settings", changed))

    def _collect(self) -> StatusReport:
        report = StatusReport()
        report.values.update(self._voices.values())
        self._reported_players = report.values["players"] = self.players()
        report.values["goals_waiting"] = len(self._reception.line)
        report.values["goals_rejected"] = self._goals.rejected
        report.values.update(self._texts.named.counts | self._statistics.values())
        report.errors += list(self._faults.values())
        self._voices.assess(report)
        rivals = describe_rivals(self, SAY.name)
        report.warnings += rivals
        limits = self._voices.supervisor.warnings
        self._log_warnings([*limits, *self._statistics.warnings, *rivals])
        self._statistics.assess(report, self._settings.values)
        if self._player_clock is not None:
            report.values["player_clock_offset_ms"] = self._player_clock.ahead_ns / 1e6
            if self._player_clock.offset_ns:
                offset = describe_offset("the player", self._player_clock.offset_ns)
                report.notes.append(f"{offset}; the latencies here are by this node's clock alone")
        return report
