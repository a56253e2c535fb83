"""What a folder of images means: one rule for `--data`, for `classes: {imagefolder: …}` and for `hiergen init`.

A folder "train" that holds folders is the training part; "val" or "test" beside it is the validation part; nothing else
that stands there is read. The one folder in an archive that is around all parts is stepped into. Within a part the
folder that an image lies in is its class, and folders around it are groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from hiergen.errors import HiergenError, quoted, unquoted
from hiergen.files import reason

Split: TypeAlias = Literal["train", "validation"]
# strongest first; a test part is taken where there is nothing better, and that is said
PARTS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training", "train_set", "training_set"),
    "validation": (
        *("validation", "val", "valid", "eval", "dev", "val_set", "validation_set"),
        *("test", "testing", "test_set"),
    ),
}
TESTS = frozenset({"test", "testing", "test_set"})
_NAMES = frozenset(name for names in PARTS.values() for name in names)
_JUNK = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".directory", "icon\r"),
        *("__macosx", "__pycache__", ".ipynb_checkpoints", "@eadir", "lost+found"),
        *("$recycle.bin", "system volume information", ".trash", ".trashes", ".spotlight-v100", ".fseventsd"),
    }
)
Inside: TypeAlias = "tuple[str, ...]"  # names of folders from the root down


@dataclass(frozen=True)
class Parts:
    """The parts of a root by the names of their folders, which lie in `top`; `beside` are other folders there."""

    top: Inside
    train: str | None
    validation: str | None
    beside: tuple[str, ...]

    def of(self, split: Split) -> str | None:
        """The folder's name."""
        return self.train if split == "train" else self.validation

    def note(self, root: Path, count: Callable[[Inside], int] | None = None) -> str:
        """What a user should be told of folders that are not taken, with what `count` says of each; "" without any."""
        if not self.beside:
            return ""
        taken = " and ".join(quoted(name) for name in (self.train, self.validation) if name is not None)
        counts = [f" ({count((*self.top, name)):,} files)" if count else "" for name in self.beside[:5]]
        beside = ", ".join(f"{quoted(name)}{files}" for name, files in zip(self.beside, counts, strict=False))
        more = f" and {len(self.beside) - 5} folders more" if len(self.beside) > 5 else ""
        return f"{unquoted(root.joinpath(*self.top))} has the parts {taken}; left out beside: {beside}{more}"


def find_parts(folders: Callable[[Inside], Sequence[str]]) -> Parts | None:
    """The parts of a root, of which `folders` names the folders in one; None for a root without parts.

    A folder of images alone is no part: a class may be called "train".
    """
    top: Inside = ()
    while True:
        names = folders(top)
        deep = [name for name in names if name.lower() in _NAMES and folders((*top, name))]
        train = pick(deep, "train")
        if train is not None or (names and len(deep) == len(names)):
            validation = pick(names, "validation")
            beside = tuple(name for name in names if name not in (train, validation))
            return Parts(top, train, validation, beside)
        if len(names) != 1:
            return None
        top = (*top, names[0])


def pick(names: Iterable[str], split: Split) -> str | None:
    """Which of these names means the split."""
    by_lower = {name.lower(): name for name in names}
    return next((by_lower[name] for name in PARTS[split] if name in by_lower), None)


def is_junk(name: str) -> bool:
    """Whether an operating system or an editor left a file or a folder of this name."""
    return name.startswith(("._", ".trash-", ".Trash-")) or name.lower() in _JUNK


def subfolders(path: Path) -> list[Path]:
    """Sorted, without hidden ones and junk. Raises HiergenError for a folder that cannot be read."""
    try:
        inside = sorted(path.iterdir())
        return [p for p in inside if not is_junk(p.name) and not p.name.startswith(".") and p.is_dir()]
    except (OSError, ValueError) as error:  # a NUL in it, …
        raise HiergenError(f"folder {quoted(path)} cannot be read ({reason(error)})") from None


def folder_parts(root: Path) -> Parts | None:
    """The parts of a folder. Raises HiergenError as `subfolders` does."""
    return find_parts(lambda inside: [path.name for path in subfolders(root.joinpath(*inside))])


def training_part(root: Path) -> tuple[Path, str]:
    """The folder that the classes lie in, and what is to be said of it ("" where it is the root itself). Raises
    HiergenError as `subfolders` does, and for a training and a validation part that have no folders of classes."""
    parts = folder_parts(root)
    names = [] if parts else [path.name for path in subfolders(root)]
    both = {pick(names, split) for split in PARTS}
    if len(names) == 2 and both == set(names):
        raise HiergenError(
            f"{quoted(names[0])} and {quoted(names[1])} are parts, not classes, and have no folders in them",
            place=unquoted(root),
            expected="a folder of images for each class, here or in each part",
        )
    if parts is None or parts.train is None:
        return root, ""
    top = root.joinpath(*parts.top, parts.train)
    note = f"classes are the folders of {unquoted(top)}"
    return top, f"{note}; {parts.note(root)}" if parts.beside else note
