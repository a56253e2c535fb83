"""Reading with limits, and writing so that nothing is ever half-written."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from hiergen.errors import OutputError, SpecError, nearest, unquoted

fcntl: Any = None
with suppress(ImportError):  # without locks what a killed process left stays
    fcntl = import_module("fcntl")

MAX_BYTES = 8_000_000
_PART = re.compile(r"[a-z0-9_]{8}\.part")


def read_text(path: Path, *, limit: int = MAX_BYTES) -> str:
    """The UTF-8 text of a file. Raises `SpecError` for a missing, unreadable, too large or non-UTF-8 file."""
    place = unquoted(path)
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


def user_path(text: str) -> Path:
    """The path that a user wrote, `~` and `~name` opened. Raises `SpecError` where there is no such home."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise SpecError("has no such home directory", place=unquoted(text), expected="a path") from None


def write_text(path: Path, text: str) -> None:
    """Write beside `path` and rename, so that a reader sees the old file or the new one, never a part.

    Raises `OutputError` when the folder or the file cannot be written.
    """
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def writable(text: str) -> str:
    """The text with what UTF-8 cannot say (bytes of a file name that are no text) as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def check_yaml_name(path: Path) -> None:
    """Raises OutputError for a name that no taxonomy file can have: others would not take it for one."""
    if path.suffix not in {".yaml", ".yml"}:
        raise OutputError("is no name for a taxonomy file", place=str(path), expected="a file that ends in .yaml")


def check_writable(path: Path) -> None:
    """Raises OutputError for a path where no file can be written as things stand, before long work for it begins."""
    with writing(path):
        if "\0" in str(path):
            raise OSError("embedded null byte")
        check_replaceable(path)
        above = next(folder for folder in path.absolute().parents if folder.exists())
        if not above.is_dir():
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(above, os.W_OK | os.X_OK):
            fixed = hasattr(os, "statvfs") and os.statvfs(above).f_flag & os.ST_RDONLY
            number = errno.EROFS if fixed else errno.EACCES
            raise OSError(number, os.strerror(number))


def check_replaceable(path: Path) -> None:
    """Raises OutputError for what a file must not take the place of: a folder, a pipe, a device such as /dev/null."""
    with writing(path):
        if path.is_dir():
            raise OutputError("is a directory", place=str(path), expected="a file to write")
        # /dev/stdout is a link, to a file at times
        if (path.exists() and not path.is_file()) or path.absolute().parent == Path("/dev"):
            raise OutputError("is a pipe or a device, which a file would replace", place=str(path), expected="a file")


def cache_home() -> Path:
    """hiergen's folder in the user's cache folder ($XDG_CACHE_HOME, else ~/.cache). OutputError for a user without."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hiergen"
    except RuntimeError:
        raise OutputError("there is no home folder to cache in", hint="set HOME or XDG_CACHE_HOME") from None


@contextmanager
def in_cache() -> Iterator[None]:
    """An OutputError in the block says how caches come to lie elsewhere."""
    try:
        yield
    except OutputError as error:
        error.hint = error.hint or "XDG_CACHE_HOME=FOLDER keeps caches elsewhere"
        raise


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, to be written in the block; at its end it is synced and takes the place of `path`.

    After an error in the block it is gone, and `path` is as it was; what killed processes left there is removed.
    Raises `OutputError` for a path that cannot be written; an OSError in the block counts as one.
    """
    with writing(path):
        _prepare(path)
        check_replaceable(path)
        handle, name = _locked_file(path)
        try:
            yield Path(name)
            put(Path(name), path)
        except BaseException:
            with suppress(OSError):  # the error before it says more
                os.unlink(name)
            raise
        finally:
            os.close(handle)


@contextmanager
def staging(path: Path) -> Iterator[Path]:
    """A fresh folder beside `path` for the block, which moves what it makes there with `put`, or renames the folder.

    After the block it is gone, and so is what killed processes left. Raises OutputError where it cannot be made; errors
    in the block are the block's (`writing`).
    """
    with writing(path):
        _prepare(path)
        handle, made = _locked_folder(path)
    try:
        yield made
    finally:
        for _ in range(2):  # a disk may not let go at once
            shutil.rmtree(made, ignore_errors=True)
        os.close(handle)


@contextmanager
def taking_turns(path: Path) -> Iterator[None]:
    """In the block no other process that takes turns at `path` reads and writes it, on a disk that has locks."""
    handle = None
    try:
        with suppress(OSError):  # writing says what is wrong with the folder
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path.parent, os.O_RDONLY)
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """An OSError in the block is an OutputError that names `path`."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot be written ({reason(error)})", place=str(path)) from None


def put(temporary: Path, path: Path) -> None:
    """Sync a file that lies on the same disk, and let it take the place of `path`. Raises OSError."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    mode = 0o666 & ~umask()
    with suppress(FileNotFoundError):
        before = path.lstat().st_mode
        if stat.S_ISREG(before):  # a link goes, and what it leads to has permissions of its own
            mode = before & 0o777
    set_mode(temporary, mode)
    os.replace(temporary, path)
    with suppress(OSError):  # so that the name outlasts a power cut; not every disk can
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _prepare(path: Path) -> None:
    if "\0" in str(path):
        raise OutputError("cannot be written (embedded null byte)", place=unquoted(path))
    with suppress(FileExistsError):  # a file of that name: making something in it says so better
        path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path)


def _prefix(path: Path) -> str:
    return f".{path.name[:40]}."


def _locked_file(path: Path) -> tuple[int, str]:
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=_prefix(path), suffix=".part")
        if lock(handle) and os.fstat(handle).st_nlink:
            return handle, name
        os.close(handle)  # another process has just taken it for a leftover


def _locked_folder(path: Path) -> tuple[int, Path]:
    while True:
        folder = tempfile.mkdtemp(dir=path.parent, prefix=_prefix(path), suffix=".part")
        with suppress(FileNotFoundError):
            handle = os.open(folder, os.O_RDONLY)
            if lock(handle) and os.path.exists(folder):
                return handle, Path(folder)
            os.close(handle)


def lock(handle: int, *, sure: bool = False) -> bool:
    """Whether nobody else holds it: a lock is gone with its process. Without locks nobody can know: then not `sure`."""
    try:
        if fcntl is None:
            return not sure
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return not sure
    return True


def sweep(path: Path) -> None:
    """Remove the unfinished files and folders beside `path` whose process is gone. Writing `path` does so first."""
    prefix = _prefix(path)
    with suppress(OSError), os.scandir(path.parent) as entries:  # a folder that cannot be listed stays as it is
        for entry in entries:
            if entry.name.startswith(prefix) and _PART.fullmatch(entry.name[len(prefix) :]):
                with suppress(OSError):  # a link, or another process was faster
                    _remove_abandoned(entry)


def _remove_abandoned(entry: os.DirEntry[str]) -> None:
    is_folder = entry.is_dir(follow_symlinks=False)
    how = (os.O_RDONLY if is_folder else os.O_RDWR) | os.O_NONBLOCK | os.O_NOFOLLOW
    handle = os.open(entry.path, how)
    try:
        if lock(handle, sure=True):
            shutil.rmtree(entry.path) if is_folder else os.unlink(entry.path)
    finally:
        os.close(handle)


def set_mode(path: Path, mode: int) -> None:
    """Its permissions, on a disk that has any: FAT and SMB may say that changing them is not permitted."""
    with suppress(PermissionError):
        os.chmod(path, mode)


def umask() -> int:
    """What the user takes away from the permissions of new files. It is not changed meanwhile, for other threads."""
    with suppress(OSError):  # only Linux says it
        status = Path("/proc/self/status").read_text("ascii", "replace")
        if said := re.search(r"^Umask:\s*([0-7]+)$", status, re.MULTILINE):
            return int(said[1], 8)
    with tempfile.TemporaryDirectory() as folder:
        handle = os.open(os.path.join(folder, "new"), os.O_CREAT | os.O_WRONLY, 0o777)
        mode = os.fstat(handle).st_mode & 0o777
        os.close(handle)
    return 0o777 & ~mode


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
        yaml_files = sorted(p.name for p in path.iterdir() if p.suffix in {".yaml", ".yml"})
    except OSError:
        return None
    return f"name one of the files in it: {', '.join(yaml_files[:5])}" if yaml_files else None
