"""Class trees of other programs, and every list of classes, through `hiergen import` and a taxonomy that names them."""

from __future__ import annotations

import functools
import io
import json
import os
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from hiergen.assets import class_list
from hiergen.taxonomy import sources as superclass
from hiergen.taxonomy.wordnet.nouns import default
from tests.fuzz.bytes import LONG_WORD, SCALARS, almost, noise, seeds, twisted
from tests.fuzz.entry import command, folder
from tests.fuzz.profiles import examples
from tests.fuzz.specimens import small_wordnet

NEWICK = [
    b"((tabby,'tiger cat':1.5)cat:2,(beagle,pug)dog[c])animal;\n",
    b"((((a,b)c,d),'it''s e'),(f,(g,h)[x[y]z]i:1e-3));",
]
TREE: dict[str, Any] = {
    "format": "hiergen-tree",
    "version": 1,
    "taxonomy": "t",
    "nodes": [{"key": "0", "parent": None, "id": "root"}],
}
TREE["nodes"] += [
    {"key": str(i), "parent": str(i // 2 - (i > 3)), "id": f"g{i}", "name": f"G {i}", "kind": "group"} for i in (1, 2)
]
TREE["nodes"] += [
    {"key": str(i), "parent": str(1 + i % 2), "id": f"c{i}", "synset": "n02123045", "index": i - 3} for i in range(3, 8)
]
NBDT: dict[str, Any] = {"directed": True, "multigraph": False, "graph": {}}
NBDT["nodes"] = [{"id": f"f0000000{i}", "label": f"g {i}"} for i in (1, 2, 3)] + [
    {"id": w} for w in class_list("imagenette")[:4]
]
NBDT["links"] = [{"source": f"f0000000{a}", "target": f"f0000000{b}"} for a, b in ((1, 2), (1, 3))]
NBDT["links"] += [{"source": f"f0000000{2 + i % 2}", "target": w} for i, w in enumerate(class_list("imagenette")[:4])]
PATHS = b'animal,cat,tabby\nanimal,cat,tiger cat\nanimal,dog,pug\nplant,tree,"oak, old"\nplant,moss,\n'
ISA = b"# edges\nn02121808 n02123045\nn02121808 n02123159\nn02084071 n02121808\nn02084071,n02110341\n"
WNIDS = "\n".join(["# classes", *class_list("imagenette"), "n02123045 tabby, cat", "n02123159\ttiger cat"]).encode()
PLAIN = b"cat\ndog\n\ntoucan\nsports car\nice bear\n"
ARRAY = io.BytesIO()
np.save(ARRAY, np.array([["animal", "cat", "tabby"], ["animal", "dog", "pug"], ["plant", "oak", ""]]))
OTHER = io.BytesIO()
np.save(OTHER, np.array([[1, 2], [1, 3], [4, 5]]))
FILES: dict[str, list[bytes]] = {
    "t.nwk": NEWICK,
    "t.json": [json.dumps(TREE).encode(), json.dumps(TREE, indent=1).encode(), json.dumps(NBDT).encode()],
    "t.csv": [PATHS, PATHS.replace(b",", b";"), PLAIN],
    "t.tsv": [PATHS.replace(b",", b"\t")],
    "t.txt": [ISA, WNIDS, PLAIN],
    "t.npy": [ARRAY.getvalue(), OTHER.getvalue()],
}
OPTIONS: list[list[str]] = [
    *([], [], [], ["--join-roots"], ["--header"], ["--subset"], ["--classes", "imagenette"], ["--classes", "l.txt"]),
    *(
        ["--classes", "tabby,pug"],
        ["--classes", "l.txt", "--subset"],
        ["--classes", "t.txt"],
        ["--join-roots", "--header"],
    ),
]


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    default().lemmas("n02123045")
    with folder():
        for name, good in FILES.items():
            Path(name).write_bytes(good[0])
            command("import", name, "-o", "new.yaml", "--force", seconds=60)
        command("validate", "new.yaml", seconds=60)


@examples(40, 0.12)
@given(seeds)
def test_a_mutated_tree_is_imported_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice(list(FILES))
    raw = almost(rng, *FILES[name])
    if name == "t.json" and rng.random() < 0.7:
        raw = json.dumps(twisted(rng, rng.choice((TREE, NBDT)))).encode()
    options = list(rng.choice(OPTIONS))
    if rng.random() < 0.15:
        options += ["--format", rng.choice(("nbdt", "isa", "paths", "newick", "json", "", "xml"))]
    with folder() as here:
        (here / "l.txt").write_bytes(PLAIN)
        (here / name).write_bytes(raw)
        ran = command("import", name, "-o", "new.yaml", *options)
        if ran.code == 0:  # what was written can be read
            assert command("validate", "new.yaml").code == 0


@examples(20, 0.06)
@given(seeds)
def test_a_mutated_class_list_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        (here / "l.txt").write_bytes(almost(rng, WNIDS, PLAIN))
        (here / "t.yaml").write_text("name: t\nclasses: l.txt\nunplaced: root\nmodels: {PHL: {}}\n")
        command(rng.choice(("validate", "show")), "t.yaml")


@examples(10, 0.02)
@given(seeds)
def test_an_image_folder_of_any_names_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        (here / "images").mkdir()
        for _ in range(rng.randrange(6)):
            raw = almost(rng, b"cat", b"n02123045", b"tiger cat").replace(b"/", b"_").replace(b"\0", b"_")[:255]
            if raw not in (b"", b".", b".."):
                os.makedirs(os.path.join(os.fsencode(here / "images"), raw), exist_ok=True)
        (here / "t.yaml").write_text("name: t\nclasses: {imagefolder: images}\nunplaced: root\nmodels: {PHL: {}}\n")
        command(rng.choice(("validate", "show")), "t.yaml")


@functools.cache
def _superclass_files() -> tuple[bytes, bytes]:
    above = superclass.superclasses(default())
    number: dict[str, int] = {}
    names = [", ".join(default().lemmas(above[w])) for w in class_list("imagenet1k")]
    numbers = [str(number.setdefault(above[w], len(number))) for w in class_list("imagenet1k")]
    return "\n".join(numbers).encode(), "\n".join(names).encode()


@examples(6, 0.01)
@given(seeds)
def test_mutated_superclass_files_are_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        good = _superclass_files()
        for name, raw in zip((superclass.NUMBERS, superclass.NAMES), good, strict=True):
            (here / name).write_bytes(almost(rng, raw) if rng.random() < 0.6 else raw)
        text = "name: t\nclasses: imagenette\nsources: [superclass-files: ., wordnet]\nmodels: {PHL: {}}\n"
        (here / "t.yaml").write_text(text)
        command("validate", "t.yaml")


@examples(15, 0.05)
@given(seeds)
def test_a_mutated_wordnet_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    files = small_wordnet()
    for _ in range(rng.randrange(3)):
        name = rng.choice(list(files))
        files[name] = almost(rng, files[name])
    if rng.random() < 0.1:
        del files[rng.choice(list(files))]
    with folder() as here:
        if rng.random() < 0.5:
            (here / "w").mkdir()
            for name, raw in files.items():
                (here / "w" / name).write_bytes(raw)
        else:
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, raw in files.items():
                    archive.writestr(name, raw)
            (here / "w").write_bytes(almost(rng, packed.getvalue()) if rng.random() < 0.7 else packed.getvalue())
        (here / "t.yaml").write_text(
            "name: t\nclasses: [cat, dog]\nunplaced: root\nsources: [wordnet: w]\nmodels: {PHL: {}}\n"
        )
        command(rng.choice(("validate", "show")), "t.yaml")


@examples(15, 0.04)
@given(seeds)
def test_any_cue_is_answered_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    words = [
        rng.choice((*SCALARS, "cat", "dogs", LONG_WORD, noise(rng).decode("utf-8", "replace")))
        for _ in range(rng.choice((1, 1, 2)))
    ]
    words = [word.replace("\0", "") for word in words]  # no argument of a program holds one
    options = [w for w in ("--json",) if rng.random() < 0.3]
    with folder() as here:
        (here / "t.yaml").write_text("name: t\nclasses: [cat, dog, tabby]\nmodels: {PHL: {}}\n")
        command("cue", *options, "--", *words, rng.choice(("t.yaml", "imagenette", "imagenet100")))
