"""The server's answers are the network's own, whatever threads ask at once; a request's error is its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch
from torch import Tensor

from hiergen.errors import HiergenError
from hiergen.models.load import load_network
from hiergen.nn.serve import Prediction, Server
from tests.helpers import ROOT, message
from tests.toy_networks import built_toy, scrambled

SETS: list[Any] = ["dog", "goldfish", [0, 3], [4], None, ["pug", "goldfish"], "cat", [1, 2, 3]]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_toy(tmp_path_factory.mktemp("serve"), "served")


@pytest.fixture(scope="module", params=["PHL", "N2HL", "N3HL", "OneBranch"])
def net(request: pytest.FixtureRequest, source: Path) -> Any:
    return scrambled(load_network(f"{source}:{request.param}").eval())


@pytest.fixture(scope="module")
def server(net: Any) -> Iterator[Server]:
    with net.serve(max_batch=8, wait_ms=5) as server:
        yield server


def images(net: Any, count: int) -> Tensor:
    return torch.randn(count, *net.input_size, generator=torch.Generator().manual_seed(1))


def check(got: Prediction, net: Any, image: Tensor, classes: Any) -> None:
    """The answer is what the network says of this image alone."""
    with torch.no_grad():
        want = net(image[None], classes)[0]
    chosen = range(net.num_classes) if classes is None else net.selector.classes(classes)
    assert got.classes == tuple(net.classes[c] for c in chosen)
    assert got.names == tuple(net.nesting.labels[c] for c in chosen)
    torch.testing.assert_close(got.logits, want, rtol=1e-4, atol=1e-5 * float(want.abs().max()))


@pytest.mark.parametrize("classes", SETS)
def test_an_answer_is_the_networks(net: Any, server: Server, classes: Any) -> None:
    (image,) = images(net, 1)
    check(server(image, classes), net, image, classes)


def test_eight_threads_get_their_own_answers(net: Any, server: Server) -> None:
    asked = [(image, SETS[i % len(SETS)]) for i, image in enumerate(images(net, 64))]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda it: server(*it), asked))
    for answer, (image, classes) in zip(answers, asked, strict=True):
        check(answer, net, image, classes)


def test_requests_share_batches(net: Any) -> None:
    sizes: list[int] = []
    with net.serve(max_batch=4, wait_ms=2000) as server:
        run = server._logits
        server._logits = lambda x, sets: sizes.append(len(x)) or run(x, sets)
        futures = [server.submit(image, SETS[i]) for i, image in enumerate(images(net, 8))]
        for future in futures:
            future.result()
    assert sizes == [4, 4]


def test_an_error_is_its_own_requests(net: Any) -> None:
    good, other = images(net, 2)
    with net.serve(max_batch=8, wait_ms=100) as server:
        futures = [
            server.submit(good, "dog"),
            server.submit(good, "unicorn of no kind"),
            server.submit(good[None], "dog"),
            server.submit(other.to(torch.uint8), "dog"),
            server.submit(good.numpy(), "dog"),
            server.submit(good, 99),
            server.submit(other, "cat"),
        ]
        check(futures[0].result(), net, good, "dog")
        check(futures[6].result(), net, other, "cat")
    assert "unicorn" in message(futures[1].result)
    size = tuple(net.input_size)
    assert message(futures[2].result) == (
        f"a request is for one normalized image; expected a float tensor {size}, got torch.float32 {(1, *size)}"
    )
    assert "got torch.uint8" in message(futures[3].result)
    assert "got ndarray" in message(futures[4].result)
    assert "no class has the index 99" in message(futures[5].result)


def test_an_image_may_be_overwritten(net: Any) -> None:
    (image,) = images(net, 1)
    kept = image.clone()
    with net.serve(wait_ms=100) as server:
        future = server.submit(image)
        image.zero_()
        check(future.result(), net, kept, None)


def test_weights_gains_and_active_classes_of_the_network_do_not_act(source: Path) -> None:
    net = scrambled(load_network(f"{source}:N2HL").eval())
    (image,) = images(net, 1)
    with torch.no_grad():
        want = net(image[None])[0]
    net.active = "dog"
    with net.attend({"dog": 2.0}), net.serve() as server:
        for parameter in net.parameters():
            parameter.data.zero_()
        torch.testing.assert_close(server(image).logits, want, rtol=1e-4, atol=1e-5 * float(want.abs().max()))


def test_serving_takes_no_random_numbers(net: Any) -> None:
    torch.manual_seed(0)
    want = torch.rand(3)
    torch.manual_seed(0)
    net.serve().close()
    assert torch.equal(torch.rand(3), want)


# the end


def test_what_waits_is_answered_before_it_closes(net: Any) -> None:
    some = images(net, 5)
    with net.serve(max_batch=2, wait_ms=0) as server:
        futures = [server.submit(image) for image in some]
    for future, image in zip(futures, some, strict=True):
        check(future.result(timeout=0), net, image, None)
    server.close()
    assert not server._worker.is_alive()
    for ask in (server.submit, server):
        assert message(lambda: ask(some[0])) == "the server is closed; network.serve() starts another"  # noqa: B023


def test_what_waits_can_be_cancelled(net: Any) -> None:
    started, go = Event(), Event()
    with net.serve(max_batch=1, wait_ms=0) as server:
        run = server._logits
        server._logits = lambda x, sets: (started.set(), go.wait(), run(x, sets))[2]
        first, second, third = (server.submit(image) for image in images(net, 3))
        assert started.wait(60)
        assert second.cancel()  # by who asked
        closing = ThreadPoolExecutor(1).submit(server.close, cancel=True)
        while not third.cancelled():
            pass
        go.set()
        closing.result(timeout=60)
    assert first.result(timeout=0) is not None


def test_a_batch_that_fails_does_not_end_the_server(net: Any) -> None:
    (image,) = images(net, 1)
    with net.serve(wait_ms=0) as server:
        run = server._logits

        def fail(*_: Any) -> Tensor:
            raise RuntimeError("out of memory")

        server._logits = fail
        with pytest.raises(RuntimeError, match="out of memory"):
            server(image)
        server._logits = run
        check(server(image), net, image, None)


def test_a_callback_may_submit_and_close_but_not_wait(net: Any) -> None:
    (image,) = images(net, 1)
    server = net.serve(wait_ms=0)
    seen: Future[Any] = Future()

    def callback(_: Any) -> None:
        again = server.submit(image, "dog")
        try:
            server(image)
        except HiergenError as error:
            server.close()
            seen.set_result((again, str(error)))

    server.submit(image).add_done_callback(callback)
    again, said = seen.result(timeout=60)
    check(again.result(timeout=60), net, image, "dog")
    assert said == "a future's callback would wait for itself; submit() does not wait"
    server.close()


@pytest.mark.parametrize(("options", "said"), [
    ({"max_batch": 0}, "max_batch is no number of images; expected 1 or more, got 0"),
    ({"max_batch": True}, "max_batch is no number of images; expected 1 or more, got True"),
    ({"wait_ms": -1}, "wait_ms is no time; expected milliseconds, 0 to 60,000, got -1"),
    ({"wait_ms": float("nan")}, "wait_ms is no time; expected milliseconds, 0 to 60,000, got nan"),
])  # fmt: skip
def test_numbers_that_cannot_be(net: Any, options: Any, said: str) -> None:
    assert message(lambda: net.serve(**options)) == said


FORGOTTEN = """
import sys, torch
from hiergen.models.load import load_network
net = load_network(sys.argv[1])
server = net.serve(max_batch=1)
futures = [server.submit(torch.rand(net.input_size)) for _ in range(50)]
print(len(futures[0].result().logits))
"""


def test_python_ends_with_a_server_that_nobody_closed(source: Path) -> None:
    words = [sys.executable, "-c", FORGOTTEN, f"{source}:N2HL"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip().isdigit()
