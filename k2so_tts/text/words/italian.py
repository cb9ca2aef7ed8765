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

"""The words of Italian. Names of units are those of the Unicode CLDR 47."""

from __future__ import annotations

from k2so_tts.text.words.base import Words

WORDS = Words(
    code="codice",
    code_block="blocco di codice",
    formula="formula",
    at="chiocciola",
    to="a",
    plus="più",
    minus="meno",
    times="per",
    about="circa",
    point="punto",
    version="versione",
    number="numero",
    decimal=",",
    group=".",
    clock="{hour} e {minute}",
    clock_early="{hour} e {minute}",
    clock_full="{hour} in punto",
    months=(
        "gennaio",
        "febbraio",
        "marzo",
        "aprile",
        "maggio",
        "giugno",
        "luglio",
        "agosto",
        "settembre",
        "ottobre",
        "novembre",
        "dicembre",
    ),
    date="{day} {month} {year}",
    first_day="1º",
    of_scaled="di ",
    of_vowel="di ",
    mixed="{whole} e {fraction}",
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
    ends_sentence=frozenset({"ecc."}),
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
    units={
        "kilometer-per-hour": ("chilometro orario", "chilometri orari"),
        "mile-per-hour": ("miglio all'ora", "miglia all'ora"),
        "meter-per-second": ("metro al secondo", "metri al secondo"),
        "square-kilometer": ("chilometro quadrato", "chilometri quadrati"),
        "square-meter": ("metro quadrato", "metri quadrati"),
        "square-centimeter": ("centimetro quadrato", "centimetri quadrati"),
        "cubic-meter": ("metro cubo", "metri cubi"),
        "kilometer": ("chilometro", "chilometri"),
        "centimeter": ("centimetro", "centimetri"),
        "millimeter": ("millimetro", "millimetri"),
        "micrometer": ("micrometro", "micrometri"),
        "nanometer": ("nanometro", "nanometri"),
        "mile": ("miglio", "miglia"),
        "foot": ("piede", "piedi"),
        "meter": ("metro", "metri"),
        "kilogram": ("chilogrammo", "chilogrammi"),
        "milligram": ("milligrammo", "milligrammi"),
        "pound": ("libbra", "libbre"),
        "ounce": ("oncia", "once"),
        "gram": ("grammo", "grammi"),
        "milliliter": ("millilitro", "millilitri"),
        "liter": ("litro", "litri"),
        "celsius": ("grado Celsius", "gradi Celsius"),
        "fahrenheit": ("grado Fahrenheit", "gradi Fahrenheit"),
        "degree": ("grado", "gradi"),
        "kilowatt-hour": ("chilowattora", "chilowattora"),
        "kilowatt": ("kilowatt", "kilowatt"),
        "megawatt": ("megawatt", "megawatt"),
        "watt": ("watt", "watt"),
        "volt": ("volt", "volt"),
        "milliampere": ("milliampere", "milliampere"),
        "gigahertz": ("gigahertz", "gigahertz"),
        "megahertz": ("megahertz", "megahertz"),
        "kilohertz": ("kilohertz", "kilohertz"),
        "hertz": ("hertz", "hertz"),
        "kilobyte": ("kilobyte", "kilobyte"),
        "megabyte": ("megabyte", "megabyte"),
        "gigabyte": ("gigabyte", "gigabyte"),
        "terabyte": ("terabyte", "terabyte"),
        "megabit": ("megabit", "megabit"),
        "gigabit": ("gigabit", "gigabit"),
        "hectopascal": ("ettopascal", "ettopascal"),
        "millibar": ("millibar", "millibar"),
        "bar": ("bar", "bar"),
        "kilocalorie": ("chilocaloria", "chilocalorie"),
        "kilojoule": ("kilojoule", "kilojoule"),
        "millisecond": ("millisecondo", "millisecondi"),
        "minute": ("minuto", "minuti"),
        "hour": ("ora", "ore"),
        "second": ("secondo", "secondi"),
        "kibibyte": ("kibibyte", "kibibyte"),
        "mebibyte": ("mebibyte", "mebibyte"),
        "gibibyte": ("gibibyte", "gibibyte"),
    },
)
