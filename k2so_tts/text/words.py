"""What languages call the things that texts write as signs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache


@dataclass(frozen=True)
class Words:
    """The words of a language, and how it writes numbers and dates.

    `abbreviations` maps what is written to what is said; one that ends with a space stands before
    a name or a number. `fractions` maps (numerator, denominator). `names` of currencies are
    (one, several, hundredth, hundredths); `before_cents` stands between the two amounts.
    """

    code: str = "code"
    code_block: str = "code block"
    formula: str = "formula"
    at: str = "@"
    to: str = ""
    plus: str = "+"
    minus: str = "-"
    times: str = ""
    point: str = ""
    version: str = ""
    number: str = ""
    decimal: str = "."
    group: str = ","
    clock: str = "{hour}:{minute}"
    clock_full: str = ""
    day_first: bool = True
    halves: str = "{whole} {fraction}"
    before_cents: str = " "
    abbreviations: dict[str, str] = field(default_factory=dict)
    before_number: dict[str, str] = field(default_factory=dict)
    before_name: dict[str, str] = field(default_factory=dict)
    fractions: dict[tuple[int, int], str] = field(default_factory=dict)
    currencies: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)
    scales: dict[str, str] = field(default_factory=dict)
    months: dict[str, int] = field(default_factory=dict)


_EN = Words(
    at="at",
    to="to",
    plus="plus",
    minus="minus",
    times="times",
    point="point",
    version="version",
    number="number",
    clock_full="{hour} o'clock",
    day_first=False,
    halves="{whole} and {fraction}",
    before_cents=" and ",
    abbreviations={
        "e.g.": "for example",
        "i.e.": "that is",
        "vs.": "versus",
        "vs": "versus",
        "etc.": "et cetera",
        "approx.": "approximately",
        "w/o": "without",
        "w/": "with",
        "a.m.": "a m",
        "p.m.": "p m",
        "a.k.a.": "also known as",
        "C#": "C sharp",
        "F#": "F sharp",
        "C++": "C plus plus",
    },
    before_number={
        "No.": "number",
        "no.": "number",
        "Nos.": "numbers",
        "Fig.": "figure",
        "fig.": "figure",
        "p.": "page",
        "pp.": "pages",
        "Vol.": "volume",
        "vol.": "volume",
        "Ch.": "chapter",
        "ch.": "chapter",
        "Sec.": "section",
        "sec.": "section",
        "Eq.": "equation",
    },
    before_name={"St.": "Saint", "Mt.": "Mount", "Ft.": "Fort"},
    fractions={
        (1, 2): "one half",
        (1, 3): "one third",
        (2, 3): "two thirds",
        (1, 4): "one quarter",
        (3, 4): "three quarters",
        (1, 5): "one fifth",
        (1, 8): "one eighth",
    },
    currencies={
        "USD": ("dollar", "dollars", "cent", "cents"),
        "EUR": ("euro", "euros", "cent", "cents"),
        "GBP": ("pound", "pounds", "penny", "pence"),
        "JPY": ("yen", "yen", "", ""),
        "INR": ("rupee", "rupees", "paisa", "paise"),
    },
    scales={
        "k": "thousand",
        "K": "thousand",
        "M": "million",
        "m": "million",
        "mn": "million",
        "B": "billion",
        "bn": "billion",
        "T": "trillion",
        "tn": "trillion",
        "million": "million",
        "billion": "billion",
        "trillion": "trillion",
        "thousand": "thousand",
    },
)
_DE = Words(
    code="Code",
    code_block="Codeblock",
    formula="Formel",
    at="ät",
    to="bis",
    plus="plus",
    minus="minus",
    times="mal",
    point="Punkt",
    version="Version",
    number="Nummer",
    decimal=",",
    group=".",
    clock="{hour} Uhr {minute}",
    clock_full="{hour} Uhr",
    halves="{whole} {fraction}",
    abbreviations={
        "z. B.": "zum Beispiel",
        "z.B.": "zum Beispiel",
        "d. h.": "das heißt",
        "d.h.": "das heißt",
        "u. a.": "unter anderem",
        "u.a.": "unter anderem",
        "usw.": "und so weiter",
        "bzw.": "beziehungsweise",
        "ca.": "circa",
        "evtl.": "eventuell",
        "ggf.": "gegebenenfalls",
        "vgl.": "vergleiche",
        "vs.": "gegen",
        "inkl.": "inklusive",
        "zzgl.": "zuzüglich",
        "C#": "C Sharp",
    },
    before_number={"Nr.": "Nummer", "S.": "Seite", "Abb.": "Abbildung", "Kap.": "Kapitel"},
    before_name={"St.": "Sankt"},
    fractions={
        (1, 2): "ein halb",
        (1, 3): "ein Drittel",
        (2, 3): "zwei Drittel",
        (1, 4): "ein Viertel",
        (3, 4): "drei Viertel",
    },
    currencies={
        "USD": ("Dollar", "Dollar", "Cent", "Cent"),
        "EUR": ("Euro", "Euro", "Cent", "Cent"),
        "GBP": ("Pfund", "Pfund", "Penny", "Pence"),
        "CHF": ("Franken", "Franken", "Rappen", "Rappen"),
    },
    scales={
        "Mio.": "Millionen",
        "Mio": "Millionen",
        "Mrd.": "Milliarden",
        "Mrd": "Milliarden",
        "Millionen": "Millionen",
        "Milliarden": "Milliarden",
        "Tsd.": "Tausend",
    },
)
_FR = Words(
    code="code",
    code_block="bloc de code",
    formula="formule",
    at="arobase",
    to="à",
    plus="plus",
    minus="moins",
    times="fois",
    point="point",
    version="version",
    number="numéro",
    decimal=",",
    group=" ",
    clock="{hour} heures {minute}",
    clock_full="{hour} heures",
    halves="{whole} et {fraction}",
    abbreviations={
        "p. ex.": "par exemple",
        "p.ex.": "par exemple",
        "c.-à-d.": "c'est-à-dire",
        "etc.": "et cetera",
        "env.": "environ",
        "vs.": "contre",
        "C#": "C sharp",
    },
    before_number={"n°": "numéro", "no.": "numéro", "fig.": "figure", "p.": "page"},
    fractions={
        (1, 2): "un demi",
        (1, 3): "un tiers",
        (2, 3): "deux tiers",
        (1, 4): "un quart",
        (3, 4): "trois quarts",
    },
    currencies={
        "USD": ("dollar", "dollars", "cent", "cents"),
        "EUR": ("euro", "euros", "centime", "centimes"),
        "GBP": ("livre", "livres", "penny", "pence"),
        "CHF": ("franc", "francs", "centime", "centimes"),
    },
    scales={"M": "millions", "Md": "milliards", "millions": "millions", "milliards": "milliards"},
)
_ES = Words(
    code="código",
    code_block="bloque de código",
    formula="fórmula",
    at="arroba",
    to="a",
    plus="más",
    minus="menos",
    times="por",
    point="punto",
    version="versión",
    number="número",
    decimal=",",
    group=".",
    clock="{hour} y {minute}",
    clock_full="{hour} en punto",
    halves="{whole} y {fraction}",
    before_cents=" con ",
    abbreviations={
        "p. ej.": "por ejemplo",
        "p.ej.": "por ejemplo",
        "etc.": "etcétera",
        "aprox.": "aproximadamente",
        "Sr.": "señor",
        "Sra.": "señora",
        "Ud.": "usted",
        "Uds.": "ustedes",
        "vs.": "contra",
        "C#": "C sharp",
    },
    before_number={"n.º": "número", "nº": "número", "núm.": "número", "pág.": "página"},
    fractions={
        (1, 2): "un medio",
        (1, 3): "un tercio",
        (2, 3): "dos tercios",
        (1, 4): "un cuarto",
        (3, 4): "tres cuartos",
    },
    currencies={
        "USD": ("dólar", "dólares", "centavo", "centavos"),
        "EUR": ("euro", "euros", "céntimo", "céntimos"),
        "GBP": ("libra", "libras", "penique", "peniques"),
        "MXN": ("peso", "pesos", "centavo", "centavos"),
    },
    scales={"M": "millones", "millones": "millones", "mil": "mil"},
)
_IT = Words(
    code="codice",
    code_block="blocco di codice",
    formula="formula",
    at="chiocciola",
    to="a",
    plus="più",
    minus="meno",
    times="per",
    point="punto",
    version="versione",
    number="numero",
    decimal=",",
    group=".",
    clock="{hour} e {minute}",
    clock_full="{hour} in punto",
    halves="{whole} e {fraction}",
    before_cents=" e ",
    abbreviations={
        "ad es.": "ad esempio",
        "ecc.": "eccetera",
        "circa": "circa",
        "sig.": "signor",
        "sig.ra": "signora",
        "vs.": "contro",
        "C#": "C sharp",
    },
    before_number={"n.": "numero", "n°": "numero", "pag.": "pagina", "cap.": "capitolo"},
    fractions={
        (1, 2): "un mezzo",
        (1, 3): "un terzo",
        (2, 3): "due terzi",
        (1, 4): "un quarto",
        (3, 4): "tre quarti",
    },
    currencies={
        "USD": ("dollaro", "dollari", "centesimo", "centesimi"),
        "EUR": ("euro", "euro", "centesimo", "centesimi"),
        "GBP": ("sterlina", "sterline", "penny", "pence"),
    },
    scales={"M": "milioni", "mln": "milioni", "mld": "miliardi", "milioni": "milioni"},
)
_OTHER = Words()
_LANGUAGES = {"en": _EN, "de": _DE, "fr": _FR, "es": _ES, "it": _IT}


@lru_cache(maxsize=64)
def words_of(language: str) -> Words:
    """The words of a language (its ISO 639 code); of one that is not known, signs stay signs."""
    return _LANGUAGES.get(language, _OTHER)
