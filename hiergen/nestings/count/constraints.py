"""What a nesting has to satisfy: groups and sizes per level, classes kept together or apart, a tree to be consistent
with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hiergen.errors import HiergenError, quoted

if TYPE_CHECKING:
    from hiergen.taxonomy.load import Taxonomy


@dataclass(frozen=True)
class ClassTree:
    """`children[v]` are the children of node v, `leaf[v]` is its class index or -1; node 0 is the root, and children
    come after their parents. `classes`: how many. Nodes have classes below them; single children are allowed."""

    name: str
    children: tuple[tuple[int, ...], ...]
    leaf: tuple[int, ...]

    @property
    def classes(self) -> int:
        return sum(c >= 0 for c in self.leaf)


def class_tree(taxonomy: Taxonomy, classes: Sequence[str] | None = None) -> ClassTree:
    """The merged tree of a taxonomy file, over its classes in logit order, or in the order of these ids.

    Raises TaxonomyError, with the difference, where the ids are others than the file's.
    """
    from hiergen.errors import TaxonomyError, listed
    from hiergen.taxonomy.tree import ROOT

    ids = [c.id for c in taxonomy.classes]
    place = {c: i for i, c in enumerate(ids if classes is None else classes)}
    if set(ids) != set(place):
        lacks, more = sorted(set(place) - set(ids)), sorted(set(ids) - set(place))
        parts = [f"{len(lacks)} not in it ({listed(lacks)})"] if lacks else []
        parts += [f"{len(more)} only in it ({listed(more)})"] if more else []
        raise TaxonomyError(f"is over other classes: {'; '.join(parts)}", place=str(taxonomy.path))
    tree = taxonomy.tree
    order: dict[str, int] = tree.graph["order"]
    keys = [ROOT]
    for key in keys:  # grows while it is read: breadth first
        keys.extend(tree.succ[key])
    number = {key: i for i, key in enumerate(keys)}
    children = tuple(tuple(number[child] for child in tree.succ[key]) for key in keys)
    return ClassTree(
        str(taxonomy.path), children, tuple(place[ids[order[key]]] if key in order else -1 for key in keys)
    )


Span = tuple[int, int | None]  # from, to; None: no end
FREE: Span = (1, None)
MOST_CLASSES = 10**10
MOST_LEVELS = 10**18
SHOWN = 6  # constraints that a sentence repeats


class UnsatisfiableError(HiergenError):
    """Constraints that no nesting satisfies together."""


@dataclass(frozen=True)
class Constraints:
    """All of them hold at once. Of `groups`, `min_size` and `max_size` there is none, one for all levels, or one per
    level (k - 1 of them, coarse to fine). Sizes count classes.

    `must_link`: pairs of class indices that share a group on every level. `cannot_link`: pairs that share none, on no
    level; as levels refine, that is to be apart on the coarsest. `tree`: every group of every level is one or more
    children of one node of it, with all the classes below them.

    >>> constraints = Constraints(groups=((5, 5), (10, 20)), min_size=(2,))
    """

    groups: tuple[Span, ...] = ()
    min_size: tuple[int, ...] = ()
    max_size: tuple[int | None, ...] = ()
    must_link: tuple[tuple[int, int], ...] = ()
    cannot_link: tuple[tuple[int, int], ...] = ()
    tree: ClassTree | None = None
    labels: tuple[str, ...] = field(default=(), compare=False, repr=False)  # names of the classes, for messages

    def __bool__(self) -> bool:
        return self != Constraints()

    def names(self, limit: int | None = None) -> list[str]:
        """Each constraint as the command line says it, a link as a pair of classes; at most `limit` and how many
        there are more."""
        texts = []
        if self.groups:
            texts.append(f"--groups {','.join(map(span_text, self.groups))}")
        if self.min_size:
            texts.append(f"--min-size {','.join(map(str, self.min_size))}")
        if self.max_size:
            texts.append(f"--max-size {','.join('*' if size is None else str(size) for size in self.max_size)}")
        if self.tree is not None:
            texts.append(f"--consistent {self.tree.name}")
        for option, pairs in (("--must-link", self.must_link), ("--cannot-link", self.cannot_link)):
            texts += [f"{option} {self._label(a)},{self._label(b)}" for a, b in pairs]
        rest = len(texts) - len(texts[:limit])
        return [*texts[:limit], *([f"{rest:,} more"] if rest else [])]

    def _label(self, c: int) -> str:
        return self.labels[c] if c < len(self.labels) else str(c)


def unsatisfiable(n: int, constraints: Constraints) -> UnsatisfiableError:
    """The sentence for constraints that cannot hold together."""
    return UnsatisfiableError(
        f"no nesting of {n:,} classes satisfies {' and '.join(constraints.names(SHOWN))}",
        hint="loosen one of them: fewer groups or links, smaller --min-size or larger --max-size",
    )


@dataclass(frozen=True)
class Limits:
    """What one level allows, as the user says it, with ends: `groups` and `sizes`, both inclusive."""

    groups: tuple[int, int]
    sizes: tuple[int, int]


HUGE = 10**18


def check(n: int, k: int, constraints: Constraints) -> None:
    """Raises HiergenError for numbers that make no question: n < 1, k < 1, one constraint too few, no such class."""
    if n < 1:
        raise HiergenError("nothing to group", expected="at least 1 class", got=str(n))
    if n > MOST_CLASSES:
        raise HiergenError("too many classes", expected=f"at most {MOST_CLASSES:,}", got=short(n))
    if k > MOST_LEVELS:
        raise HiergenError("too many levels", expected=f"at most {MOST_LEVELS:,}", got=short(k))
    if k < 1:
        raise HiergenError("no levels", expected="at least 1 level (the classes)", got=short(k))
    for name, values in (
        ("--groups", constraints.groups),
        ("--min-size", constraints.min_size),
        ("--max-size", constraints.max_size),
    ):
        if values and k == 1:
            raise HiergenError(f"{name} on a network of 1 level", hint="its classes are not grouped; take 2 levels")
        if len(values) not in {0, 1, k - 1}:
            raise HiergenError(
                f"{name} has {len(values)} values",
                expected=f"one for all levels, or {k - 1}: one for each level above the classes, coarse to fine",
            )
    for name, pairs in (("--must-link", constraints.must_link), ("--cannot-link", constraints.cannot_link)):
        for a, b in pairs:
            if not (0 <= a < n and 0 <= b < n):
                raise HiergenError(f"{name} {a},{b}: no such class", expected=f"indices from 0 to {n - 1}")
    if constraints.tree is not None and constraints.tree.classes != n:
        raise HiergenError(
            f"{constraints.tree.name} is over other classes", expected=f"{n} classes", got=str(constraints.tree.classes)
        )


def limits(k: int, constraints: Constraints) -> list[Limits] | Limits:
    """The limits of the k - 1 levels, coarse to fine; one `Limits` if all levels have the same (k may be huge)."""
    groups = [(low, HUGE if high is None else high) for low, high in constraints.groups or (FREE,)]
    lows: Sequence[int] = constraints.min_size or (1,)
    highs = [HUGE if high is None else high for high in constraints.max_size or (None,)]
    if len(groups) == len(lows) == len(highs) == 1:
        return Limits(groups[0], (lows[0], highs[0]))
    every = [list(v) * (k - 1) if len(v) == 1 else list(v) for v in (groups, lows, highs)]
    return [Limits(g, (low, high)) for g, low, high in zip(*every, strict=True)]


def parse_spans(text: str, option: str) -> tuple[Span, ...]:
    """ "5", "2-10", "5,10-20", "5-,*" → spans, one per level. Raises HiergenError for anything else."""
    return tuple(_span(piece.strip(), text, option) for piece in text.split(","))


def parse_sizes(text: str, option: str) -> tuple[int | None, ...]:
    """ "2", "5,2", "*,2" → sizes, one per level; None: no limit."""
    return tuple(None if p.strip() == "*" else _number(p.strip(), text, option) for p in text.split(","))


def span_text(span: Span) -> str:
    """ "5", "2-10", "5-", "*": what `parse_spans` reads."""
    low, high = span
    if high is None:
        return "*" if low <= 1 else f"{low}-"
    return str(low) if low == high else f"{low}-{high}"


def short(number: int) -> str:
    """A whole number as text, long ones by their number of digits."""
    bits = abs(number).bit_length()
    return f"{number:,}" if bits < 200 else f"a number of about {int(bits * 0.30103) + 1:,} digits"


def _span(piece: str, text: str, option: str) -> Span:
    if piece == "*":
        return FREE
    low, dash, high = piece.partition("-")
    first = _number(low, text, option)
    last = first if not dash else None if not high else _number(high, text, option)
    if last is not None and last < first:
        raise HiergenError(f"{option} {quoted(text)}: {first} is more than {last}", expected="FROM-TO, as 2-10")
    return first, last


def _number(piece: str, text: str, option: str) -> int:
    if not (piece.isascii() and piece.isdigit() and len(piece) <= 15) or int(piece) < 1:
        raise HiergenError(
            f"{option} cannot be {quoted(text)}",
            expected="whole numbers from 1"
            + (", ranges as 2-10, or *" if option == "--groups" else " or *")
            + ", with commas between levels",
        )
    return int(piece)
