"""`speak_server`: the action `say`, spoken into the topic `audio`."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rclpy.action.server import ActionServer, CancelResponse, GoalResponse
from rclpy.node import Node
from rclpy.task import Future
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import TimeReference
from std_msgs.msg import Bool, Float32, String
from std_srvs.srv import Trigger

from k2so_tts.audio import Chunk, Pcm
from k2so_tts.engines import EngineError, UnknownVoice
from k2so_tts.metrics import SynthesisStats
from k2so_tts.ros.clock_offset import SenderClock, describe_offset
from k2so_tts.ros.diagnostics import Diagnostics, RollingMetric, StatusReport
from k2so_tts.ros.messages import (
    MOST_UNHEARD_CHUNKS,
    TTS,
    AudioStamped,
    lost_frames_of,
    playhead_qos,
    request_qos,
    speech_qos,
    state_qos,
    to_message,
    to_nanoseconds,
)
from k2so_tts.ros.parameters import Parameters
from k2so_tts.ros.queue_thread import QueueThread
from k2so_tts.ros.server_parameters import PARAMETERS, RATE, VOLUME
from k2so_tts.ros.speech_queue import QUEUE, REJECT, Outcome, QueueSettings, SpeechQueue
from k2so_tts.ros.utterance import Utterance
from k2so_tts.ros.voice_selection import VoiceSelector, engine_parameters, fallback_of
from k2so_tts.settings import brief
from k2so_tts.synthesis.synthesis import Synthesis
from k2so_tts.text.stream import TextStream, clean

_JOIN_SECONDS = 2.0
_DELIVER_SECONDS = 1.0
_RESULT_SECONDS = 30
_LOG_SECONDS = 5.0
_PARTICIPANT_BYTES = 12
"""What all endpoints of a process have in common in DDS."""
_UNKNOWN_NODE = "_NODE_NAME_UNKNOWN_"
"""What rmw calls the node of an endpoint that it has discovered before the node."""


@dataclass(eq=False)
class _Goal:
    """A goal that was accepted and has not ended."""

    handle: Any
    result: Future[tuple[Outcome, str]]
    begun: bool = False


class SpeakServer(Node):
    """Speaks goals.

    Action server: `say` (audio_common_msgs/TTS). Publishes `audio` (AudioStamped),
    `~/perceived_latency_ms` (Float32, once per utterance) and `/diagnostics`.
    Subscribes to `playhead` (TimeReference) and `say_stream` (String). Service `~/stop` (Trigger).
    Parameters: `PARAMETERS`, and the options of the engine as `<engine>.<option>`.

    Raises:
        SettingError: a parameter makes no sense.
        EngineUnavailable: the engine can't run on this machine.
    """

    def __init__(self) -> None:
        super().__init__("speak_server")
        self._settings = Parameters(self, PARAMETERS)
        self._settings.declare(engine_parameters(self._settings.values))
        self._voices = VoiceSelector(
            self._settings.values, on_fault=self._on_engine_fault, on_ready=self._on_engine_ready
        )
        self._spoken_by = ""
        self._goals: dict[Hashable, _Goal] = {}
        self._stream: TextStream | None = None
        self._working: set[Synthesis] = set()
        self._faults: dict[str, str] = {}
        self._frame_id = self.get_fully_qualified_name()
        self._outcomes = dict.fromkeys(Outcome, 0)
        self._rejected = 0
        self._last: SynthesisStats | None = None
        self._players_told = 0
        self._latency = RollingMetric("perceived_latency_ms", 1000)
        self._first_chunk = RollingMetric("time_to_first_chunk_ms", 1000)
        self._real_time_factor = RollingMetric("real_time_factor")
        self._player_clock: SenderClock | None = None
        self._player_participant = b""
        self._queue_thread = QueueThread(self, _queue_settings(self._settings.values))
        self._settings.on_change(self._apply)

        self._audio = self.create_publisher(AudioStamped, "audio", speech_qos())
        self.create_subscription(TimeReference, "playhead", self._on_playhead, playhead_qos())
        self.create_subscription(Bool, "is_speaking", self._on_speaking, state_qos())
        self.create_subscription(String, "say_stream", self._on_piece, 100)
        self._latency_topic = self.create_publisher(Float32, "~/perceived_latency_ms", 10)
        self.create_service(Trigger, "~/stop", self._on_stop)
        self._diagnostics = Diagnostics(self, self._collect)
        self._queue_thread.start()
        self._action = ActionServer(
            self,
            TTS,
            "say",
            execute_callback=self._execute,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
            goal_service_qos_profile=request_qos(),
            cancel_service_qos_profile=request_qos(),
            result_service_qos_profile=request_qos(),
            result_timeout=_RESULT_SECONDS,
        )
        speaks = fallback_of(self._settings.values) or self._settings["engine"]
        self.get_logger().info(f"ready to speak with {speaks}")

    @property
    def broken(self) -> str | None:
        """Why only a new process can go on (see `main.py`); None while this one can."""
        return self._queue_thread.failure

    def close(self) -> None:
        """End every goal with what was heard of it, deliver the results, join every thread."""
        self._queue_thread.close("speak_server is shutting down")
        deadline = time.monotonic() + _DELIVER_SECONDS
        while self._goals and time.monotonic() < deadline:
            time.sleep(0.01)
        self._let_results_go(deadline)
        self._voices.close()
        for synthesis in list(self._working):
            synthesis.cancel()
            synthesis.join(_JOIN_SECONDS)
        self._action.destroy()

    def _let_results_go(self, deadline: float) -> None:
        """Wait for the executor to send the results of goals that have just ended.

        A result is sent by a task of its own, which the end of a goal's task creates: it is there
        when a first task has run after that end, and has run when a second one has.
        """
        for _ in range(2):
            passed = threading.Event()
            if self.executor is not None:
                self.executor.create_task(passed.set)
                passed.wait(max(0.0, deadline - time.monotonic()))

    # What comes in, in the executor's thread.

    def _on_goal(self, goal: Any) -> GoalResponse:
        refusal = self._refusal(goal)
        if refusal is None:
            return GoalResponse.ACCEPT
        self._rejected += 1
        self.get_logger().warning(f"goal refused: {refusal}")
        return GoalResponse.REJECT

    def _refusal(self, goal: Any) -> str | None:
        """Why a goal can't be accepted: the field, its value, what is allowed."""
        longest = self._settings["max_text_length"]
        if len(goal.text) > longest:
            return f"text has {len(goal.text)} characters; allowed: {longest} (max_text_length)"
        for name, (low, high) in {"volume": VOLUME, "rate": RATE}.items():
            value = getattr(goal, name)
            if not low <= value <= high:
                return f"{name} is {value:g}; allowed: {low} to {high}"
        try:
            self._voices.voice_for(goal.language)
        except UnknownVoice as error:
            return f"language is {brief(goal.language)}: {error}; see 'k2so-tts voices'"
        return self._busy()

    def _busy(self) -> str | None:
        """Why nothing more can be taken now."""
        policy, waiting = self._settings["queue_policy"], len(self._goals)
        if waiting and policy == REJECT:
            return "another goal is being spoken (queue_policy: reject)"
        if waiting >= self._settings["max_queue"] and policy == QUEUE:
            return f"{waiting} goals are waiting; allowed: {waiting} (max_queue)"
        return None

    def _on_accepted(self, handle: Any) -> None:
        goal = handle.request
        key = bytes(handle.goal_id.uuid)
        self._goals[key] = _Goal(handle, Future())
        text = clean(goal.text)
        options = self._voices.options(goal.language, goal.rate, goal.volume)
        utterance = Utterance(key, text, options, time.monotonic(), self.now_ns(), goal.language)
        if text:
            self._queue_thread.post(lambda queue: queue.submit(utterance))
        else:
            self.begin(utterance)
            self.finish(utterance, Outcome.SUCCEEDED, "", None)

    def _on_cancel(self, handle: Any) -> CancelResponse:
        key = bytes(handle.goal_id.uuid)
        self._queue_thread.post(lambda queue: queue.cancel(key))
        return CancelResponse.ACCEPT

    async def _execute(self, handle: Any) -> Any:
        """Runs from the turn of a goal to its end, and is the one place where it ends."""
        key = bytes(handle.goal_id.uuid)
        ended = await self._goals[key].result
        assert ended is not None
        outcome, text = ended
        if outcome is Outcome.SUCCEEDED:
            handle.succeed()
        elif outcome is Outcome.CANCELED and handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        del self._goals[key]
        self._diagnostics.publish()
        return TTS.Result(text=text)

    def _on_playhead(self, message: TimeReference, info: Mapping[str, Any]) -> None:
        self._player_participant = _participant_of(info)
        stamp_ns, lost = to_nanoseconds(message.time_ref), lost_frames_of(message)
        self._queue_thread.post(lambda queue: queue.playhead(stamp_ns, message.source, lost))
        if self._player_clock is None:
            self._player_clock = SenderClock()
        self._player_clock.note(to_nanoseconds(message.header.stamp), self.now_ns())

    def _on_speaking(self, message: Bool, info: Mapping[str, Any]) -> None:
        self._player_participant = _participant_of(info)
        if not message.data:  # a player's first word; the last one of one that dies may be true
            self._queue_thread.post(SpeechQueue.player_seen)
        if self.players() != self._players_told:
            self._diagnostics.publish()

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._queue_thread.post(lambda queue: queue.stop("stopped by ~/stop"))
        response.success = True
        return response

    def _on_piece(self, message: String) -> None:
        """A piece of a streamed text; an empty one ends it.

        What follows of a text that was cancelled or refused is not heard, up to its end.
        """
        stream = self._stream
        if not message.data:
            if stream is not None:
                stream.end()
            self._stream = None
            return
        if stream is None or (stream.ended and not stream.cancelled):
            stream = self._stream = self._open_stream()
        longest = self._settings["max_text_length"]
        room = max(0, longest - len(stream.text))
        if len(message.data) > room and not stream.cancelled:
            self.get_logger().warning(
                f"what is above {longest} characters (max_text_length) of a streamed text is left "
                "out",
                throttle_duration_sec=_LOG_SECONDS,
            )
        stream.feed(message.data[:room])

    def _open_stream(self) -> TextStream:
        stream = TextStream(self._settings["stream_timeout"])
        refusal = self._busy()
        if refusal is not None:
            self._rejected += 1
            self.get_logger().warning(f"streamed text refused: {refusal}")
            stream.cancel()
            return stream
        options = self._voices.options("", 1.0, 1.0)
        utterance = Utterance(stream, stream, options, time.monotonic(), self.now_ns())
        self._queue_thread.post(lambda queue: queue.submit(utterance))
        return stream

    # What goes out, in the queue's thread (see SpeechQueueDelegate).

    def now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def subscribers(self) -> int:
        return int(self._audio.get_subscription_count())

    def players(self) -> int:
        return int(self.count_publishers("playhead"))

    def player_ids(self) -> frozenset[Hashable]:
        publishers = self.get_publishers_info_by_topic("playhead")
        return frozenset(bytes(publisher.endpoint_gid) for publisher in publishers)

    def players_subscribe(self) -> bool:
        return listens(
            self._player_participant,
            self.get_publishers_info_by_topic("playhead"),
            self.get_subscriptions_info_by_topic("audio"),
        )

    def synthesise(self, utterance: Utterance) -> Synthesis:
        engine, options = self._voices.begin(utterance.language, utterance.options)
        synthesis = Synthesis(
            engine,
            utterance.text,
            options,
            chunk_frames=self._settings["chunk_frames"],
            streaming=self._settings["streaming"],
            fail_over=partial(self._voices.fail_over, utterance.language, utterance.options),
            on_change=self._queue_thread.wake,
        )
        self._working = {work for work in self._working if not work.join(0.0)} | {synthesis}
        synthesis.start()
        return synthesis

    def begin(self, utterance: Utterance) -> None:
        goal = self._goals.get(utterance.key)
        if goal is not None and not goal.begun:
            goal.begun = True
            goal.handle.execute()

    def publish(self, stamp_ns: int, pcm: Pcm, rate: int) -> None:
        self._audio.publish(to_message(stamp_ns, pcm, rate, self._frame_id))

    def audible(self, utterance: Utterance, chunk: Chunk) -> None:
        goal = self._goals.get(utterance.key)
        if goal is not None:
            stamp_ns = utterance.stamp_ns(chunk.start)
            audio = to_message(stamp_ns, chunk.pcm, utterance.rate, self._frame_id)
            goal.handle.publish_feedback(TTS.Feedback(audio=audio))

    def finish(self, utterance: Utterance, outcome: Outcome, text: str, reason: str | None) -> None:
        self._outcomes[outcome] += 1
        spoken = utterance.spoken()
        if utterance.synthesis is not None and utterance.sent:
            self._spoken_by = utterance.synthesis.talker.name
        if outcome is Outcome.SUCCEEDED and utterance.synthesis is not None and utterance.sent:
            self._voices.supervisor.spoke(utterance.synthesis.talker)
            self._last = spoken
            self._latency.add(spoken.perceived_latency_s)
            self._first_chunk.add(spoken.first_chunk_s)
            self._real_time_factor.add(spoken.real_time_factor)
            if self._latency.last is not None:
                self._latency_topic.publish(Float32(data=self._latency.last))
        if reason is not None:
            self.get_logger().warning(f"ended after {brief(text)}: {reason}")
        goal = self._goals.get(utterance.key)
        if goal is not None:
            goal.result.set_result((outcome, text))
            self.begin(utterance)
            if self.executor is not None:
                self.executor.wake()

    def fault(self, name: str, message: str | None) -> None:
        if message is None:
            self._faults.pop(name, None)
        elif name not in self._faults:
            self._faults[name] = message
            self.get_logger().error(message)

    def abandon_engine(self, utterance: Utterance, reason: str) -> bool:
        assert utterance.synthesis is not None
        try:
            self._voices.supervisor.abandon(utterance.synthesis.talker)
        except EngineError as error:
            self.fault("engine", str(error))
        return utterance.synthesis.abandon_engine(EngineError(reason))

    # What comes from the engine, in a thread of its own.

    def _on_engine_fault(self, fault: str) -> None:
        name, instead = self._settings["engine"], self._settings["fallback_engine"]
        self.get_logger().error(f"engine {name!r} can't speak, {instead!r} does: {fault}")

    def _on_engine_ready(self, seconds: float) -> None:
        self.get_logger().info(
            f"engine {self._settings['engine']!r} is ready after {seconds:.1f} s"
        )

    # What there is to know and to set.

    def _apply(self, changes: Mapping[str, Any]) -> None:
        settings = {**self._settings.values, **changes}
        self._voices.configure(settings)
        queue_settings = _queue_settings(settings)
        self._queue_thread.post(lambda queue: setattr(queue, "settings", queue_settings))

    def _collect(self) -> StatusReport:
        health = StatusReport()
        last = self._last
        values = health.values
        values.update(self._voices.figures(), spoken_by=self._spoken_by)
        self._players_told = values["players"] = self.players()
        values["goals_waiting"] = len(self._goals)
        values["goals_rejected"] = self._rejected
        for outcome, count in self._outcomes.items():
            values[f"goals_{outcome.value}"] = count
        for figure in (self._latency, self._first_chunk, self._real_time_factor):
            values.update(figure.values())
        if last is not None:
            values["duration_s"] = last.duration_s
        if self._player_clock is not None:
            values["player_clock_offset_ms"] = self._player_clock.ahead_ns / 1e6
        self._assess(health)
        return health

    def _assess(self, health: StatusReport) -> None:
        health.errors += self._faults.values()
        self._voices.judge(health)
        if self._latency.last is not None:
            health.judge_latency(self._latency.last, self._settings.values, self._advice())
        factor = self._real_time_factor.last
        if factor is not None and factor > self._settings["warn_real_time_factor"]:
            health.warnings.append(
                f"the engine took {factor:.2f} s for a second of the last utterance "
                f"(warn_real_time_factor: {self._settings['warn_real_time_factor']:g}), so speech "
                "will run dry: choose a faster engine or voice"
            )
        if self._player_clock is not None and self._player_clock.offset_ns:
            offset = describe_offset("the player", self._player_clock.offset_ns)
            health.notes.append(f"{offset}; the latencies here are by this node's clock alone")

    def _advice(self) -> str:
        """What to do about the latency of the last utterance."""
        assert self._latency.last is not None
        engine_ms = self._first_chunk.last or 0.0
        if engine_ms > self._latency.last / 2:
            remedy = "choose a faster engine or voice"
            if not self._settings["streaming"]:
                remedy = "set streaming to true"
            return f"{engine_ms:.0f} ms of it until the engine's first chunk; {remedy}"
        return (
            f"{self._latency.last - engine_ms:.0f} ms of it after the first chunk; see "
            "buffering_ms and device_xruns of audio_player"
        )


def listens(
    participant: bytes, players: Sequence[TopicEndpointInfo], listeners: Sequence[TopicEndpointInfo]
) -> bool:
    """Whether the player in a process (see `_participant_of`), or else any, is known to listen.

    By the process where ids tell which endpoints share one (DDS, not Zenoh), else by the node's
    name, which a player that was killed and the next one have in common.
    """
    here = _participants_of(players)
    both = here & _participants_of(listeners)
    if both and participant in here:
        return participant in both
    return bool(_nodes_of(players) & _nodes_of(listeners))


def _participant_of(info: Mapping[str, Any]) -> bytes:
    """Which process has sent a message, where ROS tells it (since Kilted): one that was started
    anew is not the one that was killed, which stays in the graph for a while.
    """
    publisher = info.get("publisher_gid") or {}
    return bytes(publisher.get("data", b""))[:_PARTICIPANT_BYTES]


def _participants_of(endpoints: Sequence[TopicEndpointInfo]) -> set[bytes]:
    return {bytes(endpoint.endpoint_gid)[:_PARTICIPANT_BYTES] for endpoint in endpoints}


def _nodes_of(endpoints: Sequence[TopicEndpointInfo]) -> set[tuple[str, str]]:
    return {
        (endpoint.node_namespace, endpoint.node_name)
        for endpoint in endpoints
        if endpoint.node_name != _UNKNOWN_NODE
    }


def _queue_settings(settings: Mapping[str, Any]) -> QueueSettings:
    return QueueSettings(
        policy=settings["queue_policy"],
        max_lead=settings["max_lead"],
        max_unheard_chunks=MOST_UNHEARD_CHUNKS,
        wait_for_player=settings["wait_for_player"],
        player_lost=settings["player_lost"],
        player_wait=settings["player_wait"],
        engine_timeout=settings["engine_timeout"],
    )
