"""Where a search stands, as a JSON file: enough to go on as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from hiergen.errors import SpecError, misfit, quoted
from hiergen.files import read_text, write_text

FORMAT = "hiergen search 2"
LARGEST = 100_000_000  # bytes
Numbers = list[list[int]]


@dataclass(frozen=True)
class Identity:
    """What a search is: a state goes on only with the same. `start` is a hash of the nesting it starts from."""

    objective: str
    evidence: str
    classes: str
    start: str
    counts: tuple[int, ...]
    sizes: tuple[int, int]
    same_sizes: bool
    seed: int


@dataclass(frozen=True)
class State:
    """A search between two blocks. `round` and `block` say where; `now` is the nesting there (None: the round has not
    begun), `leader` the best of the round, `best` that of all rounds that are done, each with its value as a gain."""

    round_blocks: int
    round: int = 0
    block: int = 0
    now: Numbers | None = None
    leader: Numbers | None = None
    leader_value: float = float("-inf")
    best: Numbers | None = None
    best_value: float = float("-inf")
    seconds: float = 0.0
    rounds: tuple[float, ...] = ()

    @property
    def blocks(self) -> int:
        """Blocks that are done."""
        return self.round * self.round_blocks + self.block


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: str
    search: dict[str, Any]
    round_blocks: int
    round: int
    block: int
    now: Numbers | None
    leader: Numbers | None
    leader_value: FiniteFloat | None
    best: Numbers | None
    best_value: FiniteFloat | None
    seconds: float
    rounds: tuple[float, ...]
    sha256: str


def save(path: Path, identity: Identity, state: State) -> None:
    """Write it beside `path` and rename. Raises OutputError where that cannot be."""
    data = asdict(state)
    for key in ("leader_value", "best_value"):
        data[key] = None if data[key] == float("-inf") else data[key]
    found = {"format": FORMAT, "search": asdict(identity), **data}
    write_text(path, json.dumps({**found, "sha256": _checksum(found)}) + "\n")


def load(path: Path, identity: Identity, classes: int) -> State | None:
    """The state of this very search; None where there is no file yet.

    Raises SpecError for a file that is no state, is damaged, or is another search's (it says what differs).
    """
    if not path.exists():
        return None
    try:
        found = _File.model_validate_json(read_text(path, limit=LARGEST))
    except ValidationError as error:
        raise SpecError(
            f"is not the state of a search: {misfit(error)}",
            place=str(path),
            hint="give another --state, or remove it",
        ) from None
    if found.format != FORMAT:
        raise SpecError("is of another version", place=str(path), expected=FORMAT, got=quoted(found.format))
    if _checksum(found.model_dump(exclude={"sha256"})) != found.sha256:
        raise SpecError("is damaged: its checksum does not fit", place=str(path), hint="remove it, and search anew")
    wanted = json.loads(json.dumps(asdict(identity)))
    for key, value in wanted.items():
        if found.search.get(key) != value:
            raise SpecError(
                f"is the state of another search ({key.replace('_', ' ')})",
                place=str(path),
                expected=_shown(value),
                got=_shown(found.search.get(key)),
                hint="give another --state, or remove it",
            )
    counts = list(identity.counts)
    for labels in (found.now, found.leader, found.best):
        if labels is not None and not _sound(labels, counts, classes):
            raise SpecError("is damaged: its nestings are not of this shape", place=str(path), hint="remove it")
    if found.round_blocks < 1 or found.round < 0 or not 0 <= found.block <= found.round_blocks:
        raise SpecError("is damaged: it stands nowhere", place=str(path), hint="remove it")
    if (found.block > 0) != (found.now is not None) or (found.leader is None) != (found.leader_value is None):
        raise SpecError("is damaged: it lacks where it stands", place=str(path), hint="remove it")
    data = found.model_dump(exclude={"format", "search", "sha256"})
    for key in ("leader_value", "best_value"):
        data[key] = float("-inf") if data[key] is None else data[key]
    return State(**data)


def _checksum(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _sound(labels: Numbers, counts: list[int], classes: int) -> bool:
    if [len(set(level)) for level in labels] != counts or any(len(level) != classes for level in labels):
        return False
    nested = all(len(set(zip(fine, coarse, strict=True))) == len(set(fine)) for coarse, fine in pairwise(labels))
    return nested and all(set(level) == set(range(len(set(level)))) for level in labels)


def _shown(value: object) -> str:
    return quoted(",".join(map(str, value)))[1:-1] if isinstance(value, list) else quoted(value)
