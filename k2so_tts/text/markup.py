"""Takes out what is written for the eye: markdown, tags, links, emoji, invisible characters.

The rules follow CommonMark where that is about what is heard, and leave what they don't understand
as it is: `snake_case`, `2 * 3 * 4`, `#1`, `C#` and `a < b` survive.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import regex

from k2so_tts.text.rewriter import Pieces, RewriteState, Rule, RuleSet
from k2so_tts.text.words import Words, words_of

Match = regex.Match[str]

THINKING = ("think", "thinking", "thought", "reasoning", "reflection", "scratchpad")
"""Tags whose content a language model writes for itself."""

_ENDS = ".!?…:;,。！？、；：，।॥؟؛۔"
_LINE = r"(?<![^\n])"
_SHORT_CODE = 60
_VISIBLE_SOUND = regex.compile(r"[\p{L}\p{N}]")


@dataclass
class MarkupState(RewriteState):
    """How markup is read, and what is open at the moment."""

    words: Words = field(default_factory=lambda: words_of("en"))
    code_blocks: str = "skip"
    emoji: str = "drop"
    name_emoji: Callable[[str], str] = lambda _: ""
    closers: list[str] = field(default_factory=list)
    """Delimiters of emphasis and links that are open."""
    in_row: bool = False
    """The line at hand is a row of a table."""
    stands_alone: bool = False
    """The line at hand is a heading, a list item or a row: a sentence of its own."""


@lru_cache(maxsize=16)
def markup_rules(filters: frozenset[str], thinking: tuple[str, ...]) -> RuleSet[MarkupState]:
    """The rules of the steps that are switched on (see `speakable.FILTERS`)."""
    rules: list[Rule[MarkupState]] = []
    if "tags" in filters:
        rules += _tag_rules(thinking)
    if "directions" in filters:
        rules += _DIRECTIONS
    if "markdown" in filters:
        rules += [*_CODE, *_LINKS, *_BLOCKS, *_EMPHASIS]
    if "links" in filters:
        rules += _URLS
    if "tags" in filters:
        rules += _ENTITIES
    if "latex" in filters:
        rules += _FORMULAS
    if "emoji" in filters:
        rules += _EMOJI
    if "unicode" in filters:
        rules += _UNICODE
    return RuleSet(rules)


def _rule(
    first: str,
    pattern: str,
    rewrite: Callable[[Match, MarkupState], Pieces | None],
    lookahead: int = 0,
) -> Rule[MarkupState]:
    return Rule(first, regex.compile(pattern), rewrite, lookahead)


def _drop(_: Match, __: MarkupState) -> Pieces:
    return ()


def _full_stop(state: MarkupState) -> str:
    """Ends what is said so far as a sentence, if nothing else does."""
    return "." if state.last and state.last not in _ENDS else ""


# Tags


def _tag_rules(thinking: tuple[str, ...]) -> list[Rule[MarkupState]]:
    names = "|".join(map(regex.escape, thinking))
    rules = [_rule("<", rf"(?i)</(?:{names})\s{{0,9}}>", _drop)] if names else []
    if names:
        rules.append(_rule("<", rf"(?i)<({names})(?:\s[^<>]{{0,200}})?>", _skip_thinking))
    return [*rules, *_TAGS]


def _skip_thinking(match: Match, state: MarkupState) -> Pieces:
    state.skip = regex.compile(rf"(?i)</{regex.escape(match[1])}\s{{0,9}}>")
    return ()


def _break(match: Match, state: MarkupState) -> Pieces:
    """The pause of SSML's `<break>`, as the punctuation that has one of about that length."""
    attributes = match[1] or ""
    time = regex.search(r"time\s*=\s*[\"'](\d*\.?\d+)(ms|s)", attributes)
    seconds = 0.4
    if time:
        seconds = float(time[1]) / (1000 if time[2] == "ms" else 1)
    elif strength := regex.search(r"strength\s*=\s*[\"']([a-z-]+)", attributes):
        seconds = {"none": 0.0, "x-weak": 0.0, "weak": 0.2, "medium": 0.2}.get(strength[1], 0.5)
    if seconds < 0.05 or state.last in _ENDS:
        return ()
    return (("," if seconds < 0.35 else "."),)


def _say_as(match: Match, _: MarkupState) -> Pieces:
    kind = match[1].lower()
    if kind in {"characters", "spell-out", "digits", "telephone", "verbatim"}:
        return (" ".join(char for char in match[2] if not char.isspace()),)
    return (match.span(2),)


def _substitute(match: Match, _: MarkupState) -> Pieces:
    return (html.unescape(match[1] or match[2] or ""),)


def _entity(match: Match, _: MarkupState) -> Pieces | None:
    text = html.unescape(match[0])
    return None if text == match[0] else (text.replace("\u00a0", " "),)


_ATTRIBUTES = r"""(?:\s+[\w:-]{1,40}\s*=\s*(?:"[^"<>]{0,300}"|'[^'<>]{0,300}'|[^\s"'<>=]{1,300}))"""
_BLOCK = "p|div|br|li|ul|ol|tr|h[1-6]|s|speak|paragraph|blockquote|hr|table"
_TAGS = [
    _rule("<", rf"(?i)<break({_ATTRIBUTES}{{0,3}})\s*/?>(?:</break>)?", _break),
    _rule(
        "<",
        r"(?i)<sub\s+alias\s*=\s*(?:\"([^\"<>]{0,200})\"|'([^'<>]{0,200})')\s*>[^<>]{0,200}</sub>",
        _substitute,
    ),
    _rule(
        "<",
        rf"(?i)<say-as\s+interpret-as\s*=\s*[\"']([\w-]{{1,20}})[\"']{_ATTRIBUTES}{{0,2}}\s*>"
        r"([^<>]{0,200})</say-as>",
        _say_as,
    ),
    _rule("<", rf"(?i)</?(?:{_BLOCK}){_ATTRIBUTES}{{0,9}}\s*/?>", lambda _, __: ("\n",)),
    _rule("<", r"<!--(?s:.){0,500}?-->", _drop),
    _rule("<", rf"</?[A-Za-z][\w:.-]{{0,40}}{_ATTRIBUTES}{{0,9}}\s*/?>", _drop),
]
_ENTITIES = [_rule("&", r"&(?:[A-Za-z]{2,10}|#\d{1,7}|#x[0-9A-Fa-f]{1,6});", _entity)]


# Markdown


def _fence(match: Match, state: MarkupState) -> Pieces:
    """A block of code: left out or announced up to its closing fence, or read without fences."""
    fence = match[1]
    closer = rf"{_LINE}[ \t]{{0,3}}{regex.escape(fence[0])}{{{len(fence)},99}}[ \t]{{0,9}}(?=\n|\Z)"
    if state.code_blocks != "read":
        state.skip = regex.compile(closer)
    announced = f" {state.words.code_block}" if state.code_blocks == "announce" else ""
    return (_full_stop(state) + announced + ("." if announced else "") + "\n",)


def _inline_code(match: Match, state: MarkupState) -> Pieces:
    """Short code is spoken as it is, longer code is named."""
    return (match.span(2),) if len(match[2]) <= _SHORT_CODE else (state.words.code,)


_CODE = [
    _rule("[`~ \t]", rf"{_LINE}[ \t]{{0,3}}(`{{3,20}}|~{{3,20}})[^\n`]{{0,100}}\n", _fence),
    _rule(
        "`",
        r"(`{1,3})(?!`)(?:[ ](?=`))?([^\n]{1,300}?)(?:(?<=`)[ ])?(?<!`)\1(?!`)",
        _inline_code,
        1,
    ),
]


def _open_link(_: Match, state: MarkupState) -> Pieces:
    state.closers.append("]")
    return ()


def _close_link(_: Match, state: MarkupState) -> Pieces | None:
    if "]" not in state.closers:
        return None
    del state.closers[len(state.closers) - 1 - state.closers[::-1].index("]") :]
    return ()


def _image(match: Match, _: MarkupState) -> Pieces:
    return (match.span(1),)


_TARGET = r"\(\s?(?:<[^<>\n]{0,500}>|[^\s()<>]{0,500}(?:\([^\s()]{0,200}\)[^\s()]{0,200})?)(?:\s+(?:\"[^\"\n]{0,200}\"|'[^'\n]{0,200}'))?\s?\)"
_LINKS = [
    _rule("!", rf"!\[([^\[\]\n]{{0,300}})\](?:{_TARGET}|\[[^\[\]\n]{{0,100}}\])", _image),
    _rule(
        r"\[",
        rf"\[(?!\^)(?=(?:[^\[\]\n]|\[[^\[\]\n]{{0,100}}\]){{1,300}}\](?:{_TARGET}|\[[^\[\]\n]{{0,100}}\]))",
        _open_link,
    ),
    _rule(r"\]", rf"\](?:{_TARGET}|\[[^\[\]\n]{{0,100}}\])", _close_link),
    _rule(r"\[", r"\[\^[\w-]{1,30}\]:?", _drop, 1),
    _rule(r"\[", r"(?<=[\p{L}\p{P}\s])(?<![\p{L}\p{N}])\[\d{1,3}\](?=[\s\p{P}]|\Z)", _drop, 1),
]


def _begin_line(_: Match, state: MarkupState) -> Pieces:
    state.stands_alone = True
    return ()


def _heading(match: Match, state: MarkupState) -> Pieces:
    return _begin_line(match, state)


def _rule_line(_: Match, state: MarkupState) -> Pieces:
    return (_full_stop(state),)


def _begin_row(_: Match, state: MarkupState) -> Pieces:
    state.stands_alone = state.in_row = True
    return ()


def _cell(match: Match, state: MarkupState) -> Pieces | None:
    if not state.in_row:
        return None
    is_last = match[1] is not None
    return () if is_last else (("," if state.last and state.last not in _ENDS else ""), " ")


def _end_line(match: Match, state: MarkupState) -> Pieces:
    stop = _full_stop(state) if state.stands_alone else ""
    state.stands_alone = state.in_row = False
    if match[0].count("\n") > 1:
        state.closers.clear()
    return (stop, match.span())


_BLOCKS = [
    _rule(r"[ \t#]", rf"{_LINE}[ \t]{{0,3}}#{{1,6}}[ \t]{{1,9}}", _heading),
    _rule(r"[ \t]", r"[ \t]{1,9}#{1,6}[ \t]{0,9}(?=\n|\Z)", _drop, 1),
    _rule(
        r"[ \t*_=-]",
        rf"{_LINE}[ \t]{{0,3}}(?:(?:\*[ \t]{{0,3}}){{3,99}}|(?:-[ \t]{{0,3}}){{3,99}}|(?:_[ \t]{{0,3}}){{3,99}}|={{2,99}}[ \t]{{0,9}})(?=\n|\Z)",
        _rule_line,
        1,
    ),
    _rule(
        r"[ \t|:-]",
        rf"{_LINE}[ \t]{{0,3}}\|?[ \t]{{0,9}}:?-{{2,99}}:?[ \t]{{0,9}}(?:\|[ \t]{{0,9}}:?-{{2,99}}:?[ \t]{{0,9}}){{0,40}}\|?[ \t]{{0,9}}(?=\n|\Z)",
        _rule_line,
        1,
    ),
    _rule(r"[ \t|]", rf"{_LINE}[ \t]{{0,3}}\|[ \t]{{0,9}}", _begin_row),
    _rule(r"[ \t|]", r"[ \t]{0,20}\|[ \t]{0,20}((?=\n|\Z))?", _cell, 1),
    _rule(r"[ \t>]", rf"{_LINE}[ \t]{{0,3}}(?:>[ \t]?){{1,9}}", _drop),
    _rule(
        r"[ \t*+•‣◦-]",
        rf"{_LINE}[ \t]{{0,12}}[*+•‣◦-][ \t]{{1,9}}(?:\[[ xX]\][ \t]{{1,9}})?",
        _begin_line,
        1,
    ),
    _rule(
        r"[ \t\d]",
        rf"{_LINE}[ \t]{{0,12}}(\d{{1,3}}[.)][ \t]{{1,9}})",
        lambda m, s: (_begin_line(m, s), (m.span(1),))[1],
    ),
    _rule(r"\n", r"\n(?:[ \t]{0,20}\n){0,20}", _end_line),
]


def _open_emphasis(match: Match, state: MarkupState) -> Pieces | None:
    if state.closers.count(match[1]):
        return None
    state.closers.append(match[1])
    return ()


def _close_emphasis(match: Match, state: MarkupState) -> Pieces | None:
    """Closes what is open; a run such as `***` may close two."""
    run = match[1]
    while run and (closer := next((c for c in reversed(state.closers) if run.startswith(c)), "")):
        del state.closers[len(state.closers) - 1 - state.closers[::-1].index(closer) :]
        run = run[len(closer) :]
    return None if run == match[1] else (run,)


_BODY = r"[^\n]{0,400}?"
_EMPHASIS = [
    _rule(r"[*_~]", r"(?<=[^\s])(\*{1,3}|_{1,3}(?![\p{L}\p{N}])|~~)", _close_emphasis, 1),
    _rule(
        r"[*_~]",
        rf"(?<![\p{{L}}\p{{N}}*])(\*{{1,3}})(?=[^\s*])(?={_BODY}[^\s*]\1(?!\*))",
        _open_emphasis,
    ),
    _rule(
        r"[*_~]",
        rf"(?<![\p{{L}}\p{{N}}_])(_{{1,3}})(?=[^\s_])(?={_BODY}[^\s_]\1(?![\p{{L}}\p{{N}}_]))",
        _open_emphasis,
        1,
    ),
    _rule(r"[*_~]", rf"(?<!~)(~~)(?=[^\s~])(?={_BODY}[^\s~]~~(?!~))", _open_emphasis),
    _rule(r"\\", r"\\([!-/:-@\[-`{-~])", lambda m, _: (m.span(1),)),
]


# Stage directions, links, formulas


def _direction(match: Match, state: MarkupState) -> Pieces | None:
    """What stands in asterisks by itself between sentences is done, not said: `*waves*`."""
    return None if state.last and state.last not in '.!?…"”»)' else ()


_DIRECTIONS = [
    _rule(r"\[", r"\[\p{Ll}[\p{Ll} ',-]{2,40}\](?![(\[])", _drop, 1),
    _rule(r"\*", r"(?<![^\s(])\*\p{Ll}[\p{L} ',-]{2,60}(?<! )\*(?![*\p{L}\p{N}])", _direction, 1),
]


def _url(match: Match, _: MarkupState) -> Pieces:
    return (match.span(1),)


def _mail(match: Match, state: MarkupState) -> Pieces:
    return (match.span(1), f" {state.words.at} ", match.span(2))


_HOST = r"(?:[\p{L}\p{N}](?:[\p{L}\p{N}-]{0,61}[\p{L}\p{N}])?\.){1,8}\p{L}{2,24}"
_PATH = r"(?:[/?#](?:[^\s<>\"'`()\[\]]|\([^\s()]{0,200}\)){0,1500}(?<![.,;:!?*_~]))?"
_URLS = [
    _rule(
        r"(?:<|(?<![\p{L}\p{N}]))[hf](?=[tps]{2,5}:)|<(?=[hf][tps]{2,5}:)",
        rf"(?<![\p{{L}}\p{{N}}@.])<?(?:https?|ftp)://(?:[^\s/@<>]{{1,80}}@)?(?:www\.)?"
        rf"((?:{_HOST}|localhost|\d{{1,3}}(?:\.\d{{1,3}}){{3}}))(?::\d{{1,5}})?{_PATH}>?",
        _url,
        2,
    ),
    _rule(
        r"(?<![\p{L}\p{N}])[wW](?=[wW]{2}\.)",
        rf"(?i)(?<![\p{{L}}\p{{N}}@./])www\.({_HOST}){_PATH}",
        _url,
        2,
    ),
    _rule(
        r"(?<![\p{L}\p{N}._%+@-])[<\p{L}\p{N}](?=[:\p{L}\p{N}._%+-]{0,80}@)",
        r"(?<![\p{L}\p{N}._%+@-])<?(?:mailto:)?([\p{L}\p{N}][\p{L}\p{N}._%+-]{0,63})@"
        rf"({_HOST})>?",
        _mail,
        2,
    ),
]


def _formula(match: Match, state: MarkupState) -> Pieces | None:
    """A formula can't be read out: it is named, but for one letter or number."""
    body = (match[1] or match[2] or match[3] or match[4]).strip()
    if regex.fullmatch(r"\p{L}|\d{1,9}(?:\.\d{1,9})?", body) and match[2] is None:
        return (body,)
    if match[1] is not None and not regex.search(r"[\\^_{}=]", body):
        return None
    return (state.words.formula,)


_FORMULAS = [
    _rule(
        r"[$\\]",
        r"(?<![\p{L}\p{N}$])\$(?![\s$])([^$\n]{1,200}?)(?<![\s\\])\$(?![\p{L}\p{N}])"
        r"|\$\$((?s:[^$]){1,1000}?)\$\$|\\\(([^\n]{1,200}?)\\\)|\\\[((?s:.){1,1000}?)\\\]",
        _formula,
        1,
    )
]


# Emoji and invisible characters


def _emoji(match: Match, state: MarkupState) -> Pieces:
    """Left out or named; it ends a sentence that nothing else ends: `Great job!🎉 Next`."""
    if state.emoji == "name":
        return (f" {state.name_emoji(match[0])} ",)
    return (
        (" ",)
        if state.last and not match.string[match.start() - 1 : match.start()].isspace()
        else ()
    )


_PICTURE = (
    r"(?:\p{Extended_Pictographic}(?:\p{EMod}|\uFE0F)?|\p{RI}\p{RI})"
    r"(?:[\U000E0020-\U000E007F]{1,8})?"
)
_EMOJI = [
    _rule(
        r"\p{Extended_Pictographic}|\p{RI}",
        rf"(?![©®™‼⁉↔-↪ℹ](?!\uFE0F))(?:{_PICTURE}(?:\u200D{_PICTURE}){{0,7}}){{1,20}}",
        _emoji,
        2,
    ),
    _rule(r"[0-9#*]", r"([0-9#*])\uFE0F?\u20E3", lambda m, _: (m.span(1),), 0),
]


def _composed(match: Match, _: MarkupState) -> Pieces | None:
    text = unicodedata.normalize("NFC", match[0])
    return None if text == match[0] else (text,)


def _narrow(match: Match, _: MarkupState) -> Pieces:
    return (unicodedata.normalize("NFKC", match[0]),)


def _digits(match: Match, _: MarkupState) -> Pieces:
    return ("".join(str(unicodedata.digit(char)) for char in match[0]),)


_INVISIBLE = r"[\u00AD\u061C\u180E\u200B\u200E\u200F\u202A-\u202E\u2060-\u2064\u2066-\u2069\uFEFF\uFE00-\uFE0F]"
_UNICODE = [
    _rule(_INVISIBLE, rf"{_INVISIBLE}{{1,64}}", _drop),
    _rule(r"\p{L}\p{M}", r"\p{L}\p{M}{1,8}", _composed, 1),
    _rule(
        r"[\uFF10-\uFF19\uFF21-\uFF3A\uFF41-\uFF5A\uFF05\uFF06\uFF0B]",
        r"[\uFF10-\uFF19\uFF21-\uFF3A\uFF41-\uFF5A\uFF05\uFF06\uFF0B]{1,64}",
        _narrow,
    ),
    _rule(r"[\p{Nd}--[0-9\uFF10-\uFF19]]", r"(?V1)[\p{Nd}--[0-9\uFF10-\uFF19]]{1,64}", _digits),
    _rule(r"\u00A0|\u202F|\u2009", r"[\u00A0\u202F\u2009]", lambda _, __: (" ",)),
]
