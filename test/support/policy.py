"""The SROS 2 policy of the package."""

from __future__ import annotations

import os
from pathlib import Path

NODES = ("speak_server", "audio_player", "speech_client")


def policy_file() -> Path:
    """The policy as it is installed."""
    share = Path(os.environ["AMENT_PREFIX_PATH"].split(":")[0]) / "share" / "k2so_tts"
    return share / "config" / "sros2_policy.xml"
