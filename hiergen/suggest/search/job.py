"""The search as one call: classes, a shape and an objective in; out comes the best nesting found, and how far it is
above chance, above the file's own nesting, and below what can be."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from hiergen.errors import HiergenError
from hiergen.partitions.grouping import Grouping, make_grouping
from hiergen.suggest.search.anneal import BLOCK
from hiergen.suggest.search.chance import permutation
from hiergen.suggest.search.engine import Engine, Tick, round_blocks
from hiergen.suggest.search.objective import Labels, Objective
from hiergen.suggest.search.space import Space, space_of
from hiergen.suggest.search.statefile import Identity, State, load, save
from hiergen.suggest.shape import Shape
from hiergen.taxonomy.load import Taxonomy

DRAWS = 100
ROUNDS = 8  # by default
_SALT = 3  # of the random draws' keys


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
class Found:
    """The best nesting found (groups are numbered: `naming.name_groups` names them), and how good it is.

    `random`: `DRAWS` relabellings of the found nesting (all sizes the same; where sizes alone decide, random sizes);
    `z`: how far `score` is above them, in their standard deviations. `wordnet` is the score of the file's own nesting
    (None: it has no groups), `wordnet_z` against relabellings of its own. `bound`: no nesting of the shape can be
    better (None: not known); less is better where `more` is False. `rounds`: the scores that the rounds came to.
    `stopped`: Ctrl-C ended it. `tie`: what decided between equals. `steps` and `seconds` are of all runs together that
    share a state.
    """

    grouping: Grouping
    score: float
    random: Chance
    wordnet: float | None
    bound: float | None
    steps: int
    seconds: float
    objective: str
    what: str
    more: bool
    z: float
    wordnet_z: float
    rounds: tuple[float, ...]
    stopped: bool
    tie: str | None

    @property
    def gap(self) -> float | None:
        """How much better than found anything can be at most."""
        return None if self.bound is None else abs(self.bound - self.score)

    def rows(self) -> list[tuple[str, str, str]]:
        """(what, score, remark) for a table."""
        best = "most" if self.more else "least"
        own = "–" if self.wordnet is None else f"{self.wordnet:.4f}"
        found = [
            ("found", f"{self.score:.4f}", _z(self.z)),
            ("the file's own", own, _z(self.wordnet_z) if self.wordnet is not None else "it has no groups"),
            (f"random, mean of {DRAWS}", f"{self.random.mean:.4f}", f"sd {self.random.sd:.4f}"),
            (f"random, best of {DRAWS}", f"{self.random.best:.4f}", ""),
        ]
        if self.bound is not None:
            found.append((f"bound: at {best}", f"{self.bound:.4f}", f"{self.gap:.4f} from the found one"))
        return found

    def notes(self) -> tuple[str, ...]:
        """Sentences for the head of a file that holds the nesting: the same for the same steps, on every machine."""
        text = [f"Found by search for {self.what}. Score {self.score:.4f}, {_z(self.z)} against random relabellings."]
        if self.tie is not None:
            text.append(f"Where that leaves a choice, by {self.tie}.")
        if self.wordnet is not None:
            text.append(f"The nesting of the file that it was made from scores {self.wordnet:.4f}.")
        if self.bound is not None:
            text.append(f"No nesting of this shape can score {'above' if self.more else 'below'} {self.bound:.4f}.")
        return tuple(text)

    def as_data(self) -> dict[str, Any]:
        """For JSON: None for nan."""
        return {
            "objective": self.objective,
            "what": self.what,
            "more_is_better": self.more,
            "score": self.score,
            "z": _plain(self.z),
            "own": self.wordnet,
            "own_z": _plain(self.wordnet_z),
            "random": {"draws": DRAWS, "mean": self.random.mean, "sd": self.random.sd, "best": self.random.best},
            "bound": self.bound,
            "steps": self.steps,
            "seconds": round(self.seconds, 3),
            "rounds": list(self.rounds),
            "stopped": self.stopped,
            "tie": self.tie,
        }


def search(
    taxonomy: Taxonomy,
    start: Grouping,
    *,
    objective: Objective,
    shape: Shape | None = None,
    same_sizes: bool = False,
    seed: int = 0,
    steps: int | None = None,
    seconds: float | None = None,
    state: Path | None = None,
    progress: Callable[[Tick], None] = lambda _: None,
) -> Found:
    """The best nesting of `shape` (default: as many groups as `start`) by `objective` (`asked.objective_of`).

    `same_sizes` keeps the sizes of `start`, so that only who is with whom is compared. It ends after `steps`
    proposals or after `seconds`, whichever is first (by default after `ROUNDS` rounds), or at Ctrl-C with the best so
    far. Without `seconds`, the same seed finds the same nesting on every machine. `state` is a file that the search
    goes on from, if it is there, and is kept in: a search in pieces finds what an unbroken one does. Raises
    HiergenError for a shape that cannot be, an objective that all its nestings share, and another search's state.
    """
    if seed < 0 or (steps is not None and steps < 1) or (seconds is not None and not seconds > 0):
        raise HiergenError(
            "a search needs steps and seconds above 0, and a seed from 0",
            got=f"steps {steps}, seconds {seconds}, seed {seed}",
        )
    start = start.reordered([c.id for c in taxonomy.classes])
    space = space_of(start, shape, same_sizes=same_sizes)
    objective.check(space)
    own: Labels = [list(level.of) for level in start.levels]
    identity = Identity(
        objective.name,
        objective.fingerprint(),
        _hash(start.classes),
        _hash([level.of for level in start.levels]),
        space.counts,
        (space.smallest, space.largest),
        same_sizes,
        seed,
    )
    blocks = None if steps is None else -(-steps // BLOCK)
    if blocks is None and seconds is None:
        blocks = ROUNDS * round_blocks(space.n)
    known = load(state, identity, space.n) if state is not None else None
    if known is None:
        known = State(round_blocks=min(round_blocks(space.n), blocks or round_blocks(space.n)))
    engine = Engine(space, objective, seed, known, own if space.holds(own) else None)
    if state is not None:  # before any work: can it be written at all?
        save(state, identity, known)
    with threadpool_limits(1):  # the matrices are small, and BLAS threads that wait for a busy core spin
        done = engine.run(blocks, seconds, progress, lambda s: save(state, identity, s) if state is not None else None)
        try:
            _, labels = engine.best(climb=done)
        except KeyboardInterrupt:
            done, (_, labels) = False, engine.best(climb=False)
        spent = engine.seconds
        return _report(engine, start, objective, space, labels, spent, stopped=not done)


def _report(
    engine: Engine,
    start: Grouping,
    objective: Objective,
    space: Space,
    labels: Labels,
    seconds: float,
    *,
    stopped: bool,
) -> Found:
    score, seed, more = objective.score(labels), engine.seed, objective.more
    names = {"coherence": "coherent", "separability": "separable"}
    title = f"{names.get(objective.name, objective.name)} nesting of {start.name}"
    random = _chance(objective, labels, seed, space if objective.name == "cost" else None)
    own = [list(level.of) for level in start.levels]
    chance = _chance(objective, own, seed, None) if own else None
    own_score = objective.score(own) if own else None
    return Found(
        grouping=make_grouping(title, start.classes, labels, labels=start.labels),
        score=score,
        random=random,
        wordnet=own_score,
        bound=None if stopped else objective.bound(space),
        steps=engine.state.blocks * BLOCK,
        seconds=seconds,
        objective=objective.name,
        what=objective.what,
        more=more,
        z=random.z(score, more=more),
        wordnet_z=chance.z(own_score, more=more) if chance is not None and own_score is not None else math.nan,
        rounds=tuple(_scores(engine, objective)),
        stopped=stopped,
        tie=None if objective.tie is None or stopped else objective.tie.what,
    )


def _scores(engine: Engine, objective: Objective) -> list[float]:
    """Values of the rounds as scores: they differ by what all nestings of the space share."""
    state = engine.state
    if state.best is None:
        return []
    best = objective.score(state.best)
    sign = 1 if objective.more else -1
    return [best + sign * (value - state.best_value) for value in state.rounds]


def _chance(objective: Objective, labels: Labels, seed: int, space: Space | None) -> Chance:
    """`DRAWS` random relabellings of a nesting; with a space, nestings drawn from it."""
    scores = []
    for i in range(DRAWS):
        if space is not None:
            scores.append(objective.score(space.draw((seed, _SALT, i)).labels))
            continue
        order = permutation((seed, _SALT, i), len(labels[0]))
        scores.append(objective.score([[level[c] for c in order] for level in labels]))
    return Chance(statistics.fmean(scores), statistics.stdev(scores), max(scores) if objective.more else min(scores))


def _hash(data: Sequence[object]) -> str:
    return hashlib.sha256(repr([str(x) for x in data]).encode()).hexdigest()[:16]


def _z(value: float) -> str:
    return "–" if math.isnan(value) else f"z {value:+.1f}"


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
