"""Reading with limits, and writing so that nothing is ever half-written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hiergen.errors import OutputError, SpecError, nearest, quoted

MAX_BYTES = 8_000_000


def read_text(path: Path, *, limit: int = MAX_BYTES) -> str:
    """The UTF-8 text of a file. Raises `SpecError` for a missing, unreadable, too large or non-UTF-8 file."""
    place = quoted(path)[1:-1]
    try:
        if path.is_dir():
            raise SpecError("is a directory", place=place, expected="a file", hint=_inside(path))
        if (size := path.stat().st_size) > limit:
            raise SpecError("is too large", place=place, expected=f"at most {limit:,} bytes", got=f"{size:,}")
        if not path.is_file():  # before reading: a pipe or a device may never end
            raise SpecError("is not a regular file", place=place)
        raw = path.read_bytes()
    except FileNotFoundError:
        raise SpecError("no such file", place=place, nearest=_beside(path)) from None
    except (OSError, ValueError) as error:
        raise SpecError(f"cannot be read ({reason(error)})", place=place) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{raw[error.start]:02x}"
        raise SpecError("is not UTF-8 text", place=f"{place}:{line}", got=byte, hint="save it as UTF-8") from None


def write_text(path: Path, text: str) -> None:
    """Write beside `path` and rename, so that a reader sees the old file or the new one, never a part.

    Raises `OutputError` when the folder or the file cannot be written.
    """
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def check_yaml_name(path: Path) -> None:
    """Raises OutputError for a name that no taxonomy file can have: others would not take it for one."""
    if path.suffix not in {".yaml", ".yml"}:
        raise OutputError("is no name for a taxonomy file", place=str(path), expected="a file that ends in .yaml")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, to be written in the block; at its end it is synced and takes the place of `path`.

    After an error in the block it is gone, and `path` is as it was. Raises `OutputError` for a path that cannot be
    written; an OSError in the block counts as one.
    """
    try:
        with suppress(FileExistsError):  # a file of that name: the next line says so better
            path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise OutputError("is a directory", place=str(path), expected="a file to write")
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
        os.close(handle)
        try:
            yield Path(name)
            with open(name, "rb") as file:
                os.fsync(file.fileno())
            os.chmod(name, _mode(path))
            os.replace(name, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
    except OSError as error:
        raise OutputError(f"cannot be written ({reason(error)})", place=str(path)) from None


def _mode(path: Path) -> int:
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def reason(error: Exception) -> str:
    """What the system says, for a sentence: 'no space left on device'."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def _beside(path: Path) -> tuple[str, ...]:
    try:
        names = [p.name for p in path.parent.iterdir() if p.suffix == path.suffix]
    except OSError:
        return ()
    return tuple(str(path.parent / name) for name in nearest(path.name, sorted(names)))


def _inside(path: Path) -> str | None:
    try:
        found = sorted(p.name for p in path.iterdir() if p.suffix in {".yaml", ".yml"})
    except OSError:
        return None
    return f"name one of the files in it: {', '.join(found[:5])}" if found else None
