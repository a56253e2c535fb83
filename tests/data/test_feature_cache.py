"""The files of a cache: what a killed process leaves, who computes what, and which caches go when there is no room."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

from hiergen.data import feature_cache
from hiergen.data.feature_cache import ABOUT, BROKEN, DONE, FEATURES, MISSING, STATE, FeatureCache, open_cache
from hiergen.errors import HiergenError, OutputError

KEY = "0" * 32
ROWS = np.arange(60, dtype="float32").reshape(10, 2, 3)  # 3 batches, the last one of 2 rows


@pytest.fixture(autouse=True)
def _no_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_cache, "_RESERVE", 0)


def opened(folder: Path, key: str = KEY, **options: Any) -> FeatureCache:
    return open_cache(folder, key, "float32", (10, 2, 3), **{"batch": 4, "about": {"what": "a test"}, **options})


def fill(cache: FeatureCache, *batches: int) -> None:
    for batch in batches:
        assert cache.claim(batch)
        span = cache.span(batch)
        cache.store(batch, ROWS[span.start : span.stop], np.full(len(span), DONE))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[FeatureCache]:
    one = opened(tmp_path)
    yield one
    one.close()


def names(cache: FeatureCache) -> list[str]:
    return sorted(path.name for path in cache.home.iterdir())


def test_what_was_stored_is_read(tmp_path: Path, cache: FeatureCache) -> None:
    assert cache.missing == [0, 1, 2]
    fill(cache, 2, 0)
    assert cache.missing == [1]
    assert cache.claim(1)
    cache.store(1, ROWS[4:8], np.array([DONE, BROKEN, DONE, DONE]))
    cache.close()
    again = opened(tmp_path)
    assert again.missing == []
    assert np.array_equal(again.features, ROWS)
    assert again.state.tolist() == [DONE] * 5 + [BROKEN] + [DONE] * 4
    assert np.array_equal(np.load(again.home / FEATURES), ROWS), "any program can read it"
    assert json.loads((again.home / ABOUT).read_text()) == {"what": "a test"}
    again.forget(5)
    assert (again.missing, again.state[5]) == ([1], MISSING)
    again.close()
    assert names(again) == [ABOUT, FEATURES, STATE]


def test_claims_keep_others_out(tmp_path: Path, cache: FeatureCache) -> None:
    other = opened(tmp_path)
    assert cache.claim(0)
    assert not other.claim(0)
    assert other.claim(0, always=True)  # twice, never wrongly
    other.release(0)
    assert other.claim(1)
    cache.store(0, ROWS[:4], np.full(4, DONE))
    assert not other.claim(0)
    assert other.missing == [1, 2]  # what others did is seen at once
    other.close()
    assert cache.claim(1)


DYING = """
import os, signal, sys
from pathlib import Path
import numpy as np
from hiergen.data import feature_cache
from tests.data.test_feature_cache import ROWS, fill, opened
cache = opened(Path(sys.argv[1]))
fill(cache, 0)
calls, point = 0, sys.argv[2]
usual = os.fsync
def killed(handle):
    global calls
    calls += 1
    if (calls, point) in ((1, "in the rows"), (2, "in the state")):
        os.kill(os.getpid(), signal.SIGKILL)
    usual(handle)
    if (calls, point) in ((1, "between"), (2, "after")):
        os.kill(os.getpid(), signal.SIGKILL)
os.fsync = killed
assert cache.claim(1)
if point == "half":
    cache._features.write(4, -ROWS[4:6])
    os.kill(os.getpid(), signal.SIGKILL)
cache.store(1, ROWS[4:8], np.full(4, feature_cache.DONE))
"""


@pytest.mark.parametrize("point", ["half", "in the rows", "between", "in the state", "after"])
def test_a_process_killed_anywhere_leaves_whole_rows_or_none(tmp_path: Path, point: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DYING, str(tmp_path), point], cwd=Path(__file__).parents[2], check=False
    )
    assert done.returncode == -signal.SIGKILL
    cache = opened(tmp_path)
    # the system has what a killed process wrote, synced or not
    assert cache.missing == ([2] if point in ("in the state", "after") else [1, 2])
    assert all(np.array_equal(cache.features[row], ROWS[row]) for row in np.flatnonzero(cache.state == DONE))
    fill(cache, *cache.missing)
    assert np.array_equal(cache.features, ROWS)
    cache.close()


def test_the_state_is_written_after_the_rows_are_synced(cache: FeatureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut keeps what was synced, and may or may not keep what came after."""
    seen: list[tuple[str, bool, bool]] = []
    usual = os.fsync

    def fsync(handle: int) -> None:
        usual(handle)
        name = Path(os.readlink(f"/proc/self/fd/{handle}")).name
        seen.append((name, np.array_equal(cache.features[:4], ROWS[:4]), bool((cache.state[:4] == DONE).all())))

    monkeypatch.setattr(os, "fsync", fsync)
    fill(cache, 0)
    assert seen == [(FEATURES, True, False), (STATE, True, True)]


def harmed(raw: bytes) -> Iterator[bytes]:
    for place in range(128):  # the header
        yield raw[:place] + bytes([raw[place] ^ 4]) + raw[place + 1 :]
    yield from (raw[:-1], raw + b"x", b"", raw[:50])


@pytest.mark.parametrize("name", [FEATURES, STATE])
def test_a_wrong_file_is_made_anew_with_a_sentence(tmp_path: Path, name: str) -> None:
    cache, notes = opened(tmp_path), list[str]()
    fill(cache, 0, 1, 2)
    cache.close()
    whole = (cache.home / name).read_bytes()
    for content in harmed(whole):
        (cache.home / name).write_bytes(content)
        again = opened(tmp_path, note=notes.append)
        assert notes.pop() == f"{again.home} is not whole: its features are computed anew"
        assert again.missing == [0, 1, 2]
        again.close()
    assert not notes
    np.save(cache.home / FEATURES, ROWS.astype("float16"))
    opened(tmp_path, note=notes.append).close()
    assert len(notes) == 1
    (cache.home / ABOUT).unlink()  # its creation was interrupted: nothing to speak of
    opened(tmp_path, note=notes.append).close()
    assert len(notes) == 1


def test_a_cache_that_is_taken_away_in_use_is_one_sentence(tmp_path: Path, cache: FeatureCache) -> None:
    shutil.rmtree(cache.home)
    with pytest.raises(OutputError, match=r"features.npy: cannot be written"):
        fill(cache, 0)
    other = opened(tmp_path)
    with pytest.raises(OutputError, match="made anew meanwhile; run again"):
        fill(cache, 1)
    fill(other, *other.missing)
    assert np.array_equal(other.features, ROWS)
    other.close()


def test_full_disk_is_one_sentence_and_what_was_saved_stays(
    tmp_path: Path, cache: FeatureCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache, 0)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"features.npy: cannot be written \(no space left on device\)"):
            fill(cache, 1)
        with pytest.raises(OutputError, match="no space left"):
            opened(tmp_path, "1" * 32)
    cache.release()
    assert cache.missing == [1, 2]
    fill(cache, 1, 2)
    assert np.array_equal(cache.features, ROWS)


# room


def homes(folder: Path) -> list[str]:
    return sorted(path.name[0] for path in folder.glob("*.maps"))


def aged(folder: Path, key: str, seconds: float) -> None:
    cache = opened(folder, key * 32)
    fill(cache, *cache.missing)
    cache.close()
    os.utime(cache.home / STATE, (seconds, seconds))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in next(folder.glob("*.maps")).glob("*.npy"))


def test_only_rows_that_are_there_are_lent(tmp_path: Path) -> None:
    lender = opened(tmp_path, contents=range(10))
    fill(lender, 0)
    borrower = opened(tmp_path, "1" * 32, contents=range(10))
    borrower.borrow()
    assert borrower.missing == [1, 2]
    assert np.array_equal(borrower.features[:4], ROWS[:4])
    lender.close()
    borrower.close()


def test_a_cache_that_cannot_be_opened_now_is_not_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening makes a file: a full disk or a folder of somebody else's says nothing of the maps in it."""
    cache, notes = opened(tmp_path), list[str]()
    fill(cache, 0, 1, 2)
    cache.close()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "touch", full)
        with pytest.raises(OutputError, match=r"cannot be written \(no space left on device\)"):
            opened(tmp_path, note=notes.append)
    again = opened(tmp_path, note=notes.append)
    assert (again.missing, notes) == ([], [])
    again.close()


@pytest.mark.parametrize("far", [0.0, 4e9])  # a clock that was wrong costs work, never results
def test_the_one_used_longest_ago_goes_first(tmp_path: Path, far: float) -> None:
    for key, age in (("a", 300), ("b", 100), ("c", 200)):
        aged(tmp_path, key, far + age)
    opened(tmp_path, "b" * 32, limit=1).close()  # it is there: no limit
    os.utime(tmp_path / f"{'b' * 32}.maps" / STATE, (far + 400, far + 400))
    opened(tmp_path, "d" * 32, limit=3 * size(tmp_path)).close()
    assert homes(tmp_path) == ["a", "b", "d"]
    os.utime(tmp_path / f"{'d' * 32}.maps" / STATE, (far + 500, far + 500))
    opened(tmp_path, "e" * 32, limit=2 * size(tmp_path)).close()
    assert homes(tmp_path) == ["d", "e"]


def test_opening_counts_as_a_use(tmp_path: Path) -> None:
    aged(tmp_path, "a", 100)
    aged(tmp_path, "b", 200)
    opened(tmp_path, "a" * 32).close()
    opened(tmp_path, "c" * 32, limit=2 * size(tmp_path)).close()
    assert homes(tmp_path) == ["a", "c"]


def test_a_cache_in_use_stays(tmp_path: Path) -> None:
    aged(tmp_path, "a", 100)
    aged(tmp_path, "b", 200)
    used = [opened(tmp_path, "a" * 32) for _ in range(2)]
    used.pop().close()  # the other one goes on
    os.utime(used[0].home / STATE, (100, 100))
    opened(tmp_path, "c" * 32, limit=2 * size(tmp_path)).close()
    assert homes(tmp_path) == ["a", "c"]
    with pytest.raises(HiergenError, match=r"no room for the features .*what other processes use.*--cache-limit"):
        opened(tmp_path, "d" * 32, limit=2 * size(tmp_path) - 400)
    assert homes(tmp_path) == ["a", "c"], "nothing goes for nothing"
    used[0].close()
    opened(tmp_path, "d" * 32, limit=size(tmp_path)).close()
    assert homes(tmp_path) == ["d"]


def test_too_large_is_refused_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HiergenError, match=r"expected at most 0.0 MB, .*got 0.0 MB") as caught:
        opened(tmp_path, limit=100)
    for choice in ("trunk.views=1", "trunk.cache=false", "--cache folder", "--cache-limit"):
        assert choice in str(caught.value)
    monkeypatch.setattr(feature_cache, "_RESERVE", 1 << 60)
    with pytest.raises(HiergenError, match="no room for the features"):
        opened(tmp_path)
    assert homes(tmp_path) == []


def test_only_caches_go(tmp_path: Path) -> None:
    aged(tmp_path, "a", 100)
    old = tmp_path / f"{'9' * 32}.maps"  # of hiergen 0.1
    old.mkdir()
    (old / "maps").write_bytes(bytes(10_000))
    os.utime(old, (1, 1))
    for name in ("holiday", f"{'b' * 31}.maps"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "maps").write_text("mine")
    opened(tmp_path, "c" * 32, limit=1000).close()
    assert homes(tmp_path) == ["a", "b", "c"]
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("maps")) == [
        f"{'b' * 31}.maps/maps",
        "holiday/maps",
    ]


def test_without_locks_all_is_computed_and_what_may_be_in_use_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged(tmp_path, "a", 100)

    def none(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(FileLock, "acquire", none)
    cache, other = opened(tmp_path, "b" * 32), opened(tmp_path, "b" * 32)
    assert cache.claim(0)
    assert other.claim(0)  # nobody is kept out: the work is done twice
    for one in (cache, other):
        one.store(0, ROWS[:4], np.full(4, DONE))
    fill(cache, 1, 2)
    assert np.array_equal(other.features, ROWS)
    with pytest.raises(HiergenError, match="no room"):
        opened(tmp_path, "c" * 32, limit=size(tmp_path))
    assert homes(tmp_path) == ["a", "b"]
    opened(tmp_path, "c" * 32, limit=2 * size(tmp_path)).close()
    assert homes(tmp_path) == ["b", "c"]
    cache.close()
    other.close()
