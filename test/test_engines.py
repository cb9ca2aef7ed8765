"""How engines are found, and voices in them."""

from __future__ import annotations

import pytest

from k2so_tts.engines import EngineUnavailable, Voice, create_engine, engine_names, match_voice
from k2so_tts.engines.espeak import EspeakEngine

VOICES = [
    Voice("amy", "en-gb"),
    Voice("joe", "en-us"),
    Voice("de", "de"),
    Voice("kerstin", "de-at"),
    Voice("En-Odd", "xx"),
]


def test_espeak_is_installed_as_an_engine() -> None:
    assert "espeak" in engine_names()
    assert isinstance(create_engine("espeak"), EspeakEngine)


def test_an_engine_that_nobody_installed_is_unavailable() -> None:
    with pytest.raises(EngineUnavailable, match=r"no engine 'nope'; installed: .*espeak"):
        create_engine("nope")


@pytest.mark.parametrize(
    ("name", "voice"),
    [
        ("joe", "joe"),
        ("de", "de"),
        ("de-at", "kerstin"),
        ("de_AT", "kerstin"),
        ("en", "amy"),
        ("EN-US", "joe"),
        ("En-Odd", "En-Odd"),
        ("e", None),
        ("fr", None),
        ("", None),
    ],
)
def test_a_voice_is_found_by_its_name_or_language(name: str, voice: str | None) -> None:
    assert match_voice(VOICES, name) == voice
