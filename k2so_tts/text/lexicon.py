"""How words and phrases are pronounced: a list of what is written and what is said for it."""

from __future__ import annotations

from collections.abc import Mapping

import regex

from k2so_tts.text.normalise import NormaliseState
from k2so_tts.text.rewriter import Rule


def lexicon_rules(lexicon: Mapping[str, str]) -> list[Rule[NormaliseState]]:
    """One rule for all entries, the longest first.

    An entry in lower case stands for any case; another one for itself only. Entries are found as
    whole words.
    """
    if not lexicon:
        return []
    anyhow = {name.lower(): said for name, said in lexicon.items() if name == name.lower()}
    names = sorted(lexicon, key=len, reverse=True)
    parts = [
        f"(?i:{regex.escape(name)})" if name in anyhow else regex.escape(name) for name in names
    ]
    firsts = sorted({char for name in names for char in (name[0], name[0].upper())})
    before = r"(?<![\p{L}\p{N}_])"
    return [
        Rule(
            f"{before}[{regex.escape(''.join(firsts))}]",
            regex.compile(f"{before}({'|'.join(parts)})(?![\\p{{L}}\\p{{N}}_])"),
            lambda match, _: (lexicon.get(match[1]) or anyhow[match[1].lower()],),
            1,
        )
    ]
