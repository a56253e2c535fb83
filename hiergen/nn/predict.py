"""What a network says of pictures: probabilities of groups and classes, level by level."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from hiergen.errors import HiergenError, printable
from hiergen.nn.pictures import Picture, image_mode, name_of, read_picture

if TYPE_CHECKING:
    from hiergen.lookup.select import ClassSelection
    from hiergen.nn.network import HierarchicalNetwork

NONE_OF_THESE = "none of these"


class Guess(NamedTuple):
    """A group or a class and its probability. `path`: names from level 1 down to it; `id`: a class's, "" of a group."""

    name: str
    probability: float
    path: tuple[str, ...]
    id: str = ""


@dataclass(frozen=True)
class Recognition:
    """What a network says of one picture.

    `levels`: for each level its likeliest groups, on the last its likeliest classes, best first; a group's probability
    is the sum over its classes. `path`: the likeliest class with the groups above it, from level 1 down. `accepted`:
    whether the picture shows one of the classes at all (None: the network has no threshold for that). `place`: the
    file ("" where there is none).
    """

    levels: tuple[tuple[Guess, ...], ...]
    path: tuple[Guess, ...]
    accepted: bool | None = None
    place: str = ""

    @property
    def best(self) -> Guess:
        """The likeliest class."""
        return self.path[-1]

    @property
    def classes(self) -> tuple[Guess, ...]:
        """The likeliest classes, best first."""
        return self.levels[-1]

    @property
    def name(self) -> str:
        """The answer: the likeliest class's name, or "none of these"."""
        return NONE_OF_THESE if self.accepted is False else self.best.name

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        levels = [[{**guess._asdict(), "path": list(guess.path)} for guess in level] for level in self.levels]
        path = [{"name": guess.name, "probability": guess.probability} for guess in self.path]
        accepted = {} if self.accepted is None else {"accepted": self.accepted}
        return {"file": self.place, "answer": self.name, **accepted, "path": path, "levels": levels}


def predict(
    network: HierarchicalNetwork,
    images: Picture | Iterable[Picture],
    *,
    classes: ClassSelection | None = None,
    top: int = 5,
    batch_size: int = 64,
) -> Recognition | list[Recognition]:
    """`HierarchicalNetwork.predict`."""
    one = isinstance(images, str | os.PathLike | Image.Image) or hasattr(images, "read")
    if isinstance(images, Tensor | np.ndarray):
        one = images.ndim < 4
    pictures: Iterable[Picture] = [images] if one else images  # type: ignore[assignment, list-item]
    named = ((name_of(picture), picture) for picture in pictures)
    answers = []
    for answer in recognise(network, named, classes=classes, top=top, batch_size=batch_size):
        if isinstance(answer, HiergenError):
            raise answer
        answers.append(answer)
    return answers[0] if one else answers


def recognise(
    network: HierarchicalNetwork,
    pictures: Iterable[tuple[str, Picture]],
    *,
    classes: ClassSelection | None = None,
    top: int = 5,
    batch_size: int = 64,
    workers: int = 1,
) -> Iterator[Recognition | HiergenError]:
    """Of each picture, named by its place, in their order: what the network says, or why it cannot be read. They are
    read ahead by so many threads, as PIL frees the GIL."""
    for name, value in (("top", top), ("batch_size", batch_size), ("workers", workers)):
        if type(value) is not int or value < 1:
            raise HiergenError(f"{name} cannot be {value!r}", expected="1 or more")
    chosen = network._chosen(classes)
    rank, read = _Ranking(network, chosen, top), _reader(network)

    def load(item: tuple[str, Picture]) -> tuple[str, Tensor | HiergenError]:
        place, picture = item
        try:
            return place, read(picture)
        except HiergenError as error:
            return place, error.at(printable(place)) if place else error

    with ThreadPoolExecutor(max_workers=workers) as pool:
        waiting = iter(pictures)
        ahead = [pool.submit(load, item) for item in islice(waiting, batch_size)]
        while ahead:
            loaded = [future.result() for future in ahead]
            ahead = [pool.submit(load, item) for item in islice(waiting, batch_size)]
            good = [(place, x) for place, x in loaded if isinstance(x, Tensor)]
            answers = iter(rank(_logits(network, [x for _, x in good], chosen), [p for p, _ in good]) if good else ())
            yield from (x if isinstance(x, HiergenError) else next(answers) for _, x in loaded)


def _reader(network: HierarchicalNetwork) -> Callable[[Picture], Tensor]:
    """A picture to what the network takes, `(C, H, W)`; floating-point tensors are that already."""
    channels, height, width = network.input_size
    transform = network.preprocess

    def read(picture: Picture) -> Tensor:
        if isinstance(picture, Tensor) and picture.is_floating_point():
            if picture.ndim != 3 or picture.shape[0] != channels:
                expected = f"({channels}, {height}, {width}), or (B, {channels}, {height}, {width})"
                raise HiergenError("a tensor is no image", expected=expected, got=str(tuple(picture.shape)))
            return picture
        return transform(read_picture(picture, image_mode(network)))

    return read


def _logits(network: HierarchicalNetwork, images: Sequence[Tensor], chosen: Sequence[int] | None) -> Tensor:
    """Of the chosen classes, float64, on the CPU; in eval mode, in which the network does not stay."""
    if len(sizes := {tuple(image.shape) for image in images}) > 1:
        raise HiergenError("images of one batch differ in size", got=", ".join(map(str, sorted(sizes))))
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.inference_mode():
            batch = torch.stack([image.to(network.head.weight) for image in images])
            logits = network(batch) if chosen is None else network(batch, classes=chosen)
    finally:
        for module in training:
            module.training = True
    if not logits.isfinite().all():
        raise HiergenError("the logits are not finite numbers", hint="check the weights")
    return logits.double().cpu()  # type: ignore[no-any-return]


class _Ranking:
    """Logits of the chosen classes to what is said of each image."""

    def __init__(self, network: HierarchicalNetwork, chosen: Sequence[int] | None, top: int) -> None:
        nesting, self.top = network.nesting, top
        self.rejection = getattr(network, "rejection", None)
        kept = range(network.num_classes) if chosen is None else chosen
        self.columns: list[Tensor] = []  # of each level the column of each class's group
        self.nodes: list[list[Guess]] = []
        for j, level in enumerate(nesting.levels, 1):
            groups = sorted({level.of[c] for c in kept})
            place = {group: i for i, group in enumerate(groups)}
            self.columns.append(torch.tensor([place[level.of[c]] for c in kept]))
            self.nodes.append([Guess(level.names[g], 0.0, nesting.path(j, g)) for g in groups])
        self.columns.append(torch.arange(len(kept)))
        above = [nesting.path(nesting.depth, nesting.heads[c])[:-1] for c in kept]
        names = [(nesting.labels[c], nesting.classes[c]) for c in kept]
        self.nodes.append([Guess(n, 0.0, (*path, n), i) for path, (n, i) in zip(above, names, strict=True)])

    def __call__(self, logits: Tensor, places: Sequence[str]) -> list[Recognition]:
        rejection = self.rejection
        accepted = [None] * len(logits) if rejection is None else rejection.accepts(logits).tolist()
        shares = (logits if rejection is None else logits / rejection.temperature).softmax(1)
        summed = [
            torch.zeros(len(shares), len(nodes), dtype=shares.dtype).index_add_(1, columns, shares)
            for nodes, columns in zip(self.nodes, self.columns, strict=True)
        ]
        return [self._recognition([level[i] for level in summed], accepted[i], place) for i, place in enumerate(places)]

    def _recognition(self, shares: Sequence[Tensor], accepted: bool | None, place: str) -> Recognition:
        best = int(shares[-1].argmax())
        order = [level.argsort(descending=True, stable=True)[: self.top].tolist() for level in shares]
        return Recognition(
            levels=tuple(
                tuple(_sure(nodes[i], level[i]) for i in some)
                for nodes, level, some in zip(self.nodes, shares, order, strict=True)
            ),
            path=tuple(
                _sure(nodes[int(columns[best])], level[columns[best]])
                for nodes, level, columns in zip(self.nodes, shares, self.columns, strict=True)
            ),
            accepted=accepted,
            place=place,
        )


def _sure(guess: Guess, probability: Tensor) -> Guess:
    return guess._replace(probability=min(float(probability), 1.0))  # a sum's rounding


def percent(probability: float) -> str:
    """For people: one decimal.

    >>> percent(0.9312), percent(0.0001), percent(0.99996)
    ('93.1 %', '<0.1 %', '>99.9 %')
    """
    share = 100 * probability
    if 0 < share < 0.05:
        return "<0.1 %"
    return ">99.9 %" if 99.95 <= share < 100 else f"{share:.1f} %"
