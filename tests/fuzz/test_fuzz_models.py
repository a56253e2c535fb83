"""Random taxonomy files all the way: build → import → forward, cutout, costs; and the source that stands alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, reject
from hypothesis import strategies as st

from hiergen.codegen.build import build
from hiergen.errors import HiergenError
from hiergen.nn import HierarchicalNetwork
from hiergen.planning.from_network import plan_of
from hiergen.planning.plan import Plan
from tests.fuzz.files import Data
from tests.fuzz.profiles import examples
from tests.fuzz.test_fuzz_files import valid_files
from tests.fuzz.test_fuzz_networks import by_branch, close
from tests.helpers import counted_macs, imported
from tests.toy_networks import scrambled

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("built")


def build_one(folder: Path, content: Data, *, standalone: bool = False) -> tuple[Plan, type[HierarchicalNetwork]]:
    """The file's one model. A name of its own for each content: timm's registry knows all that were imported."""
    name = f"fuzz{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]}"
    file = folder / f"{name}.yaml"
    file.write_text(json.dumps(content | {"name": name}), encoding="utf-8")
    try:
        done = build(file, folder / f"{name}{'_alone' * standalone}.py", standalone=standalone)
        module = imported(done.path, done.path.stem)
    finally:
        file.unlink()
    (plan,) = done.plans
    done.path.unlink()
    return plan, getattr(module, plan.model)


def build_or_give_up(folder: Path, content: Data) -> tuple[Plan, type[HierarchicalNetwork]]:
    """Gives the example up where its strides are too many for its maps."""
    try:
        return build_one(folder, content)
    except HiergenError as error:
        if error.code != "E504":
            raise
        reject()


@examples(6, 0.015)
@given(st.data())
def test_built_imported_and_run(folder: Path, data: st.DataObject) -> None:
    content = data.draw(valid_files(folder / "t.yaml", small=True))
    plan, cls = build_or_give_up(folder, content)
    network = scrambled(cls()).eval()
    n = len(content["classes"])
    x = torch.randn((2, *plan.trunk.input_size), generator=torch.Generator().manual_seed(0))
    some = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n - 1, unique=True))
    with torch.no_grad():
        logits = network(x)
        assert logits.shape == (2, n)
        close(logits, by_branch(network, x))
        assert sum(p.numel() for p in network.parameters()) == plan.params
        part = network.cutout(some)
        close(part(x), logits[:, sorted(some)])
    assert plan_of(network, taxonomy=plan.taxonomy, model=plan.model) == plan
    params, predicted = plan.cutout_cost(frozenset(some))
    assert plan_of(part, taxonomy="t", model="M").params == params
    assert sum(p.numel() for p in part.parameters()) == params
    assert counted_macs(part.to("meta"), *part.input_size) == predicted
    assert counted_macs(network.to("meta"), *network.input_size) == plan.macs


@examples(3, 0.005)
@given(st.data())
def test_the_source_that_stands_alone_is_the_same_network(folder: Path, data: st.DataObject) -> None:
    content = data.draw(valid_files(folder / "t.yaml", small=True))
    _, cls = build_or_give_up(folder, content)
    plan, alone = build_one(folder, content, standalone=True)
    assert not any(base.__module__.startswith("hiergen") for base in alone.__mro__)
    network, other = scrambled(cls()).eval(), alone().eval()
    other.load_state_dict(network.state_dict())
    x = torch.randn((2, *plan.trunk.input_size), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(other(x), network(x))
        assert other(x).isfinite().all()
    assert other.classes == network.classes
    assert other.nesting.tree() == network.nesting.tree()
