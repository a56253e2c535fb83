"""Embeddings: against pooled maps by hand, and the file that the command writes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hiergen.data.images import eval_transform
from hiergen.errors import HiergenError
from hiergen.models.load import load_network
from tests.training.own_images import FOLDERS

Hiergen = Callable[..., Any]


@pytest.fixture(autouse=True)
def place(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(home / "own.py", tmp_path)
    shutil.copytree(home / "other", tmp_path / "other")
    shutil.copytree(home / "other" / "rust", tmp_path / "other" / "of no class")
    monkeypatch.chdir(tmp_path)


def test_embeddings_are_pooled_maps_side_by_side() -> None:
    torch.manual_seed(0)
    network = load_network("own.py:N2HL").eval()
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        trunk = network.trunk(x)
        first = network.level1(trunk)
        last = network.level2(first)
        for level, maps in ((0, trunk[:, None]), (1, first), (2, last), (None, last)):
            rows = [torch.cat([branch.flatten(1).mean(1) for branch in image]) for image in maps]
            torch.testing.assert_close(network.embed(x, level), torch.stack(rows))
        logits = network.head(network.embed(x).view(2, 5, -1))
        torch.testing.assert_close(logits, network(x))
        network.active = ["sky"]
        assert network.embed(x).shape[1] == last.shape[2]
    for level in (-1, 3):
        with pytest.raises(HiergenError, match=f"there is no level {level}; expected 0 .the trunk. … 2"):
            network.embed(x, level)


def test_the_file_has_all_images_in_order(hiergen: Hiergen) -> None:
    arguments = ("embed", "own.py:N2HL", "--untrained", "--data", "other", "--level", 1, "-o", "e.npz")
    done = hiergen(*arguments, "--batch-size", 4)
    assert (done.code, done.err) == (0, ""), done
    network = load_network("own.py:N2HL")
    torch.manual_seed(0)  # as --untrained has it
    network = type(network)().eval()
    with np.load("e.npz", allow_pickle=False) as file:
        embeddings, images = file["embeddings"], file["images"]
    assert embeddings.dtype == np.float32
    assert sorted({Path(name).parent.name for name in images.tolist()}) == sorted({*FOLDERS.values(), "of no class"})
    assert done.out.endswith(f"e.npz: 18 images, {embeddings.shape[1]} numbers each\n")
    transform = eval_transform(network)
    with torch.no_grad():
        for row, name in zip(embeddings, images.tolist(), strict=True):
            want = network.embed(transform(Image.open(name))[None], 1)[0]
            torch.testing.assert_close(torch.from_numpy(row), want, rtol=1e-4, atol=1e-5)


def test_what_is_refused(hiergen: Hiergen) -> None:
    for words, arguments in (
        ("e.csv: is no name for embeddings; expected a file that ends in .npz", ("--untrained", "-o", "e.csv")),
        ("no weights for N2HL", ("-o", "e.npz")),
        ("there is no level 7", ("--untrained", "--level", 7, "-o", "e.npz")),
        ("--split 'all' is not known", ("--untrained", "--split", "all", "-o", "e.npz")),
    ):
        done = hiergen("embed", "own.py:N2HL", "--data", "other", *arguments)
        assert (done.code, done.out) == (2, ""), done
        assert words in done.err
    assert not list(Path().glob("*e.npz*"))
    Path("other/rust/9.png").write_bytes(b"no picture")
    arguments = ("embed", "own.py:N2HL", "--untrained", "--data", "other", "-o", "e.npz")
    assert "9.png: cannot be read as an image" in hiergen(*arguments).err
    done = hiergen(*arguments, "--skip-broken")
    assert done.code == 0
    assert "left out: 1 broken images" in done.err
    with np.load("e.npz") as file:
        assert len(file["images"]) == len(file["embeddings"]) == 18
