"""The search as one call: a taxonomy file and an objective in; out comes a new file with the best nesting that was
reached, and how far it is above chance and above the file's own nesting."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from threadpoolctl import threadpool_limits

from hiergen.errors import HiergenError
from hiergen.nestings.read import read_tasks
from hiergen.nestings.search.kinds import ObjectiveInputs, make_objective, objective_kind
from hiergen.nestings.search.objectives import Objective
from hiergen.nestings.search.optimise import Optimised, optimise
from hiergen.nestings.search.space import Labels, Space, space_of
from hiergen.nestings.suggest.evidence import Evidence
from hiergen.nestings.suggest.kinds import OPTIONS, Progress
from hiergen.nestings.suggest.naming import name_groups
from hiergen.nestings.suggest.propose import MARGIN_NOTE, Proposal, mark_doubts
from hiergen.nestings.suggest.request import SuggestRequest, refuse_unread, typed_command
from hiergen.nestings.suggest.shape import Shape
from hiergen.nestings.suggest.suggest import Suggestion, open_draft
from hiergen.nestings.suggest.wordnet import depth_evidence
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Nesting

DRAWS = 100


@dataclass(frozen=True)
class Chance:
    """Scores of random nestings of one shape: their mean, standard deviation, and the best of them."""

    mean: float
    sd: float
    best: float

    def z(self, score: float, *, more: bool) -> float:
        """How many standard deviations better than chance; nan where chance does not vary."""
        gap = score - self.mean if more else self.mean - score
        return gap / self.sd if self.sd > 1e-12 * max(abs(self.mean), 1e-12) else math.nan


@dataclass(frozen=True)
class SearchResult:
    """The best nesting (groups are numbered: `naming.name_groups` names them), and how good it is.

    `random`: `DRAWS` relabellings of it (all sizes the same; where sizes alone decide, random sizes); `z`: how far
    `score` is above them, in their standard deviations. `current` is the score of the file's own nesting (None: it has
    no groups), `current_z` against relabellings of its own. Less is better where `more` is False. `rounds`: the scores
    that the rounds came to. `stopped`: Ctrl-C ended it. `tie`: what decided between equals.
    """

    nesting: Nesting
    objective: str
    score: float
    z: float
    more: bool
    current: float | None
    current_z: float
    random: Chance
    rounds: tuple[float, ...]
    tie: str | None
    steps: int
    seconds: float
    stopped: bool

    def rows(self) -> list[tuple[str, str, str]]:
        """(what, score, remark) for a table."""
        current = "–" if self.current is None else f"{self.current:.4f}"
        return [
            ("found", f"{self.score:.4f}", _z(self.z)),
            ("the file's own", current, _z(self.current_z) if self.current is not None else "it has no groups"),
            (f"random, mean of {DRAWS}", f"{self.random.mean:.4f}", f"sd {self.random.sd:.4f}"),
            (f"random, best of {DRAWS}", f"{self.random.best:.4f}", ""),
        ]

    def notes(self) -> tuple[str, ...]:
        """Sentences for the head of a file that holds the nesting: the same for the same steps, on every machine."""
        sentence = f"Found by search for {self.objective}. Score {self.score:.4f}, {_z(self.z)} against relabellings."
        text = [sentence]
        if self.tie is not None:
            text.append(f"Where that leaves a choice, by {self.tie}.")
        if self.current is not None:
            text.append(f"The nesting of the file that it was made from scores {self.current:.4f}.")
        return tuple(text)

    def as_data(self) -> dict[str, Any]:
        """For JSON: None for nan."""
        data = {
            "objective": self.objective,
            "more_is_better": self.more,
            "score": self.score,
            "z": _plain(self.z),
            "own": self.current,
            "own_z": _plain(self.current_z),
            "random": {"draws": DRAWS, **asdict(self.random)},
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "rounds": list(self.rounds),
            "stopped": self.stopped,
            "tie": self.tie,
        }
        return {"search": data}


def find_best(
    taxonomy: Taxonomy,
    start: Nesting,
    *,
    objective: Objective,
    shape: Shape | None = None,
    same_sizes: bool = False,
    seed: int = 0,
    steps: int | None = None,
    tick: Callable[[int, int], None] = lambda *_: None,
) -> SearchResult:
    """The best nesting of `shape` (default: as many groups as `start`) by `objective` (`kinds.make_objective`).

    `same_sizes` keeps the sizes of `start`, so that only who is with whom is compared. It ends after `steps` proposals
    (default: eight rounds), or at Ctrl-C with the best so far; the same seed and steps come to the same nesting on
    every machine. `tick` gets steps done, and all. Raises HiergenError for a shape that cannot be, and for an objective
    that all its nestings share.
    """
    if seed < 0 or (steps is not None and steps < 1):
        raise HiergenError("a search needs steps above 0, and a seed from 0", got=f"steps {steps}, seed {seed}")
    start = start.in_class_order([c.id for c in taxonomy.classes])
    space = space_of(start, shape, same_sizes=same_sizes)
    objective.check(space)
    current: Labels = [level.of for level in start.levels]
    since = time.perf_counter()
    with threadpool_limits(1):  # the matrices are small, and BLAS threads that wait for a busy core spin
        best = optimise(space, objective, current if space.holds(current) else None, steps=steps, seed=seed, tick=tick)
    return _report(best, start, current, objective, space, seed, time.perf_counter() - since)


def _report(
    best: Optimised, start: Nesting, current: Labels, objective: Objective, space: Space, seed: int, seconds: float
) -> SearchResult:
    score, more, rng = objective.score(best.labels), objective.more, Random(seed)
    random = _chance(objective, best.labels, rng, space if objective.sizes_alone else None)
    current_score = objective.score(current) if current else None
    current_z = math.nan
    if current_score is not None:
        current_z = _chance(objective, current, rng, None).z(current_score, more=more)
    sign = 1 if more else -1  # of a gain; scores and gains differ by what all nestings of the space share
    return SearchResult(
        nesting=Nesting.from_levels(
            start.classes, best.labels, labels=start.labels, name=f"nesting of {start.name} by search"
        ),
        objective=objective.what,
        score=score,
        z=random.z(score, more=more),
        more=more,
        current=current_score,
        current_z=current_z,
        random=random,
        rounds=tuple(score + sign * (value - best.value) for value in best.rounds),
        tie=None if objective.tie is None or best.stopped else objective.tie.what,
        steps=best.steps,
        seconds=seconds,
        stopped=best.stopped,
    )


def _chance(objective: Objective, labels: Labels, rng: Random, space: Space | None) -> Chance:
    """`DRAWS` random relabellings of a nesting; with a space, nestings drawn from it."""
    scores, order = [], list(range(len(labels[0])))
    for _ in range(DRAWS):
        rng.shuffle(order)
        drawn = [[level[c] for c in order] for level in labels] if space is None else space.draw(rng)
        scores.append(objective.score(drawn))
    return Chance(statistics.fmean(scores), statistics.stdev(scores), max(scores) if objective.more else min(scores))


def _z(value: float) -> str:
    return "–" if math.isnan(value) else f"z {value:+.1f}"


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value


def search(
    file: str | Path,
    request: SuggestRequest = SuggestRequest(),  # noqa: B008 - frozen
    *,
    objective: str = "coherence",
    tasks: Sequence[str | Path] = (),
    same_sizes: bool = False,
    steps: int | None = None,
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Suggestion:
    """Search the nestings of the file's shape, or of `request`'s, for the best by an objective (`kinds.OBJECTIVES`);
    write it to `out`, by default beside the file as NAME-search.yaml. The result is at least as good as the file's own.

    Evidence of a kind other than WordNet's is what coherence and separability are of. Further arguments as
    `find_best` has them; `proposal.detail` is its result. Raises HiergenError as that, and as `suggest`.
    """
    kind = objective_kind(objective)
    if kind.evidence:
        request.check()
    else:
        given = {name: getattr(request, name) for name in OPTIONS}
        by = {"by": None if request.by == "wordnet" else request.by}
        refuse_unread({**by, **given}, f"with --objective {objective}", "it looks at sizes and tasks only")
    draft = open_draft(file, request, "search", out=out, force=force)
    taxonomy = draft.taxonomy
    evidence = _evidence(taxonomy, objective, request, progress) if kind.evidence else None
    inputs = ObjectiveInputs(taxonomy, evidence, read_tasks(tasks, draft.current) if tasks else (), request.model)
    result = find_best(
        taxonomy,
        draft.current,
        objective=make_objective(objective, inputs),
        shape=draft.shape,
        same_sizes=same_sizes,
        seed=request.seed,
        steps=steps,
        tick=progress or (lambda *_: None),
    )
    alike = evidence or depth_evidence(taxonomy)
    nesting = name_groups(taxonomy, result.nesting, alike)
    marks = mark_doubts(alike, nesting) if kind.evidence else {}
    notes = (*result.notes(), *(evidence.notes if evidence else ()), *([MARGIN_NOTE] if marks else []))
    words = ["--objective", objective, *(word for task in tasks for word in ("--tasks", Path(task).name))]
    words += [*request.words(), *(["--same-sizes"] if same_sizes else [])]
    words += ["--steps", str(steps)] if steps is not None else []
    proposal = Proposal(nesting, marks, notes, result)
    return draft.finish(proposal, typed_command("search", taxonomy.path, words))


def _evidence(
    taxonomy: Taxonomy, objective: str, request: SuggestRequest, progress: Progress | None
) -> Evidence | None:
    """None for coherence by Wu and Palmer's similarity, which it is unless something else is given."""
    return None if objective == "coherence" and request.by == "wordnet" else request.gather(taxonomy, None, progress)
