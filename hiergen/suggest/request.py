"""What a suggestion is asked by, and of which shape."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from hiergen.errors import SpecError, TaxonomyError, nearest, quoted
from hiergen.partitions.grouping import Grouping, grouping_of, make_grouping
from hiergen.suggest.shape import Shape
from hiergen.suggest.unread import refuse_unread
from hiergen.taxonomy.load import Taxonomy

By = Literal["wordnet", "superclass", "weights", "features", "names", "random", "dissimilar", "llm"]
KINDS: tuple[By, ...] = get_args(By)


@dataclass(frozen=True)
class SuggestRequest:
    """Options of `hiergen suggest`, by the names they have there."""

    by: str = "wordnet"
    groups: tuple[int, ...] | None = None
    model: str | None = None
    min_size: int = 2
    max_size: int | None = None
    seed: int = 0
    criterion: str | None = None
    weights: Path | None = None
    key: str | None = None
    timm: str | None = None
    data: str | None = None
    network: str | None = None
    confusions: Path | None = None
    text_model: str | None = None
    batch_size: int = 64
    workers: int | None = None

    def checked(self) -> SuggestRequest:
        """Itself. Raises SpecError for an unknown kind, for one whose evidence is not given, and for evidence that this
        kind does not look at."""
        if self.by not in KINDS:
            raise SpecError(
                f"nothing to suggest by {quoted(self.by)}",
                expected=f"--by {', '.join(KINDS[:-1])} or {KINDS[-1]}",
                nearest=nearest(self.by, KINDS),
            )
        if self.by == "weights" and self.weights is None and self.timm is None:
            raise SpecError("--by weights: whose?", expected="--weights FILE.safetensors or .pth, or --timm NAME")
        if self.by == "features" and self.data is None and self.confusions is None:
            raise SpecError("--by features: of what?", expected="--data FOLDER, or --confusions FILE.csv")
        of = [name for name in ("confusions", "data") if name in self.read and getattr(self, name) is not None]
        refuse_unread(
            {name: getattr(self, name) for name in EVIDENCE if name not in self.read},
            " ".join([f"with --by {self.by}", *(f"--{name}" for name in of)]),
            f"it reads {', '.join(f'--{name}'.replace('_', '-') for name in self.read) or 'no evidence'}",
        )
        return self

    @property
    def read(self) -> tuple[str, ...]:
        """The evidence, of all in `EVIDENCE`, that this kind looks at."""
        found: tuple[str, ...] = _WORDS.get(self.by, ())
        if self.by not in {"weights", "features", "llm"}:
            return found
        if self.by != "weights" and self.confusions is not None:
            return (*found, "confusions")
        if self.by == "features" or (self.by == "llm" and self.data is not None):
            return (*found, "data", "network", "weights", "timm", "workers")
        return (*found, "weights", "key", "timm")

    def command(self, file: Path) -> str:
        """The command, files without their folders: what the head of a suggestion says."""
        words = ["hiergen", "suggest", file.name, "--by", self.by]
        if self.groups is not None:
            words += ["--groups", ",".join(map(str, self.groups))]
        for name in ("model", *EVIDENCE):
            value = getattr(self, name)
            if value is not None and name != "workers":
                words += [f"--{name.replace('_', '-')}", Path(value).name if name in _PATHS else value]
        if self.min_size != 2:
            words += ["--min-size", str(self.min_size)]
        if self.max_size is not None:
            words += ["--max-size", str(self.max_size)]
        if self.by == "random" or (self.by == "llm" and self.seed):
            words += ["--seed", str(self.seed)]
        return shlex.join(words)


EVIDENCE = ("criterion", "weights", "key", "timm", "data", "network", "confusions", "text_model", "workers")
_WORDS = {
    **dict.fromkeys(("wordnet", "superclass", "dissimilar"), ("criterion",)),
    "names": ("text_model",),
    "llm": ("criterion", "text_model"),
}
_PATHS = {"weights", "data", "network", "confusions", "text_model"}


def asked_shape(taxonomy: Taxonomy, request: SuggestRequest) -> tuple[Shape, Grouping]:
    """The shape, and the file's own nesting that it is compared with: `model`'s, by default the deepest.

    Raises SpecError where neither the file nor `groups` says how many groups there shall be, and where the classes
    cannot be grouped so.
    """
    own = _own(taxonomy, request)
    counts = own.counts if request.groups is None else request.groups
    if not counts:
        raise SpecError(
            "has no groups to take their number from",
            place=own.name,
            expected="--groups with the number of groups of each level, as --groups 5,15",
        )
    n = len(own.classes)
    shape = Shape(counts, request.min_size, request.max_size).checked(n)
    if counts[-1] == n:  # a nesting, but none that a file could say
        text = f"{n:,} groups of {n:,} classes are the classes themselves"
        raise SpecError(text, place=f"groups {shape}, level {len(counts)}", hint="give --groups with smaller numbers")
    return shape, own


def _own(taxonomy: Taxonomy, request: SuggestRequest) -> Grouping:
    """The file's nesting; with `groups`, that of a model with as many levels, or none where its tree has too few."""
    if request.groups is None or request.model is not None:
        return grouping_of(taxonomy, request.model)
    wanted = len(request.groups) + 1
    model = next((m for m, k in taxonomy.levels.items() if k == wanted), None)
    try:
        return grouping_of(taxonomy, model)
    except TaxonomyError:
        ids, labels = [c.id for c in taxonomy.classes], [c.name for c in taxonomy.classes]
        return make_grouping(str(taxonomy.path), ids, [], labels=labels)
