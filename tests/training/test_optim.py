"""Who decays, at which rate; and that a schedule depends on the update only."""

from __future__ import annotations

import math
import re

import pytest
import torch
from timm.optim import list_optimizers

from hiergen.errors import HiergenError
from hiergen.training.optim import make_optimizer, make_schedule, parameter_groups
from hiergen.training.recipe import Optimizer, Recipe, Schedule, TrunkUse
from hiergen.training.training_module import Learner
from tests.nn.network_cases import Tiny


def test_every_trained_parameter_is_in_one_group_and_norms_and_biases_do_not_decay() -> None:
    network = Tiny()
    groups = parameter_groups(network, Optimizer(weight_decay=0.1, lr=1.0), 0.25)
    of = {id(p): group for group in groups for p in group["params"]}
    assert len(of) == sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    for name, parameter in network.named_parameters():
        group = of[id(parameter)]
        assert group["lr_scale"] == (0.25 if name.startswith("trunk.") else 1.0)
        # one branch's tensor has a dimension less
        dims = parameter.ndim - (not name.startswith("trunk."))
        matrix = dims > 1 or name == "head.weight"
        assert (group["weight_decay"] > 0) == matrix, name


def test_layer_decay_lowers_the_rate_towards_the_input() -> None:
    network = Tiny()
    groups = parameter_groups(network, Optimizer(layer_decay=0.5, lr=1.0), 1.0)
    scale = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    of = {name: scale[id(p)] for name, p in network.named_parameters()}
    assert of["head.weight"] == 1.0
    first = next(name for name in of if name.startswith("level1"))
    stem = next(iter(of))
    assert of[stem] < of[first] < 1.0
    assert all(math.log2(value).is_integer() for value in of.values())


def test_a_frozen_trunk_is_not_in_the_groups() -> None:
    network = Tiny()
    Learner(network, frozen=True)
    trained = {id(p) for group in parameter_groups(network, Optimizer(), 1.0) for p in group["params"]}
    assert trained == {id(p) for name, p in network.named_parameters() if not name.startswith("trunk.")}


def test_a_schedule_is_a_function_of_the_update() -> None:
    recipe = Recipe(
        epochs=4,
        trunk=TrunkUse(lr_scale=0.5),
        optimizer=Optimizer(lr=1.0),
        schedule=Schedule(name="cosine", warmup_epochs=1, warmup_lr=0.0),
    )
    optimizer = make_optimizer(Tiny(), recipe)
    schedule = make_schedule(optimizer, recipe, 10)

    def rates(update: int) -> tuple[float, ...]:
        schedule.step_update(update)
        return tuple(sorted({round(g["lr"], 9) for g in optimizer.param_groups}))

    assert rates(5) == (0.25, 0.5)  # half-way up, the trunk at half the rate
    expected = 0.5 * (1 + math.cos(math.pi * 20 / 40))
    assert rates(20) == pytest.approx((expected / 2, expected))
    assert rates(5) == (0.25, 0.5)


def test_an_unknown_optimizer_gets_the_nearest() -> None:
    with pytest.raises(HiergenError, match=r"no optimizer 'adamv'.*nearest:.*adam"):
        make_optimizer(Tiny(), Recipe(optimizer=Optimizer(name="adamv")))


def test_the_learner_is_the_network_and_a_frozen_trunk_stays_still() -> None:
    network = Tiny().train()
    learner = Learner(network, frozen=True).train()
    assert not network.trunk.training
    before = {name: t.clone() for name, t in network.trunk.state_dict().items()}
    x = torch.rand(4, *network.input_size)
    learner(x).sum().backward()
    assert all(torch.equal(t, before[name]) for name, t in network.trunk.state_dict().items())
    assert all(p.grad is None for p in network.trunk.parameters())
    assert all(p.grad is not None for p in network.level1.parameters())
    learner.eval()
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(learner(x), network(x), rtol=0, atol=0)
        torch.testing.assert_close(learner(network.trunk(x), maps=True), network(x), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.*opt_einsum")
@pytest.mark.parametrize("name", [*list_optimizers(), "AdaHessian", "fusedadamw"])
def test_an_optimizer_that_timm_lists_is_made_or_refused_in_one_sentence(name: str) -> None:
    recipe = Recipe(optimizer=Optimizer(name=name, lr=0.01))
    try:
        optimizer = make_optimizer(Tiny(), recipe)
    except HiergenError as error:
        sentence = str(error)
        assert re.match(
            f"optimizer '{name}' (needs another package, or a GPU|wants more than gradients); got '", sentence
        )
        assert name.lower().startswith(("bnb", "fused", "adahessian"))
    else:
        assert len(optimizer.param_groups) > 1
