"""The loop: what it computes, and that no interruption changes it."""

from __future__ import annotations

import csv
import importlib
import os
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor

from hiergen.data.augment import eval_transform
from hiergen.data.batches import ImageFeed
from hiergen.data.images import ImageSet
from hiergen.data.samples import EpochOrder, Samples
from hiergen.data.sources import open_data
from hiergen.errors import HiergenError, OutputError
from hiergen.models.weights import load_weights
from hiergen.nn.network import HierarchicalNetwork
from hiergen.training.checkpoint import load_checkpoint
from hiergen.training.loop import BEST, CHECKPOINT, LAST, StoppedError, Training
from hiergen.training.optim import parameter_groups
from hiergen.training.parallel import Parallel
from hiergen.training.recipe import Recipe, load_recipe
from hiergen.training.training_module import predict, seed_all

SETTINGS = ("epochs=2", "batch_size=16", "optimizer.clip_grad=1", "ema=0.9", "dropout=0.2", "augment.hflip=0.5")


def digits(network: HierarchicalNetwork, count: int = 56) -> ImageSet:
    return open_data("digits", network, split="train").subset(range(count))


def network(seed: int = 0) -> HierarchicalNetwork:
    seed_all(seed)
    made: HierarchicalNetwork = importlib.import_module("generated.digits").N2HL()
    return made


def training(folder: Path, recipe: Recipe, net: HierarchicalNetwork | None = None, **options: Any) -> Training:
    net = net or network()
    folder.mkdir(exist_ok=True)
    images = digits(net)
    held = open_data("digits", net, split="validation").subset(range(40))
    plain = eval_transform(net)
    return Training(
        net,
        recipe,
        ImageFeed(Samples(images, plain, seed=recipe.seed), workers=0),
        ImageFeed(Samples(held, plain, seed=recipe.seed), workers=0),
        folder,
        parallel=Parallel("float32", "cpu"),
        **options,
    )


@pytest.fixture
def recipe() -> Recipe:
    return load_recipe("digits", SETTINGS)


@pytest.fixture
def unbroken(tmp_path: Path, recipe: Recipe) -> Path:
    folder = tmp_path / "unbroken"
    training(folder, recipe).run()
    return folder


def stop_after(monkeypatch: pytest.MonkeyPatch, updates: int, number: signal.Signals) -> None:
    """A signal comes in the middle of this update."""
    usual = Training._update

    def update(self: Training, batches: Any) -> float:
        if self.progress.step + 1 == updates:
            os.kill(os.getpid(), number)
        return usual(self, batches)

    monkeypatch.setattr(Training, "_update", update)


def weights(folder: Path, name: str = LAST) -> bytes:
    return (folder / name).read_bytes()


def test_an_update_is_what_plain_torch_does(tmp_path: Path) -> None:
    plain = load_recipe("digits", ["epochs=1", "batch_size=16", "optimizer.name=momentum", "optimizer.momentum=0"])
    plain = plain.model_copy(update={"optimizer": plain.optimizer.model_copy(update={"clip_grad": None})})
    ours = training(tmp_path / "a", plain)
    ours.run()
    net = network().train()
    groups = parameter_groups(net, plain.optimizer, 1.0)
    images, transform = digits(net), eval_transform(net)
    rates: list[float] = []
    watched = training(tmp_path / "b", plain)
    for step in range(3):
        watched.schedule.step_update(step)
        rates.append(watched.optimizer.param_groups[0]["lr"])
    for step, keys in enumerate(EpochOrder(len(images), 16, seed=0, epoch=0)):
        x = torch.stack([transform(images.picture(i)) for _, i in keys])
        y = torch.tensor([images.targets[i] for _, i in keys])
        net.zero_grad()
        F.cross_entropy(net(x), y, label_smoothing=plain.loss.smoothing).backward()
        with torch.no_grad():
            for group in groups:
                for p in group["params"]:
                    p -= rates[step] * (p.grad + group["weight_decay"] * p)
    saved = safetensors.torch.load_file(tmp_path / "a" / LAST)
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(saved[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("updates", [1, 3, 4, 5])
def test_a_stopped_training_goes_on_to_the_same_bits(
    updates: int, tmp_path: Path, recipe: Recipe, unbroken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patched:
        stop_after(patched, updates, signal.SIGINT if updates % 2 else signal.SIGTERM)
        with pytest.raises(StoppedError, match=rf"after {updates} of 6 updates; all is saved; .*--resume"):
            training(folder, recipe).run()
    torch.rand(7)  # whatever happened meanwhile
    again = training(folder, recipe, network(seed=5))
    again.run(resume=True)
    for name in (LAST, BEST):
        assert weights(folder, name) == weights(unbroken, name)
    ours, theirs = (load_checkpoint(place / CHECKPOINT, again.network) for place in (folder, unbroken))
    assert all(torch.equal(t, theirs.optimizer[name]) for name, t in ours.optimizer.items())
    assert all(torch.equal(t, theirs.average[name]) for name, t in ours.average.items())
    drop = ("images_per_s",)
    rows = [
        [{k: v for k, v in row.items() if k not in drop} for row in c.state["progress"]["history"]]
        for c in (ours, theirs)
    ]
    assert rows[0] == rows[1]


def test_the_best_weights_are_those_whose_metrics_come_back(tmp_path: Path, recipe: Recipe) -> None:
    ours = training(tmp_path / "run", recipe)
    metrics = ours.run()
    assert metrics.top1 == max(row["val_top1"] for row in ours.progress.history) == ours.progress.best
    net = network(seed=9)
    load_weights(net, tmp_path / "run" / BEST)
    logits, targets = predict(net_learner(net), ours.validation, 7, ours.parallel)
    assert float((logits.argmax(1) == targets).double().mean()) == metrics.top1


def net_learner(net: HierarchicalNetwork) -> Any:
    from hiergen.training.training_module import Learner

    return Learner(net)


def test_a_loss_that_is_not_finite_stops_and_the_last_good_state_stays(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    ours = training(folder, recipe)
    usual = ours.loss.forward

    def forward(logits: Tensor, targets: Tensor) -> Tensor:
        return usual(logits, targets) * (float("nan") if ours.progress.step >= 4 else 1.0)

    monkeypatch.setattr(ours.loss, "forward", forward)
    with pytest.raises(HiergenError, match=r"the loss is nan at update 5 \(epoch 2\); the last good state is kept"):
        ours.run()
    kept = load_checkpoint(folder / CHECKPOINT, ours.network)
    assert kept.state["progress"]["step"] == 3
    assert all(t.isfinite().all() for t in kept.network.values() if t.is_floating_point())
    again = training(folder, recipe)
    again.run(resume=True)
    assert again.progress.step == 6


def test_an_exploding_loss_stops_before_anything_is_saved(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = training(tmp_path / "run", recipe)
    usual = ours.loss.forward
    monkeypatch.setattr(ours.loss, "forward", lambda a, b: usual(a, b) * (40.0 if ours.progress.step >= 1 else 1.0))
    with pytest.raises(HiergenError, match=r"the loss explodes: .* at update 2 \(epoch 1\); try --set optimizer.lr="):
        ours.run()
    assert list((tmp_path / "run").iterdir()) == []


def test_weights_that_are_not_finite_are_never_saved(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = training(tmp_path / "run", recipe)
    usual = Training._update

    def update(self: Training, batches: Any) -> float:
        loss = usual(self, batches)
        if self.progress.step == 5:
            with torch.no_grad():
                self.network.head.weight[0, 0] = float("inf")
        return loss

    monkeypatch.setattr(Training, "_update", update)
    with pytest.raises(HiergenError, match="weights are not finite"):
        ours.run()
    assert load_checkpoint(tmp_path / "run" / CHECKPOINT, ours.network).state["progress"]["step"] == 3


def test_a_full_disk_loses_nothing_that_was_saved(
    tmp_path: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch, unbroken: Path
) -> None:
    folder = tmp_path / "run"
    ours = training(folder, recipe)
    usual = safetensors.torch.save_file
    written: list[Path] = []

    def save(tensors: Any, path: Path, metadata: Any) -> None:
        written.append(path)
        if len(written) > 4:  # last, best and checkpoint of epoch 1, and then one of epoch 2
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        usual(tensors, path, metadata)

    with monkeypatch.context() as patched:
        patched.setattr(safetensors.torch, "save_file", save)
        with pytest.raises(OutputError, match=r"no space left on device.*what was saved before is whole.*--resume"):
            ours.run()
    assert not list(folder.glob(".*")), "a half-written file stayed"
    training(folder, recipe).run(resume=True)
    assert weights(folder) == weights(unbroken)


def test_a_damaged_checkpoint_is_never_loaded(tmp_path: Path, recipe: Recipe, unbroken: Path) -> None:
    file = unbroken / CHECKPOINT
    raw = bytearray(file.read_bytes())
    raw[-5] ^= 1
    file.write_bytes(raw)
    with pytest.raises(HiergenError, match=r"checkpoint\.safetensors: is corrupt: its content is not what was saved"):
        training(unbroken, recipe).run(resume=True)


def test_mixed_targets_are_smoothed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe("digits", ["epochs=1", "batch_size=16", "augment.mixup=1", "loss.smoothing=0.1"])
    ours = training(tmp_path / "run", recipe)
    seen: list[Tensor] = []
    usual = ours.loss.forward
    monkeypatch.setattr(ours.loss, "forward", lambda a, b: (seen.append(b), usual(a, b))[1])
    ours.run()
    assert seen[0].shape == (16, 10)
    torch.testing.assert_close(seen[0].sum(1), torch.ones(16))
    torch.testing.assert_close(seen[0].min(), torch.tensor(0.01))
    logits = torch.randn(4, 10)
    expected = -(seen[0][:4] * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(usual(logits, seen[0][:4]), expected)


def test_accumulated_parts_give_the_gradients_of_the_whole(tmp_path: Path) -> None:
    # without batch statistics a batch in two parts is the batch
    settings = ["epochs=1", "batch_size=16", "optimizer.name=momentum", "optimizer.momentum=0", "optimizer.lr=0.05"]
    states = []
    for parts in (1, 2):
        net = network()
        ours = training(tmp_path / f"run{parts}", load_recipe("digits", [*settings, f"accumulate={parts}"]), net)
        for module in net.modules():
            module.train = lambda mode=True, module=module: module  # type: ignore[method-assign]
            module.training = False
        ours.model.train = lambda mode=True, trained=ours: trained.model  # type: ignore[method-assign]
        batches = ours.feed.epoch(EpochOrder(56, 16 // parts, seed=0, epoch=0))
        while update := list(islice(batches, parts)):
            if len(update) == parts and ours.progress.step < 3:
                ours._update(update)
                ours.progress.step += 1
        states.append({name: t.clone() for name, t in net.state_dict().items()})
    for name, tensor in states[0].items():
        torch.testing.assert_close(tensor, states[1][name], rtol=1e-4, atol=1e-6, msg=name)


def test_history_is_one_line_per_epoch(tmp_path: Path, recipe: Recipe) -> None:
    from rich.console import Console

    from hiergen.training.progress import TrainingLog

    folder = tmp_path / "run"
    folder.mkdir()
    with (tmp_path / "out.txt").open("w") as out:
        log = TrainingLog(folder, Console(file=out, width=200), epochs=2)
        ours = training(folder, recipe, log=log)
        ours.run()
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["epoch"]) for row in rows] == [1, 2]
    assert [float(row["val_top1"]) for row in rows] == [row["val_top1"] for row in ours.progress.history]
    assert (tmp_path / "out.txt").read_text().count("top-1") == 2


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
