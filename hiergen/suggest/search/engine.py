"""Rounds of annealing and climbing, one after the other, until steps or time are used up; it can stop anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from hiergen.suggest.search.anneal import BLOCK, first_temperature, run_block, temperature
from hiergen.suggest.search.moves import Field
from hiergen.suggest.search.nest import Nest
from hiergen.suggest.search.objective import Labels, Objective
from hiergen.suggest.search.settle import settled
from hiergen.suggest.search.space import Space
from hiergen.suggest.search.statefile import Numbers, State

PER_CLASS = 4  # blocks of a round, for each class
SHORTEST = 20
SAVE_EVERY = 5.0  # s
_REHEATED = 0.4  # of the first temperature, where a round starts from the best so far
_NONE = float("-inf")


@dataclass(frozen=True)
class Tick:
    """How far a search is: `done` of 1, its steps and seconds in all runs, and the best score so far (None: no round
    is over)."""

    done: float
    steps: int
    seconds: float
    best: float | None


def round_blocks(n: int) -> int:
    """Blocks of a round over n classes."""
    return max(SHORTEST, PER_CLASS * n)


class Engine:
    """Goes on from a state, block by block; `state` is always that of the last whole block.

    Even rounds start from a random nesting, odd ones from the best so far, less hot. `known` is a nesting of the space
    to begin with, if there is one: what is found is at least as good.
    """

    def __init__(self, space: Space, objective: Objective, seed: int, state: State, known: Labels | None) -> None:
        self.space, self.objective, self.seed, self.state, self.known = space, objective, seed, state, known
        probe = space.draw((seed, 0))
        self._heat = first_temperature(self.field(probe.labels), (seed, 0, 1))
        self._before, self._since = state.seconds, time.perf_counter()
        self._best_score: tuple[float, float | None] = (_NONE, None)

    @property
    def seconds(self) -> float:
        """Spent so far, in all runs together."""
        return self._before + time.perf_counter() - self._since

    def field(self, labels: Labels) -> Field:
        """A nesting with its trackers."""
        nest = Nest(labels)
        return Field(self.space, nest, self.objective.trackers(nest.labels))

    def climbed(self, labels: Labels) -> tuple[float, Numbers]:
        """The local optimum above a nesting, and its value."""
        field = self.field(labels)
        field.climb()
        return field.value(), field.nest.key()

    def run(
        self, blocks: int | None, seconds: float | None, tick: Callable[[Tick], None], keep: Callable[[State], None]
    ) -> bool:
        """Go on until `blocks` are done or `seconds` spent, in all runs together; False if Ctrl-C stopped it.

        `keep` gets the state after each round, every few seconds, and at the end.
        """
        kept, last = time.perf_counter(), None
        try:
            if self.state.best is None and self.known is not None:
                value, best = self.climbed(self.known)
                self.state = replace(self.state, best_value=value, best=best)
            while not self._over(blocks, seconds):
                self.state = self._block()
                if self.state.block >= self.state.round_blocks:
                    self.state = self._round_over()
                if self.state.block == 0 or time.perf_counter() - kept > SAVE_EVERY:
                    keep(self.timed())
                    kept = time.perf_counter()
                last = self._tick(blocks, seconds)
                tick(last)
            if last is None or last.done < 1:  # time ran out after the last look at it
                tick(self._tick(blocks, seconds))
        except KeyboardInterrupt:
            keep(self.timed())
            return False
        keep(self.timed())
        return True

    def best(self, *, climb: bool = True) -> tuple[float, Numbers]:
        """The best so far, with the leader of the round that is not over; climbed, it is settled too (`settle`).

        `state` stays as it is.
        """
        state = self.state
        value, labels = state.best_value, state.best
        if state.leader is not None:
            other = self.climbed(state.leader) if climb else (state.leader_value, state.leader)
            if other[0] > value:
                value, labels = other
        if labels is None:  # stopped before anything was done
            nest = self.space.draw((self.seed, 1, 0))
            value, labels = self.climbed(nest.labels) if climb else (self.field(nest.labels).value(), nest.key())
        return value, settled(self.space, self.objective, labels, self.seed) if climb else labels

    def timed(self) -> State:
        """The state, with the seconds spent."""
        return replace(self.state, seconds=self.seconds)

    def _block(self) -> State:
        state = self.state
        warm = state.round % 2 == 1
        now = state.now
        if now is None:
            now = state.best if warm and state.best else self.space.draw((self.seed, 1, state.round)).key()
        field = self.field(now)
        heat = temperature(self._heat * (_REHEATED if warm else 1.0), state.block / state.round_blocks)
        value, leader = run_block(field, heat, (self.seed, 2, state.round, state.block), state.leader_value)
        return replace(
            state,
            now=field.nest.key(),
            block=state.block + 1,
            leader_value=value,
            leader=leader if leader is not None else state.leader,
        )

    def _round_over(self) -> State:
        state = self.state
        assert state.leader is not None
        value, labels = self.climbed(state.leader)
        better = state.best is None or value > state.best_value
        return State(
            round_blocks=state.round_blocks,
            round=state.round + 1,
            best=labels if better else state.best,
            best_value=value if better else state.best_value,
            rounds=(*state.rounds, value),
        )

    def _over(self, blocks: int | None, seconds: float | None) -> bool:
        steps_done = blocks is not None and self.state.blocks >= blocks
        return steps_done or (seconds is not None and self.seconds >= seconds)

    def _tick(self, blocks: int | None, seconds: float | None) -> Tick:
        state = self.state
        shares = [state.blocks / blocks] if blocks else []
        shares += [self.seconds / seconds] if seconds else []
        if state.best is not None and state.best_value != self._best_score[0]:
            self._best_score = state.best_value, self.objective.score(state.best)
        return Tick(min(max(shares, default=0.0), 1.0), state.blocks * BLOCK, self.seconds, self._best_score[1])
