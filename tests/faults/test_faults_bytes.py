"""One byte flipped, cut off, emptied or added: in each kind of file that is read again, found and never used."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hiergen.errors import HiergenError, SpecError
from hiergen.plan import trunks
from hiergen.plan.trunks import BackboneFacts, StageFacts
from hiergen.suggest.search.statefile import Identity, State, load, save
from hiergen.train import cachefolder
from hiergen.train.cachefile import HEADER, JOURNAL, MAPS, Layout, read_layout
from hiergen.train.cachefolder import open_cache

IDENTITY = Identity("cost", "e", "c", "s", (2,), (2, 3), False, 0)
STATE = State(20, now=[[0, 0, 1, 1]], block=3, leader=[[0, 1, 0, 1]], leader_value=0.25, seconds=1.5, rounds=(0.125,))


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


def test_the_state_of_a_search(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    save(path, IDENTITY, STATE)
    assert load(path, IDENTITY, 4) == STATE
    for content in harmed(path.read_bytes()):
        path.write_bytes(content)
        try:
            found = load(path, IDENTITY, 4)
        except SpecError as error:
            assert str(path) in str(error)  # noqa: PT017 - a blank for a line break is the same JSON
        else:
            assert found == STATE, content


def test_what_was_measured_of_a_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    stage = StageFacts(name="layer1", channels=3, reduction=2, height=4, width=5, params=60, macs=70)
    facts = BackboneFacts(
        backbone="b",
        input_size=(3, 8, 8),
        stages=(stage,),
        params_fixed=1,
        params_per_class=2,
        macs_fixed=3,
        macs_per_class=4,
    )
    path = trunks._cache_file("b", 8)
    trunks._write_cache(path, facts)
    assert trunks.facts("b", 8, measure=False) == facts
    for content in harmed(path.read_bytes()):
        path.write_bytes(content)
        assert trunks.facts("b", 8, measure=False) is None, content


def test_the_header_of_a_feature_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cachefolder, "_RESERVE", 0)
    layout = Layout(rows=10, shape=(2, 3), dtype="float32", batch=2, chunk=4)
    cache = open_cache(tmp_path, "0" * 32, layout, {"what": "a test"})
    cache.close()
    header = cache.home / HEADER
    raw = header.read_bytes()
    for content in harmed(raw):
        header.write_bytes(content)
        found = read_layout(cache.home)
        assert found is None or (found == layout and json.loads(content) == json.loads(raw)), content


def test_the_journal_and_the_maps_of_a_feature_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged chunk is named and computed anew; one whose line is damaged counts as never computed."""
    monkeypatch.setattr(cachefolder, "_RESERVE", 0)
    layout = Layout(rows=4, shape=(2, 3), dtype="float32", batch=2, chunk=2)
    rows = np.arange(24, dtype="float32").reshape(4, 2, 3)

    def opened() -> cachefolder.CacheFile:
        return open_cache(tmp_path, "0" * 32, layout, {})

    cache = opened()
    for chunk in (0, 1):
        assert cache.claim(chunk)
        cache.store(chunk, rows[2 * chunk : 2 * chunk + 2])
    cache.close()
    whole = {name: (cache.home / name).read_bytes() for name in (MAPS, JOURNAL)}
    for name in whole:
        for content in harmed(whole[name], 40 if name == MAPS else None):
            for other, kept in whole.items():
                (cache.home / other).write_bytes(kept)
            (cache.home / name).write_bytes(content)
            again = opened()
            try:
                again.verify(np.array([row for row in range(4) if row // 2 not in again.missing], int))
            except HiergenError as error:
                assert f"{again.home / MAPS}: chunk" in str(error)  # noqa: PT017
                again.refresh()
                assert again.missing
            else:
                for chunk in {0, 1} - set(again.missing):
                    assert np.array_equal(again.maps[2 * chunk : 2 * chunk + 2], rows[2 * chunk : 2 * chunk + 2])
            again.close()
