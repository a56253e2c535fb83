"""Several nestings of the same classes beside each other: each alone, each against the first, and all in pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from hiergen.errors import HiergenError, PlanError
from hiergen.partitions.agreement import Agreement, agreement, matched_levels
from hiergen.partitions.coherence import Coherence, Matrix, coherence
from hiergen.partitions.costs import CutoutCost, cutout_cost, expected_cutout_cost, plan_grouping
from hiergen.partitions.grouping import Grouping, aligned, grouping_of, read_grouping
from hiergen.partitions.moved import Moves, moves
from hiergen.partitions.share import Share, Shares
from hiergen.partitions.similarity import MEASURES, grouping_similarity, outside_wordnet, wordnet_similarity
from hiergen.partitions.tasks import Task, read_tasks
from hiergen.partitions.treedistance import TreeDistance, tree_distance
from hiergen.plan.ir import Plan
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.terminal import command

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Cost:
    """A network of a nesting on the trunk and within the budget of `model`; `tasks`: (params, MACs) of each task's
    cutout, `expected` their weighted mean (None without tasks)."""

    model: str
    params: int
    macs: int
    tasks: dict[str, tuple[int, int]]
    expected: CutoutCost | None


@dataclass(frozen=True)
class Nest:
    """What is said of one nesting alone. `shares`: of each level among all partitions, and of the whole nest.

    `coherence`: by measure; empty where WordNet has none of the classes. `cost` is None where there is no taxonomy
    file, the backbone was never measured, or the budget is too small; `no_cost` says which.
    """

    title: str
    grouping: Grouping
    shares: tuple[Share, ...]
    share: Share
    coherence: dict[str, Coherence]
    cost: Cost | None
    no_cost: str | None


@dataclass(frozen=True)
class LevelPair:
    """A level of the first nesting against its partner in the second (both from 0)."""

    first: int
    second: int
    agreement: Agreement
    moves: Moves


@dataclass(frozen=True)
class Pair:
    """Two nestings, by their index."""

    first: int
    second: int
    levels: tuple[LevelPair, ...]
    distance: TreeDistance

    def mean(self, index: str) -> float | None:
        """Mean of one index of `Agreement` over the compared levels; None where there are none."""
        values = [float(getattr(level.agreement, index)) for level in self.levels]
        return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class Comparison:
    """`pairs` are all pairs, those with the first nesting first; `outside`: classes that WordNet has not."""

    nests: tuple[Nest, ...]
    pairs: tuple[Pair, ...]
    tasks: tuple[Task, ...]
    outside: int = 0

    def table(self, console: Console, *, moved: int = 20) -> None:
        """Print it: one column per nesting, the matrix of all pairs, up to `moved` classes that moved."""
        from hiergen.partitions.report import print_comparison

        print_comparison(self, console, moved=moved)

    def as_data(self) -> dict[str, Any]:
        """JSON-ready; what cannot be said is None."""
        return {
            "classes": len(self.nests[0].grouping.classes),
            "outside_wordnet": self.outside,
            "nestings": [_nest_data(nest) for nest in self.nests],
            "pairs": [self._pair_data(pair) for pair in self.pairs],
            "tasks": [
                {"name": t.name, "classes": [self.nests[0].grouping.classes[c] for c in t.classes], "weight": t.weight}
                for t in self.tasks
            ],
        }

    def _pair_data(self, pair: Pair) -> dict[str, Any]:
        a, b = (self.nests[i].grouping for i in (pair.first, pair.second))
        return {
            "first": self.nests[pair.first].title,
            "second": self.nests[pair.second].title,
            "levels": [_level_data(level, a, b) for level in pair.levels],
            "tree": pair.distance.as_data(),
        }


def compare_nestings(
    names: Sequence[str], *, tasks: Sequence[Path] = (), svg: Path | None = None, progress: Progress = lambda _: None
) -> Comparison:
    """Compare nestings, each "FILE.yaml", "FILE.yaml:MODEL" or a generated model (`grouping.read_grouping`).

    Class order, WordNet, trunk and budget are those of the first taxonomy file among them, so that costs are on equal
    terms. `tasks` are files as `tasks.read_tasks` takes them, `svg` is where to draw a picture.
    Raises HiergenError for a file that cannot be read, other classes (with the difference), or a bad path.
    """
    if not names:
        raise HiergenError("nothing to compare", expected="taxonomy files, or FILE:MODEL")
    loaded: dict[str, Taxonomy] = {}
    read = [_read(name, loaded) for name in names]
    reference = next((taxonomy for _, taxonomy, _ in read if taxonomy), None)
    groupings = [grouping for grouping, _, _ in read]
    if reference is not None:
        groupings = aligned(
            [grouping_of(reference, next(iter(reference.levels)), name=str(reference.path)), *groupings]
        )[1:]
    else:
        groupings = aligned(groupings)
    models = [model if taxonomy is reference else None for _, taxonomy, model in read]
    return compare_groupings(
        groupings,
        taxonomy=reference,
        titles=titles_of(names),
        models=models,
        tasks=read_tasks(tasks, groupings[0]),
        svg=svg,
        progress=progress,
    )


def compare_groupings(
    groupings: Sequence[Grouping],
    *,
    taxonomy: Taxonomy | None = None,
    titles: Sequence[str] | None = None,
    models: Sequence[str | None] | None = None,
    tasks: Sequence[Task] = (),
    svg: Path | None = None,
    progress: Progress = lambda _: None,
) -> Comparison:
    """As `compare`, for nestings in memory over the classes of `taxonomy` in its order.

    `models` are those of `taxonomy` whose trunk and budget each nesting takes (None: the first of as many levels).
    """
    titles = titles or [g.name for g in groupings]
    if svg is not None:
        from hiergen.partitions.picture import write_picture

        if len(groupings) < 2:
            raise HiergenError("a picture needs two nestings or more", got=str(len(groupings)))
        progress("picture")
        write_picture(svg, groupings, titles)
    progress("similarity")
    first = groupings[0]
    outside = outside_wordnet(taxonomy or first)
    similar: dict[str, Matrix] = {
        how: wordnet_similarity(taxonomy, how) if taxonomy else grouping_similarity(first, how)
        for how in (MEASURES if outside < len(first.classes) else ())  # else it would be the nesting's own
    }
    shares = Shares(len(first.classes))
    nests = []
    for g, title, model in zip(groupings, titles, models or [None] * len(groupings), strict=True):
        progress(title)
        cost, why = _cost(taxonomy, g, model, tasks)
        found = {how: coherence(g, similarity) for how, similarity in similar.items()}
        nests.append(Nest(title, g, shares.levels(g), shares.whole(g), found, cost, why))
    pairs = []
    for i, j in combinations(range(len(groupings)), 2):
        progress(f"{titles[i]} against {titles[j]}")
        pairs.append(_pair(i, j, groupings[i], groupings[j]))
    return Comparison(tuple(nests), tuple(pairs), tuple(tasks), outside)


def titles_of(names: Sequence[str]) -> list[str]:
    """Short names for columns: without folder and suffix where that tells them apart."""
    short = []
    for name in names:
        file, colon, model = name.rpartition(":") if ":" in name else (name, "", "")
        short.append(f"{Path(file).stem}{colon}{model}")
    return short if len(set(short)) == len(set(names)) else list(names)


def _read(name: str, loaded: dict[str, Taxonomy]) -> tuple[Grouping, Taxonomy | None, str | None]:
    file, _, model = name.rpartition(":") if ":" in name and not Path(name).exists() else (name, "", "")
    if not file.endswith((".yaml", ".yml")):
        return read_grouping(name), None, None
    if file not in loaded:
        loaded[file] = load_taxonomy(file)
    taxonomy = loaded[file]
    model = model or max(taxonomy.levels, key=lambda known: taxonomy.levels[known])
    return grouping_of(taxonomy, model, name=name), taxonomy, model


def _pair(i: int, j: int, a: Grouping, b: Grouping) -> Pair:
    levels = [
        LevelPair(x, y, agreement(a.levels[x], b.levels[y]), moves(a.levels[x], b.levels[y]))
        for x, y in matched_levels(a, b)
    ]
    return Pair(i, j, tuple(levels), tree_distance(a, b))


def _cost(
    taxonomy: Taxonomy | None, grouping: Grouping, model: str | None, tasks: Sequence[Task]
) -> tuple[Cost | None, str | None]:
    if taxonomy is None:
        return None, "no taxonomy file says the trunk and the budget"
    try:
        plan = plan_grouping(taxonomy, grouping, model)
    except PlanError as error:
        return None, str(error)
    if plan is None:
        return None, f"the backbone was never measured here; {command(('hiergen', 'build', taxonomy.path))} does it"
    return _costs(plan, grouping, tasks), None


def _costs(plan: Plan, grouping: Grouping, tasks: Sequence[Task]) -> Cost:
    each = {task.name: cutout_cost(plan, grouping, task.classes) for task in tasks}
    expected = None
    if tasks:
        expected = expected_cutout_cost(plan, grouping, [t.classes for t in tasks], [t.weight for t in tasks])
    return Cost(plan.model, plan.params, plan.macs, each, expected)


def sizes(grouping: Grouping) -> list[tuple[int, float, int]]:
    """(fewest, median, most) classes of a group, per level."""
    counts = [level.sizes() for level in grouping.levels]
    return [(min(level), float(median(level)), max(level)) for level in counts]


def _nest_data(nest: Nest) -> dict[str, Any]:
    g = nest.grouping
    return {
        "name": g.name,
        "title": nest.title,
        "k": g.k,
        "groups": list(g.counts),
        "sizes": [level.sizes() for level in g.levels],
        "share": {"levels": [share.as_data() for share in nest.shares], "whole": nest.share.as_data()},
        "coherence": {how: found.as_data() for how, found in nest.coherence.items()} or None,
        "cost": asdict(nest.cost) if nest.cost else None,
        "no_cost": nest.no_cost,
    }


def _level_data(level: LevelPair, a: Grouping, b: Grouping) -> dict[str, Any]:
    before, after = a.levels[level.first], b.levels[level.second]
    return {
        "first": level.first + 1,
        "second": level.second + 1,
        **level.agreement.as_data(),
        "matched": {
            before.names[i]: after.names[partner] if partner is not None else None
            for i, partner in enumerate(level.moves.partners)
        },
        "moved": [
            {
                "class": a.classes[m.index],
                "name": a.labels[m.index],
                "from": before.names[m.before],
                "to": after.names[m.after],
            }
            for m in level.moves.moved
        ],
    }
