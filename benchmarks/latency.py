"""From a goal to the loudspeaker: how long each step takes, over ROS, in processes of their own.

Plays on a private virtual sound card (PipeWire with a null sink), so it needs none, and prints
ratios
measured in this run beside the absolute times, which depend on the machine. Run it with `make
bench`.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "test"))
from support.sound import SoundServer

from k2so_tts.metrics import percentiles
from k2so_tts.ros.client import Measured, SpeechClient

SHORT = "Hello, I am K-2SO."
WORDS = "the robot said that it would be here to help you again today "
LONG = (WORDS * 80)[: len(WORDS) * 77]
IDLE_SECONDS = 10.0
REST_SECONDS = 5.0
STEPS = ("accepted_s", "first_chunk_s", "first_frame_s")


def main() -> int:
    """Measure and print. The exit code is 1 when something was not heard as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--goals", type=int, default=30, help="goals of five words to send")
    parser.add_argument("--block-frames", type=int, default=256, help="the device's block size")
    options = parser.parse_args()
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"ROS 2 {os.environ.get('ROS_DISTRO')}, block {options.block_frames}"
    )
    with SoundServer() as sound, ExitStack() as stack:
        env = {**os.environ, **sound.env}
        nodes = {
            "speak_server": start(stack, ["speak_server"], env),
            "audio_player": start(
                stack,
                [
                    "audio_player",
                    "--ros-args",
                    "-p",
                    f"block_frames:={options.block_frames}",
                    "-p",
                    f"rest_after:={REST_SECONDS}",
                ],
                env,
            ),
        }
        client = stack.enter_context(closing(SpeechClient()))
        if not (client.wait_for_server(20.0) and client.wait_for_player(20.0)):
            print("the nodes did not start")
            return 1
        client.say("Warm up.")
        short = [client.say(SHORT) for _ in range(options.goals)]
        long = [client.say(LONG, cancel_after=0.5) for _ in range(max(3, options.goals // 3))]
        table(f"{options.goals} goals of {len(SHORT.split())} words", short)
        table(f"{len(long)} goals of {len(LONG.split())} words, cut short", long)
        ratio = median(long) / median(short)
        print(f"\n{len(LONG.split())} words over {len(SHORT.split())} words: {ratio:.2f} x")
        idle(nodes)
    return int(any(goal.status != "succeeded" for goal in short))


def median(goals: list[Measured]) -> float:
    """Seconds from goal to first frame."""
    return percentiles(goal.first_frame_s for goal in goals if goal.first_frame_s)["p50"]


def start(stack: ExitStack, command: list[str], env: dict[str, str]) -> psutil.Process:
    """A node, ended with the benchmark."""
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)

    def stop() -> None:
        process.send_signal(signal.SIGINT)
        process.wait(10.0)

    stack.callback(stop)
    return psutil.Process(process.pid)


def table(title: str, goals: list[Measured]) -> None:
    """Print p50, p95 and max of each step in ms."""
    print(
        f"\n{title}, ms after the goal was sent\n\n| step | median | p95 | max |\n|---|---|---|---|"
    )
    for step in STEPS:
        values = percentiles(1000 * getattr(goal, step) for goal in goals)
        cells = " | ".join(f"{values[key]:.1f}" for key in ("p50", "p95", "max"))
        print(f"| {step[:-2].replace('_', ' ')} | {cells} |")


def idle(nodes: dict[str, psutil.Process]) -> None:
    """Print what the nodes cost while nothing is said and the device rests."""
    time.sleep(REST_SECONDS + 2.0)
    before = {name: cpu_seconds(node) for name, node in nodes.items()}
    time.sleep(IDLE_SECONDS)
    print("\n| idle | % of a core | resident MiB |\n|---|---|---|")
    for name, node in nodes.items():
        share = 100 * (cpu_seconds(node) - before[name]) / IDLE_SECONDS
        memory = sum(each.memory_info().rss for each in [node, *node.children(recursive=True)])
        print(f"| {name} | {share:.2f} | {memory / 2**20:.0f} |")


def cpu_seconds(node: psutil.Process) -> float:
    """Processor time of a node and its engine processes, to the nanosecond."""
    tasks = (
        task
        for each in [node, *node.children(recursive=True)]
        for task in Path(f"/proc/{each.pid}/task").iterdir()
    )
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


if __name__ == "__main__":
    sys.exit(main())
