"""Names that look like others, or like nothing."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import pytest

from hiergen.console.terminal import shown
from hiergen.data.imageclasses import match
from hiergen.errors import printable
from hiergen.taxonomy.imagefolder import ImagePlace
from hiergen.taxonomy.naming import bad_label, slug
from hiergen.taxonomy.nesting import Nesting

# Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt, and blanks of other categories
IGNORABLE = [
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
    *((0x2800, 0x2800), (0x1D159, 0x1D159), (0x16FE4, 0x16FE4)),
]


@pytest.mark.parametrize(("first", "last"), IGNORABLE)
def test_a_name_with_letters_that_nobody_can_see_is_refused(first: int, last: int) -> None:
    for code in range(first, last + 1):
        for text in (f"tabby{chr(code)}", f"{chr(code)}tabby", f"tab{chr(code)}by"):
            assert bad_label(text) is not None, hex(code)


def test_every_letter_and_digit_that_shows_may_be_in_a_name() -> None:
    hidden = {code for first, last in IGNORABLE for code in range(first, last + 1)} | {0x13441, 0x13442}
    for code in range(sys.maxunicode + 1):
        if code not in hidden and unicodedata.category(chr(code)) in (
            "Lu",
            "Ll",
            "Lo",
            "Lt",
            "Lm",
            "Nd",
            "Mn",
            "Mc",
            "Sm",
        ):
            assert bad_label(f"a{chr(code)}") is None, hex(code)


JOINED = (
    "می\u200cخواهم",
    "ශ්\u200dරී",
    "ക്\u200d",
    "👩\u200d🔬 chemist",
    "❤\ufe0f heart",
    "❤\ufe0f\u200d🔥 burning heart",
)


@pytest.mark.parametrize("name", JOINED)
def test_joiners_stay_where_they_shape_what_is_beside_them(name: str) -> None:
    """Persian and Sinhala are not written without them; "ක්" at a word's end has one that shapes nothing."""
    plain = name.replace("\u200c", "").replace("\u200d", "").replace("\ufe0f", "")
    refused = name.endswith("\u200d")
    assert (bad_label(name) is not None) == refused
    assert slug(name) == slug(plain), "two names that look alike clash"
    assert (shown(name) == printable(name) == name) != refused
    assert str(ImagePlace(Path(name, "0.png"))) == f"{printable(name)}/0.png"  # as in the table of an evaluation


@pytest.mark.parametrize("name", ["Äpfel", "crème brûlée", "Ångström", "한국", "ế", "Ünder_Score", "ガ"])
def test_folders_of_macos_are_the_classes_they_look_like(name: str) -> None:
    apart, whole = (unicodedata.normalize(form, name) for form in ("NFD", "NFC"))
    assert apart != whole
    for folder, class_id in ((apart, whole), (whole, apart), (apart.upper(), whole)):
        assert match([folder], Nesting.from_levels([class_id, "other"], []), place="x") == {folder: 0}
    assert slug(apart) == slug(whole)
