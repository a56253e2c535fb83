"""Two processes with a part of the batch each against one process with all of it."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
import torch.multiprocessing
import torch.nn.functional as F
from network_cases import Tiny, lively
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hiergen.errors import HiergenError
from hiergen.nn import Bottlenecks, ClassHeads, HierarchicalNetwork, Siblings, Trunk
from hiergen.nn.norm import ProcessGroup
from hiergen.nn.primitives import BranchBatchNorm2d
from hiergen.nn.sync import SyncedBatchNorm2d, SyncedBatchNormAct2d, sync_norms

NEAR = {"atol": 1e-9, "rtol": 1e-7}


class TinyEfficient(Tiny):
    """A trunk of timm's BatchNormAct2d; one level."""

    def __init__(self, pretrained: bool = False) -> None:
        HierarchicalNetwork.__init__(self)
        self.trunk = Trunk("tf_efficientnet_lite0", until="blocks.1", input_size=self.input_size)
        self.level1 = Siblings(5, [Bottlenecks(24, 8, 16, stride=2, depth=2)])
        self.head = ClassHeads(5, 16)

    taxonomy = {"c0": "tabby", "c1": "pug", "c2": "siamese", "c3": "cab", "c4": "van"}  # noqa: RUF012


class Converted(Tiny):
    """Its levels are synced by torch's conversion; trunks and DistributedDataParallel want a GPU for that."""


NETWORKS: dict[str, type[HierarchicalNetwork]] = {"resnet18": Tiny, "efficientnet": TinyEfficient}


def network_of(name: str) -> HierarchicalNetwork:
    torch.manual_seed(0)
    return lively({**NETWORKS, "converted": Converted}[name]()).double().train()


def batch() -> tuple[Tensor, Tensor]:
    """Two halves of different mean and deviation, so that statistics of one half alone are wrong."""
    x = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x * torch.tensor([1.0, 2.0, 4.0, 1.0])[:, None, None, None] + torch.arange(4)[:, None, None, None], (
        torch.tensor([0, 3, 1, 4])
    )


def left_by(network: nn.Module, call: Any, x: Tensor, targets: Tensor, reduction: str) -> dict[str, Any]:
    """What two training steps without an optimizer leave."""
    x = x.clone().requires_grad_()
    for _ in range(2):
        network.zero_grad()
        x.grad = None
        logits = call(x)
        F.cross_entropy(logits, targets, reduction=reduction).backward()
    return {
        "logits": logits.detach(),
        "input": x.grad,
        "gradients": {name: p.grad for name, p in network.named_parameters()},
        "buffers": dict(network.named_buffers()),
    }


def work(rank: int, folder: str, name: str, cuts: tuple[int, int, int], averaged: bool) -> None:
    """One of two processes; `averaged`: DistributedDataParallel and the mean of its samples' losses, else their sum."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    network = network_of(name)
    if name == "converted":
        for level in network.levels:
            nn.SyncBatchNorm.convert_sync_batchnorm(level)
    sync_norms(network)
    x, targets = (part[cuts[rank] : cuts[rank + 1]] for part in batch())
    call = DistributedDataParallel(network) if averaged else network
    torch.save(left_by(network, call, x, targets, "mean" if averaged else "sum"), f"{folder}/{rank}")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def together(folder: Path, *arguments: Any) -> list[dict[str, Any]]:
    torch.multiprocessing.start_processes(work, (str(folder), *arguments), nprocs=2, start_method="forkserver")
    return [torch.load(folder / str(rank), weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", NETWORKS)
def test_two_halves_are_one_batch(tmp_path: Path, name: str) -> None:
    """Each process's loss is its own mean, and DistributedDataParallel averages: the gradient of the whole mean."""
    network = network_of(name)
    want = left_by(network, network, *batch(), "mean")
    parts = together(tmp_path, name, (0, 2, 4), True)
    torch.testing.assert_close(torch.cat([part["logits"] for part in parts]), want["logits"], **NEAR)
    # the two means add up to twice the mean of all
    torch.testing.assert_close(torch.cat([part["input"] for part in parts]) / 2, want["input"], **NEAR)
    for part in parts:
        for key in ("gradients", "buffers"):
            assert list(part[key]) == list(want[key])
            torch.testing.assert_close(part[key], want[key], **NEAR)


@pytest.mark.parametrize("name", ["resnet18", "converted"])
def test_parts_of_different_sizes(tmp_path: Path, name: str) -> None:
    """3 samples and 1, losses summed: input gradients are those of one process, weight gradients add up to them."""
    network = network_of(name)
    want = left_by(network, network, *batch(), "sum")
    parts = together(tmp_path, name, (0, 3, 4), False)
    for key in ("logits", "input"):
        torch.testing.assert_close(torch.cat([part[key] for part in parts]), want[key], **NEAR)
    total = {name: parts[0]["gradients"][name] + parts[1]["gradients"][name] for name in want["gradients"]}
    torch.testing.assert_close(total, want["gradients"], **NEAR)
    for part in parts:
        torch.testing.assert_close(part["buffers"], want["buffers"], **NEAR)


@pytest.fixture
def alone(tmp_path: Path) -> Any:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


NORMS = {
    "2d": lambda: nn.BatchNorm2d(5),
    "act": lambda: BatchNormAct2d(5),
    "plain": lambda: nn.BatchNorm2d(5, affine=False, track_running_stats=False),
    "cumulative": lambda: nn.BatchNorm2d(5, momentum=None),
    "3d": lambda: nn.BatchNorm3d(5),
    "1d": lambda: nn.BatchNorm1d(5),
}


@pytest.mark.parametrize("kind", NORMS)
def test_a_single_process_is_as_before_and_there_is_a_way_back(alone: None, kind: str) -> None:
    shape = {"1d": (6, 5), "3d": (3, 5, 2, 3, 2)}.get(kind, (3, 5, 4, 2))
    model = nn.Sequential(NORMS[kind]()).double()
    plain = copy.deepcopy(model)
    sync_norms(model)
    sync_norms(model)  # twice is once
    assert type(model[0]) is not type(plain[0])
    assert isinstance(model[0], type(plain[0]))
    assert isinstance(copy.deepcopy(model)[0].group, ProcessGroup)
    for training in (True, True, False):
        x, y = (torch.randn(shape, generator=torch.Generator().manual_seed(5)).double() for _ in range(2))
        x, y = x.requires_grad_(), y.requires_grad_()
        found, want = model.train(training)(x), plain.train(training)(y)
        torch.testing.assert_close(found, want)
        found.pow(3).sum().backward()
        want.pow(3).sum().backward()
        torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(model.state_dict(), plain.state_dict())


def test_all_norms_of_a_network_take_part(alone: None) -> None:
    for name in NETWORKS:
        network = network_of(name)
        keys = list(network.state_dict())
        sync_norms(network)
        norms = [m for m in network.modules() if isinstance(m, BranchBatchNorm2d | nn.BatchNorm2d)]
        assert len(norms) > 5
        assert all(isinstance(m, SyncedBatchNorm2d | SyncedBatchNormAct2d) or m.group is not None for m in norms)
        again = pickle.loads(pickle.dumps(network.level1.stages[0][0]))  # noqa: S301
        assert again.bn1.group.processes is None
        assert list(network.state_dict()) == keys


def test_without_processes() -> None:
    with pytest.raises(HiergenError, match=r"no processes to share statistics with.*torchrun"):
        sync_norms(nn.BatchNorm2d(3))


def test_a_norm_of_another_class_is_named(alone: None) -> None:
    class Odd(nn.BatchNorm2d):
        pass

    model = nn.Sequential(nn.BatchNorm2d(3), Odd(3))
    with pytest.raises(HiergenError, match=r"1: a batch norm of this class .* got Odd"):
        sync_norms(model)
    assert type(model[0]) is nn.BatchNorm2d  # nothing is half done
