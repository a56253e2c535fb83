"""Text → identifiers: the one place where a user's words may become names in code or in timm's registry."""

from __future__ import annotations

import keyword
import re
import unicodedata
from collections.abc import Iterable

from hiergen.errors import JOINERS

MAX_NAME = 200
NAME_PATTERN = "^[A-Za-z][A-Za-z0-9_-]*$"
_RESERVED = {
    *("CLASSES", "ClassHeads", "Generalist", "HierarchicalNetwork"),
    *("GROUPS", "Nest", "Nesting", "SYNSETS", "Siblings", "Trunk"),
    *("bool", "register", "super"),
}

# Unicode's Default_Ignorable_Code_Point, which Python does not know, and blanks that count as letters or symbols
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U00013441\U00013442\U00016fe4\U0001bca0-\U0001bca3\U0001d159"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def slug(text: str) -> str:
    """Lower-case letters, digits and underscores: 'Tiger cat' → 'tiger_cat', 'Straße' → 'strasse'.

    Letters of other scripts stay (casefolded); everything else becomes one underscore. Text without any letter or
    digit gives ''.
    """
    folded = unicodedata.normalize("NFKC", JOINERS.sub("", text)).casefold()
    return re.sub(r"[\W_]+", "_", folded).strip("_")


def nfc(text: str) -> str:
    """Letters with their accents as one character each: file names of macOS have them apart."""
    return unicodedata.normalize("NFC", text)


def check_identifier(name: str) -> str:
    """`name` unchanged if it may become a Python and timm name. Raises ValueError (for pydantic) with the rule."""
    if len(name) > 60:
        raise ValueError(f"a name of {len(name)} characters; expected at most 60")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ValueError(f"'{name}' is a Python keyword")
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError("expected a letter, then letters, digits, '_' or '-'")
    return name


def identifier(name: str) -> str:
    """A checked name as a Python identifier ('tiny-imagenet-100' → 'tiny_imagenet_100')."""
    return check_identifier(name).replace("-", "_")


def is_reserved(name: str) -> bool:
    """True for names that generated modules use themselves."""
    return name in _RESERVED or re.fullmatch(r"(TAXONOMY|NESTING)_\d+", name) is not None


def bad_label(text: str) -> str | None:
    """Why `text` cannot be the name of a class or group, or None. Any printable text may."""
    if not text.strip():
        return "an empty name"
    if len(text) > MAX_NAME:
        return f"a name of {len(text):,} characters, more than {MAX_NAME}"
    text = JOINERS.sub("", text)
    if any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} for c in text):
        return "a name with control characters or line breaks"
    if _INVISIBLE.search(text):
        return "a name with characters that nobody can see"
    if not slug(text):
        return "a name without any letter or digit"
    return None


def first_clash(names: Iterable[str]) -> tuple[str, str] | None:
    """The first two different names that become the same slug, or None."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(slug(name), name)
        if other != name:
            return other, name
    return None
