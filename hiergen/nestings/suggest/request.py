"""What a suggestion is made from, and of which shape: options that `suggest`, `search` and `ask` share."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hiergen.errors import SpecError, TaxonomyError, nearest, quoted
from hiergen.nestings.read import nesting_of
from hiergen.nestings.suggest.evidence import Evidence
from hiergen.nestings.suggest.kinds import EVIDENCE, OPTIONS, Progress
from hiergen.nestings.suggest.shape import Shape
from hiergen.planning.from_taxonomy import find_model
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Nesting


@dataclass(frozen=True)
class SuggestRequest:
    """`by`: a kind of evidence (`kinds.EVIDENCE`), then the options that kinds read; `groups` of each level, coarse
    first (None: as `model` of the file has them, by default the deepest); `seed` of what is drawn."""

    by: str = "wordnet"
    groups: tuple[int, ...] | None = None
    model: str | None = None
    min_size: int = 2
    max_size: int | None = None
    seed: int = 0
    weights: Path | None = None
    key: str | None = None
    timm: str | None = None
    data: str | None = None
    network: str | None = None
    confusions: Path | None = None
    text_model: str | None = None
    batch_size: int = 64
    workers: int = 1

    def check(self) -> None:
        """Raises SpecError for an unknown kind, for one whose evidence is not given, and for evidence that this kind
        does not look at."""
        if self.by not in EVIDENCE:
            kinds = tuple(EVIDENCE)
            raise SpecError(
                f"nothing to suggest by {quoted(self.by)}",
                expected=f"--by {', '.join(kinds[:-1])} or {kinds[-1]}",
                nearest=nearest(self.by, kinds),
            )
        kind = EVIDENCE[self.by]
        if kind.needs and all(getattr(self, name) is None for name in kind.needs):
            needed = " or ".join(f"{_option(name)} {_VALUES[name]}" for name in kind.needs)
            raise SpecError(f"--by {self.by}: of what?", expected=needed)
        reads = ", ".join(map(_option, kind.reads)) or "no evidence"
        unread = {name: getattr(self, name) for name in OPTIONS if name not in kind.reads}
        refuse_unread(unread, f"with --by {self.by}", f"it reads {reads}")

    def gather(self, taxonomy: Taxonomy, by: str | None = None, progress: Progress | None = None) -> Evidence:
        """The evidence of a kind (default: `by`). Raises HiergenError where it cannot be had."""
        gather = EVIDENCE[by or self.by].gather
        if gather is None:
            raise SpecError(f"{quoted(by or self.by)} is no evidence", expected="another --by, such as wordnet")
        return gather(taxonomy, self, progress)

    def words(self) -> list[str]:
        """The options as they are typed, files without their folders."""
        words = ["--by", self.by] if self.by != "wordnet" else []
        if self.groups is not None:
            words += ["--groups", ",".join(map(str, self.groups))]
        for name in ("model", *OPTIONS):
            value = getattr(self, name)
            if value is not None:
                words += [_option(name), Path(value).name if name in _PATHS else value]
        words += ["--min-size", str(self.min_size)] if self.min_size != 2 else []
        words += ["--max-size", str(self.max_size)] if self.max_size is not None else []
        return words + (["--seed", str(self.seed)] if self.seed else [])


def typed_command(verb: str, file: Path, words: list[str]) -> str:
    """The command for the head of a file that it wrote."""
    return shlex.join(["hiergen", verb, file.name, *words])


def refuse_unread(options: Mapping[str, object], where: str, hint: str) -> None:
    """Raises SpecError if one of the options (by the names of their fields; None: not given) is given: who gives one
    expects it to matter. `where`: what it does nothing with, or without."""
    given = [_option(name) for name, value in options.items() if value is not None]
    if given:
        names = " and ".join([", ".join(given[:-1]), given[-1]] if given[1:] else given)
        raise SpecError(f"{names} {'do' if given[1:] else 'does'} nothing {where}", hint=hint)


def wanted_shape(taxonomy: Taxonomy, request: SuggestRequest) -> tuple[Shape, Nesting]:
    """The shape, and the file's own nesting that it is compared with: `model`'s, by default the deepest.

    Raises SpecError where neither the file nor `groups` says how many groups there shall be, and where the classes
    cannot be grouped so.
    """
    current = _current_nesting(taxonomy, request)
    counts = current.counts if request.groups is None else request.groups
    if not counts:
        raise SpecError(
            "has no groups to take their number from",
            place=current.name,
            expected="--groups with the number of groups of each level, as --groups 5,15",
        )
    n = len(current.classes)
    shape = Shape(counts, request.min_size, request.max_size).checked(n)
    if counts[-1] == n:  # a nesting, but none that a file could say
        text = f"{n:,} groups of {n:,} classes are the classes themselves"
        raise SpecError(text, place=f"groups {shape}, level {len(counts)}", hint="give --groups with smaller numbers")
    return shape, current


_VALUES = {"weights": "FILE", "timm": "NAME", "data": "FOLDER", "confusions": "FILE.csv"}
_PATHS = {"weights", "data", "network", "confusions", "text_model"}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _current_nesting(taxonomy: Taxonomy, request: SuggestRequest) -> Nesting:
    """The file's nesting; with `groups`, that of a model with as many levels, or none where its tree has too few."""
    if request.groups is None or request.model is not None:
        return nesting_of(taxonomy, request.model)
    try:
        return nesting_of(taxonomy, find_model(taxonomy, len(request.groups) + 1))
    except TaxonomyError:
        ids, labels = [c.id for c in taxonomy.classes], [c.name for c in taxonomy.classes]
        return Nesting.from_levels(ids, [], labels=labels, name=str(taxonomy.path))
