"""`branches: auto` under random budgets: within the bounds, and within 2 % of the tighter one; or a sentence that says
what would do, and it does."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from hiergen.errors import PlanError
from hiergen.planning.backbones import facts
from hiergen.planning.compile import compile_plan
from hiergen.planning.plan import Plan
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.spec import ModelSpec
from tests.fuzz.files import TRUNKS, Data
from tests.fuzz.networks import nestings
from tests.fuzz.profiles import examples
from tests.fuzz.trees import Shape

UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}


@st.composite
def specs(draw: st.DrawFn, levels: int) -> Data:
    backbone, size, cuts = draw(st.sampled_from(TRUNKS))
    budget = {
        "params": draw(st.integers(10, 60_000)) * 1000,
        "macs": draw(st.integers(1, 9000)) * 10**6,
    }
    del budget[draw(st.sampled_from(["params", "macs", "params"]))]
    if draw(st.booleans()):
        budget = budget | {"params": draw(st.integers(1, 60)) * 10**6}
    spec: Data = {"trunk": {"backbone": backbone, "until": cuts[-1]}, "budget": budget, "levels": levels}
    spec["block"] = draw(st.sampled_from([None, "bottleneck", "convnext", "convnextv2", "mbconv"]))
    spec["depth"] = draw(st.sampled_from([None, 1, 2]))
    return spec | ({"input_size": size} if size else {})


def planned(nesting: Nesting, spec: Data) -> Plan | PlanError:
    """The plan, or why there is none."""
    known = facts(spec["trunk"]["backbone"], spec.get("input_size"), measure=False)
    assert known is not None
    try:
        return compile_plan("t", "M", ModelSpec.model_validate(spec), nesting, known)
    except PlanError as error:
        return error


@examples(10, 0.02)
@given(nestings(), st.data())
def test_a_budget_is_filled_or_said_to_be_too_small(case: tuple[Shape, Nesting], data: st.DataObject) -> None:
    _, nesting = case
    spec = data.draw(specs(nesting.depth))
    budget = spec["budget"]
    plan = planned(nesting, spec)
    if isinstance(plan, PlanError):
        error = plan
        assert error.code == "E503"
        least = re.search(r"at least ([\d.]+)([kMG]?) params and ([\d.]+)([kMG]?) MACs", str(error))
        assert least is not None
        params, macs = (round(float(least[i]) * UNITS[least[i + 1]]) for i in (1, 3))
        assert params > budget.get("params", 0) or macs > budget.get("macs", 0)
        smallest = planned(nesting, spec | {"budget": {"params": params, "macs": macs}})
        assert isinstance(smallest, Plan)
        assert smallest.params <= params
        assert smallest.macs <= macs
        return
    used = [getattr(plan, name) / bound for name, bound in budget.items()]
    assert max(used) <= 1
    widest = max(max(stage.width, stage.out) for level in plan.levels for stage in level.stages)
    assert max(used) >= 0.98 or widest > 16_000
