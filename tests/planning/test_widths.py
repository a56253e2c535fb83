"""`solve_widths` alone, on costs whose best answer is known or can be checked."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from hiergen.errors import PlanError
from hiergen.planning.budget import SMALLEST, WIDEST, BudgetCost, Widths, solve_widths

Costs = Callable[[Widths], BudgetCost]


def linear(*prices: tuple[int, int, int]) -> Costs:
    """Each level's (params by channel of its width, params by channel of its out, MACs by channel of its out)."""

    def cost(widths: Widths) -> BudgetCost:
        levels = tuple((w * p + o * q, o * m) for (p, q, m), (w, o) in zip(prices, widths, strict=True))
        return BudgetCost(sum(params for params, _ in levels), sum(macs for _, macs in levels), levels)

    return cost


def network(base: int, channels: int, branches: tuple[int, ...]) -> Costs:
    """Bottlenecks: a level's cost depends on the channels that it reads, and there are more branches further up."""

    def cost(widths: Widths) -> BudgetCost:
        levels, reads, area = [], channels, 196
        for count, (width, out) in zip(branches, widths, strict=True):
            params = count * (reads * width + 9 * width * width + width * out)
            levels.append((params, params * area))
            reads, area = out, area // 4
        return BudgetCost(base + sum(p for p, _ in levels), 50 * base + sum(m for _, m in levels), tuple(levels))

    return cost


@pytest.mark.parametrize(
    ("params", "macs", "expected"),
    [
        (8_000, None, 80),
        (None, 80_000, 80),
        (8_000, 80_000, 80),
        (7_999, None, 79),  # multiples of 16, 8, 4 and 2 leave more than 2 % of it
        (8_000, 79_999, 79),
        (8_100, None, 80),  # 98.8 % full: the grid stays coarse
        (8_100, 10**9, 80),  # and a bound that is far off changes nothing
        (800, None, SMALLEST),
    ],
)
def test_a_bound_may_be_met_exactly_and_never_passed(params: int | None, macs: int | None, expected: int) -> None:
    assert solve_widths(linear((0, 100, 1000)), 1, 1.0, params, macs) == ((expected, expected),)


def test_less_than_the_narrowest_is_refused() -> None:
    for bounds in ((799, None), (None, 7_999), (799, 8_000), (800, 7_999)):
        with pytest.raises(PlanError, match=r"at least 800 params and 8\.00k MACs"):
            solve_widths(linear((0, 100, 1000)), 1, 1.0, *bounds)


@pytest.mark.parametrize(
    ("params", "macs", "expected"),
    [
        # half of the MACs (what the narrowest levels take aside) for each; of both bounds, half of the sum of shares
        (None, 11_000, (((48, 48), (616, 616)), ((616, 616), (48, 48)))),
        (11_000, None, (((616, 616), (48, 48)), ((48, 48), (616, 616)))),
        (11_000, 11_000, (((100, 100), (100, 100)),) * 2),
    ],
)
def test_levels_have_the_same_load(params: int | None, macs: int | None, expected: tuple[Widths, Widths]) -> None:
    for prices, widths in zip((((0, 10, 100), (0, 100, 10)), ((0, 100, 10), (0, 10, 100))), expected, strict=True):
        assert set(solve_widths(linear(*prices), 2, 1.0, params, macs, 8)) == set(widths)


def test_the_number_that_lags_behind_grows_alone_where_both_do_not_fit() -> None:
    costly_out, costly_width = linear((10, 1000, 0)), linear((1000, 10, 0))
    for grid, most in ((8, 104), (16, 112)):  # the first that is past 1.25 · 80
        assert solve_widths(costly_out, 1, 1.0, 80 * 1010 + 500, None, grid) == ((most, 80),)
        assert solve_widths(costly_width, 1, 1.0, 80 * 1010 + 500, None, grid) == ((80, most),)
        assert solve_widths(costly_out, 1, 1.0, 80 * 1010 + 170, None, grid) == ((96, 80),)


@pytest.mark.parametrize(("ratio", "steps"), [(4.0, (16, 16)), (1 / 4, (16, 8)), (1 / 6, (16, 8))])
def test_channels_are_multiples_of_16_and_small_outputs_of_8(ratio: float, steps: tuple[int, int]) -> None:
    for width in range(64, 16 * 40, 16):
        bound = 100 * (width + steps[1] * round(width * ratio / steps[1]))
        (pair,) = solve_widths(linear((100, 100, 0)), 1, ratio, bound, None)
        assert [number % step for number, step in zip(pair, steps, strict=True)] == [0, 0]
        assert 0.7 < pair[1] / pair[0] / ratio < 1.4


def test_nothing_is_wider_than_the_widest() -> None:
    # the other number may be a quarter off the ratio
    for ratio, expected in ((0.25, (WIDEST, 5120)), (1.0, (WIDEST, WIDEST)), (4.0, (5120, WIDEST))):
        assert solve_widths(linear((1, 1, 0)), 1, ratio, 10**9, None) == (expected,)


@pytest.mark.parametrize("grid", [8, 16])
def test_budgets_are_filled_and_what_is_left_is_no_use(grid: int) -> None:
    rng = random.Random(0)
    for _ in range(60):
        branches = tuple(sorted(rng.randint(1, 60) for _ in range(rng.randint(1, 4))))
        cost, ratio = network(rng.randint(0, 10**6), rng.choice([16, 64, 300]), branches), rng.choice([0.25, 1, 4])
        least = cost(((SMALLEST, SMALLEST),) * len(branches))
        params = rng.choice([None, round(least.params * rng.uniform(1, 20))])
        macs = round(least.macs * rng.uniform(1, 20)) if params is None or rng.random() < 0.5 else None
        calls = 0

        def counted(widths: Widths, cost: Costs = cost) -> BudgetCost:
            nonlocal calls
            calls += 1
            return cost(widths)

        def fits(widths: Widths, cost: Costs = cost, params: int | None = params, macs: int | None = macs) -> bool:
            found = cost(widths)
            return found.params <= (params or found.params) and found.macs <= (macs or found.macs)

        widths = solve_widths(counted, len(branches), ratio, params, macs, grid)
        assert fits(widths)
        for level, (width, out) in enumerate(widths):
            both = (width + grid, max(out, round((width + grid) * ratio / grid) * grid + grid))
            near = grid == 8 or (width + grid) * ratio <= 1.5 * out
            alone = [(width + grid, out)] * (near and width * ratio < 1.25 * out)
            alone += [(width, out + grid)] * (out < 1.25 * ratio * width)
            for wider in (both, *alone):
                assert not fits((*widths[:level], wider, *widths[level + 1 :])), (branches, ratio, widths, wider)
        assert calls < 6_000, calls
        assert min(map(min, widths)) >= SMALLEST
