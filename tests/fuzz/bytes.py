"""Hostile text and bytes: values that are nasty wherever they stand, and files that are almost right."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

seeds = st.integers(0, 2**48)

LONG_WORD = "x" * 5_000
BOMB = "&a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
# As YAML; also typed as they are for options and for words of other formats.
SCALARS = [
    *("", "null", "~", '""', "' '", "0", "-1", "1", "2", "1.5", "1e3", "1e999", "-1e999", ".nan", "nan", ".inf"),
    *("inf", "-inf", "0x10", "0o7", "1_000", "+1", "01", "4300", "65537", "2147483648", "9" * 20, "9" * 400),
    *("9" * 5_000, "true", "no", "2026-01-01", "!!binary aGk=", "!!python/object/apply:os.system [ls]", "!!set {a}"),
    *("!x y", "!!int 3", "&a x", "*a", "<<", "=", "|", ">", "%", "@", "`", "?", "- a", "a: b", "#", "[", "]", "{"),
    *("}", ",", "'", '"', "\\", "[]", "{}", "[[]]", "[null]", "[{}]", "{a: b}", "{a: {b: c}}", "[a, a]", "[a, b]"),
    *("{? [a] : b}", "[" * 60 + "]" * 60, '"\\0"', '"a\\0b"', '"\\x1b[31mred\\x1b[0m"', '"\\x9b2J"', '"\\u202eabc"'),
    *('"\\ud800"', '"\\U0010ffff"', '"a\\nb"', '"\\t"', '"a\\rb"', '"\\u2028"', '"\\xa0"', '"\\u200b"', "é" * 300),
    *("\u0130", "ß", "²", "٣", "１２", "𝟙", "日本", "👩‍👩‍👧", "a" * 61, "a" * 255, "a" * 300, LONG_WORD, "w " * 2_500),
    *(("d/" * 2_000) + "x", "/", ".", "..", "~", "~no-such-user/x", "~/x", "/dev/null", "/dev/zero"),
    *("/proc/self/mem", "/etc", "../../../etc/passwd", "a\\b", "C:\\x", "a:b", "file:///etc", "con", "None", "class"),
    *("import", "match", "self", "__init__", "__class__", "{{ 7*7 }}", "{% x %}", "${HOME}", "$(id)", "`id`"),
    *("<script>", "</script>", "' onload='", "&lt;", '"; import os #', "-", "--", "-o", "--help", "name", "models"),
    *("root", "cat", "tabby.n.01", "tabby.n.99", "n02123045", "n00000000", "n99999999", "entity.n.01", "dog.v.01"),
    *("x.n.01", ".n.01", "resnet18", "resnet50.nope", "cait_xxs24", "pit", "vit_tiny_patch16_224", "hf_hub:a/b"),
    *("hf-hub:a/b", "local-dir:/etc", "timm/resnet18", "layer2", "layer9", "imagenet100", "imagenet1k", "imagenette"),
    *("auto", "25M", "1e3M"),
]
RAW = [
    *(b"\x00", b"\xff", b"\xfe\xff", b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80", b"\x1b[2J", b"\r", b"\r\n", b"\n\n"),
    *(b"\t", "\u2028".encode(), "\u202e".encode(), b"\x85", b"\x9b", b"---\n", b"...\n", b"%YAML 9.9\n", b": "),
    *(b"- ", b"? ", b"#", b"[" * 200, b"{" * 200, b"(" * 2000, b'"', b"'", b"\\", b"\\u", b",", b"=", b"0" * 300),
    *(b"-", b"1e999", b"NaN", b"null"),
]
_WORD = re.compile(r"[^\s\[\]{},:#]+")


def mutate(rng: random.Random, raw: bytes, times: int | None = None) -> bytes:
    """`raw` after a few of the mutations below; mostly one or two, so that it is almost right."""
    for _ in range(times or rng.choice((1, 1, 1, 2, 2, 3, 8))):
        raw = rng.choice(_MUTATIONS)(rng, raw)
    return raw


def _flip(rng: random.Random, raw: bytes) -> bytes:
    if not raw:
        return b"\x00"
    out = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(out))
        out[at] = out[at] ^ (1 << rng.randrange(8)) if rng.random() < 0.5 else rng.randrange(256)
    return bytes(out)


def _cut(rng: random.Random, raw: bytes) -> bytes:
    return raw[: rng.randrange(len(raw) + 1)]


def _drop(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw) + 1)
    return raw[:at] + raw[at + rng.choice((1, 1, 4, 64)) :]


def _insert(rng: random.Random, raw: bytes) -> bytes:
    at = rng.randrange(len(raw) + 1)
    piece = rng.choice(RAW) if rng.random() < 0.6 else rng.choice(SCALARS).encode("utf-8", "surrogatepass")
    return raw[:at] + piece + raw[at:]


def _repeat(rng: random.Random, raw: bytes) -> bytes:
    at, end = sorted((rng.randrange(len(raw) + 1), rng.randrange(len(raw) + 1)))
    return raw[:at] + raw[at:end] * rng.choice((2, 2, 3, 20)) + raw[end:]


def _lines(rng: random.Random, raw: bytes) -> bytes:
    """Lines doubled, removed, moved, or indented otherwise."""
    lines = raw.split(b"\n")
    at, to = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(5)
    if kind == 0:
        lines.insert(to, lines[at])
    elif kind == 1:
        del lines[at]
    elif kind == 2:
        lines.insert(to, lines.pop(at))
    elif kind == 3:
        lines[at] = b" " * rng.randrange(9) + lines[at].lstrip()
    else:
        lines[at] = b"\t" + lines[at]
    return b"\n".join(lines)


def _word(rng: random.Random, raw: bytes) -> bytes:
    """One word replaced by a nasty one, or by another word of the file."""
    text = raw.decode("utf-8", "surrogateescape")
    found = list(_WORD.finditer(text))
    if not found:
        return raw
    hit = rng.choice(found)
    other = rng.choice(SCALARS) if rng.random() < 0.7 else rng.choice(found)[0]
    return (text[: hit.start()] + other + text[hit.end() :]).encode("utf-8", "surrogateescape")


def _encoding(rng: random.Random, raw: bytes) -> bytes:
    text = raw.decode("utf-8", "replace")
    return text.encode(rng.choice(("utf-16", "utf-16-be", "utf-32", "utf-7", "utf-8-sig")), "replace")


_MUTATIONS: list[Callable[[random.Random, bytes], bytes]] = [
    *(_flip, _cut, _drop, _insert, _insert, _repeat, _lines, _lines, _lines, _word, _word, _word, _word, _word),
    _encoding,
]


def noise(rng: random.Random) -> bytes:
    """Random bytes, random printable text, or a run of pieces that formats are made of."""
    size = rng.choice((0, 1, 2, 7, 8, 9, 40, 400, 5_000))
    kind = rng.randrange(3)
    if kind == 0:
        return rng.randbytes(size)
    if kind == 1:
        return "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0xD7FF)))) for _ in range(size)).encode()
    pieces = [rng.choice(RAW) if rng.random() < 0.4 else rng.choice(SCALARS).encode() for _ in range(size // 8)]
    return rng.choice((b"", b" ", b"\n", b": ", b",")).join(pieces)


def almost(rng: random.Random, *good: bytes) -> bytes:
    """One of the good files mutated, rarely two of them spliced, sometimes noise."""
    chance = rng.random()
    if chance < 0.08:
        return noise(rng)
    if chance < 0.14 and len(good) > 1:
        one, two = rng.sample(good, 2)
        return one[: rng.randrange(len(one) + 1)] + two[rng.randrange(len(two) + 1) :]
    if chance < 0.5:
        return _word(rng, rng.choice(good))
    return mutate(rng, rng.choice(good))


HUGE = 10**400  # no float holds it
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, HUGE, -HUGE, 0.5, float("inf"), float("-inf"), float("nan"), 1e308),
    *("", " ", "a", "\0", "\x1b[2J", "\u202e", "\ud800", LONG_WORD, "²", "9" * 5_000, "../x", "/etc/passwd", []),
    *([[]], [None], [0], {}, {"": None}, {"a": {"a": {}}}, ["a", 1], [[1, 2], [3]], [1e999], {"\0": "\0"}, [{}]),
    *("nan", "1e999", "<script>"),
]


def spots(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside nested data, itself first."""
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from spots(value, (*path, key))


def swapped(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with the value at a path replaced."""
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = swapped(copy[path[0]], path[1:], value)
    return copy


def twisted(rng: random.Random, data: Any) -> Any:
    """JSON-like data with a value replaced, removed, doubled, wrapped or exchanged for another."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        places = list(spots(data))
        path = rng.choice(places)
        here = data
        for key in path:
            here = here[key]
        kind = rng.randrange(8)
        if kind <= 3:
            value: Any = rng.choice(VALUES)
        elif kind == 4:
            value = [here] if rng.random() < 0.5 else {"a": here}
        elif kind == 5 and isinstance(here, list) and here:
            value = here[: rng.randrange(len(here))] if rng.random() < 0.5 else [*here, rng.choice(here)]
        elif kind == 6 and isinstance(here, dict) and here:
            gone = rng.choice(list(here))
            value = {k: v for k, v in here.items() if k != gone} | ({"extra": 1} if rng.random() < 0.3 else {})
        else:
            value = data
            for key in rng.choice(places):
                value = value[key]
        data = swapped(data, path, value)
    return data
