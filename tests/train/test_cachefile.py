"""The files of a cache: checksums, claims, what a killed process leaves, and which caches go when it is full."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hiergen.errors import HiergenError, OutputError
from hiergen.train import cachefolder
from hiergen.train.cachefile import JOURNAL, MAPS, CacheFile, Layout
from hiergen.train.cachefolder import clear, default_folder, open_cache, usage
from hiergen.train.cachelock import Lock

LAYOUT = Layout(rows=10, shape=(2, 3), dtype="float32", batch=2, chunk=4)  # 3 chunks, the last one of 2 rows
KEY = "0" * 32
ROWS = np.arange(60, dtype="float32").reshape(10, 2, 3)


@pytest.fixture(autouse=True)
def _no_reserve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cachefolder, "_RESERVE", 0)


def opened(folder: Path, key: str = KEY, layout: Layout = LAYOUT, **options: int) -> CacheFile:
    return open_cache(folder, key, layout, {"what": "a test"}, **options)


def fill(cache: CacheFile, *chunks: int) -> None:
    for chunk in chunks:
        assert cache.claim(chunk)
        span = cache.layout.span(chunk)
        cache.store(chunk, ROWS[span.start : span.stop])


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[CacheFile]:
    opened_cache = opened(tmp_path)
    yield opened_cache
    opened_cache.close()


def all_rows(count: int = 10) -> np.ndarray:
    return np.arange(count)


def test_what_was_stored_is_read(tmp_path: Path, cache: CacheFile) -> None:
    assert cache.missing == [0, 1, 2]
    fill(cache, 2, 0)
    assert (cache.missing, cache.rows_done) == ([1], 6)
    cache.claim(1)
    cache.store(1, ROWS[4:8], [(5, "a.png", "is no image")])
    cache.close()
    again = opened(tmp_path)
    assert again.missing == []
    again.verify(all_rows())
    assert np.array_equal(again.maps, ROWS)
    assert again.entries[1].broken == ((5, "a.png", "is no image"),)
    assert (tmp_path / f"{KEY}.maps" / MAPS).read_bytes() == ROWS.tobytes()
    assert sorted(p.name for p in again.home.iterdir()) == ["header.json", "journal", "maps", "use"]
    assert json.loads((again.home / "header.json").read_text())["about"] == {"what": "a test"}
    again.close()


def test_layout_has_chunks_of_whole_batches() -> None:
    assert Layout.of(1000, (112, 8, 8), "float16", 64) == Layout(1000, (112, 8, 8), "float16", 64, 256)
    assert Layout.of(1000, (1024, 14, 14), "float16", 64).chunk == 64
    assert Layout.of(1000, (2, 1, 1), "float16", 64).chunk == 512
    assert [len(LAYOUT.span(chunk)) for chunk in range(LAYOUT.chunks)] == [4, 4, 2]


@pytest.mark.parametrize(
    "left",
    [
        b"",
        b"\n",
        b"\n1f",
        b"\n0000",
        b"\n00000000 {}\n",
        b'\n12345678 {"chunk":1,"crc":1,"broken":[]}\n',
        b"\xff\xfe\n\n \n",
    ],
)
def test_unfinished_lines_of_the_journal_say_nothing(tmp_path: Path, cache: CacheFile, left: bytes) -> None:
    fill(cache, 0)
    with (cache.home / JOURNAL).open("ab") as file:
        file.write(left)
    other = opened(tmp_path)
    assert other.missing == [1, 2]
    fill(other, 1, 2)
    cache.refresh()
    assert cache.missing == []
    other.close()


def test_a_line_cut_anywhere_is_read_whole_or_not_at_all(tmp_path: Path, cache: CacheFile) -> None:
    fill(cache, 0, 1)
    whole = (cache.home / JOURNAL).read_bytes()
    found = []
    for cut in range(len(whole) + 1):
        (cache.home / JOURNAL).write_bytes(whole[:cut])
        other = opened(tmp_path)
        found.append(len(other.entries))
        assert all(other.entries[chunk] == cache.entries[chunk] for chunk in other.entries)
        other.close()
    assert found == sorted(found)
    assert set(found) == {0, 1, 2}


def test_damaged_chunk_is_named_and_computed_anew(tmp_path: Path, cache: CacheFile) -> None:
    fill(cache, 0, 1, 2)
    with (cache.home / MAPS).open("r+b") as file:
        file.seek(5 * 24)
        file.write(b"\x01")
    cache.verify(np.array([0, 9, 3]))  # the others are whole
    with pytest.raises(HiergenError, match=r"maps: chunk 1 of 3 is damaged .*run again"):
        cache.verify(np.array([9, 4]))
    with pytest.raises(HiergenError, match="damaged"):
        cache.verify(np.array([4]))
    other = opened(tmp_path)
    assert other.missing == [1]
    fill(other, 1)
    other.verify(all_rows())
    assert np.array_equal(other.maps, ROWS)
    other.close()


def test_each_chunk_is_checked_once(cache: CacheFile) -> None:
    fill(cache, 0, 1, 2)
    cache.verify(np.array([1]))
    with (cache.home / MAPS).open("r+b") as file:
        file.write(b"\x01")
    cache.verify(np.array([0, 1]))  # known to be whole: not looked at again
    again = opened(cache.home.parent)
    with pytest.raises(HiergenError, match="damaged"):
        again.verify(np.array([1]))
    again.close()


def test_claims_keep_others_out(tmp_path: Path, cache: CacheFile) -> None:
    other = opened(tmp_path)
    assert cache.claim(0)
    assert not other.claim(0)
    assert other.claim(1)
    cache.store(0, ROWS[:4])
    assert not other.claim(0)
    other.unclaim()
    assert cache.claim(1)
    other.close()


DYING = """
import sys, time
from pathlib import Path
import numpy as np
from tests.train.test_cachefile import fill, opened
cache = opened(Path(sys.argv[1]))
fill(cache, 0)
assert cache.claim(1)
import os
handle = os.open(cache.home / "maps", os.O_WRONLY)
os.pwrite(handle, b"half of it", 4 * 24)
print("ready", flush=True)
time.sleep(600)
"""


def test_a_killed_process_loses_only_its_claims(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", DYING, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    cache = opened(tmp_path)
    assert cache.missing == [1, 2]
    assert not cache.claim(1)
    assert clear(tmp_path) == 0
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    fill(cache, 1, 2)
    cache.verify(all_rows())
    assert np.array_equal(cache.maps, ROWS)
    cache.close()


def test_lock_is_on_the_file_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = Lock.acquire(path)
    assert first is not None
    assert Lock.acquire(path, wait=False) is None
    first.release(remove=True)
    second = Lock.acquire(path, wait=False)
    assert second is not None
    assert path.exists()
    third = Lock.acquire(path, wait=False, shared=True)
    assert third is None
    second.release()
    second.release()  # harmless


def test_waiter_does_not_keep_a_lock_on_a_removed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real, removed = tmp_path / "lock", fcntl.flock, []

    def removing(handle: int, how: int) -> None:
        if not removed:
            path.unlink()
            removed.append(handle)
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", removing)
    lock = Lock.acquire(path)
    assert lock is not None
    assert os.fstat(lock.handle).st_ino == path.stat().st_ino
    lock.release()


# disk space


def keys(folder: Path) -> list[str]:
    return [cache.path.name[0] for cache in usage(folder)]


def aged(folder: Path, key: str, seconds: float) -> None:
    cache = opened(folder, key * 32)
    fill(cache, *cache.missing)
    cache.close()
    os.utime(cache.home / "use", (seconds, seconds))


def limit(caches: float, folder: Path) -> int:
    return int(caches * max(cache.bytes for cache in usage(folder)))


def test_least_recently_used_goes_first(tmp_path: Path) -> None:
    for key, age in (("a", 300), ("b", 100), ("c", 200)):
        aged(tmp_path, key, age)
    assert keys(tmp_path) == ["b", "c", "a"]
    opened(tmp_path, "b" * 32, limit=1).close()  # it is there: no limit; now the last used
    assert keys(tmp_path) == ["c", "a", "b"]
    opened(tmp_path, "d" * 32, limit=limit(3, tmp_path)).close()
    assert keys(tmp_path) == ["a", "b", "d"]
    opened(tmp_path, "e" * 32, limit=limit(2, tmp_path)).close()
    assert keys(tmp_path) == ["d", "e"]


def test_a_cache_in_use_stays(tmp_path: Path) -> None:
    aged(tmp_path, "a", 100)
    aged(tmp_path, "b", 200)
    used = opened(tmp_path, "a" * 32)
    os.utime(used.home / "use", (100, 100))
    opened(tmp_path, "c" * 32, limit=limit(2, tmp_path)).close()
    assert sorted(keys(tmp_path)) == ["a", "c"]
    with pytest.raises(HiergenError, match="caches that other processes use leave no room") as caught:
        opened(tmp_path, "d" * 32, limit=LAYOUT.bytes + 100)
    assert "larger --cache-limit" in str(caught.value)
    assert sorted(keys(tmp_path)) == ["a", "c"]  # nothing goes for nothing
    assert clear(tmp_path) > LAYOUT.bytes
    assert keys(tmp_path) == ["a"]
    used.verify(all_rows())
    used.close()


def test_too_large_is_said_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HiergenError, match="do not fit into the limit") as caught:
        opened(tmp_path, limit=LAYOUT.bytes - 1)
    for choice in ("trunk.views=1", "trunk.cache=false", "--cache folder", "--cache-limit"):
        assert choice in str(caught.value)
    monkeypatch.setattr(cachefolder, "_RESERVE", 1 << 60)
    with pytest.raises(HiergenError, match="disk has no room"):
        opened(tmp_path)
    assert usage(tmp_path) == []


def test_full_disk_is_one_sentence_and_what_was_saved_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = opened(tmp_path)
    fill(cache, 0)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OutputError, match=r"maps: cannot be written \(no space left on device\); what was saved"):
            fill(cache, 1)
        patch.undo()
    cache.close()
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OutputError, match="no space left"):
            opened(tmp_path, "1" * 32)
    cache = opened(tmp_path)
    assert len(usage(tmp_path)) == 1
    fill(cache, 1, 2)
    cache.verify(all_rows())
    assert np.array_equal(cache.maps, ROWS)
    cache.close()


def test_an_unfinished_or_shortened_cache_is_made_anew(tmp_path: Path) -> None:
    aged(tmp_path, "a", 100)
    home = tmp_path / f"{'a' * 32}.maps"
    os.truncate(home / MAPS, 17)
    cache = opened(tmp_path, "a" * 32)
    assert cache.missing == [0, 1, 2]
    os.truncate(home / MAPS, 17)
    with pytest.raises(HiergenError, match="damaged, and another process still uses it"):
        opened(tmp_path, "a" * 32)
    cache.close()
    (home / "header.json").write_text('{"format": 99}')
    cache = opened(tmp_path, "a" * 32)
    fill(cache, 0)
    cache.close()


@pytest.mark.parametrize("fault", ["its lock", "its files"])
def test_a_removal_that_fails_keeps_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    """A notebook that goes on would wait for itself, for ever."""
    for key, age in (("a", 100), ("b", 200)):
        aged(tmp_path, key, age)
    first, second = (tmp_path / f"{key * 32}.maps" / "use" for key in "ab")
    with monkeypatch.context() as patch:
        if fault == "its lock":
            second.unlink()
            second.mkdir()
            os.utime(second, (200, 200))
        else:
            usual = Path.unlink

            def unlink(path: Path, missing_ok: bool = False) -> None:
                if path.parent == first.parent:
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                usual(path, missing_ok)

            patch.setattr(Path, "unlink", unlink)
        with pytest.raises(OutputError, match="cannot be written"):
            clear(tmp_path)
    for path in (first, second):
        if not path.is_dir():
            lock = Lock.acquire(path, wait=False)
            assert lock is not None
            lock.release()


def test_a_system_that_takes_no_space_beforehand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has no posix_fallocate."""
    monkeypatch.delattr(os, "posix_fallocate")
    cache = opened(tmp_path)
    fill(cache, 0, 1, 2)
    cache.verify(all_rows())
    assert np.array_equal(cache.maps, ROWS)
    cache.close()


def test_only_caches_are_removed(tmp_path: Path) -> None:
    aged(tmp_path, "a", 100)
    for name in (f"{'b' * 32}.maps", "holiday"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.jpg").write_text("")
    clear(tmp_path)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.jpg")) == [
        f"{'b' * 32}.maps/photo.jpg",
        "holiday/photo.jpg",
    ]
    assert not (tmp_path / f"{'a' * 32}.maps").exists()
    assert clear(tmp_path / "nowhere") == 0
    assert usage(tmp_path / "nowhere") == []


def test_default_folder_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "hiergen" / "features"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder() == Path.home() / ".cache" / "hiergen" / "features"


def test_without_locks_nothing_is_evicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aged(tmp_path, "a", 100)

    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    cache, other = opened(tmp_path, "b" * 32), opened(tmp_path, "b" * 32)
    assert not cache.locks
    assert cache.claim(0)
    assert other.claim(0)  # nobody is kept out: the work is done twice
    cache.store(0, ROWS[:4])
    other.store(0, ROWS[:4])
    fill(cache, 1, 2)
    cache.verify(all_rows())
    assert np.array_equal(cache.maps, ROWS)
    assert clear(tmp_path) == 0
    cache.close()
    other.close()
