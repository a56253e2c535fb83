"""A server inside the process: requests for different class sets share one trunk."""

from __future__ import annotations

import atexit
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from typing import TYPE_CHECKING, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hiergen.errors import HiergenError
from hiergen.nn.cutout import single
from hiergen.nn.generalist import ONE_BRANCH
from hiergen.nn.plain_kernels import Fan
from hiergen.nn.plain_trunk import plain_trunk
from hiergen.nn.routing import homes_of

if TYPE_CHECKING:
    from hiergen.lookup.select import ClassSelection
    from hiergen.nn.network import HierarchicalNetwork


class Prediction(NamedTuple):
    """`logits` `(n,)` of the chosen classes, in the order of the network's, on the CPU; the classes' ids and names."""

    logits: Tensor
    classes: tuple[str, ...]
    names: tuple[str, ...]


class _Request(NamedTuple):
    image: Tensor
    chosen: tuple[int, ...]
    future: Future[Prediction]


class Server:
    """Answers requests for an image's logits of some classes, from any number of threads; see
    `HierarchicalNetwork.serve`.

    One thread of its own collects requests; a batch runs the trunk once, and every branch once on the images that need
    it. All weights are plain copies, so what becomes of the network later changes nothing here.
    """

    def __init__(self, network: HierarchicalNetwork, *, max_batch: int = 16, wait_ms: float = 2.0) -> None:
        if type(max_batch) is not int or max_batch < 1:
            raise HiergenError("max_batch is no number of images", expected="1 or more", got=repr(max_batch))
        if not (isinstance(wait_ms, int | float) and 0 <= wait_ms <= 60_000):
            raise HiergenError("wait_ms is no time", expected="milliseconds, 0 to 60,000", got=repr(wait_ms))
        if network.form == "both":
            raise HiergenError(
                "a server has one fixed form, and 'both' chooses a specialist for every image",
                hint="set the network's form to 'specialists', 'generalist' or 'flat'",
            )
        if network.form in ONE_BRANCH:
            network = single(network, range(network.num_classes))
        self.max_batch, self.wait_ms = max_batch, wait_ms
        self.input_size = tuple(getattr(network.trunk, "input_size", network.input_size))
        self._selector, self._nesting = network.selector, network.nesting
        self._homes = [homes_of(network, j) for j in range(1, len(network.levels) + 1)]  # by level and class
        self._parents = [level.parents for level in network.levels]
        self._trunk, self._levels = _plain_branches(network, self.input_size)
        self._weight, self._bias = (p.detach().clone() for p in (network.head.weight, network.head.bias))
        self._lock, self._closed = Lock(), False
        self._waiting: SimpleQueue[_Request | None] = SimpleQueue()  # None is the end
        self._worker = Thread(target=self._work, name="hiergen-server", daemon=True)
        self._worker.start()
        atexit.register(self.close, cancel=True)  # a thread that computes while Python ends would crash

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __call__(self, image: Tensor, classes: ClassSelection | None = None) -> Prediction:
        """As `submit`, and waits. Raises what its future does."""
        if current_thread() is self._worker:
            raise HiergenError("a future's callback would wait for itself", hint="submit() does not wait")
        return self.submit(image, classes).result()

    def submit(self, image: Tensor, classes: ClassSelection | None = None) -> Future[Prediction]:
        """The future answer for one image `(C, H, W)`, which is copied; `classes` as in `forward`, default: all.

        Unknown classes and an image of another shape are a HiergenError of the future, and of no other's. Raises
        HiergenError once the server is closed.
        """
        future: Future[Prediction] = Future()
        request = None
        try:
            count = len(self._nesting.classes)
            chosen = tuple(range(count)) if classes is None else self._selector.classes(classes)
            request = _Request(self._checked(image), chosen, future)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this request's
            future.set_exception(error)
        with self._lock:
            if self._closed or not self._worker.is_alive():  # threads do not survive a fork
                raise HiergenError("the server is closed", hint="network.serve() starts another")
            if request is not None:
                self._waiting.put(request)
        return future

    def close(self, *, cancel: bool = False) -> None:
        """Refuse further requests, answer those that wait, or `cancel` them, and end the thread. Closing twice is
        fine."""
        with self._lock:
            while cancel and not self._waiting.empty():
                if (request := self._waiting.get()) is not None:
                    request.future.cancel()
            self._closed = True
            self._waiting.put(None)
        atexit.unregister(self.close)
        if current_thread() is not self._worker:
            self._worker.join()

    def _checked(self, image: Tensor) -> Tensor:
        if not isinstance(image, Tensor) or not image.is_floating_point() or tuple(image.shape) != self.input_size:
            got = f"{image.dtype} {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
            raise HiergenError(
                "a request is for one normalized image", expected=f"a float tensor {self.input_size}", got=got
            )
        return image.detach().to(self._weight, copy=True)

    def _work(self) -> None:
        while batch := self._collect():
            if batch := [request for request in batch if request.future.set_running_or_notify_cancel()]:
                self._answer(batch)

    def _collect(self) -> list[_Request]:
        """The next requests, at most `max_batch`, of which the first waits `wait_ms` for the others; none at the
        end."""
        batch: list[_Request] = []
        request = self._waiting.get()
        until = time.monotonic() + self.wait_ms / 1e3
        while request is not None:
            batch.append(request)
            if len(batch) == self.max_batch:
                return batch
            try:
                request = self._waiting.get(timeout=max(0.0, until - time.monotonic()))
            except Empty:
                return batch
        self._waiting.put(None)  # for the next call
        return batch

    def _answer(self, batch: list[_Request]) -> None:
        try:
            logits = self._logits(torch.stack([request.image for request in batch]), [r.chosen for r in batch])
        except Exception as error:  # noqa: BLE001 - the thread lives on: the batch may have been too large
            for request in batch:
                request.future.set_exception(error)
            return
        classes, names = self._nesting.classes, self._nesting.labels
        for row, (_, chosen, future) in zip(logits, batch, strict=True):
            ids, shown = tuple(classes[c] for c in chosen), tuple(names[c] for c in chosen)
            future.set_result(Prediction(row[list(chosen)], ids, shown))

    @torch.no_grad()
    def _logits(self, images: Tensor, sets: Sequence[tuple[int, ...]]) -> Tensor:
        """Logits `(B, classes)` on the CPU; of classes outside an image's set they are 0."""
        x = self._trunk(images.contiguous(memory_format=torch.channels_last))
        maps = {0: (list(range(len(sets))), x)}  # branch → its images, and their maps (b, C, H, W)
        for homes, parents, branches in zip(self._homes, self._parents, self._levels, strict=True):
            needed: dict[int, list[int]] = {}
            for sample, chosen in enumerate(sets):
                for branch in sorted({homes[c] for c in chosen}):
                    needed.setdefault(branch, []).append(sample)
            maps = {
                branch: (samples, branches[branch](_maps_of(maps[parents[branch] if parents else 0], samples)))
                for branch, samples in needed.items()
            }
        rows: dict[int, list[int]] = {}  # of the head, by branch
        for c in sorted({c for chosen in sets for c in chosen}):
            rows.setdefault(self._homes[-1][c], []).append(c)
        logits: Tensor = x.new_zeros(len(sets), len(self._weight))
        for branch, (samples, features) in maps.items():
            some = rows[branch]
            scores = F.linear(features.mean((2, 3)), self._weight[some], self._bias[some])
            logits[torch.tensor(samples)[:, None], torch.tensor(some)] = scores
        return logits.cpu()


def _plain_branches(
    network: HierarchicalNetwork, input_size: Sequence[int]
) -> tuple[nn.Module, list[list[nn.Sequential]]]:
    """The trunk and, level by level, every branch alone, all in plain form.

    Alone, as a batch runs them on different images. Channels last, as kernels of CPUs then need no copies of maps.
    """
    fan = Fan((0,), (1,), network.levels[0].in_channels, getattr(network.trunk, "map_size", None))
    levels = []
    device = network.head.weight.device
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        trunk = plain_trunk(network.trunk, input_size).to(device).to(memory_format=torch.channels_last)
        for level in network.levels:
            made = [level.plain(replace(fan, order=(branch,))) for branch in range(level.branches)]
            branches = [
                nn.Sequential(*made_blocks).to(device).to(memory_format=torch.channels_last)
                for made_blocks, _, _ in made
            ]
            levels.append([branch.eval() for branch in branches])
            fan = made[0][2]
    return trunk.eval(), levels


def _maps_of(parent: tuple[list[int], Tensor], samples: list[int]) -> Tensor:
    """The maps of some of the images that the parent has."""
    have, maps = parent
    if have == samples:
        return maps
    place = {sample: row for row, sample in enumerate(have)}
    return maps[[place[sample] for sample in samples]]
