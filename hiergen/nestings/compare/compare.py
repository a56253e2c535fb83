"""Several nestings of the same classes beside each other: each alone, each against the first, and all in pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hiergen.console.terminal import command
from hiergen.errors import HiergenError, PlanError
from hiergen.lookup.reference import parse_reference, read_taxonomy
from hiergen.nestings.compare.agreement import (
    Agreement,
    Moves,
    TreeDistance,
    agreement,
    matched_levels,
    moves,
    tree_distance,
)
from hiergen.nestings.compare.coherence import Coherence, Matrix, coherence
from hiergen.nestings.compare.report import print_comparison
from hiergen.nestings.compare.similarity import MEASURES, nesting_similarity, outside_wordnet, wordnet_similarity
from hiergen.nestings.compare.verdict import terms_of, verdicts
from hiergen.nestings.count.count import Share, level_shares, share_of
from hiergen.nestings.read import Task, align, nesting_of, read_nesting, read_tasks
from hiergen.planning.from_taxonomy import plan_nesting
from hiergen.planning.plan import Plan
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Nesting

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str], None]


@dataclass(frozen=True)
class CutoutCost:
    """Params, and MACs for one image: means over tasks, weighted."""

    params: float
    macs: float


@dataclass(frozen=True)
class GroupCost(CutoutCost):
    """Of one group's cutout: means over the finest groups, and how many classes such a group has."""

    classes: float


@dataclass(frozen=True)
class NetworkCost:
    """A network of a nesting on the trunk and within the budget of `model`; `tasks`: (params, MACs) of each task's
    cutout, `expected` their weighted mean (None without tasks).

    `group`: the mean over the finest groups, of their own branches. `terms` says whose budget or aim it is, `shared`
    whether there is a branch for all classes, too.
    """

    model: str
    params: int
    macs: int
    tasks: dict[str, tuple[int, int]]
    expected: CutoutCost | None
    group: GroupCost
    terms: str
    shared: bool


@dataclass(frozen=True)
class NestingFigures:
    """What is said of one nesting alone. `shares`: of each level among all partitions, and of the whole nesting.

    `coherence`: by measure; empty where WordNet has none of the classes. `cost` is None where there is no taxonomy
    file, the backbone was never measured, or the budget is too small; `no_cost` says which. `called`: its title, with
    the model.
    """

    title: str
    nesting: Nesting
    shares: tuple[Share, ...]
    share: Share
    coherence: dict[str, Coherence]
    cost: NetworkCost | None
    no_cost: str | None
    called: str


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

    nestings: tuple[NestingFigures, ...]
    pairs: tuple[Pair, ...]
    tasks: tuple[Task, ...]
    outside: int = 0

    def table(self, console: Console, *, moved: int = 20) -> None:
        """Print it: one column per nesting, the matrix of all pairs, up to `moved` classes that moved."""
        print_comparison(self, console, moved=moved)

    @property
    def verdicts(self) -> list[str]:
        """What it comes to, in sentences."""
        return verdicts(self.nestings)

    def as_data(self) -> dict[str, Any]:
        """JSON-ready; what cannot be said is None."""
        return {
            "classes": len(self.nestings[0].nesting.classes),
            "outside_wordnet": self.outside,
            "nestings": [_figures_data(figures) for figures in self.nestings],
            "pairs": [self._pair_data(pair) for pair in self.pairs],
            "tasks": [
                {
                    "name": t.name,
                    "classes": [self.nestings[0].nesting.classes[c] for c in t.classes],
                    "weight": t.weight,
                }
                for t in self.tasks
            ],
            "verdicts": self.verdicts,
        }

    def _pair_data(self, pair: Pair) -> dict[str, Any]:
        a, b = (self.nestings[i].nesting for i in (pair.first, pair.second))
        return {
            "first": self.nestings[pair.first].title,
            "second": self.nestings[pair.second].title,
            "levels": [_level_data(level, a, b) for level in pair.levels],
            "tree": pair.distance.as_data(),
        }


def compare_nestings(
    names: Sequence[str], *, tasks: Sequence[Path] = (), progress: Progress = lambda _: None
) -> Comparison:
    """Compare nestings, each "FILE.yaml", "FILE.yaml:MODEL" or a generated model (`read.read_nesting`).

    Class order, WordNet, trunk and budget are those of the first taxonomy file among them, so that costs are on equal
    terms. `tasks` are files as `read.read_tasks` takes them; `views.alluvial` draws them.
    Raises HiergenError for a file that cannot be read, other classes (with the difference), or a bad path.
    """
    if not names:
        raise HiergenError("nothing to compare", expected="taxonomy files, or FILE:MODEL")
    loaded: dict[Path, Taxonomy] = {}
    read = [_read(name, loaded) for name in names]
    reference = next((taxonomy for _, taxonomy, _ in read if taxonomy), None)
    nestings = [nesting for nesting, _, _ in read]
    if reference is not None:
        nestings = align([nesting_of(reference, next(iter(reference.levels)), name=str(reference.path)), *nestings])[1:]
    else:
        nestings = align(nestings)
    titles = titles_of(names)
    called = [
        f"{title}:{model}" if model and not parse_reference(name).model else title
        for name, title, (_, _, model) in zip(names, titles, read, strict=True)
    ]
    return compare_in_memory(
        nestings,
        taxonomy=reference,
        titles=titles,
        called=called,
        models=[model if taxonomy is reference else None for _, taxonomy, model in read],
        tasks=read_tasks(tasks, nestings[0]),
        progress=progress,
    )


def compare_in_memory(
    nestings: Sequence[Nesting],
    *,
    taxonomy: Taxonomy | None = None,
    titles: Sequence[str] | None = None,
    called: Sequence[str] | None = None,
    models: Sequence[str | None] | None = None,
    tasks: Sequence[Task] = (),
    progress: Progress = lambda _: None,
) -> Comparison:
    """As `compare_nestings`, for nestings in memory over the classes of `taxonomy` in its order.

    `models` are those of `taxonomy` whose trunk and budget each nesting takes (None: the first of as many levels).
    `titles` head the columns, `called` are the names in sentences (default: the titles).
    """
    titles = titles or [g.name for g in nestings]
    progress("similarity")
    first = nestings[0]
    outside = outside_wordnet(taxonomy or first)
    similar: dict[str, Matrix] = {
        how: wordnet_similarity(taxonomy, how) if taxonomy else nesting_similarity(first, how)
        for how in (MEASURES if outside < len(first.classes) else ())  # else it would be the nesting's own
    }
    every = []
    rows = zip(nestings, titles, called or titles, models or [None] * len(nestings), strict=True)
    for g, title, name, model in rows:
        progress(title)
        cost, why = _cost(taxonomy, g, model, tasks)
        scores = {how: coherence(g, similarity) for how, similarity in similar.items()}
        every.append(NestingFigures(title, g, level_shares(g), share_of(g), scores, cost, why, name))
    pairs = []
    for i, j in combinations(range(len(nestings)), 2):
        progress(f"{titles[i]} against {titles[j]}")
        pairs.append(_pair(i, j, nestings[i], nestings[j]))
    return Comparison(tuple(every), tuple(pairs), tuple(tasks), outside)


def titles_of(names: Sequence[str]) -> list[str]:
    """Short names for columns: without folder and suffix where that tells them apart."""
    short = []
    for name in names:
        reference = parse_reference(name)
        short.append(f"{reference.path.stem}:{reference.model}" if reference.model else reference.path.stem)
    return short if len(set(short)) == len(set(names)) else list(names)


def _read(name: str, loaded: dict[Path, Taxonomy]) -> tuple[Nesting, Taxonomy | None, str | None]:
    reference = parse_reference(name)
    if reference.kind != "taxonomy":
        return read_nesting(name), None, None
    taxonomy = read_taxonomy(reference.path, loaded)
    return read_nesting(name, loaded), taxonomy, taxonomy.check_model(reference.model or taxonomy.deepest)


def _pair(i: int, j: int, a: Nesting, b: Nesting) -> Pair:
    levels = [
        LevelPair(x, y, agreement(a.levels[x], b.levels[y]), moves(a.levels[x], b.levels[y]))
        for x, y in matched_levels(a, b)
    ]
    return Pair(i, j, tuple(levels), tree_distance(a, b))


def _cost(
    taxonomy: Taxonomy | None, nesting: Nesting, model: str | None, tasks: Sequence[Task]
) -> tuple[NetworkCost | None, str | None]:
    if taxonomy is None:
        return None, "no taxonomy file says the trunk and the budget"
    try:
        plan = plan_nesting(taxonomy, nesting, model)
    except PlanError as error:
        return None, str(error)
    if plan is None:
        run = command(("hiergen", "build", taxonomy.path))
        return None, f"the backbone, or the model's ms, was never measured here; {run} does it"
    return _network_cost(taxonomy, plan, tasks), None


def _network_cost(taxonomy: Taxonomy, plan: Plan, tasks: Sequence[Task]) -> NetworkCost:
    each = {task.name: plan.cutout_cost(frozenset(task.classes)) for task in tasks}
    expected = None
    if tasks:
        total = sum(task.weight for task in tasks)
        params, macs = (sum(task.weight * each[task.name][i] for task in tasks) / total for i in (0, 1))
        expected = CutoutCost(params, macs)
    spec = taxonomy.spec.models[plan.model]
    terms = terms_of(spec, f"{taxonomy.path.stem}:{plan.model}")
    return NetworkCost(plan.model, plan.params, plan.macs, each, expected, _group_cost(plan), terms, bool(plan.for_all))


def _group_cost(plan: Plan) -> GroupCost:
    """Of the finest groups that plans and aims mean; without levels of groups each class is one."""
    groups = plan.nesting.levels[-1].groups if plan.nesting.levels else ()
    kept = [frozenset(g.classes) for g in groups] or [frozenset([c]) for c in range(len(plan.classes))]
    costs = [plan.cutout_cost(classes) for classes in kept]
    params, macs = (sum(cost[i] for cost in costs) / len(costs) for i in (0, 1))
    return GroupCost(params, macs, sum(map(len, kept)) / len(kept))


def _figures_data(figures: NestingFigures) -> dict[str, Any]:
    g = figures.nesting
    return {
        "name": g.name,
        "title": figures.title,
        "k": g.depth,
        "groups": list(g.counts),
        "sizes": [level.sizes for level in g.levels],
        "share": {"levels": [share.as_data() for share in figures.shares], "whole": figures.share.as_data()},
        "coherence": {how: score.as_data() for how, score in figures.coherence.items()} or None,
        "cost": asdict(figures.cost) if figures.cost else None,
        "no_cost": figures.no_cost,
    }


def _level_data(level: LevelPair, a: Nesting, b: Nesting) -> dict[str, Any]:
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
