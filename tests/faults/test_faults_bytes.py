"""One byte flipped, cut off, emptied or added: in each kind of file that is read again, found and never used."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from hiergen.planning import backbones as trunks
from hiergen.planning.backbones import BackboneFacts, StageFacts


def harmed(raw: bytes, flips: int | None = None) -> Iterator[bytes]:
    """Every byte (or so many) with one bit turned; the file cut off, emptied, and with more at its end."""
    draw = random.Random(0)
    places = range(len(raw)) if flips is None else sorted(draw.sample(range(len(raw)), flips))
    for place in places:
        other = bytearray(raw)
        other[place] ^= 1 << draw.randrange(8)
        yield bytes(other)
    yield raw[: len(raw) // 2]
    yield b""
    yield raw + b"x"


def test_what_was_measured_of_a_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(trunks, "_check_name", lambda _: None)  # timm has no "b"
    stage = StageFacts(name="layer1", channels=3, reduction=2, height=4, width=5, params=60, macs=70)
    facts = BackboneFacts(
        backbone="b",
        input_size=(3, 8, 8),
        stages=(stage,),
        blocks=(),
        known_after=None,
        unlike=None,
        copies=(),
        end=None,
        layout=None,
        params_fixed=1,
        params_per_class=2,
        macs_fixed=3,
        macs_per_class=4,
    )
    path = trunks._cache_file("b", "8")
    trunks.write_record(path, facts)
    assert trunks.facts("b", (8, 8), measure=False) == facts
    for content in harmed(path.read_bytes()):
        path.write_bytes(content)
        assert trunks.facts("b", (8, 8), measure=False) is None, content
