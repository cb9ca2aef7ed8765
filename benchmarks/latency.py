"""`k2so-tts bench` on a virtual sound card (PipeWire with a null sink), for machines without one.

    PYTHONPATH=$PYTHONPATH:test python benchmarks/latency.py [the options of k2so-tts bench]

`make bench` and `make bench-check` run it.
"""

from __future__ import annotations

import os
import sys

from support.sound import SoundServer

from k2so_tts.cli.main import main

if __name__ == "__main__":
    with SoundServer() as sound:
        os.environ.update(sound.env)
        main(["bench", *sys.argv[1:]])
