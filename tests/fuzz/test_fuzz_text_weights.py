"""Weights, checkpoints and images that are almost right, through the commands that read them."""

from __future__ import annotations

import functools
import io
import json
import random
import tarfile
from typing import Any

import pytest
import torch
from hypothesis import given
from safetensors.torch import save

from hiergen.data.sources import open_data
from hiergen.models.weightsfile import read_weights
from tests.fuzz.bytes import almost, seeds, twisted
from tests.fuzz.entry import call, command, folder
from tests.fuzz.profiles import examples
from tests.fuzz.specimens import KEPT, network, pickles, pictures


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    with folder() as here:
        network(here)
        (here / "a.safetensors").write_bytes(_plain())
        command("suggest", "t.yaml", "--by", "weights", "--weights", "a.safetensors", "--groups", "2", seconds=60)
        command("convert", "a.safetensors", "-o", "b.safetensors", seconds=60)


@functools.cache
def _plain() -> bytes:
    torch.manual_seed(0)
    return save({"fc.weight": torch.randn(4, 8), "fc.bias": torch.randn(4), "x.weight": torch.randn(3, 2)}, {"a": "b"})


def _header(rng: random.Random, raw: bytes) -> bytes:
    """The header changed as JSON, the rest as it is."""
    size = int.from_bytes(raw[:8], "little")
    header, rest = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    text = json.dumps(twisted(rng, header)).encode("utf-8", "surrogatepass")
    if rng.random() < 0.1:
        text = rng.choice((b'{"a":' * 5_000, b"[" * 200_000, b"{}", b"null", b'{"__metadata__": 1}', b""))
    length = rng.choice((len(text), len(text), len(text), 0, 1, 2**40, 2**63, 2**64 - 1, len(text) + 8))
    return length.to_bytes(8, "little") + text + rest


def _weights(rng: random.Random) -> bytes:
    good = (_plain(), KEPT["weights"])
    return _header(rng, rng.choice(good)) if rng.random() < 0.6 else almost(rng, *good, pickles()[0])


@examples(25, 0.07)
@given(seeds)
def test_mutated_weights_are_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        network(here)
        (here / "w.safetensors").write_bytes(_weights(rng))
        call(lambda: _whole(read_weights(here / "w.safetensors")))
        if rng.random() < 0.5:
            words = rng.choice(
                (
                    [
                        "suggest",
                        "t.yaml",
                        "--by",
                        "weights",
                        "--weights",
                        "w.safetensors",
                        "--groups",
                        "2",
                        "-o",
                        "o.yaml",
                    ],
                    ["convert", "w.safetensors", "-o", "o.safetensors"],
                    ["cost", "m.py", "--weights", "w.safetensors", "--no-time", "--no-memory"],
                    ["explore", "m.py", "--weights", "w.safetensors", "-o", "o.html"],
                )
            )
            command(*words)


def _whole(file: Any) -> None:
    assert isinstance(file.classes, tuple)
    file.provenance  # noqa: B018 it is parsed on demand


@examples(20, 0.05)
@given(seeds)
def test_a_mutated_checkpoint_is_converted_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        (here / "c.pth").write_bytes(almost(rng, *pickles()))
        command("convert", "c.pth", "-o", "o.safetensors", *(["--no-ema"] if rng.random() < 0.2 else []))


@examples(25, 0.05)
@given(seeds)
def test_a_mutated_image_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        net = network(here)
        for name in net.classes:
            (here / "d" / name).mkdir(parents=True)
            raw = almost(rng, *pictures()) if rng.random() < 0.7 else rng.choice(pictures())
            (here / "d" / name / f"1.{rng.choice(('png', 'jpg', 'jpeg', 'PNG'))}").write_bytes(raw)
        images = call(lambda: open_data(here / "d", net))
        for i in range(len(images) if images is not None else 0):
            found = call(lambda i=i: images.picture(i))
            assert found is None or found.mode == "RGB"


def _tar(rng: random.Random, names: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(
        fileobj=out, mode="w", format=rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT))
    ) as tar:
        for name, raw in names:
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            if rng.random() < 0.1:
                info.type, info.linkname = (
                    rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)),
                    "/etc",
                )
            tar.addfile(info, io.BytesIO(raw))
    return out.getvalue()


@examples(20, 0.05)
@given(seeds)
def test_a_mutated_tar_of_images_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        net = network(here)
        image = pictures()[0]
        if rng.random() < 0.5:
            names = [(f"{c}/{i}.png", image) for c in net.classes for i in (1, 2)]
            names = [
                (rng.choice((n, n, n, f"../{n}", f"/{n}", "x" * 90 + n, n.replace("1", "²"))), r) for n, r in names
            ]
            raw = _tar(rng, names)
            (here / "d.tar").write_bytes(raw if rng.random() < 0.2 else almost(rng, raw))
            images = call(lambda: open_data(here / "d.tar", net))
        else:
            label = json.dumps(twisted(rng, {"label": 1, "x": "pug"})).encode("utf-8", "surrogatepass")
            names = [
                (f"{i:04}.{e}", r)
                for i in range(4)
                for e, r in (("png", image), ("cls", str(i).encode()), ("json", label))
            ]
            names = [pair for pair in names if rng.random() < 0.8]
            raw = _tar(rng, names)
            (here / "d.tar").write_bytes(raw if rng.random() < 0.3 else almost(rng, raw))
            if rng.random() < 0.5:
                (here / "classes.txt").write_bytes(almost(rng, b"tabby\npug\nbeagle\nminivan\n"))
            images = call(lambda: open_data("wds/d.tar", net, split="train"))
        for i in range(len(images) if images is not None else 0):
            call(lambda i=i: images.picture(i))
