"""The files of a cache of features, and the folder of caches with its limit.

A cache is a folder KEY.maps with `features.npy` (all rows), `state.npy` (a byte for each row) and `about.json` (what
they are of; written last, so that a folder without it is no cache). A row's state is written and synced after the row
itself: a process that is killed anywhere leaves rows that are whole, or that are computed again. `claim-N` is locked by
the process that computes batch N, `use-*` by those that have the cache open.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from hiergen.console.terminal import as_json
from hiergen.errors import HiergenError, OutputError
from hiergen.files import write_text, writing

FORMAT = 2
LIMIT = 20 * 10**9  # bytes of all caches in a folder
MISSING, DONE, BROKEN = 0, 1, 2  # states of a row; a broken one is of an image that cannot be read
FEATURES, STATE, CONTENTS, ABOUT = "features.npy", "state.npy", "contents.npy", "about.json"
_SIZED = (FEATURES, STATE, "maps")  # the last is of hiergen 0.1
_RESERVE = 1 << 30  # bytes of the disk that stay free
_NAME = re.compile(r"[0-9a-f]{32}\.maps")
_NO_LOCKS = (NotImplementedError, OSError)  # file systems without locks: work may be done twice, never wrongly
_CHOICES = (
    "fewer views (--set trunk.views=1), no cache (--set trunk.cache=false), another --cache folder"
    " or a larger --cache-limit"
)
Array = np.ndarray[Any, Any]


class ArrayFile:
    """An .npy file of a dtype and shape: `rows` is a read-only map of it, which also shows what others write.

    Raises ValueError where the file is another one, or is not whole.
    """

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...]) -> None:
        header = _header(dtype, shape)
        with path.open("rb") as file:
            if file.read(len(header)) != header or path.stat().st_size != len(header) + _bytes(dtype, shape):
                raise ValueError(f"{path} is no whole array of {dtype} {shape}")
        self.path, self._start, self._row_bytes = path, len(header), _bytes(dtype, shape[1:])
        self.rows: Array = np.memmap(path, dtype, "r", offset=len(header), shape=shape)

    def write(self, first: int, rows: Array) -> None:
        """Write rows from the index `first` on, and sync them. Raises OutputError, as on a full disk."""
        assert (rows.dtype, rows.shape[1:]) == (self.rows.dtype, self.rows.shape[1:])
        with writing(self.path), self.path.open("r+b") as file:
            file.seek(self._start + first * self._row_bytes)
            file.write(rows.tobytes())
            file.flush()
            os.fsync(file.fileno())


class FeatureCache:
    """An open cache: rows `(N, C, H, W)`, computed in batches of `batch` rows. `open_cache` opens it."""

    def __init__(self, home: Path, dtype: str, shape: tuple[int, ...], batch: int) -> None:
        self.home, self.batch = home, batch
        self._features = ArrayFile(home / FEATURES, dtype, shape)
        self._state = ArrayFile(home / STATE, "uint8", shape[:1])
        self.features, self.state = self._features.rows, self._state.rows
        self._claims: dict[int, FileLock] = {}
        self._use = FileLock(home / f"use-{uuid.uuid4().hex}")
        Path(self._use.lock_file).touch()  # without locks it stays and says: perhaps in use
        with suppress(Timeout, *_NO_LOCKS):
            self._use.acquire(blocking=False)
        os.utime(home / STATE)

    @property
    def missing(self) -> list[int]:
        """The batches in which rows are missing, ascending."""
        rows = np.flatnonzero((self.state != DONE) & (self.state != BROKEN))
        return [int(batch) for batch in np.unique(rows // self.batch)]

    def span(self, batch: int) -> range:
        """The rows of a batch."""
        return range(batch * self.batch, min((batch + 1) * self.batch, len(self.state)))

    def claim(self, batch: int, *, always: bool = False) -> bool:
        """Take a batch to compute; False where its rows are done, or another process has it (unless `always`)."""
        lock = FileLock(self.home / f"claim-{batch}")
        try:
            lock.acquire(blocking=False)
        except Timeout:
            if not always:
                return False
        except _NO_LOCKS:
            pass
        self._claims[batch] = lock
        state = self.state[batch * self.batch : (batch + 1) * self.batch]
        if np.isin(state, (DONE, BROKEN)).all():  # looked at under the lock: another may just have finished it
            self.release(batch)
            return False
        return True

    def store(self, batch: int, rows: Array, state: Array) -> None:
        """Save a claimed batch, its rows first, and let it go. Raises OutputError; what was saved before stays."""
        first = self.span(batch).start
        self._features.write(first, rows)
        self._state.write(first, state.astype(np.uint8))
        if not np.array_equal(self.state[first : first + len(state)], state):  # what is mapped is another file
            raise OutputError("was removed and made anew meanwhile", place=str(self.home), hint="run again")
        self.release(batch)

    def borrow(self) -> None:
        """Copy batches whose images other caches have: those of the same trunk and of a transform without chance. What
        cannot be read of a cache is not borrowed."""
        if not self.missing:
            return
        try:
            wanted, about = self._contents(self.home, len(self.state)), _about(self.home)
        except (OSError, ValueError, EOFError):
            return
        known: dict[int, tuple[Array, int]] = {}
        for path in self.home.parent.glob(f"*.maps/{CONTENTS}"):
            with suppress(OSError, ValueError, EOFError):  # it may be removed meanwhile, or be damaged
                if path.parent != self.home and _about(path.parent) == about:
                    contents = self._contents(path.parent)
                    shape = (len(contents), *self.features.shape[1:])
                    features = ArrayFile(path.parent / FEATURES, self.features.dtype.name, shape).rows
                    state = ArrayFile(path.parent / STATE, "uint8", shape[:1]).rows
                    rows = np.flatnonzero(state == DONE)
                    images = contents[rows].tolist()
                    known |= {image: (features, row) for image, row in zip(images, rows.tolist(), strict=True)}
        for batch in self.missing:
            images = wanted[self.span(batch)].tolist()
            if all(image in known for image in images) and self.claim(batch):
                features_of = [features[row] for features, row in map(known.__getitem__, images)]
                self.store(batch, np.stack(features_of), np.full(len(images), DONE))

    @staticmethod
    def _contents(home: Path, count: int | None = None) -> Array:
        """The numbers of a cache's images. Raises OSError, ValueError and EOFError for a file that is not whole."""
        numbers: Array = np.load(home / CONTENTS, mmap_mode="r", allow_pickle=False)
        if not isinstance(numbers, np.ndarray) or numbers.dtype != np.int64 or numbers.ndim != 1:
            raise ValueError(f"{home / CONTENTS} holds no numbers of images")
        if count is not None and len(numbers) != count:
            raise ValueError(f"{home / CONTENTS} is of other images")
        return np.array(numbers)

    def forget(self, row: int) -> None:
        """Have a row computed anew."""
        self._state.write(row, np.array([MISSING], np.uint8))

    def release(self, *batches: int) -> None:
        """Let claimed batches go; without arguments all of them."""
        for batch in batches or tuple(self._claims):
            _drop(self._claims.pop(batch))

    def close(self) -> None:
        """Let the cache go: it may be removed from now on, though its map stays readable."""
        self.release()
        _drop(self._use)


def open_cache(
    folder: Path,
    key: str,
    dtype: str,
    shape: tuple[int, ...],
    *,
    batch: int,
    about: dict[str, Any],
    contents: Sequence[Hashable] | None = None,
    limit: int = LIMIT,
    note: Callable[[str], None] = lambda _: None,
) -> FeatureCache:
    """The cache of this key (32 hex digits), as it is, or an empty one, for which the caches used longest ago go.

    `contents` tell the images apart, in other caches too: then they can borrow from each other.

    Raises HiergenError where it does not fit into `limit` (bytes of all caches in the folder) or on the disk,
    OutputError where it cannot be written. A cache that is not whole is made anew, and `note` says so.
    """
    home = folder / f"{key}.maps"
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        turn = FileLock(folder / ".lock", timeout=60)
        with suppress(Timeout, *_NO_LOCKS):
            turn.acquire()
        try:
            _is_used(home)
            if (home / ABOUT).exists():
                try:
                    return FeatureCache(home, dtype, shape, batch)
                except (FileNotFoundError, ValueError):  # a full disk, say, is no reason to remove it
                    note(f"{home} is not whole: its features are computed anew")
            shutil.rmtree(home, ignore_errors=True)
            _make_room(folder, _bytes(dtype, shape) + shape[0], limit)
            home.mkdir(exist_ok=True)
            np.lib.format.open_memmap(home / FEATURES, "w+", np.dtype(dtype), shape).flush()  # takes no space yet
            np.lib.format.open_memmap(home / STATE, "w+", np.dtype(np.uint8), shape[:1]).flush()
            if contents is not None:
                np.save(home / CONTENTS, np.array([_number(content) for content in contents], np.int64))
            write_text(home / ABOUT, as_json(about, indent=1) + "\n")
            return FeatureCache(home, dtype, shape, batch)
        finally:
            turn.release()


def _number(content: Hashable) -> int:
    return int.from_bytes(hashlib.blake2b(repr(content).encode(), digest_size=8).digest(), "little", signed=True)


def _about(home: Path) -> dict[str, Any]:
    """What a cache is of, but for its images. Raises OSError and ValueError."""
    about = json.loads((home / ABOUT).read_text("utf-8"))
    if not isinstance(about, dict):
        raise ValueError(f"{home / ABOUT} says nothing")
    return {key: about[key] for key in about if key not in ("images", "count", "seed")}


def _make_room(folder: Path, wanted: int, limit: int) -> None:
    """Remove caches, the one used longest ago first, until `wanted` more bytes fit; none if they never will."""
    caches = sorted(
        (p for p in folder.iterdir() if _NAME.fullmatch(p.name) and p.is_dir() and not p.is_symlink()), key=_last_use
    )
    sizes = {home: sum(path.stat().st_size for name in _SIZED for path in home.glob(name)) for home in caches}
    idle = [home for home in caches if not _is_used(home)]
    total = sum(sizes.values())
    room = min(limit, shutil.disk_usage(folder).free + total - _RESERVE)
    if (most := room - total + sum(sizes[home] for home in idle)) < wanted:
        raise HiergenError(
            "there is no room for the features of all images and views",
            place=str(folder),
            expected=f"at most {_gb(max(most, 0))}, by the limit of the cache, the disk and what other processes use",
            got=_gb(wanted),
            hint=_CHOICES,
        )
    for home in idle:
        if total + wanted <= room:
            return
        shutil.rmtree(home)
        total -= sizes[home]


def _last_use(home: Path) -> tuple[float, str]:
    path = home / STATE
    return (path if path.exists() else home).stat().st_mtime, home.name


def _is_used(home: Path) -> bool:
    """Whether a process that lives has the cache open; what others left of their use goes."""
    used = False
    for path in home.glob("use-*"):
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except (Timeout, *_NO_LOCKS):
            used = True
        else:
            _drop(lock)
    return used


def _drop(lock: FileLock) -> None:
    """Release a lock and remove its file. Who locked the removed file meanwhile looks at the state before it works."""
    with suppress(OSError):  # as on a disk that turned read-only
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def _bytes(dtype: str, shape: tuple[int, ...]) -> int:
    return np.dtype(dtype).itemsize * math.prod(shape)


def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    out = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue()


def _gb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 10**8 else f"{size / 1e6:,.1f} MB"
