"""Hours in minutes: both nodes under goals, changes and company at random, judged by a recording.

    PYTHONPATH=$PYTHONPATH:test python benchmarks/soak.py [--minutes 10] [--seed N] [--busy]

Real nodes in processes of their own, espeak-ng, PortAudio and a private virtual sound card
(PipeWire with a null sink). Goals of random length, language, rate and volume come, are cancelled
and replaced; parameters of both nodes are set; further players, on no device or on WAV files, join
and leave or are killed; others subscribe to `audio` for a while. Every half minute or so all goals
end and what the card was given is compared, frame by frame, with what espeak-ng makes of the texts.
What happens next is drawn from the seed; what it meets depends on the machine as well.

It exits with 1, and says why, when the bar of `test/support/soak.py` does not hold. `make soak` and
`make soak-check` run it.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from callback import busy
from rclpy.impl.logging_severity import LoggingSeverity
from rich.console import Console
from rich.table import Table
from sensor_msgs.msg import TimeReference
from support.company import Company
from support.recording import RecorderLostFramesError
from support.ros import (
    ABORTED,
    CANCELED,
    SUCCEEDED,
    Goal,
    Observer,
    clean_shared_memory,
    own_domain,
    running,
)
from support.soak import (
    FAULTS,
    UNFINISHED,
    Footprint,
    Report,
    Utterance,
    Wire,
    faults,
    judge,
)
from support.sound import STEADY, STEADY_CYCLE, SoundServer, SoundServerError
from support.standstills import Standstills

from k2so_tts.audio import EMPTY_PCM, Pcm, apply_gain
from k2so_tts.engines import Prosody
from k2so_tts.engines.espeak.engine import EspeakEngine
from k2so_tts.ros.messages import playhead_qos, to_nanoseconds
from k2so_tts.ros.speech_queue import QUEUE, REJECT, REPLACE
from k2so_tts.settings import brief
from k2so_tts.text.stream import clean

SERVER, PLAYER = "/speak_server", "/audio_player"
ROUND_SECONDS = 20.0
SETTLE_SECONDS = 60.0
QUIET_SECONDS = 0.6
"""Without a playhead, which comes 20 times a second, for so long nothing is heard."""
PATIENCE = 120.0
MOST_UNFINISHED = 4
MOST_COMPANY = 2
PAUSE_SECONDS = 1.2
REST_SECONDS = 2.0
"""The device rests after so little silence that it is opened anew many times."""

OUTCOMES = {SUCCEEDED: "succeeded", CANCELED: "canceled", ABORTED: "aborted"}
LANGUAGES = ("en-us", "en-gb", "de", "fr-fr", "es", "it", "pl", "sv", "pt")
VOCABULARY = (
    "I am the robot of this house and you are standing in front of my left wheel . , ! ? 42 "
    "Straße über größer coração señor łódź garçon 3.14 please wait until the door has opened"
)
SERVER_CHANGES: dict[str, Sequence[Any]] = {
    "max_queue": (2, 32),
    "rate": (0.75, 1.0, 1.5),
    "pitch": (0.75, 1.0, 1.25),
    "volume": (0.5, 0.75, 1.0),
    "streaming": (True, False),
    "warn_latency_ms": (500.0, 1000.0),
}
PLAYER_CHANGES: dict[str, Sequence[Any]] = {
    "prebuffer_chunks": (3, 4, 6),
    "max_buffer": (15.0, 30.0),
    "publishers": ("in_turn", "mix"),
    "warn_underruns": (1, 2),
    "warn_latency_ms": (500.0, 1000.0),
}
"""No fewer than three chunks: two are 149 ms of sound when the resampler has kept its part, and
this device asks for 300 ms at once, so it would run dry by arithmetic."""
POLICIES = (QUEUE, QUEUE, REPLACE, REJECT)
"""Each for a round."""
VOLUMES = (0.5, 0.75, 1.0)
"""Of the player, set between rounds: what is heard of a change is a ramp of 20 ms."""


@dataclass(eq=False)
class Sent:
    """A goal, how it is to sound, and what may become of it by the rules."""

    goal: Goal
    text: str
    voice: str
    prosody: Prosody
    volume: float
    may_be_refused: bool
    cancelled: bool = False
    replaced: bool = False

    @property
    def ended(self) -> bool:
        return self.goal.status is not None or self.goal.accepted is False

    @property
    def outcome(self) -> str:
        if self.goal.accepted is False:
            return "rejected"
        return OUTCOMES.get(self.goal.status or 0, UNFINISHED)

    @property
    def surprise(self) -> str | None:
        """What is against the rules about its end, if anything."""
        allowed = {
            "succeeded": self.goal.text == clean(self.text),
            "canceled": self.cancelled,
            "aborted": self.replaced,
            "rejected": self.may_be_refused,
            UNFINISHED: True,
        }
        if allowed[self.outcome]:
            return None
        return f"a goal was {self.outcome}: {self.text[:40]!r}, heard {self.goal.text[:40]!r}"


class Soak:
    """The robot, what is done to it, and what is known of it."""

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
        self._random = random.Random()
        self._standstills = Standstills()
        self._engine = EspeakEngine()
        self._engine.load()
        self._settings: dict[str, Any] = {"rate": 1.0, "pitch": 1.0, "volume": 1.0}
        self._settings |= {"queue_policy": QUEUE, "max_queue": 32}
        self._gain = 1.0
        self._sent: list[Sent] = []
        self._wire = Wire()
        self._heard_at = 0.0
        """When the player told its playhead last (s, monotonic)."""
        self._latency_ns: dict[int, int] = {}
        observer.node.create_subscription(
            TimeReference, "playhead", self._on_playhead, playhead_qos()
        )

    def close(self) -> None:
        self._company.close()
        self._standstills.close()
        self._engine.close()

    def run(self, seconds: float, console: Console) -> None:
        """Rounds for so long, and what each node holds after the first few and at the end."""
        report, began = self.report, time.monotonic()
        passed, told = 0.0, 0
        utterance_ended = min(SETTLE_SECONDS, seconds / 3)
        try:
            while passed < seconds or not report.settled:
                self._round()
                passed = time.monotonic() - began
                self._tell(console, passed)
                for surprise in report.surprises[told:]:
                    console.print(surprise, highlight=False)
                told = len(report.surprises)
                if passed >= utterance_ended and not report.settled:
                    report.settled = self._footprints()
            report.ended = self._footprints()
            status = self._fresh_status(PLAYER)
            report.counters.update({name: int(status[name]) for name in (*FAULTS, "device_xruns")})
        except (TimeoutError, SoundServerError, psutil.Error) as error:
            report.surprises.append(f"it could not go on: {brief(error)}")

    def _tell(self, console: Console, passed: float) -> None:
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

    # One round: steps at random, then silence, then judgement.

    def _round(self) -> None:
        report = self.report
        report.windows += 1
        surprises = len(report.surprises)
        self._standstills.take()
        self._random.seed(f"{self._seed}, {report.windows}")
        self._gain = self._random.choice(VOLUMES)
        self._set(PLAYER, "volume", self._gain)
        self._set(SERVER, "queue_policy", self._random.choice(POLICIES))
        with self._sound.record() as recording:
            recording.lost_frames()
            until = time.monotonic() + ROUND_SECONDS
            while time.monotonic() < until:
                self._step()
                time.sleep(min(3.0, self._random.expovariate(1 / PAUSE_SECONDS)))
            self._wait_for_silence()
            recording.wait_for_frames(recording.frames + self._sound.rate // 2, PATIENCE)
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

    def _step(self) -> None:
        draw = self._random
        step = draw.choices(
            (self._speak, self._cancel, self._change, self._visit, self._look_on),
            (10, 3, 3, 1, 2),
        )[0]
        step(draw.random())

    def _unfinished(self) -> list[Sent]:
        return [sent for sent in self._sent if not sent.ended]

    def _speak(self, _: float) -> None:
        """A few words mostly, now and then some sentences."""
        draw, settings = self._random, self._settings
        words = draw.choices(VOCABULARY.split(), k=min(40, 1 + int(draw.expovariate(1 / 8))))
        text = " ".join(words)
        language = draw.choice(LANGUAGES)
        rate, volume = draw.choice((0.5, 0.75, 1.0, 1.25, 2.0)), draw.choice((0.5, 1.0))
        unfinished = self._unfinished()
        if len(unfinished) >= MOST_UNFINISHED:
            return
        policy = settings["queue_policy"]
        for other in unfinished:
            other.replaced |= policy == REPLACE
        full = policy == QUEUE and len(unfinished) >= settings["max_queue"]
        self._sent.append(
            Sent(
                self._observer.send(text, language, volume, rate),
                text,
                self._engine.find_voice(language),
                Prosody(rate * settings["rate"], settings["pitch"]),
                volume * settings["volume"],
                may_be_refused=full or (policy == REJECT and bool(unfinished)),
            )
        )

    def _cancel(self, which: float) -> None:
        unfinished = self._unfinished()
        if unfinished:
            sent = unfinished[int(which * len(unfinished))]
            self._observer.wait(lambda: sent.goal.accepted is not None)
            if sent.goal.accepted:
                sent.cancelled = True
                self._observer.cancel(sent.goal)

    def _change(self, which: float) -> None:
        node, changes = (SERVER, SERVER_CHANGES) if which < 0.5 else (PLAYER, PLAYER_CHANGES)
        name = self._random.choice(tuple(changes))
        value = self._random.choice(changes[name])
        self._set(node, name, value)

    def _visit(self, which: float) -> None:
        company = self._company
        device = self._random.choice(("null", "wav"))
        if company.players and (which < 0.5 or len(company.players) == MOST_COMPANY):
            company.leave(signal.SIGKILL if which < 0.15 else signal.SIGINT)
        else:
            company.join(device)

    def _look_on(self, which: float) -> None:
        if self._company.bystanders and which < 0.5:
            self._company.unsubscribe()
        else:
            self._company.subscribe()

    def _set(self, node: str, name: str, value: Any) -> None:
        result = self._observer.set_parameter(node, name, value)
        if not result.successful:
            self.report.surprises.append(f"{node} refused {name}={value!r}: {result.reason}")
        if node == SERVER:
            self._settings[name] = value

    # What is known afterwards.

    def _wait_for_silence(self) -> None:
        """Until every goal has ended and nothing is heard any more, or it is clear that some do not
        end.
        """
        try:
            self._observer.wait(lambda: not self._unfinished(), PATIENCE)
            self._observer.wait(lambda: time.monotonic() - self._heard_at > QUIET_SECONDS, PATIENCE)
        except TimeoutError as error:
            self.report.surprises.append(f"{PATIENCE:g} s were not enough: {brief(error)}")

    def _collect(self) -> list[Utterance]:
        """What was on the wire in this round; its goals are counted and compared with it."""
        observer, report = self._observer, self.report
        with observer.changed:
            audio, observer.audio = observer.audio, []
            log, observer.log = observer.log, []
            observer.playheads, observer.speaking = [], observer.speaking[-1:]
        for _, message in audio:
            pcm = np.array(message.audio.audio_data.int16_data, np.int16)
            self._wire.add(to_nanoseconds(message.header.stamp), pcm)
        utterances = {utterance.start_ns: utterance for utterance in self._wire.take()}
        sent, self._sent = self._sent, []
        report.outcomes.update(each.outcome for each in sent)
        report.surprises += [each.surprise for each in sent if each.surprise is not None]
        report.surprises += [
            f"error of {entry.name}: {entry.msg}"
            for entry in log
            if entry.level >= LoggingSeverity.ERROR
        ]
        for each in sent:
            if each.outcome == "succeeded":
                self._compare(each, utterances)
        for utterance in utterances.values():
            report.sent_frames += utterance.frames
            if not (utterance.gapless and utterance.ended):
                report.surprises.append(f"the utterance at {utterance.start_ns} has a gap")
            if utterance.start_ns in self._latency_ns:
                report.latencies_ms.append(self._latency_ns[utterance.start_ns] / 1e6)
        self._latency_ns.clear()
        return list(utterances.values())

    def _compare(self, sent: Sent, utterances: dict[int, Utterance]) -> None:
        """What a goal had on the wire with what the engine makes of its text."""
        feedback = sent.goal.feedback
        utterance = utterances.get(feedback[0][1]) if feedback else None
        if utterance is None:
            self.report.surprises.append(f"a goal succeeded without audio: {sent.text[:40]!r}")
        elif not np.array_equal(utterance.pcm, self._made(sent)):
            self.report.surprises.append(
                f"a goal sent {utterance.frames} frames that are not those of the engine "
                f"({len(self._made(sent))}): {sent.text[:40]!r}"
            )

    def _made(self, sent: Sent) -> Pcm:
        blocks = self._engine.synthesise(clean(sent.text), sent.voice, sent.prosody)
        return apply_gain(
            np.concatenate([EMPTY_PCM, *(block.pcm for block in blocks)]), sent.volume
        )

    def _footprints(self) -> dict[str, Footprint]:
        """What each node holds when all company has left and the device rests."""
        self._company.close()
        observer = self._observer
        observer.wait(lambda: observer.node.count_publishers("playhead") == 1, PATIENCE)
        observer.wait(lambda: observer.status(PLAYER)["device_rests"] == "True", PATIENCE)
        self._fresh_status(SERVER)
        return {name: _footprint(process) for name, process in self._nodes.items()}

    def _fresh_status(self, node: str) -> dict[str, str]:
        """What a node tells in its next diagnostics."""
        observer = self._observer
        before = observer.diagnostics[node]
        observer.wait(lambda: observer.diagnostics[node] is not before)
        return observer.status(node)

    def _on_playhead(self, message: TimeReference) -> None:
        if message.source == PLAYER:
            self._heard_at = time.monotonic()
            start_ns = to_nanoseconds(message.time_ref)
            latency_ns = to_nanoseconds(message.header.stamp) - start_ns
            self._latency_ns.setdefault(start_ns, latency_ns)


def _footprint(process: Any) -> Footprint:
    family = [process, *process.children(recursive=True)]
    return Footprint(
        mib=sum(each.memory_info().rss for each in family) / (1 << 20),
        threads=process.num_threads(),
        descriptors=process.num_fds(),
        children=len(family) - 1,
    )


def table(report: Report) -> Table:
    found = Table("", "figure", title_justify="left")
    hearing, counters = report.hearing, report.counters
    outcomes = ", ".join(
        f"{report.outcomes[name]} {name}" for name in (*OUTCOMES.values(), "rejected", UNFINISHED)
    )
    found.add_row("goals", f"{report.outcomes.total()}: {outcomes}")
    for name, times in report.company.items():
        found.add_row(f"further {name} that joined", str(times))
    found.add_row("sent, frames at 22.05 kHz", f"{report.sent_frames:,}")
    found.add_row("recordings that were judged", f"{report.judged} of {report.windows}")
    found.add_row("longest standstill of the machine, ms", f"{1e3 * report.longest_standstill:.0f}")
    found.add_row("due in them, frames at 48 kHz", f"{hearing.due:,}")
    found.add_row("heard", f"{hearing.heard:,}")
    found.add_row("lost, repeated, stray", f"{hearing.lost}, {hearing.repeated}, {hearing.stray}")
    found.add_row("longest gap in an utterance, ms", f"{hearing.longest_gap / 48:.0f}")
    found.add_row("the player's counters", ", ".join(f"{k} {v}" for k, v in counters.items()))
    if report.latencies_ms:
        p50, p99 = np.percentile(report.latencies_ms, [50, 99])
        told = f"{p50:.0f}, {p99:.0f}, {max(report.latencies_ms):.0f}"
        found.add_row(f"latency p50, p99, max, ms ({len(report.latencies_ms)})", told)
    for node, ended in report.ended.items():
        settled = report.settled[node]
        found.add_row(f"{node}, MiB", f"{settled.mib:.1f} to {ended.mib:.1f}")
        for name in ("threads", "descriptors", "children"):
            row = f"{getattr(settled, name)} to {getattr(ended, name)}"
            found.add_row(f"{node}, {name}", row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--busy", action="store_true", help="keep one core busy meanwhile")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    console = Console()
    told = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    console.print(f"seed {given.seed}, {told}", highlight=False)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with ExitStack() as stack:
        stack.callback(clean_shared_memory)
        os.environ["ROS_DOMAIN_ID"] = str(stack.enter_context(own_domain()))
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        os.environ["XDG_CACHE_HOME"] = str(home)
        sound = stack.enter_context(SoundServer(quantum=STEADY_CYCLE))
        errors = stack.enter_context((home / "errors").open("w+"))
        steady = {**STEADY, "rest_after": REST_SECONDS}
        heard = {**os.environ, **sound.env}
        player = stack.enter_context(running("audio_player", heard, errors.fileno(), **steady))
        server = stack.enter_context(running("speak_server", None, errors.fileno()))
        observer = stack.enter_context(closing(Observer()))
        observer.wait_for_nodes()
        if given.busy:
            stack.enter_context(busy(1))
        nodes = {SERVER: server.pid, PLAYER: player.pid}
        soak = stack.enter_context(closing(Soak(observer, sound, nodes, given.seed, home)))
        soak.run(60 * given.minutes, console)
        report = soak.report
        errors.seek(0)
        tracebacks = errors.read().count("Traceback")
    if tracebacks:
        report.surprises.append(f"{tracebacks} tracebacks of the nodes")
    console.print(table(report))
    reasons = list(faults(report))
    for reason in reasons:
        console.print(reason, highlight=False)
    sys.exit(1 if reasons else 0)


if __name__ == "__main__":
    main()
