"""Random taxonomy files through reading, merging, nesting, planning and rendering; no network is built here."""

from __future__ import annotations

import ast
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from hiergen.codegen.build import render
from hiergen.errors import HiergenError
from hiergen.planning.from_taxonomy import plan_models, validate
from hiergen.planning.plan import Plan
from hiergen.taxonomy.checks import CHECKS
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.tree import ROOT
from tests.fuzz.files import Data, class_files, models, texts
from tests.fuzz.profiles import examples
from tests.fuzz.test_fuzz_nesting import check_levels


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "t.yaml"


def built(path: Path) -> tuple[Taxonomy, list[Plan], str]:
    taxonomy = load_taxonomy(path)
    plans = plan_models(taxonomy)
    return taxonomy, plans, render(plans, path.name)


def refused(path: Path) -> HiergenError | None:
    try:
        built(path)
    except HiergenError as error:
        return error
    return None


def depth_of(path: Path, data: Data) -> int:
    """Levels of the merged tree; 0 for a file that is refused."""
    path.write_text(json.dumps(data | {"models": {"PHL": {"levels": 1}}}), encoding="utf-8")
    try:
        tree = load_taxonomy(path).tree
    except HiergenError:
        return 0
    return max(nx.shortest_path_length(tree, ROOT).values())


@st.composite
def valid_files(draw: st.DrawFn, path: Path, *, small: bool = False) -> Data:
    """A file that can be read and merged, with models that its tree is deep enough for."""
    data = draw(class_files(9 if small else 14))
    deepest = depth_of(path, data)
    assume(deepest)
    data["models"] = draw(models(st.integers(1, min(deepest, 4)), small=small, most=1 if small else 3))
    return data


@examples(40, 0.12)
@given(st.data())
def test_a_file_is_built_or_refused_as_validate_says(file: Path, data: st.DataObject) -> None:
    content = data.draw(class_files(wrong=True))
    content["models"] = data.draw(models(st.integers(1, 4)))
    file.write_text(data.draw(texts(content)), encoding="utf-8")
    error = refused(file)
    findings = validate(file)
    errors = [finding for finding in findings if finding.is_error]
    event(f"built or {error.code if error else 'built'}")
    assert {finding.code for finding in findings} <= set(CHECKS)
    assert all("\n" not in finding.message and finding.place.startswith(str(file)) for finding in errors)
    if error is None:
        assert not errors
    else:
        assert error.code in {finding.code for finding in errors}
        assert "\n" not in str(error)
        if error.code != "E401":  # of too many levels validate says as much in other words
            assert str(error) in {f"{finding.place}: {finding.message}" for finding in errors}


@examples(25, 0.08)
@given(st.data())
def test_the_source_holds_every_class_once_on_exactly_k_levels(file: Path, data: st.DataObject) -> None:
    content = data.draw(valid_files(file))
    file.write_text(data.draw(texts(content)), encoding="utf-8")
    if error := refused(file):
        assert error.code in {"E503", "E504"}
        return
    taxonomy, plans, source = built(file)
    body = ast.parse(source).body
    values = {node.targets[0].id: node.value for node in body if isinstance(node, ast.Assign)}
    names_of = ast.literal_eval(values["CLASSES"])
    ids = [entry.id for entry in taxonomy.classes]
    assert ids == content["classes"] == list(names_of)
    assert names_of == {c.id: c.name for c in taxonomy.classes}
    names = {node.name for node in body if isinstance(node, ast.ClassDef)}
    assert names == set(content["models"])
    for plan in plans:
        k = len(plan.levels)
        assert plan == Plan.model_validate_json(plan.model_dump_json())
        nesting = taxonomy.nesting(plan.model)
        check_levels(nesting, len(ids), k)
        written = values[f"NESTING_{k}"].args[0]
        paths = list(_paths(list(names_of) if k == 1 else ast.literal_eval(written)))
        assert Counter(path[-1] for path in paths) == Counter(ids)
        assert {len(path) for path in paths} == {k}
        for level, groups in enumerate([v.groups for v in nesting.levels]):
            held: dict[tuple[str, ...], set[str]] = {}
            for path in paths:
                held.setdefault(path[: level + 1], set()).add(path[-1])
            assert [(p[-1], c) for p, c in held.items()] == [(g.name, {ids[c] for c in g.classes}) for g in groups]
    calls = {node.func.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and _named(node)}
    assert calls <= {"Bottlenecks", "ConvNeXts", "InvertedResiduals", "ClassHeads", "Siblings", "Trunk"} | {
        "register",
        "super",
    }
    assert max(map(len, source.splitlines())) <= 480  # a name has up to 200 characters, and may be escaped


def _named(node: ast.Call) -> bool:
    return isinstance(node.func, ast.Name)


def _paths(tree: dict[str, Any] | list[str], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(tree, dict):
        for key, below in tree.items():
            yield from _paths(below, (*above, key))
    else:
        yield from ((*above, key) for key in tree)


@examples(20, 0.06)
@given(st.data())
def test_the_same_data_gives_the_same_bytes_however_it_is_written(file: Path, data: st.DataObject) -> None:
    content = data.draw(valid_files(file))
    rng = data.draw(st.randoms(use_true_random=False))
    file.write_text(data.draw(texts(content)), encoding="utf-8")
    error = refused(file)
    first = None if error else built(file)[2]
    file.write_text(data.draw(texts(_shuffled(content, rng))), encoding="utf-8")
    if error is not None:
        again = refused(file)
        assert again is not None
        assert again.code == error.code
        return
    taxonomy, _, second = built(file)
    assert second == first
    file.write_text(data.draw(texts(taxonomy.document.data)), encoding="utf-8")  # load → dump → load
    assert built(file)[2] == first


def _shuffled(value: Any, rng: random.Random, key: str = "") -> Any:
    """Keys and the members of groups in another order; classes, sources, models and stages keep theirs."""
    if isinstance(value, dict):
        items = list(value.items())
        if key != "models":
            rng.shuffle(items)
        return {k: _shuffled(v, rng, "group" if key in {"groups", "group"} else k) for k, v in items}
    if isinstance(value, list):
        parts = [_shuffled(item, rng, key) for item in value]
        if key == "group":
            rng.shuffle(parts)
        return parts
    return value
