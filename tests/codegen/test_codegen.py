"""Generated source: golden files, hostile text, determinism, and that it runs."""

from __future__ import annotations

import ast
import difflib
import os
import random
from pathlib import Path
from types import ModuleType

import pytest
import torch

from hiergen.codegen import view as literals
from hiergen.codegen.build import Built, build
from hiergen.errors import HiergenError
from hiergen.planning.blocks import BLOCKS
from hiergen.planning.from_taxonomy import plan_models
from hiergen.taxonomy.load import load_taxonomy
from tests.helpers import check_lint, imported, printed_twice

DATA = Path(__file__).parent.parent / "golden"
SHIPPED = sorted(Path("taxonomies").glob("*.yaml"))
HOSTILE = ['it\'s "quoted"', "{{ 7*7 }}", '""" + exit() #', "back\\slash", "класс"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(DATA / "toy.yaml", tmp_path_factory.mktemp("generated") / "toy_golden_module.py")


@pytest.fixture(scope="module")
def toy_module(toy: Built) -> ModuleType:
    return imported(toy.path)


def test_golden_file(toy: Built) -> None:
    golden = DATA / "toy.py.golden"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(toy.source, encoding="utf-8")
    expected = golden.read_text(encoding="utf-8")
    diff = "".join(difflib.unified_diff(expected.splitlines(True), toy.source.splitlines(True), "golden", "now"))
    assert not diff, f"{diff}\nif this is right: UPDATE_GOLDEN=1 pytest tests/codegen"


@pytest.mark.parametrize("file", SHIPPED, ids=lambda p: p.stem)
def test_committed_sources_are_up_to_date(file: Path) -> None:
    assert build(file, check=True).drift is None


@pytest.mark.parametrize("file", [DATA / "toy.yaml", Path("taxonomies/imagenet100.yaml")], ids=lambda p: p.stem)
def test_same_bytes_under_other_hash_seeds(file: Path) -> None:
    code = (
        "import sys; from hiergen.codegen.build import *; from hiergen.codegen.build import render;"
        "t = load_taxonomy(sys.argv[1]); print(render(plan_models(t), 'x'))"
    )
    assert len(printed_twice(code, file)) > 2000


def test_building_again_changes_nothing(toy: Built) -> None:
    before = toy.path.stat().st_mtime_ns
    assert build(DATA / "toy.yaml", toy.path).source == toy.source
    assert toy.path.stat().st_mtime_ns == before
    assert build(DATA / "toy.yaml", toy.path, check=True).drift is None
    toy_text = toy.path.read_text("utf-8")
    try:
        toy.path.write_text(toy_text.replace("depth=2", "depth=3"), "utf-8")
        drift = build(DATA / "toy.yaml", toy.path, check=True).drift
        assert drift is not None
        assert "depth=3" in drift
    finally:
        toy.path.write_text(toy_text, "utf-8")


def test_generated_code_is_lint_clean(toy: Built) -> None:
    check_lint(toy.path)


def test_text_from_a_taxonomy_stays_data(toy: Built, toy_module: ModuleType) -> None:
    tree = ast.parse(toy.source)
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert set(HOSTILE) <= strings
    assert 'odd "ones"' in strings
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert calls == {"Bottlenecks", "ConvNeXts", "ClassHeads", "Siblings", "Trunk", "register", "super"}
    assert list(toy_module.CLASSES)[1] == HOSTILE[0]


def test_literals_of_any_text_evaluate_to_it() -> None:
    rng = random.Random(0)
    alphabet = "ab'\"\\{}%\n\t\r\x00\u202e\ud7ff😀é #"
    for _ in range(3000):
        value = "".join(rng.choice(alphabet) for _ in range(rng.randrange(8)))
        source = literals.text(value)
        assert ast.literal_eval(source) == value
        assert source.isprintable()


def _ids(tree: dict) -> dict:
    """The tree with lists of ids in place of its mappings of id → name."""
    leaf = all(isinstance(below, str) for below in tree.values())
    return list(tree) if leaf else {name: _ids(below) for name, below in tree.items()}


def test_nested_literals_evaluate_to_the_tree(toy: Built) -> None:
    for plan in [*toy.plans, *plan_models(load_taxonomy("taxonomies/imagenet1k.yaml"))]:
        if plan.nesting.depth == 1:
            continue
        lines = literals.tree(plan.nesting.tree())
        assert ast.literal_eval("{" + "\n".join(lines) + "}") == _ids(plan.nesting.tree())
        assert max(map(len, lines)) <= literals.WIDTH


@pytest.mark.parametrize("name", ["PHL", "N2HL", "N3HL", "OneBranch"])
def test_models_train_and_round_trip(toy: Built, toy_module: ModuleType, name: str) -> None:
    torch.manual_seed(0)
    plan = next(p for p in toy.plans if p.model == name)
    model = getattr(toy_module, name)()
    x, target = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 2, 3, 4, 5])
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        loss = torch.nn.functional.cross_entropy(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]
    again = getattr(toy_module, name)()
    again.load_state_dict(model.state_dict())
    model.eval(), again.eval()
    assert torch.equal(model(x), again(x))
    assert sum(p.numel() for p in model.parameters()) == plan.params
    features = model.forward_features(x)
    last = plan.levels[-1]
    assert features.shape == (6, last.branches, last.channels, last.height, last.width)
    torch.testing.assert_close(model.forward_head(features), model(x), atol=1e-5, rtol=1e-5)


def test_the_tree_in_the_source_gives_the_plans_parents(toy: Built, toy_module: ModuleType) -> None:
    from hiergen.nn import Nest

    for plan in [*toy.plans, *plan_models(load_taxonomy("taxonomies/imagenet100.yaml"))]:
        nest = Nest(plan.nesting.tree(), plan.classes)
        assert plan.single_branch == (plan.model in ("OneBranch", "PHL1branch"))
        if plan.single_branch:
            assert plan.head_parents == (0,) * len(plan.classes)
            continue
        assert nest.depth == len(plan.levels)
        for j, level in enumerate(plan.levels, 1):
            assert nest.parents(j) == (level.parents or (0,) * level.branches)
            assert list(level.parents) == sorted(level.parents)  # siblings side by side
            assert nest.names(j) == level.names
        last = plan.levels[-1].names
        assert nest.heads == (plan.head_parents or tuple(range(len(last))))
        assert tuple(last[leaf] for leaf in nest.heads) == plan.classes
        assert (plan.head_parents == ()) == (last == plan.classes)


@pytest.mark.parametrize("name", ["Trunk", "Siblings", "Nesting", "CLASSES", "NESTING_1", "register", "super", "bool"])
def test_models_cannot_take_names_that_the_source_uses(tmp_path: Path, name: str) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(f"name: t\nclasses: [cat, dog]\nmodels: {{{name}: {{levels: 1}}}}\n")
    with pytest.raises(HiergenError, match=f"cannot be called '{name}'"):
        load_taxonomy(file)
    file.write_text(f"name: t\nclasses: [cat, dog]\nmodels: {{{name}s: {{levels: 1}}}}\n")
    assert load_taxonomy(file).levels == {f"{name}s": 1}


def test_every_name_that_the_source_uses_is_reserved(toy: Built) -> None:
    from hiergen.taxonomy.naming import is_reserved

    tree = ast.parse(toy.source)
    models = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    local = {"self", "pretrained", "None"} | {kind.recipe for kind in BLOCKS.values()}  # the planner refuses those
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    names_in_class_bodies = {"nesting", "input_size"}
    assert {n for n in used - models - local - names_in_class_bodies if not is_reserved(n)} == set()


def test_a_file_of_the_users_is_never_overwritten(tmp_path: Path, toy: Built) -> None:
    mine = tmp_path / "toy.py"
    mine.write_text("print('mine')\n")
    with pytest.raises(HiergenError, match="did not write"):
        build(DATA / "toy.yaml", tmp_path)
    assert mine.read_text() == "print('mine')\n"
    mine.write_text(toy.source.replace("depth=2", "depth=3"))
    build(DATA / "toy.yaml", tmp_path)
    assert mine.read_text() == toy.source
