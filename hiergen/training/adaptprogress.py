"""How far an `adapt` came: what the same command needs to go on after a stop, kept in the folder's report."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hiergen.console.terminal import as_json
from hiergen.errors import OutputError, quoted, unquoted
from hiergen.files import sweep, write_text, writing
from hiergen.training.runfolder import METRICS, RECIPE, REQUEST

REPORT = "adapt.json"
AGAIN = "--force (force=True) begins anew in it"


@dataclass(frozen=True)
class Progress:
    """The report of an `adapt` that is not finished: what was `asked`, which steps are `done`, of which files, the side
    that was chosen, and when the trainings' requests were written that an earlier `adapt` left."""

    folder: Path
    said: dict[str, Any]
    anew: tuple[str, ...]  # for commands in a folder that is ours

    @classmethod
    def begin(cls, folder: Path, runtime: str, asked: Mapping[str, Any], force: bool) -> Progress:
        """Where the folder stands, written; raises OutputError as `_going` does."""
        before = _going(folder, asked, force)
        anew = ("--force",) if before is not None or force else ()
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        said = {"folder": str(folder), "runtime": runtime, "asked": dict(asked), "done": [], "files": {}, "before": {}}
        progress = cls(folder, said if before is None else before, anew)
        progress.write()
        return progress

    def write(self) -> None:
        write_text(self.folder / REPORT, as_json(self.said, indent=2) + "\n")

    def is_done(self, name: str) -> bool:
        return name in self.said["done"]

    def finish(self, name: str, files: Sequence[Path] = ()) -> None:
        """Note that a step is done; when the work goes on, its files must be what they are now."""
        self.said["done"].append(name)
        self.said["files"] |= {file.name: digest(file) for file in files}
        self.write()

    def check_files(self) -> None:
        """Raises OutputError for a file that is not what a step wrote."""
        for name, before in self.said["files"].items():
            if digest(self.folder / name) != before:
                raise OutputError(
                    "was changed since the stop", place=unquoted(self.folder / name), hint=f"put it back, or {AGAIN}"
                )

    def start(self, place: Path, first: Path) -> None:
        """Note, before a training begins in `place`, after one in `first`, what trainings an earlier `adapt` left."""
        self.said["before"] |= {path.name: _written(path) for path in (place, first)}
        self.write()

    def began(self, place: Path) -> bool:
        """Whether a training began there that can go on, of this `adapt`."""
        before = self.said["before"]
        written = _written(place)
        return place.name in before and written not in (None, before[place.name]) and (place / RECIPE).is_file()


def _going(folder: Path, asked: Mapping[str, Any], force: bool) -> dict[str, Any] | None:
    """The report of an `adapt` that was stopped and asked for the same; None where one begins. Raises OutputError for a
    file, and for a folder that is not empty and neither that nor, with `force`, ours."""
    if folder.exists() and not folder.is_dir():
        raise OutputError("is a file", place=unquoted(folder), expected="a new folder")
    if not folder.exists():
        return None
    with writing(folder):
        sweep(folder / REPORT)
        if not any(folder.iterdir()):
            return None
    report = _read(folder / REPORT)
    if report is not None and force:
        return None
    if report is None or "before" not in report:
        expected = "a new folder, or one of an earlier adapt" if force else "a new folder"
        hint = None if report is None else AGAIN
        raise OutputError("is not empty", place=unquoted(folder), expected=expected, hint=hint)
    for name, value in asked.items():
        if report["asked"].get(name) != value:
            raise OutputError(
                "was begun otherwise",
                place=unquoted(folder),
                expected=_shown(name, report["asked"].get(name)),
                got=_shown(name, value),
                hint=f"the same command goes on, {AGAIN}",
            )
    return report


def _shown(name: str, value: object) -> str:
    return f"no {name}" if value is None or value == [] else f"{name} {quoted(str(value))}"


def _read(file: Path) -> dict[str, Any] | None:
    """What `adapt` wrote as it began, or in the end."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and {"folder", "runtime"} <= content.keys() else None


def _written(place: Path) -> int | None:
    """When a training's request was written, ns; None where there is none."""
    try:
        return (place / REQUEST).stat().st_mtime_ns
    except OSError:
        return None


def is_finished(place: Path) -> bool:
    """Whether the flat network that a training begins with is there: its folder was empty of results before."""
    return (place / METRICS).is_file()


def digest(file: Path) -> str | None:
    """sha256 of a file; None where it cannot be read."""
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return None
