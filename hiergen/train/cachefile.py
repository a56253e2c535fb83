"""One cache of maps on disk: its files, their checksums, and who computes what.

A folder KEY.maps holds `maps` (all rows, as raw numbers), `header.json` (what they are), `journal` (one line with a
checksum for each finished chunk of rows, written after the chunk's data is synced), `use` (locked, shared, while
somebody uses the cache; its time is the last use) and, for each chunk being computed, `claim-N`, locked by the process
that computes it.
"""

from __future__ import annotations

import errno
import json
import os
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hiergen.errors import HiergenError, OutputError
from hiergen.files import reason, write_text
from hiergen.train.cachelock import Lock

FORMAT = 1
MAPS, HEADER, JOURNAL, USE, CLAIM = "maps", "header.json", "journal", "use", "claim-"
_CHUNK_BYTES = 4 << 20
_MOST_BATCHES = 8  # in a chunk: an interruption loses so many at most
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Layout:
    """`rows` arrays of `shape` and `dtype`; `chunk` rows are finished, checked and claimed together.

    `batch` rows go through the trunk at once: it is kept, as another size may give other last bits.
    """

    rows: int
    shape: tuple[int, ...]
    dtype: str
    batch: int
    chunk: int

    @classmethod
    def of(cls, rows: int, shape: Sequence[int], dtype: str, batch: int) -> Layout:
        """A layout with chunks of some MB, of whole batches."""
        row_bytes = np.dtype(dtype).itemsize * int(np.prod(shape))
        batches = min(max(1, _CHUNK_BYTES // (batch * row_bytes)), _MOST_BATCHES)
        return cls(rows, tuple(shape), dtype, batch, batch * batches)

    @property
    def row_bytes(self) -> int:
        return np.dtype(self.dtype).itemsize * int(np.prod(self.shape))

    @property
    def bytes(self) -> int:
        return self.rows * self.row_bytes

    @property
    def chunks(self) -> int:
        return -(-self.rows // self.chunk)

    def span(self, chunk: int) -> range:
        """The rows of a chunk."""
        return range(chunk * self.chunk, min((chunk + 1) * self.chunk, self.rows))


@dataclass(frozen=True)
class Entry:
    """What the journal says of a finished chunk: the data's CRC-32, and the rows that have none: (row, place, why)."""

    crc: int
    broken: tuple[tuple[int, str, str], ...] = ()


class CacheFile:
    """An opened cache. `entries` are the chunks known to be finished; `refresh` reads what others finished since.

    Open it with `cachefolder.open_cache`, which takes care of the limits on disk space.
    """

    def __init__(self, home: Path, layout: Layout, use: Lock) -> None:
        self.home, self.layout, self.locks = home, layout, use.held
        self.entries: dict[int, Entry] = {}
        self._use, self._claims = use, dict[int, Lock]()
        self._read = 0  # bytes of the journal
        self._verified = np.zeros(layout.chunks, bool)
        self._handle = -1
        self.refresh()

    # reading

    @cached_property
    def maps(self) -> np.memmap[Any, Any]:
        """All rows, read-only. Only those of finished chunks mean anything; `verify` them first."""
        return np.memmap(self.home / MAPS, self.layout.dtype, "r", shape=(self.layout.rows, *self.layout.shape))

    def refresh(self) -> None:
        """Read what the journal has got since. A line that does not fit its own checksum says nothing."""
        try:
            with (self.home / JOURNAL).open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            return
        whole = new.rfind(b"\n") + 1
        self._read += whole
        for line in new[:whole].split(b"\n"):
            record = _parsed(line)
            if record is None or record["chunk"] >= self.layout.chunks:
                continue
            if record["crc"] is None:  # found damaged later
                self.entries.pop(record["chunk"], None)
            else:
                self.entries[record["chunk"]] = Entry(record["crc"], tuple(record["broken"]))

    @property
    def missing(self) -> list[int]:
        """Chunks that nobody has finished, ascending."""
        return [chunk for chunk in range(self.layout.chunks) if chunk not in self.entries]

    @property
    def rows_done(self) -> int:
        return sum(len(self.layout.span(chunk)) for chunk in self.entries)

    def verify(self, rows: np.ndarray[Any, Any]) -> None:
        """Check the chunks of these rows, each once in this object's life.

        Raises HiergenError for one whose data does not fit its checksum; it is struck from the journal, so that the
        next run computes it anew.
        """
        chunks = rows // self.layout.chunk
        if self._verified[chunks].all():
            return
        for chunk in np.unique(chunks[~self._verified[chunks]]).tolist():
            span, entry = self.layout.span(chunk), self.entries.get(chunk)
            data = self.maps[span.start : span.stop].reshape(-1).view(np.uint8)
            if entry is None or zlib.crc32(data.data) != entry.crc:
                raise self._damaged(chunk)
            self._verified[chunk] = True

    def _damaged(self, chunk: int) -> HiergenError:
        hint = "run again: this part is computed anew"
        try:
            self._append({"chunk": chunk, "crc": None})
        except OutputError:
            hint = f"remove {self.home} to have it computed anew"
        return HiergenError(
            f"chunk {chunk} of {self.layout.chunks} is damaged (its checksum does not fit)",
            place=str(self.home / MAPS),
            hint=hint,
        )

    # writing

    def claim(self, chunk: int) -> bool:
        """Take a chunk to compute; False where it is finished, or another process that is alive has it."""
        try:
            lock = Lock.acquire(self.home / f"{CLAIM}{chunk}", wait=False)
        except OSError as error:
            raise _unwritable(self.home, error) from None
        if lock is None:
            return False
        self.refresh()  # it may have been finished between two looks
        if chunk in self.entries:
            lock.release(remove=True)
            return False
        self._claims[chunk] = lock
        return True

    def store(self, chunk: int, rows: np.ndarray[Any, Any], broken: Iterable[tuple[int, str, str]] = ()) -> None:
        """Save a claimed chunk: data first, synced, then its line in the journal. Then the claim is free.

        Raises OutputError where the disk is full or the file cannot be written; what was saved before stays.
        """
        span = self.layout.span(chunk)
        assert chunk in self._claims
        assert rows.shape == (len(span), *self.layout.shape)
        assert rows.dtype == self.layout.dtype
        data = np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data
        try:
            if self._handle < 0:
                self._handle = os.open(self.home / MAPS, os.O_WRONLY | os.O_CLOEXEC)
            at = span.start * self.layout.row_bytes
            done = 0
            while done < len(data):
                done += os.pwrite(self._handle, data[done:], at + done)
            os.fsync(self._handle)
        except OSError as error:
            raise _unwritable(self.home / MAPS, error) from None
        self._append({"chunk": chunk, "crc": zlib.crc32(data), "broken": list(broken)})
        self.refresh()
        self._claims.pop(chunk).release(remove=True)

    def _append(self, record: dict[str, Any]) -> None:
        text = json.dumps(record, separators=(",", ":")).encode()
        # the first line break ends a line that a killed process left unfinished
        line = b"\n%08x %s\n" % (zlib.crc32(text), text)
        try:
            handle = os.open(self.home / JOURNAL, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                if os.write(handle, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise _unwritable(self.home / JOURNAL, error) from None

    def unclaim(self) -> None:
        """Give back the chunks that were taken and not stored."""
        while self._claims:
            self._claims.popitem()[1].release(remove=True)

    def close(self) -> None:
        """Free all locks; the cache may be removed from now on, though a map once opened stays readable."""
        self.unclaim()
        with suppress(OSError):
            os.utime(self.home / USE)
        self._use.release()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def read_layout(home: Path) -> Layout | None:
    """The layout of the cache in a folder; None where there is no whole one."""
    try:
        header = json.loads((home / HEADER).read_text("utf-8"))
        if header.pop("crc") != _crc(header):
            return None
        layout = Layout(**{**header["layout"], "shape": tuple(header["layout"]["shape"])})
        whole = header["format"] == FORMAT and (home / MAPS).stat().st_size == layout.bytes
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return layout if whole else None


def create(home: Path, layout: Layout, about: dict[str, Any]) -> None:
    """Make an empty cache, its disk space taken. Raises OutputError where that cannot be."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(home / MAPS, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        try:
            allocate(handle, layout.bytes)
            os.fsync(handle)
        finally:
            os.close(handle)
        (home / JOURNAL).unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(home / MAPS, error) from None
    # last: a cache without its header is none
    header = {"format": FORMAT, "layout": asdict(layout), "about": about}
    write_text(home / HEADER, json.dumps({**header, "crc": _crc(header)}, indent=1) + "\n")


def _crc(header: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(header, sort_keys=True).encode())


def allocate(handle: int, size: int) -> None:
    """Take the disk space of a file now; a full disk is an OSError here, rather than a crash of the reader later."""
    try:
        os.posix_fallocate(handle, 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            raise
        os.ftruncate(handle, size)  # a system (macOS) or a file system that cannot: writing tells


def _parsed(line: bytes) -> dict[str, Any] | None:
    checksum, _, text = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        record: dict[str, Any] = json.loads(text)
        if record["crc"] is not None:
            record["broken"] = [(int(row), str(place), str(why)) for row, place, why in record["broken"]]
        known = all(type(record[key]) is int for key in ("chunk", "crc") if record[key] is not None)
        return record if known and record["chunk"] >= 0 else None
    except (ValueError, RecursionError, KeyError, TypeError, OverflowError):  # not what this version writes
        return None


def _unwritable(path: Path, error: OSError) -> OutputError:
    full = error.errno in _FULL
    return OutputError(
        f"cannot be written ({reason(error)})",
        place=str(path),
        hint="what was saved stays: make room and run again, or take another --cache folder" if full else None,
    )
