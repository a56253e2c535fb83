"""The folder of caches: what is in it, how large it may get, and which caches go when it is full."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiergen.errors import HiergenError
from hiergen.files import cache_home, writing
from hiergen.train.cachefile import CLAIM, HEADER, JOURNAL, MAPS, USE, CacheFile, Layout, create, read_layout
from hiergen.train.cachelock import Lock

LIMIT = 20 * 10**9
_RESERVE = 1 << 30  # bytes of the disk that stay free
_CHOICES = (
    "fewer views (--set trunk.views=1), no cache (--set trunk.cache=false), another --cache folder"
    " or a larger --cache-limit"
)
_NAME = re.compile(r"[0-9a-f]{32}\.maps")
_FILES = re.compile(rf"{MAPS}|{JOURNAL}|{USE}|{CLAIM}\d+|\.?{re.escape(HEADER)}.*")


@dataclass(frozen=True)
class Usage:
    """One cache in a folder: bytes on disk, and when it was last used (seconds since 1970)."""

    path: Path
    bytes: int
    used: float


def default_folder() -> Path:
    """`hiergen/features` in the user's cache folder ($XDG_CACHE_HOME, else ~/.cache)."""
    return cache_home() / "features"


def open_cache(folder: Path, key: str, layout: Layout, about: dict[str, Any], *, limit: int = LIMIT) -> CacheFile:
    """The cache of this key (32 hex digits), as it is, or an empty one, for which older caches make room.

    Raises HiergenError where it does not fit into `limit` (bytes of all caches in the folder) or on the disk,
    OutputError where it cannot be written.
    """
    home = folder / f"{key}.maps"
    with writing(folder), _folder_lock(folder):
        found = read_layout(home)
        if found is None or (found.rows, found.shape, found.dtype) != (layout.rows, layout.shape, layout.dtype):
            if home.exists():  # the creation was interrupted, or a file is damaged
                _start_over(home)
            _make_room(folder, layout.bytes, limit)
            try:
                create(home, layout, about)
            except BaseException:
                with suppress(OSError):  # the error before it says more; without a header it is no cache
                    _remove(home)
                raise
            found = layout
        use = Lock.acquire(home / USE, shared=True)
        assert use is not None
        with suppress(OSError):
            os.utime(home / USE)
    return CacheFile(home, found, use)


def usage(folder: Path | None = None) -> list[Usage]:
    """The caches in a folder (default: `default_folder()`), the one used longest ago first."""
    folder = folder or default_folder()
    found = []
    for home in sorted(folder.iterdir()) if folder.is_dir() else []:
        if _NAME.fullmatch(home.name) and home.is_dir():
            files = [path for path in home.iterdir() if _FILES.fullmatch(path.name)]
            sizes = [size for path in files if (size := _of(path, "st_size")) is not None]
            times = [when for path in (home / USE, home) if (when := _of(path, "st_mtime")) is not None]
            if times:
                found.append(Usage(home, int(sum(sizes)), times[0]))
    return sorted(found, key=lambda cache: (cache.used, cache.path))


def _of(path: Path, fact: str) -> float | None:
    """Of a file that another process may be removing."""
    try:
        return float(getattr(path.stat(), fact))
    except FileNotFoundError:
        return None


def clear(folder: Path | None = None) -> int:
    """Remove all caches that nobody uses; the number of bytes that it freed. Touches nothing else in the folder."""
    folder = folder or default_folder()
    if not folder.is_dir():
        return 0
    with writing(folder), _folder_lock(folder):
        return _removed(_idle(usage(folder)))


def _make_room(folder: Path, wanted: int, limit: int) -> None:
    """Remove caches, the one used longest ago first, until `wanted` more bytes fit; none if that cannot be reached."""
    if wanted > limit:
        raise HiergenError(
            "the trunk's maps of all images and views do not fit into the limit of the cache",
            place=str(folder),
            expected=f"at most {_gb(limit)}",
            got=_gb(wanted),
            hint=_CHOICES,
        )
    caches = usage(folder)
    over = sum(cache.bytes for cache in caches) + wanted - limit
    short = wanted + _RESERVE - shutil.disk_usage(folder).free
    needed = max(over, short)
    if needed <= 0:
        return
    idle = _idle(caches)
    chosen: list[tuple[Usage, Lock]] = []
    while idle and sum(cache.bytes for cache, _ in chosen) < needed:
        chosen.append(idle.pop(0))
    _release(idle)
    could = sum(cache.bytes for cache, _ in chosen)
    if could >= needed:
        _removed(chosen)
        return
    _release(chosen)
    if short > could:
        raise HiergenError(
            "the disk has no room for the trunk's maps of all images and views",
            place=str(folder),
            expected=f"{_gb(wanted)} free, and {_gb(_RESERVE)} that stay free",
            got=_gb(wanted + _RESERVE - short),
            hint=_CHOICES,
        )
    raise HiergenError(
        "caches that other processes use leave no room for the trunk's maps",
        place=str(folder),
        expected=f"at most {_gb(limit)} in all",
        got=f"{_gb(wanted)} more than {_gb(limit + over - wanted - could)} in use",
        hint=_CHOICES,
    )


def _idle(caches: Sequence[Usage]) -> list[tuple[Usage, Lock]]:
    """The caches that nobody uses, locked. Where there are no locks nobody can know, and none is."""
    found: list[tuple[Usage, Lock]] = []
    try:
        for cache in caches:
            lock = Lock.acquire(cache.path / USE, wait=False)
            if lock is not None and lock.held:
                found.append((cache, lock))
            elif lock is not None:
                lock.release()
    except BaseException:  # locks that stay would keep this very process out
        _release(found)
        raise
    return found


def _removed(caches: Sequence[tuple[Usage, Lock]]) -> int:
    try:
        for cache, _ in caches:
            _remove(cache.path)
    finally:
        _release(caches)
    return sum(cache.bytes for cache, _ in caches)


def _release(caches: Iterable[tuple[Usage, Lock]]) -> None:
    for _, lock in caches:
        lock.release()


def _start_over(home: Path) -> None:
    lock = Lock.acquire(home / USE, wait=False)
    if lock is None:
        raise HiergenError("is damaged, and another process still uses it", place=str(home), hint="stop that first")
    with lock:
        _remove(home)


def _remove(home: Path) -> None:
    """The header first: what is left of an interrupted removal is no cache. Nothing that is not ours."""
    (home / HEADER).unlink(missing_ok=True)
    for path in list(home.iterdir()) if home.is_dir() else []:
        if _FILES.fullmatch(path.name):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        home.rmdir()


@contextmanager
def _folder_lock(folder: Path) -> Iterator[None]:
    """One process at a time makes, opens or removes caches."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = Lock.acquire(folder / ".lock")
    assert lock is not None
    with lock:
        yield


def _gb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 10**8 else f"{size / 1e6:,.1f} MB"
