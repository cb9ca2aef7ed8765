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

"""The rounds of the soak test: random actions, then silence, then a judgement of the recording."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rclpy.impl.logging_severity import LoggingSeverity
from rich.console import Console
from sensor_msgs.msg import TimeReference
from soak_actions import PLAYER, POLICIES, SERVER, VOLUMES, RandomActions, SentGoal
from support.company import Company
from support.recording import RecorderLostFramesError
from support.ros import Goal, Observer
from support.soak import FAULTS, Footprint, Report, Utterance, Wire, judge
from support.sound import STEADY, SoundServer, SoundServerError
from support.standstills import Standstills

from k2so_tts.audio import EMPTY_PCM, NANOSECONDS, Pcm, apply_gain
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.ros.messages import playhead_qos, to_nanoseconds
from k2so_tts.settings import brief
from k2so_tts.text.stream import clean

ROUND_SECONDS = 20.0
SETTLE_SECONDS = 60.0
QUIET_SECONDS = 0.6
"""Playheads come 20 times a second: without one for this long nothing is being played."""
TIMEOUT_SECONDS = 120.0
PAUSE_SECONDS = 1.2
"""Between two actions, on average."""


class Soak:
    """A soak test of both nodes, whose process ids are `nodes`; `report` has its results.

    Guests write their WAV files into `home`. What happens in each round is drawn from `seed`.
    """

    def __init__(
        self, observer: Observer, sound: SoundServer, nodes: dict[str, int], seed: int, home: Path
    ) -> None:
        self.report = Report()
        self._company = Company(home, observer)
        self.report.company = self._company.joined
        self._observer = observer
        self._sound = sound
        self._nodes = {name: psutil.Process(pid) for name, pid in nodes.items()}
        self._seed = seed
        self._standstills = Standstills()
        self._engine = EspeakEngine()
        self._engine.load()
        self._actions = RandomActions(observer, self._company, self._engine, self.report)
        self._gain = 1.0
        self._wire = Wire()
        self._heard_at = 0.0
        """When the last playhead was received (s, monotonic)."""
        self._heard_ns: dict[int, int] = {}
        """When the frame with a stamp was heard, of the first frames that were reported."""
        observer.node.create_subscription(
            TimeReference, "playhead", self._on_playhead, playhead_qos()
        )

    def close(self) -> None:
        """End the guests, the clients, the engine and the thread."""
        self._actions.close()
        self._company.close()
        self._standstills.close()
        self._engine.close()

    def run(self, seconds: float, console: Console) -> None:
        """Run rounds for this long, and measure the nodes once they have settled and at the end."""
        report, began = self.report, time.monotonic()
        passed, shown = 0.0, 0
        settle_at = min(SETTLE_SECONDS, seconds / 3)
        try:
            while passed < seconds or not report.settled:
                self._round()
                passed = time.monotonic() - began
                self._print_progress(console, passed)
                for surprise in report.surprises[shown:]:
                    console.print(surprise, highlight=False)
                shown = len(report.surprises)
                if passed >= settle_at and not report.settled:
                    report.settled = self._footprints()
            report.ended = self._footprints()
            status = self._next_status(PLAYER)
            report.counters.update({name: int(status[name]) for name in (*FAULTS, "device_xruns")})
        except (TimeoutError, SoundServerError, psutil.Error) as error:
            report.surprises.append(f"the run was ended by an error: {brief(error)}")

    def _print_progress(self, console: Console, passed: float) -> None:
        report = self.report
        mib = ", ".join(f"{_footprint(each).mib:.1f}" for each in self._nodes.values())
        console.print(
            f"{passed / 60:5.1f} min, {report.outcomes.total()} goals, "
            f"{report.judged} of {report.windows} recordings judged, lost {report.hearing.lost}, "
            f"repeated {report.hearing.repeated}, stray {report.hearing.stray}, "
            f"{len(report.surprises)} surprises, {mib} MiB",
            highlight=False,
            soft_wrap=True,
        )

    def _round(self) -> None:
        """Act at random, wait for silence, and judge what was recorded meanwhile.

        The surprises of a round are dropped if the whole machine stood still for longer than the
        device holds sound.
        """
        report = self.report
        report.windows += 1
        surprises = len(report.surprises)
        self._standstills.take()
        self._prepare_round()
        with self._sound.record() as recording:
            recording.lost_frames()
            self._act_for(ROUND_SECONDS)
            self._actions.end_streams()
            self._wait_for_silence()
            recording.wait_for_frames(recording.frames + self._sound.rate // 2, TIMEOUT_SECONDS)
            utterances = self._collect()
            standstill = self._standstills.take()
            report.longest_standstill = max(report.longest_standstill, standstill)
            if standstill > STEADY["device_latency"]:
                del report.surprises[surprises:]
                return
            try:
                heard = recording.whole()[:, 0]
            except RecorderLostFramesError:
                return
        report.judged += 1
        hearing = judge(heard, utterances, self._sound.rate, self._gain)
        if hearing.lost or hearing.repeated or hearing.stray:
            report.surprises.append(f"round {report.windows}: {hearing}")
        report.hearing.add(hearing)

    def _prepare_round(self) -> None:
        draw = self._actions.random
        draw.seed(f"{self._seed}, {self.report.windows}")
        self._gain = draw.choice(VOLUMES)
        self._actions.set_parameter(PLAYER, "volume", self._gain)
        self._actions.set_parameter(SERVER, "queue_policy", draw.choice(POLICIES))

    def _act_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._actions.act()
            time.sleep(min(3.0, self._actions.random.expovariate(1 / PAUSE_SECONDS)))

    def _wait_for_silence(self) -> None:
        """Wait until all goals have ended and nothing is played; report it if that takes long."""
        wait = self._observer.wait
        try:
            wait(lambda: not self._actions.unfinished(), TIMEOUT_SECONDS)
            wait(lambda: time.monotonic() - self._heard_at > QUIET_SECONDS, TIMEOUT_SECONDS)
        except TimeoutError as error:
            self.report.surprises.append(f"no silence within {TIMEOUT_SECONDS:g} s: {brief(error)}")

    def _collect(self) -> list[Utterance]:
        """The utterances on the wire in this round; its goals are counted and compared with it."""
        observer, report = self._observer, self.report
        with observer.changed:
            audio, observer.audio = observer.audio, []
            log, observer.log = observer.log, []
            observer.playheads, observer.speaking = [], observer.speaking[-1:]
        to_clock_ns = time.time_ns() - time.monotonic_ns()
        for arrived_at, message in audio:
            pcm = np.array(message.audio.audio_data.int16_data, np.int16)
            stamp_ns = to_nanoseconds(message.header.stamp)
            self._wire.add(stamp_ns, pcm)
            if stamp_ns in self._heard_ns and len(pcm):
                due_ns = max(stamp_ns, int(arrived_at * NANOSECONDS) + to_clock_ns)
                report.latencies_ms.append((self._heard_ns.pop(stamp_ns) - due_ns) / 1e6)
        self._heard_ns.clear()
        utterances = {utterance.start_ns: utterance for utterance in self._wire.take()}
        sent = self._actions.take_sent()
        report.outcomes.update(each.outcome for each in sent)
        report.surprises += [each.violation for each in sent if each.violation is not None]
        report.surprises += [
            f"error of {entry.name}: {entry.msg}"
            for entry in log
            if entry.level >= LoggingSeverity.ERROR
        ]
        for each in sent:
            is_made_whole = isinstance(each.goal, Goal) and not each.may_be_interrupted
            if each.outcome == "succeeded" and is_made_whole:
                self._compare(each, utterances)
        self._count(utterances)
        return list(utterances.values())

    def _count(self, utterances: dict[int, Utterance]) -> None:
        report = self.report
        for start_ns, utterance in utterances.items():
            report.sent_frames += utterance.frames
            report.interruptions += bool(utterance.cut_at)
            if not (utterance.gapless and utterance.ended):
                report.surprises.append(f"the utterance at {start_ns} has a gap")

    def _compare(self, sent: SentGoal, utterances: dict[int, Utterance]) -> None:
        """Compare what a goal of `say` put on the wire with what the engine makes of its text."""
        assert isinstance(sent.goal, Goal)
        feedback = sent.goal.feedback
        utterance = utterances.get(feedback[0][1]) if feedback else None
        if utterance is None:
            self.report.surprises.append(f"a goal succeeded without audio: {sent.text[:40]!r}")
            return
        expected = self._synthesised(sent)
        if not np.array_equal(utterance.pcm, expected):
            self.report.surprises.append(
                f"a goal sent {utterance.frames} frames that are not those of the engine "
                f"({len(expected)}): {sent.text[:40]!r}"
            )

    def _synthesised(self, sent: SentGoal) -> Pcm:
        """What the engine makes of the text of a goal, shape (frames,)."""
        blocks = self._engine.synthesise(clean(sent.text), sent.voice, sent.prosody)
        return apply_gain(
            np.concatenate([EMPTY_PCM, *(block.pcm for block in blocks)]), sent.volume
        )

    def _footprints(self) -> dict[str, Footprint]:
        """What each node holds once all guests have left and the device is closed."""
        self._company.close()
        observer = self._observer
        observer.wait(lambda: observer.node.count_publishers("playhead") == 1, TIMEOUT_SECONDS)
        observer.wait(lambda: observer.status(PLAYER)["device_rests"] == "True", TIMEOUT_SECONDS)
        self._next_status(SERVER)
        return {name: _footprint(process) for name, process in self._nodes.items()}

    def _next_status(self, node: str) -> dict[str, str]:
        """The values of a node's next diagnostics."""
        observer = self._observer
        before = observer.diagnostics[node]
        observer.wait(lambda: observer.diagnostics[node] is not before)
        return observer.status(node)

    def _on_playhead(self, message: TimeReference) -> None:
        if message.source == PLAYER:
            self._heard_at = time.monotonic()
            heard_ns = to_nanoseconds(message.header.stamp)
            self._heard_ns.setdefault(to_nanoseconds(message.time_ref), heard_ns)


def _footprint(process: Any) -> Footprint:
    family = [process, *process.children(recursive=True)]
    return Footprint(
        mib=sum(each.memory_info().rss for each in family) / (1 << 20),
        threads=process.num_threads(),
        descriptors=process.num_fds(),
        children=len(family) - 1,
    )
