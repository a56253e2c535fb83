"""Good files that others are made from: a small network with its weights, checkpoints, pictures, a small WordNet."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from hiergen.models.load import load_network
from hiergen.models.weights import save_weights
from hiergen.taxonomy.wordnet import files as wordnet_files
from tests.fuzz.entry import command

TAXONOMY = b"""\
name: fuzz
classes: [tabby, pug, beagle, minivan]
sources: [groups: {animal: [tabby, pug], other: [beagle, minivan]}]
models:
  N2HL:
    trunk: {backbone: resnet18, until: layer1}
    input_size: 32
    branches: [[{width: 2, out: 2}], [{width: 2, out: 2}]]
"""
KEPT: dict[str, Any] = {}


def network(here: Path) -> Any:
    """A small network, with its file and weights in this folder; built once."""
    (here / "t.yaml").write_bytes(TAXONOMY)
    if not KEPT:
        command("build", "t.yaml", "-o", "m.py", seconds=60)
        KEPT["source"] = (here / "m.py").read_bytes()
        KEPT["network"] = load_network("m.py")
        save_weights(KEPT["network"], here / "w.safetensors")
        KEPT["weights"] = (here / "w.safetensors").read_bytes()
    (here / "m.py").write_bytes(KEPT["source"])
    return KEPT["network"]


@functools.cache
def pickles() -> tuple[bytes, ...]:
    state = {"fc.weight": torch.ones(4, 8), "fc.bias": torch.ones(4)}
    found = []
    for data in (state, {"state_dict": state, "epoch": 3}, {"model": {"module.fc.weight": torch.ones(4, 8).half()}}):
        for new in (True, False):
            out = io.BytesIO()
            torch.save(data, out, _use_new_zipfile_serialization=new)
            found.append(out.getvalue())
    return tuple(found)


@functools.cache
def pictures() -> tuple[bytes, ...]:
    found = []
    for mode, kind in (
        ("RGB", "PNG"),
        ("RGB", "JPEG"),
        ("P", "GIF"),
        ("L", "BMP"),
        ("RGB", "WEBP"),
        ("RGBA", "TIFF"),
        ("RGB", "PPM"),
        ("P", "PNG"),
    ):
        out = io.BytesIO()
        Image.new(mode, (9, 7)).save(out, kind)
        found.append(out.getvalue())
    return tuple(found)


def small_wordnet() -> dict[str, bytes]:
    """Four synsets as Princeton writes them."""
    lines = [
        "{} 03 n 01 entity 0 001 ~ {} n 0000 | what is  \n",
        "{} 03 n 02 animal 0 beast 0 003 @ {} n 0000 ~ {} n 0000 ~ {} n 0000 | what moves  \n",
        '{} 05 n 01 cat 0 001 @ {} n 0000 | what purrs; "a cat"  \n',
        "{} 05 n 01 dog 0 001 @ {} n 0000 | what barks  \n",
    ]
    starts = [0]
    for line in lines[:-1]:
        starts.append(starts[-1] + len(line.replace("{}", "0" * 8)))
    ids = [f"{s:08d}" for s in starts]
    data = "".join((lines[0].format(ids[0], ids[1]), lines[1].format(ids[1], ids[0], ids[2], ids[3])))
    data += lines[2].format(ids[2], ids[1]) + lines[3].format(ids[3], ids[1])
    index = "".join(
        f"{w} n 1 1 @ 1 0 {ids[i]}  \n" for w, i in (("animal", 1), ("beast", 1), ("cat", 2), ("dog", 3), ("entity", 0))
    )
    lex = wordnet_files.shipped().lexnames
    return {"data.noun": data.encode(), "index.noun": index.encode(), "lexnames": lex, "noun.exc": b"oxen ox\n"}
