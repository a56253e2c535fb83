"""Locks between processes that the kernel frees when their process dies."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

# what flock says on a file system that has no locks
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


class Lock:
    """`flock` on a file that is made for it. `held` is False where the file system has no locks: nobody is kept out.

    It belongs to this opening of the file, so that threads of one process exclude each other too.
    """

    def __init__(self, path: Path, handle: int, held: bool) -> None:
        self.path, self.handle, self.held = path, handle, held

    @classmethod
    def acquire(cls, path: Path, *, shared: bool = False, wait: bool = True) -> Lock | None:
        """The lock, or None where another holds it and `wait` is False. Raises OSError for a path that cannot be."""
        how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            held = True
            try:
                fcntl.flock(handle, how)
            except BlockingIOError:
                os.close(handle)
                return None
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    os.close(handle)
                    raise
                held = False
            except BaseException:  # interrupted while waiting
                os.close(handle)
                raise
            if _is_still(path, handle):
                return cls(path, handle, held)
            os.close(handle)  # the one who held it removed the file: this lock is on nothing

    def release(self, *, remove: bool = False) -> None:
        """Free it, now: a forked worker may still hold a copy of the handle. `remove` takes the file away too, if that
        can be: a file that stays is no lock."""
        if self.handle < 0:
            return
        if remove:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        if self.held:
            with suppress(OSError):  # closing it frees it too, but for copies
                fcntl.flock(self.handle, fcntl.LOCK_UN)
        os.close(self.handle)
        self.handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def _is_still(path: Path, handle: int) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(handle)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
