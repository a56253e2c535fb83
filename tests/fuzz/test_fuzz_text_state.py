"""Files that programs wrote and somebody changed: metrics, confusions, search states, answers, caches, run folders."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from hiergen.data import feature_cache
from hiergen.nestings.ask.answers import find_answers, read_answers
from hiergen.nestings.ask.cache import read_cache
from hiergen.nn import tuning
from hiergen.nn.lowering import Lowering
from hiergen.training.recipe import dump_recipe, load_recipe
from hiergen.training.runfolder import Request, recorded
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
IMAGES = "file,true_id,predicted_id,probability,accepted\n" + "\n".join(
    f"{t}{i}.png,{t},{p},0.5,1"
    for t, row in zip(IDS, COUNTS["counts"], strict=True)
    for p, count in zip(IDS, row, strict=True)
    for i in range(count)
)
REPORT = "class,name,images,accuracy,confused_with,confused\n" + "\n".join(
    f"{c},{c},10,0.5,{IDS[i - 1]},3" for i, c in enumerate(IDS)
)
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
        command("suggest", "t.yaml", "--by", "confusions", "--confusions", "c.csv", "-o", "s.yaml", seconds=60)


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
def test_mutated_evaluations_are_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    good = {"metrics.json": json.dumps({**METRICS, "images": 65}), "images.csv": IMAGES, "confusion.csv": TABLE}
    with folder() as here:
        (here / "t.yaml").write_text(TAXONOMY)
        (here / "ev").mkdir()
        for name, text in good.items():
            (here / "ev" / name).write_text(text)
        command("explore", "t.yaml", "--results", "ev", "-o", "o.html", allowed=(0,), seconds=60)
        name = rng.choice(list(good))
        (here / "ev" / name).write_bytes(almost(rng, good[name].encode()))
        command("explore", "t.yaml", "--results", "ev", "-o", "o.html")


@examples(15, 0.03)
@given(seeds)
def test_mutated_confusions_are_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    name = rng.choice(("c.json", "c.csv", "metrics.json"))
    with folder() as here:
        (here / "t.yaml").write_text(TAXONOMY)
        good = {"c.json": COUNTS, "metrics.json": METRICS}.get(name)
        (here / name).write_bytes(_json(rng, good) if good else almost(rng, TABLE.encode(), REPORT.encode()))
        command("suggest", "t.yaml", "--by", "confusions", "--confusions", name, "-o", "s.yaml")


@examples(25, 0.06)
@given(seeds)
def test_any_answer_of_a_language_model_is_read_or_refused(seed: int) -> None:
    rng = random.Random(seed)
    raw = almost(rng, ANSWERS.encode(), LINES.encode()) if rng.random() < 0.5 else _json(rng, json.loads(ANSWERS))
    text = raw.decode("utf-8", "replace")
    found = call(lambda: find_answers(text * rng.choice((1, 1, 3))))
    assert all(one.answer is not None or one.problem for one in found)
    with folder() as here:
        (here / "a.txt").write_bytes(raw)
        (here / "t.yaml").write_text(TAXONOMY)
        call(lambda: read_answers(here / "a.txt"))
        if rng.random() < 0.1:
            command("ask", "t.yaml", "--answers", "a.txt", "-o", "o.yaml")


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
        found = call(lambda: read_cache(here / "a.json"))
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

            found = call(read)
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
        call(lambda: recorded(here / "r", ("epochs=2",) if rng.random() < 0.5 else ()))


KEY = "0" * 32


@examples(20, 0.05)
@given(seeds)
def test_a_mutated_feature_cache_is_opened_or_begun_anew(seed: int) -> None:
    rng = random.Random(seed)

    def opened(here: Path) -> feature_cache.FeatureCache:
        return feature_cache.open_cache(here, KEY, "float16", (6, 2, 3), batch=2, about={})

    with folder() as here:
        cache = opened(here)
        assert cache.claim(0)
        cache.store(0, np.ones((2, 2, 3), "float16"), np.full(2, feature_cache.DONE))
        cache.close()
        for name in (feature_cache.FEATURES, feature_cache.STATE, feature_cache.ABOUT):
            if rng.random() < 0.5:
                (cache.home / name).write_bytes(almost(rng, (cache.home / name).read_bytes()))

        def use() -> None:
            again = opened(here)
            assert again.features.shape == (6, 2, 3)
            assert set(again.missing) <= {0, 1, 2}
            again.close()

        call(use)
