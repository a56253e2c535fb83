"""Files that programs wrote and somebody changed: metrics, confusions, search states, answers, caches, run folders."""

from __future__ import annotations

import json
import math
import random
import warnings
import zlib
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from hiergen.nn import tuning
from hiergen.nn.lowering import Lowering
from hiergen.suggest.llm.cache import read_cache
from hiergen.suggest.llm.pasted import read_answers
from hiergen.suggest.llm.questions import Question
from hiergen.suggest.llm.schema import find_answers
from hiergen.suggest.search import statefile
from hiergen.train import cachefolder
from hiergen.train.cachefile import HEADER, JOURNAL, MAPS, Layout
from hiergen.train.recipefile import dump_recipe, load_recipe
from hiergen.train.runfolder import Request, recorded
from tests.fuzz.bytes import almost, seeds, twisted
from tests.fuzz.entry import call, command, folder
from tests.fuzz.profiles import examples

IDS = ["tabby", "pug", "beagle", "minivan", "ambulance"]
TAXONOMY = """\
name: five
classes: [tabby, pug, beagle, minivan, ambulance]
sources: [groups: {animal: [tabby, pug, beagle], car: [minivan, ambulance]}]
models: {N2HL: {trunk: {backbone: resnet18, until: layer2}}}
"""
METRICS: dict[str, Any] = {
    "images": 50,
    "top1": 0.5,
    "top5": 1.0,
    "level_accuracy": [0.9, 0.5],
    "mistake_severity": 1.5,
}
METRICS["classes"] = [
    {
        "id": c,
        "images": 10,
        "accuracy": 0.5,
        "precision": 0.5,
        "severity": 1.5,
        "confused_with": IDS[i - 1],
        "confused": 3,
    }
    for i, c in enumerate(IDS)
]
METRICS["groups"] = [
    {"level": 1, "path": [name], "images": 20, "recall": 0.9, "precision": 0.9} for name in ("animal", "car")
]
COUNTS = {"classes": IDS, "counts": [[9 if i == j else 1 for j in range(5)] for i in range(5)]}
TABLE = "\n".join(
    [",".join(["", *IDS]), *(",".join([c, *map(str, row)]) for c, row in zip(IDS, COUNTS["counts"], strict=True))]
)
REPORT = "class,name,images,accuracy,confused_with,confused\n" + "\n".join(
    f"{c},{c},10,0.5,{IDS[i - 1]},3" for i, c in enumerate(IDS)
)
IDENTITY = statefile.Identity("coherence", "names", "abc", "def", (2,), (2, 3), False, 0)
QUESTIONS: list[Question] = []
ANSWERS = json.dumps({"answers": [{"item": c, "answer": "animal"} for c in IDS]})
LINES = "\n".join(["Sure!", "```json", ANSWERS, "```", json.dumps({"item": "pug", "answer": "car"})])


def _json(rng: random.Random, good: Any) -> bytes:
    """Mostly JSON that holds something else, else text that is almost JSON."""
    if rng.random() < 0.6:
        return json.dumps(twisted(rng, good)).encode("utf-8", "surrogatepass")
    return almost(rng, json.dumps(good).encode(), json.dumps(good, indent=1).encode())


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    with folder() as here:
        (here / "t.yaml").write_text(TAXONOMY)
        (here / "m.json").write_text(json.dumps(METRICS))
        (here / "c.csv").write_text(TABLE)
        command("explore", "t.yaml", "--results", "m.json", "-o", "o.html", seconds=60)
        command("suggest", "t.yaml", "--by", "features", "--confusions", "c.csv", "-o", "s.yaml", seconds=60)
        command("suggest", "t.yaml", "--by", "random", "--search", "--steps", "1", "-o", "r.yaml", seconds=60)


@examples(15, 0.03)
@given(seeds)
def test_mutated_metrics_are_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        (here / "t.yaml").write_text(TAXONOMY)
        (here / "m.json").write_bytes(_json(rng, METRICS))
        command("explore", "t.yaml", "--results", "m.json", "-o", "o.html")


@examples(15, 0.03)
@given(seeds)
def test_mutated_confusions_are_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice(("c.json", "c.csv", "metrics.json"))
    with folder() as here:
        (here / "t.yaml").write_text(TAXONOMY)
        good = {"c.json": COUNTS, "metrics.json": METRICS}.get(name)
        (here / name).write_bytes(_json(rng, good) if good else almost(rng, TABLE.encode(), REPORT.encode()))
        command("suggest", "t.yaml", "--by", "features", "--confusions", name, "-o", "s.yaml")


STATE: dict[str, Any] = {
    "format": statefile.FORMAT,
    "search": json.loads(json.dumps(asdict(IDENTITY))),
    "round_blocks": 10,
}
STATE |= {"round": 1, "block": 2, "now": [[0, 0, 0, 1, 1]], "leader": [[0, 0, 0, 1, 1]], "leader_value": 0.5}
STATE |= {"best": [[0, 1, 0, 1, 1]], "best_value": 0.25, "seconds": 1.5, "rounds": [0.25]}


@examples(20, 0.05)
@given(seeds)
def test_a_mutated_search_state_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        path = here / "s.json"
        raw = _json(rng, {**STATE, "sha256": statefile._checksum(STATE)})
        if rng.random() < 0.7:  # somebody's who knows how it is checked
            changed = STATE if rng.random() < 0.1 else twisted(rng, STATE)
            sealed = {**changed, "sha256": statefile._checksum(changed)} if isinstance(changed, dict) else changed
            raw = json.dumps(sealed).encode("utf-8", "surrogatepass")
        path.write_bytes(raw)
        found = call("statefile.load", lambda: statefile.load(path, IDENTITY, 5))
    if found is not None:
        for labels in (found.now, found.leader, found.best):
            assert labels is None or (len(labels) == 1 and sorted(set(labels[0])) == [0, 1] and len(labels[0]) == 5)
        assert not math.isnan(found.leader_value)
        assert not math.isnan(found.best_value)


@examples(6, 0.008)
@given(seeds)
def test_a_search_goes_on_from_a_mutated_state_or_says_why_not(seed: int) -> None:
    rng = random.Random(seed)
    words = ["suggest", "t.yaml", "--by", "random", "--search", "--steps", "1000", "--force"]
    words += ["--state", "s.json", "-o", "o.yaml"]
    with folder() as here:
        (here / "t.yaml").write_text(TAXONOMY)
        command(*words, seconds=10)
        good = json.loads((here / "s.json").read_text()) if (here / "s.json").is_file() else STATE
        (here / "s.json").write_bytes(_json(rng, good))
        command(*words[:6], "2000", *words[7:], seconds=10)


@examples(25, 0.06)
@given(seeds)
def test_any_answer_of_a_language_model_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    raw = almost(rng, ANSWERS.encode(), LINES.encode()) if rng.random() < 0.5 else _json(rng, json.loads(ANSWERS))
    text = raw.decode("utf-8", "replace")
    found = call("find_answers", lambda: find_answers(text * rng.choice((1, 1, 3))))
    assert all(one.answer is not None or one.problem for one in found)
    with folder() as here:
        (here / "a.txt").write_bytes(raw)
        (here / "t.yaml").write_text(TAXONOMY)
        call("read_answers", lambda: read_answers(here / "a.txt"))
        if rng.random() < 0.1:
            command("suggest", "t.yaml", "--by", "llm", "--answers", "a.txt", "-o", "o.yaml")


ENTRY = {"item": "pug", "question": "0123456789abcdef", "answer": "animal", "by": "m"}
CACHE = {
    "about": "x",
    "version": 1,
    "answers": [ENTRY, {**ENTRY, "item": "tabby", "question": "f" * 16, "answer": None}],
}


@examples(20, 0.05)
@given(seeds)
def test_a_mutated_file_of_answers_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        (here / "a.json").write_bytes(_json(rng, CACHE))
        found = call("read_cache", lambda: read_cache(here / "a.json"))
        if found is not None:
            found._dirty = True
            found.save()
            assert read_cache(here / "a.json")._entries == found._entries


CASE = "cpu x 1 | torch 2 | (Bottlenecks(...),) | 5 | (1, 7, 7) | torch.float32 | eval"


@examples(20, 0.04)
@given(seeds)
def test_a_mutated_tuning_table_is_read_or_reported(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        (here / "l.json").write_bytes(_json(rng, {CASE: ["matmul", 4], "b": ["loop", 0]}))
        tuning._saved.cache_clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")

            def read() -> dict[str, Lowering]:
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", ".*is damaged and ignored", UserWarning)
                    return tuning._saved(here / "l.json")

            found = call("tuning", read)
        tuning._saved.cache_clear()
    for lowering in found.values():
        assert lowering.kind in {"loop", "matmul", "grouped"}
        assert lowering.chunk is None or lowering.chunk > 0


RUN = json.loads(Request(model="a.py:B", data="digits").model_dump_json())


@examples(15, 0.03)
@given(seeds)
def test_a_mutated_run_folder_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        (here / "r").mkdir()
        recipe = dump_recipe(load_recipe("quick")).encode()
        kind = rng.randrange(2)
        (here / "r/run.json").write_bytes(_json(rng, RUN) if kind else json.dumps(RUN).encode())
        (here / "r/recipe.yaml").write_bytes(recipe if kind else almost(rng, recipe))
        call("recorded", lambda: recorded(here / "r", ("epochs=2",) if rng.random() < 0.5 else ()))


LAYOUT = Layout.of(6, (2, 3), "float16", 2)
KEY = "0" * 32


def _journal(rng: random.Random) -> bytes:
    records: list[Any] = [
        {"chunk": 0, "crc": 1, "broken": []},
        {"chunk": 0, "crc": None},
        {"chunk": 0, "crc": 5, "broken": [[1, "a", "b"]]},
    ]
    lines = []
    for record in records:
        text = json.dumps(twisted(rng, record) if rng.random() < 0.7 else record).encode("utf-8", "surrogatepass")
        lines.append(b"\n%08x %s\n" % (zlib.crc32(text), text))
    return b"".join(lines) if rng.random() < 0.7 else almost(rng, b"".join(lines))


@examples(20, 0.05)
@given(seeds)
def test_a_mutated_feature_cache_is_opened_or_begun_anew(seed: int) -> None:
    rng = random.Random(seed)
    with folder() as here:
        cache = cachefolder.open_cache(here, KEY, LAYOUT, {})
        assert cache.claim(0)
        cache.store(0, np.ones((6, 2, 3), "float16")[: len(LAYOUT.span(0))])
        cache.close()
        home = here / f"{KEY}.maps"
        if rng.random() < 0.5:
            (home / HEADER).write_bytes(_json(rng, json.loads((home / HEADER).read_text())))
        if rng.random() < 0.5:
            (home / JOURNAL).write_bytes(_journal(rng))
        if rng.random() < 0.2:
            (home / MAPS).write_bytes(almost(rng, (home / MAPS).read_bytes()))

        def use() -> None:
            opened = cachefolder.open_cache(here, KEY, LAYOUT, {})
            try:
                if not opened.missing:
                    opened.verify(np.arange(LAYOUT.rows))
                    assert opened.maps.shape == (6, 2, 3)
            finally:
                opened.close()

        call("feature cache", use)
