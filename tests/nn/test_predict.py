"""`network.predict`: the same probabilities as by hand, whatever a picture is given as."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from toy_networks import built_toy, scrambled

from hiergen.errors import HiergenError
from hiergen.models.load import find_model
from hiergen.nn import HierarchicalNetwork
from hiergen.nn.predict import percent
from tests.helpers import message

MODELS = ("N3HL", "N2HL", "OneBranch", "PHL")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, HierarchicalNetwork]:
    source = built_toy(tmp_path_factory.mktemp("predict"), "toypredict")
    made = {}
    for name in MODELS:
        torch.manual_seed(0)
        made[name] = scrambled(find_model(f"{source}:{name}").cls()).eval()
        with torch.no_grad():
            made[name].head.weight.mul_(0.02)  # else one class has all
    return made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Noise of three sizes."""
    folder, draw = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(3)]
    for path, size in zip(paths, ((40, 50, 3), (32, 32, 3), (70, 33, 3)), strict=True):
        Image.fromarray(draw.integers(0, 256, size, dtype=np.uint8)).save(path)
    return paths


def by_hand(network: HierarchicalNetwork, file: Path, classes: list[int]) -> list[dict[str, float]]:
    """Path → probability, level by level: from the tree as nested mappings, a loop and one image at a time."""
    from timm.data import create_transform, resolve_model_data_config

    transform = create_transform(**resolve_model_data_config(network), is_training=False)
    with torch.no_grad():
        logits = network(transform(Image.open(file).convert("RGB"))[None])[0, classes].double()
    share = dict(zip([network.classes[c] for c in classes], (logits.exp() / logits.exp().sum()).tolist(), strict=True))
    levels: list[dict[str, float]] = [{} for _ in range(network.nesting.depth)]

    def add(tree: Mapping[str, Any], path: tuple[str, ...]) -> None:
        for key, below in tree.items():
            if isinstance(below, Mapping):
                add(below, (*path, key))
            elif key in share:
                for j in range(1, len(path) + 1):
                    levels[j - 1]["/".join(path[:j])] = levels[j - 1].get("/".join(path[:j]), 0.0) + share[key]
                levels[-1][key] = share[key]

    add(network.taxonomy, ())
    return levels


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("some", [False, True])
def test_probabilities_are_those_by_hand(
    networks: dict[str, HierarchicalNetwork], files: list[Path], name: str, some: bool
) -> None:
    network = networks[name]
    kept = [1, 3, 6] if some else list(range(network.num_classes))
    answers = network.predict(files, classes=kept if some else None, top=100, batch_size=2)
    assert isinstance(answers, list)
    assert [Path(answer.place) for answer in answers] == files
    for answer, file in zip(answers, files, strict=True):
        want = by_hand(network, file, kept)
        for level, expected in zip(answer.levels, want, strict=True):
            found = {guess.id or "/".join(guess.path): guess.probability for guess in level}
            assert found == pytest.approx(expected, rel=1e-4)
            assert [guess.probability for guess in level] == sorted(found.values(), reverse=True)
        best = max(want[-1], key=lambda key: want[-1][key])
        assert (answer.best.id, answer.name) == (best, network.nesting.labels[network.classes.index(best)])
        assert answer.path[-1] == answer.classes[0]
        for j, guess in enumerate(answer.path[:-1]):
            assert guess.probability == pytest.approx(want[j]["/".join(guess.path)], rel=1e-4)
        assert [guess.path for guess in answer.path] == [answer.best.path[:j] for j in range(1, len(answer.path) + 1)]


def test_every_form_of_a_picture_is_the_same(networks: dict[str, HierarchicalNetwork], files: list[Path]) -> None:
    network, image = networks["N2HL"], Image.open(files[0])
    pixels = np.asarray(image)
    want = network.predict(files[0]).levels
    tensor = network.preprocess(image)
    assert network.predict(image).levels == want == network.predict(pixels).levels
    assert network.predict(torch.from_numpy(pixels.copy()).movedim(-1, 0)).levels == want
    assert network.predict(tensor).levels == want
    assert network.predict(str(files[0])).levels == want
    with files[0].open("rb") as file:
        assert network.predict(file).levels == want
    for several in (tensor[None], pixels[None], [tensor], (image,), iter([pixels])):
        (one,) = network.predict(several)
        assert one.levels == want
    assert network.predict([]) == []
    grey = network.predict(pixels[..., 0])
    assert grey.levels == network.predict(np.repeat(pixels[..., :1], 3, axis=2)).levels == network.predict(
        pixels[..., :1]
    ).levels  # fmt: skip


def test_the_network_stays_as_it_was(networks: dict[str, HierarchicalNetwork], files: list[Path]) -> None:
    """In training mode, with a frozen trunk, active classes and gains."""
    network = networks["N2HL"]
    want = network.predict(files)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    network.trunk.eval()
    try:
        assert [a.levels for a in network.predict(files)] == [a.levels for a in want]
        modes = {name: module.training for name, module in network.named_modules()}
        assert modes[""]
        assert not any(on for name, on in modes.items() if name.startswith("trunk"))
        torch.testing.assert_close(network.state_dict(), state, atol=0, rtol=0)
    finally:
        network.eval()
    network.active = ["dog"]
    try:
        dogs = network.predict(files[0], top=9)
        assert sum(guess.probability for guess in dogs.classes) == pytest.approx(1)
        assert len(dogs.classes) == len(network.active or ()) < network.num_classes
    finally:
        network.active = None
    with network.attend({"dog": 3.0}):
        assert network.predict(files[0]).levels != want[0].levels
    assert len(network.predict(files[0], top=1).classes) == 1


class Threshold:
    """A rejection as networks carry one."""

    temperature = 2.0

    def __init__(self, least: float) -> None:
        self.least = least

    def accepts(self, logits: torch.Tensor) -> torch.Tensor:
        return logits.amax(1) >= self.least


def test_none_of_these(networks: dict[str, HierarchicalNetwork], files: list[Path]) -> None:
    network = networks["N2HL"]
    with torch.no_grad():
        logits = network(torch.stack([network.preprocess(Image.open(f)) for f in files]))
    largest = logits.amax(1)
    try:
        network.__dict__["rejection"] = Threshold(float(largest.median()))
        answers = network.predict(files)
    finally:
        del network.__dict__["rejection"]
    assert [a.accepted for a in answers] == (largest >= largest.median()).tolist()
    assert {a.accepted for a in answers} == {True, False}
    for answer, row in zip(answers, logits, strict=True):
        assert (answer.name == "none of these") == (not answer.accepted)
        assert answer.best.probability == pytest.approx(float((row.double() / 2).softmax(0).max()), rel=1e-4)
        assert answer.to_dict()["accepted"] is answer.accepted
    assert network.predict(files[0]).accepted is None


def test_what_is_refused(networks: dict[str, HierarchicalNetwork], files: list[Path], tmp_path: Path) -> None:
    network = networks["N2HL"]
    (tmp_path / "text.png").write_text("hello")
    missing = files[0].with_name("0.pgn")
    assert f"{missing}: no such image file; nearest: {files[0]}" in message(lambda: network.predict(missing))
    refused = {
        "cannot be read as an image (no format that PIL knows)": tmp_path / "text.png",
        "cannot be read as an image (a folder)": tmp_path,
        "an array is no picture; expected uint8": np.zeros((4, 4, 3)),
        "an array is no picture; expected uint8, (H, W)": np.zeros((4, 4, 5), dtype=np.uint8),
        "a tensor is no image; expected (3, 32, 32)": torch.zeros(1, 32, 32),
        "is no picture; expected a path": [3],
        "differ in size": [torch.zeros(3, 32, 32), torch.zeros(3, 33, 32)],
    }
    for words, picture in refused.items():
        assert words in message(lambda picture=picture: network.predict(picture)), words
    assert "top cannot be 0" in message(lambda: network.predict(files[0], top=0))
    assert "'lynx' is in WordNet" in message(lambda: network.predict(files[0], classes="lynx"))
    with torch.no_grad():
        network.head.bias[0] = torch.nan
    with pytest.raises(HiergenError, match="not finite"):
        network.predict(files[0])
    with torch.no_grad():
        network.head.bias[0] = 0.5


def test_percent() -> None:
    assert [percent(p) for p in (0.0, 1e-9, 0.0005, 0.5, 0.99949, 0.9996, 1.0)] == [
        *("0.0 %", "<0.1 %", "0.1 %", "50.0 %", "99.9 %", ">99.9 %", "100.0 %"),
    ]
