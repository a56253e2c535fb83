"""One network in several threads, tasks and generators: each call sees what its own context says."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import torch
from torch import Tensor

from hiergen.errors import HiergenError
from hiergen.nn import HierarchicalNetwork
from hiergen.nn.cutout import cut, difference
from tests.nn.steering_cases import lively

X = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
TERMS = ("animal", "cat", "car", "c1", "c4")


@pytest.fixture(scope="module")
def net() -> HierarchicalNetwork:
    return lively().requires_grad_(False)


@pytest.fixture(scope="module")
def alone(net: HierarchicalNetwork) -> dict[tuple[str, ...], Tensor]:
    """Logits with each set of terms doubled, one after the other."""
    answers = {}
    for n in range(4):
        for terms in itertools.combinations(TERMS, n):
            with ExitStack() as blocks:
                for term in terms:
                    blocks.enter_context(net.attend({term: 2.0}))
                answers[terms] = net(X)
    return answers


def test_blocks_end_in_any_order(net: HierarchicalNetwork, alone: dict[tuple[str, ...], Tensor]) -> None:
    for order in itertools.permutations(range(3)):
        blocks = [net.attend({term: 2.0}) for term in TERMS[:3]]
        for block in blocks:
            block.__enter__()
        left = list(TERMS[:3])
        for i in order:
            blocks[i].__exit__(None, None, None)
            left.remove(TERMS[i])
            torch.testing.assert_close(net(X), alone[tuple(left)])
    assert net._gains is None


def test_generators_share_their_callers_context(net: HierarchicalNetwork, alone: dict[tuple[str, ...], Tensor]) -> None:
    def steered(term: str) -> Iterator[Tensor]:
        with net.attend({term: 2.0}):
            while True:
                yield net(X)

    first, second = steered("animal"), steered("car")
    torch.testing.assert_close(next(first), alone[("animal",)])
    torch.testing.assert_close(next(second), alone[("animal", "car")])
    first.close()
    torch.testing.assert_close(next(second), alone[("car",)])
    threading.Thread(target=second.close).start()  # a block may end in another thread
    while net._gains is not None:
        pass
    torch.testing.assert_close(net(X), alone[()])


def test_threads_see_their_own_blocks(net: HierarchicalNetwork, alone: dict[tuple[str, ...], Tensor]) -> None:
    meet = threading.Barrier(4, timeout=60)

    def work(seed: int) -> list[bool]:
        chance, right = random.Random(seed), []
        for _ in range(10):
            terms = tuple(sorted(chance.sample(TERMS, chance.randrange(4)), key=TERMS.index))
            with ExitStack() as blocks:
                for term in terms:
                    blocks.enter_context(net.attend({term: 2.0}))
                meet.wait()
                right.append(torch.allclose(net(X), alone[terms], atol=1e-5))
                meet.wait()
        return right

    with net.attend({"thing": 5.0}), ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(work, range(4)))
    assert all(itertools.chain(*answers))
    torch.testing.assert_close(net(X), alone[()])


def test_tasks_see_their_own_blocks_and_those_that_they_were_made_in(
    net: HierarchicalNetwork, alone: dict[tuple[str, ...], Tensor]
) -> None:
    async def work(term: str) -> Tensor:
        with net.attend({term: 2.0}):
            await asyncio.sleep(0)
            return net(X)

    async def main() -> None:
        with net.attend({"animal": 2.0}):
            answers = await asyncio.gather(work("cat"), work("car"))
        torch.testing.assert_close(answers, [alone[("animal", "cat")], alone[("animal", "car")]])

    asyncio.run(main())
    with net.attend({"cat": 2.0}):
        copied = contextvars.copy_context()
        torch.testing.assert_close(copied.run(net, X), alone[("cat",)])
    torch.testing.assert_close(copied.run(net, X), alone[()])  # the block has ended


def test_another_network_is_left_alone(net: HierarchicalNetwork, alone: dict[tuple[str, ...], Tensor]) -> None:
    other, part = lively().requires_grad_(False), cut(net, [0, 1])
    with net.attend({"cat": 2.0}):
        torch.testing.assert_close(other(X), alone[()])
        torch.testing.assert_close(part(X), alone[()][:, :2], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(net(X), alone[("cat",)])


def test_a_comparison_leaves_other_threads_alone(
    net: HierarchicalNetwork, alone: dict[tuple[str, ...], Tensor]
) -> None:
    part, stop = cut(net, [0, 3]), threading.Event()
    lowerings = {level.lowering for level in net.levels}

    def compare() -> float:
        worst = 0.0
        while not stop.is_set():
            worst = max(worst, difference(net, part, X))
        return worst

    net.active = ["c0", "c4"]
    try:
        with ThreadPoolExecutor(1) as pool, net.attend({"car": 2.0}):
            job = pool.submit(compare)
            for _ in range(20):
                torch.testing.assert_close(net(X), alone[("car",)][:, [0, 4]], atol=1e-4, rtol=1e-4)
            stop.set()
            assert job.result() < 1e-5
            assert difference(net, part, X) < 1e-5  # in this context too
        assert net.active == ("c0", "c4")
    finally:
        net.active = None
    assert {level.lowering for level in net.levels} == lowerings


def test_an_error_ends_the_block(net: HierarchicalNetwork, alone: dict[tuple[str, ...], Tensor]) -> None:
    with pytest.raises(KeyError), net.attend({"cat": 2.0}):
        raise KeyError
    with net.attend({"cat": 2.0}), pytest.raises(HiergenError, match="after the same block"):
        net.attend({"cat": 2.0}, after=1).__enter__()
    torch.testing.assert_close(net(X), alone[()])


def test_compiled_calls_follow_the_blocks(net: HierarchicalNetwork, alone: dict[tuple[str, ...], Tensor]) -> None:
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    for terms in ((), ("cat",), ("car",), ()):
        with ExitStack() as blocks:
            for term in terms:
                blocks.enter_context(net.attend({term: 2.0}))
            torch.testing.assert_close(compiled(X), alone[terms], atol=1e-4, rtol=1e-4)
