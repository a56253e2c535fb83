"""Names as an attacker would choose them, and files around them."""

from __future__ import annotations

import re
import signal
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

TITLE, CLEAR, C1, BIDI = "\x1b]0;owned\x07", "\x1b[2J", "\x9b31m", "\u202e"
ESCAPES = f"{TITLE}{CLEAR}{C1}{BIDI}"

# Names that a taxonomy file may have, and that are data and nothing else.
LEGAL = [
    '"""\nimport os'.replace("\n", " "),
    "'''; __import__('os').system('touch owned') #",
    '")\nos.system("x")'.replace("\n", ";"),
    "a\\",
    'a\\"',
    "\\N{DIGIT ONE}\\x41\\u0041",
    "{{ 7 * 7 }}{% for x in view %}",
    "{0.__class__} %(x)s %s $HOME",
    "a # fmt: on",
    "None, True",
    "class",
    "no",
    "1e3",
    "</script><script>document.title='owned'</script>",
    "<!--<script>x",
    "<img src=x onerror=\"document.title='owned'\">",
    "]]><!ENTITY x SYSTEM 'file:///etc/passwd'>&x;",
    "a | b | [x](javascript:alert(1)) ![y](http://127.0.0.1:9/z) `c`",
    '=HYPERLINK("http://127.0.0.1:9/";"x")',
    "@SUM(1+1)*cmd|'/C calc'!A0",
    "'; rm -rf ~; $(touch owned) `touch owned` & x",
    "!!python/object/apply:os.system [x]",
    "- x: *a &a {b: [c}",
    "[red]x[/red][link=file:///etc/passwd]y[/link] :smile:",
    "../../../etc/passwd",
    "/etc/passwd",
    "..\\..\\x",
    "CON",
    "a\u00a0b\u3000c",
    "猫 été Straße קרב",
    "x" * 190,
    "--force",
    "(a,b)c:1;",
]
# Characters that no name may have: they end lines, steer terminals, or show something else than there is.
REFUSED = [
    *("\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\t", "\0", "\x7f"),
    *("\x1b[2J", "\x9b2J", "\u202e", "\u2066", "\u200b", "\u200f", "\ufeff", "\ue000", "\U000e0041"),
]


def taxonomy(name: str, /, **more: Any) -> str:
    """A file with this name for a class, for another class's display name, and for a group."""
    data = {
        "name": "t",
        "classes": [name, "tabby.n.01", "beagle.n.01", "basset"],
        "names": {"tabby.n.01": f"{name[:190]} 2"},
        "unplaced": "root",
        "sources": [{"groups": {f"{name[:190]} group": [name, "tabby.n.01"], "hound": ["dog.n.01"]}}],
        "models": {"N2HL": {"trunk": {"backbone": "resnet18", "until": "layer2"}}},
        **more,
    }
    return yaml.safe_dump(data, width=10_000)


def unsafe(text: str) -> set[str]:
    """Characters that a terminal would obey or not show, apart from the colours of rich."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return {c for c in plain if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and c not in "\n\t"}


@contextmanager
def ending(what: object, seconds: float = 20) -> Iterator[None]:
    """Fails where the block would hang: after so much CPU time, of which it takes a fraction of a second."""

    def stop(*_: object) -> None:
        raise AssertionError(f"{what} does not end")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
