"""The training loop: updates, validation, checkpoints; every random choice is a function of seed and step."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from hiergen.data.augment import mixer
from hiergen.data.batches import Batch, Feed
from hiergen.data.samples import EpochOrder, seed_of
from hiergen.errors import HiergenError, OutputError
from hiergen.files import sweep
from hiergen.models.load import TRAINED_WEIGHTS
from hiergen.models.weights import load_weights, save_weights
from hiergen.models.weightsfile import read_weights
from hiergen.nn.generalist import Form
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import finest_homes, generalist_of
from hiergen.nn.sync import sync_norms
from hiergen.training.checkpoint import Checkpoint, load_checkpoint, optimizer_state, save_checkpoint
from hiergen.training.choosing import Choice, choose_forms
from hiergen.training.distill import GroupLoss, draw_groups
from hiergen.training.flatnetwork import FlatNetwork
from hiergen.training.hierarchy import Hierarchy
from hiergen.training.labelled import check_labels, class_weights
from hiergen.training.labelmetrics import LabelMetrics, evaluate_labels
from hiergen.training.losses import SetLoss, make_loss
from hiergen.training.metrics import Metrics, evaluate
from hiergen.training.optim import make_optimizer, make_schedule
from hiergen.training.parallel import LostPeerError, Parallel, keep_freed_memory, peers
from hiergen.training.progress import TrainingLog
from hiergen.training.recipe import Recipe
from hiergen.training.rejecting import fit_rejection
from hiergen.training.stopping import Stopping
from hiergen.training.training_module import Learner, LearnerForm, predict, seed_all

CHECKPOINT, LAST, BEST = "checkpoint.safetensors", "last.safetensors", TRAINED_WEIGHTS
_EXPLODED = 10.0  # times the first loss, or that of guessing


@dataclass
class Progress:
    """Where a training is: updates done, and what the epochs so far gave."""

    step: int = 0
    first_loss: float | None = None
    best: float | None = None
    best_epoch: int | None = None
    history: list[dict[str, float]] = field(default_factory=list)
    loss_sum: float = 0.0  # of the epoch that is under way
    loss_count: int = 0


class StoppedError(HiergenError):
    """A signal asked for the end; the state is saved."""


class Training:
    """One training of a network in a folder of its own.

    `feed` and `validation` give the batches. `run` goes on where the folder's checkpoint is, or starts.
    """

    def __init__(
        self,
        network: HierarchicalNetwork,
        recipe: Recipe,
        feed: Feed,
        validation: Feed,
        folder: Path,
        *,
        parallel: Parallel,
        log: TrainingLog | None = None,
        facts: dict[str, Any] | None = None,
        teacher: nn.Module | None = None,
    ) -> None:
        self.recipe, self.feed, self.validation, self.folder = recipe, feed, validation, folder
        self.parallel, self.log, self.facts = parallel, log, facts or {}
        self.progress = Progress()
        if not parallel.sharded:  # FSDP takes no other layout than the plain one
            network.trunk.to(memory_format=torch.channels_last)
            if isinstance(network, FlatNetwork):
                network.tail.to(memory_format=torch.channels_last)
        self.form = set_form(network, recipe)
        # of one level every class is a group, and few of them would tell nothing of the others
        some = self.form != "generalist" and len(network.levels) > 1
        self.negatives = recipe.negatives if some else None
        # processes that run different groups have no statistics to exchange
        self.synced = recipe.sync_norms and self.negatives is None
        if self.synced and parallel.world > 1:
            sync_norms(network)
        frozen = recipe.trunk.mode == "frozen"
        learner = Learner(
            network, frozen=frozen, dropout=recipe.dropout, form=self.form, freeze_norms=recipe.freeze_norms
        )
        learner.to(parallel.device)
        self.network, self.learner = network, learner
        network.rejection = None  # weights that change leave it behind
        self.batch = self._whole_batch(len(feed))
        self.updates_per_epoch = len(feed) // (self.batch // recipe.accumulate) // recipe.accumulate
        self.hierarchy = Hierarchy.of(network)
        weights = class_weights(network, recipe, feed.targets, feed.labels)
        loss = make_loss(
            recipe.loss.name,
            self.hierarchy,
            # mixed targets are smoothed where they are made
            smoothing=0.0 if recipe.augment.mixes else recipe.loss.smoothing,
            weights=weights,
            **recipe.loss.options,
        )
        self.labels = check_labels(feed.labels, recipe, taught=teacher is not None)
        self.several = self.labels is not None and self.labels.several
        self.table = None if self.labels is None else self.labels.table().to(parallel.device)
        if self.labels is not None and not self.labels.several:
            sets = self.labels.table()[network.num_classes :]
            if weights is not None:  # of a group: the mean of its classes'
                weights = torch.cat([weights, (sets * weights).sum(1) / sets.sum(1)])
            loss = SetLoss(loss, sets, weights=None if weights is None else weights[network.num_classes :])
        self.loss = loss.to(parallel.device)
        self.teacher = teacher
        self.homes = torch.tensor(finest_homes(network) if network.levels else [0], device=parallel.device)
        groups = {"specialists": self.homes.tolist(), "generalist": [0] * network.num_classes}
        self.group_losses = {
            form: GroupLoss(
                homes, recipe.distillation, smoothing=recipe.loss.smoothing, weights=weights, table=self.table
            ).to(parallel.device)
            for form, homes in groups.items()
        }
        self.mix = mixer(recipe.augment, network.num_classes, recipe.loss.smoothing)
        self.average = self._averaged()
        if self.negatives is not None:
            parallel.allow_idle()
        self.model, self.optimizer = parallel.prepare(learner, make_optimizer(network, recipe))
        self.schedule = make_schedule(self.optimizer, recipe, self.updates_per_epoch)
        self._kept = False  # whether a checkpoint is there

    def run(self, *, resume: bool = False) -> Metrics | LabelMetrics:
        """Train to the end; the metrics of the best weights on the validation images.

        Raises HiergenError: StoppedError after a signal (everything is saved); a loss that is not finite or explodes
        (the last good state stays); a broken image, a process that is gone, a full disk.
        """
        if resume:
            self._load(load_checkpoint(self.folder / CHECKPOINT, self.network))
        if self.parallel.device.type == "cpu":
            keep_freed_memory()
        total = self.recipe.epochs * self.updates_per_epoch
        with Stopping() as stopping:
            if self.log:
                self.log.start(self.progress.step, total, self.batch, self.progress.history)
            try:
                with peers():
                    while self.progress.step < total:
                        self._epoch(stopping)
            except LostPeerError as error:
                error.hint = self._how_to_go_on()
                raise
            finally:
                if self.log:
                    self.log.stop()
        return self._final()

    # one epoch

    def _epoch(self, stopping: Stopping) -> None:
        progress, parallel = self.progress, self.parallel
        epoch, start = divmod(progress.step, self.updates_per_epoch)
        parts = self.recipe.accumulate
        order = EpochOrder(
            len(self.feed),
            self.batch // parts,
            seed=self.recipe.seed,
            epoch=epoch,
            rank=parallel.rank,
            world=parallel.world,
            start=start * parts,
            labels=self.feed.targets.numpy() if self.recipe.balanced else None,
        )
        self.model.train()
        began = saved = time.monotonic()
        done, stop = 0, 0.0
        batches = self.feed.epoch(order)
        while update := list(islice(batches, parts)):
            loss = self._update(update)
            progress.step += 1
            done += 1
            progress.loss_sum += loss
            progress.loss_count += 1
            if self.log:
                self.log.step(progress.step, loss, self._rate())
            due = time.monotonic() - saved > 60 * self.recipe.save_minutes
            stop, save = parallel.total(float(stopping.requested), float(due and parallel.main))
            if progress.step % self.updates_per_epoch == 0:
                break  # the epoch is closed first: what is saved then is an epoch's end
            if stop:
                self._save()
                raise self._stopped(stopping)
            if save:
                self._save()
                saved = time.monotonic()
        self._close_epoch(epoch + 1, done * self.batch / max(time.monotonic() - began, 1e-9))
        if stop and epoch + 1 < self.recipe.epochs:
            raise self._stopped(stopping)

    def _update(self, batches: Sequence[Batch]) -> float:
        """One update from this process's parts of a batch; the mean loss over all of it."""
        recipe, parallel, progress = self.recipe, self.parallel, self.progress
        seed_all(seed_of(recipe.seed, progress.step, parallel.rank, 2))
        self.schedule.step_update(progress.step)
        total = 0.0
        for number, batch in enumerate(batches, 1):
            x, y, *more = (part.to(parallel.device, non_blocking=True) for part in batch)
            if self.table is not None and self.several:
                y = self.table[y]
            if self.mix is not None:
                x, y = self.mix(x, y)
            taught = self._taught(x) if self.teacher is not None else more[0] if more else None
            with parallel.part(self.model, last=number == len(batches)):
                with parallel.accelerator.autocast():
                    masks = None
                    if self.negatives is not None:
                        masks = draw_groups(self.homes, y, self.negatives)
                    with normed(len(x)):
                        logits = self.model(x, maps=self.feed.maps, masks=masks)
                loss = self._loss(logits, y, taught) / len(batches)
                parallel.accelerator.backward(loss)
            total += float(loss.detach())
        mean: float = parallel.total(total)[0] / parallel.world
        self._check_loss(mean)
        if recipe.optimizer.clip_grad is not None:
            parallel.accelerator.clip_grad_norm_(self.model.parameters(), recipe.optimizer.clip_grad)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.network, progress.step + 1)
        return mean

    def _loss(self, logits: Tensor, y: Tensor, taught: Tensor | None) -> Tensor:
        """Of the form that is trained; of "each" the sum over all."""
        parts = logits if logits.ndim == 3 else logits[None]
        total = logits.new_zeros(())
        for number, part in enumerate(parts):
            specialists = self.form == "specialists" or (self.form == "each" and number == 0)
            if taught is None and not (specialists and self.negatives is not None):
                total = total + self.loss(part, y)
                continue
            by_group = specialists and self.network.levels
            total = total + self.group_losses["specialists" if by_group else "generalist"](part, y, taught)
        return total

    def _taught(self, x: Tensor) -> Tensor:
        assert self.teacher is not None
        with torch.no_grad(), self.parallel.accelerator.autocast():
            return self.teacher(x)  # type: ignore[no-any-return]

    def _close_epoch(self, epoch: int, pace: float) -> None:
        progress = self.progress
        metrics = self.validate()
        row = {
            "epoch": float(epoch),
            "step": float(progress.step),
            "lr": self._rate(),
            "train_loss": progress.loss_sum / progress.loss_count,
            "images_per_s": pace,
            **metrics.summary(),
        }
        progress.history.append(row)
        progress.loss_sum, progress.loss_count = 0.0, 0
        score = metrics.score
        better = progress.best is None or score > progress.best
        if better:
            progress.best, progress.best_epoch = score, epoch
        self._save(weights=True, better=better)
        if self.log:
            self.log.epoch(progress.history, better=better)

    # validation

    def validate(self) -> Metrics | LabelMetrics:
        """Metrics on the validation images: of the averaged weights where there are any."""
        return self._metrics(*predict(self._scored(), self.validation, self.batch, self.parallel))

    def _metrics(self, logits: Tensor, targets: Tensor) -> Metrics | LabelMetrics:
        names, held = self.network.nesting.labels, self.validation.labels
        if self.labels is not None and self.several:
            held = held or replace(self.labels, sets=())
            return evaluate_labels(logits, held.table()[targets], self.network.classes, names)
        options: dict[str, Any] = {"labels": names, "decision": self.recipe.decision}
        return evaluate(logits, targets, self.hierarchy, sets=held, **options)

    def _scored(self) -> Learner:
        if self.average is not None:
            return Learner(self.average.module, frozen=True, form=self.form)
        if self.parallel.sharded:
            return cast(Learner, self.model)
        # not as it is wrapped: that would exchange statistics at every batch, of which processes have different numbers
        if not self.synced:
            self.parallel.agree(self.learner)
        return self.learner

    def _final(self) -> Metrics | LabelMetrics:
        """Of the best weights, which the network has from now on."""
        self.parallel.wait()
        if self.parallel.sharded:
            best = read_weights(self.folder / BEST).tensors
            self.parallel.load_weights(self.model, {f"network.{name}": t for name, t in best.items()})
            return self.validate()
        load_weights(self.network, self.folder / BEST)
        if self.average is not None:
            load_weights(self.average.module, self.folder / BEST)
        return self.validate()

    def choose(self) -> tuple[Choice, Metrics | LabelMetrics] | None:
        """Of a network with a generalist: the form that answers and that of each group's cutout, by the validation
        images, kept with the best weights; and that form's metrics."""
        network, has_flat = self.network, self.network._modules.get("flat") is not None
        # what is chosen by is the one class of each image
        if network._modules.get("generalist") is None or self.parallel.sharded or self.several:
            return None
        network.to(self.parallel.device)
        forms: list[Form] = ["generalist", *(("flat",) if has_flat else ())]
        forms += ["specialists"] if self.form != "generalist" else []
        logits, targets = dict[Form, Tensor](), torch.empty(0)
        for form in forms:
            logits[form], targets = self._predicted(form)
        taught = getattr(self.validation, "taught", None)
        known = targets < network.num_classes
        logits = {form: some[known] for form, some in logits.items()}
        choice = choose_forms(network, logits, targets[known], None if taught is None else taught[0][known].float())
        if self.parallel.main:
            self._export(dict(network.state_dict()), LAST, BEST)
        return choice, self._metrics(*self._predicted(network.form))

    def reject(self, kept: float) -> str:
        """Fit the rejection of the best weights on the validation images, keep it with them, and say what it is."""
        network = self.network
        learner = cast(Learner, self.model) if self.parallel.sharded else Learner(network, form=network.form)
        logits, targets = predict(learner, self.validation, self.batch, self.parallel)
        known = targets < network.num_classes
        found = fit_rejection(logits[known], targets[known], kept)
        network.rejection = found
        if self.parallel.main:
            self._export(dict(read_weights(self.folder / BEST).tensors), BEST)
        return (
            f"none of these: an image whose {found.score} is below {found.threshold:.3g} shows no class ({kept:.0%} of "
            f"the validation images reach it); temperature {found.temperature:.3g}"
        )

    def _predicted(self, form: Form) -> tuple[Tensor, Tensor]:
        network, before = self.network, self.network.form
        network.form = form
        try:
            learner = Learner(network, frozen=True, form=form)
            return predict(learner, self.validation, self.batch, self.parallel)
        finally:
            network.form = before

    # what is kept

    def _save(self, *, weights: bool = False, better: bool = False) -> None:
        """The checkpoint; with `weights` also, after it, the weights of their own: none is ahead of what the training
        goes on from, and what a killed one did not come to is written again (`_load`)."""
        weights_now = self._weights()
        optimizer = self.parallel.optimizer_state(self.model, self.optimizer)
        if not all(bool(torch.isfinite(t).all()) for t in weights_now.values() if t.is_floating_point()):
            raise self._lost("the weights are not finite")
        if not self.parallel.main:
            return
        average = dict(self.average.module.state_dict()) if self.average is not None else None
        try:
            save_checkpoint(
                self.folder / CHECKPOINT,
                self.network,
                weights=weights_now,
                average=average,
                optimizer=optimizer,
                state=self.state(),
            )
            self._kept = True
            if weights:
                self._export(average or weights_now, *((LAST, BEST) if better else (LAST,)))
        except OutputError as error:
            kept = f"what was saved before is whole; make room, then {self._how_to_go_on()}"
            error.hint = kept if self._kept else "make room and start again"
            raise

    def _export(self, state: dict[str, Tensor], *files: str) -> None:
        name = self.facts.get("name") or type(self.network).__name__
        for file in files:
            save_weights(self.network, self.folder / file, model=name, state=state)

    def _weights(self) -> dict[str, Tensor]:
        state = self.parallel.weights(self.model)
        return {name.removeprefix("network."): tensor for name, tensor in state.items()}

    def state(self) -> dict[str, Any]:
        """Plain data that goes with the tensors of a checkpoint."""
        p = self.progress
        scaler = self.parallel.accelerator.scaler
        return {
            **self.facts,
            "progress": {**vars(p), "history": list(p.history)},
            "scaler": scaler.state_dict() if scaler is not None else None,
            "world": self.parallel.world,
            "updates_per_epoch": self.updates_per_epoch,
            "images": len(self.feed),
        }

    def _load(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.state
        if state["images"] != len(self.feed):
            raise HiergenError(
                "the training images are not those that this training started with",
                place=str(self.folder),
                expected=f"{state['images']:,} images",
                got=f"{len(self.feed):,}",
            )
        parallel = self.parallel
        parallel.load_weights(self.model, {f"network.{name}": t for name, t in checkpoint.network.items()})
        if self.average is not None:
            self.average.module.load_state_dict(checkpoint.average or checkpoint.network)
        parallel.load_optimizer(self.model, self.optimizer, optimizer_state(checkpoint))
        if state["scaler"] and self.parallel.accelerator.scaler is not None:
            self.parallel.accelerator.scaler.load_state_dict(state["scaler"])
        self.progress = Progress(**state["progress"])
        self._kept = True
        if parallel.main:
            sweep(self.folder / CHECKPOINT)  # after the last epoch it is not written again
        epoch, rest = divmod(self.progress.step, self.updates_per_epoch)
        if epoch and not rest and parallel.main:
            files = (LAST, BEST) if self.progress.best_epoch == epoch else (LAST,)
            self._export(checkpoint.average or checkpoint.network, *files)

    # what may go wrong

    def _check_loss(self, loss: float) -> None:
        progress = self.progress
        if progress.first_loss is None and math.isfinite(loss):
            progress.first_loss = loss
        limit = _EXPLODED * max(progress.first_loss or 0.0, math.log(max(self.network.num_classes, 2)))
        if not math.isfinite(loss):
            raise self._lost(f"the loss is {loss}")
        if loss > limit:
            raise self._lost(f"the loss explodes: {loss:.3g}, after {progress.first_loss:.3g} at first")

    def _lost(self, what: str) -> HiergenError:
        step = self.progress.step
        where = f"update {step + 1:,} (epoch {step // self.updates_per_epoch + 1})"
        lower = f"--set optimizer.lr={self.recipe.optimizer.lr / 5:.2g}"
        kept = f"the last good state is kept: {self._how_to_go_on()} {lower}" if self._kept else f"try {lower}"
        return HiergenError(f"{what} at {where}", place=str(self.folder), hint=kept)

    def _stopped(self, stopping: Stopping) -> StoppedError:
        step = self.progress.step
        total = self.recipe.epochs * self.updates_per_epoch
        by = stopping.name or "another process"
        return StoppedError(
            f"stopped by {by} after {step:,} of {total:,} updates; all is saved",
            place=str(self.folder),
            hint=self._how_to_go_on(),
        )

    def _how_to_go_on(self) -> str:
        return f"go on with: hiergen train --resume {shlex.quote(str(self.folder))}"

    def _whole_batch(self, images: int) -> int:
        """Images of one update: as many as the recipe says, or all, that every process and part gets as many."""
        parts, wanted = self.parallel.world * self.recipe.accumulate, self.recipe.batch_size
        shares = " and ".join(
            f"{count} {name}"
            for count, name in ((self.parallel.world, "processes"), (self.recipe.accumulate, "parts (accumulate)"))
            if count > 1
        )
        if wanted % parts:
            raise HiergenError(
                f"the recipe's batch_size {wanted} cannot be shared by {shares}",
                expected=f"a multiple of {parts}",
                hint=f"--batch-size {max(wanted // parts, 1) * parts}",
            )
        if images < parts:
            raise HiergenError(
                f"{images} training images are fewer than {shares}", expected=f"{parts} or more, one for each"
            )
        return min(wanted, images - images % parts)

    def _averaged(self) -> ModelEmaV3 | None:
        if self.recipe.ema is None:
            return None
        if self.parallel.sharded:
            raise HiergenError("averaged weights (ema) cannot be kept of a sharded network", hint="--set ema=null")
        return ModelEmaV3(self.network, decay=self.recipe.ema, use_warmup=True)

    def _rate(self) -> float:
        return max(float(group["lr"]) for group in self.optimizer.param_groups)


@contextmanager
def normed(images: int) -> Iterator[None]:
    """A forward in training mode: batch norms without two values to norm are one sentence."""
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("Expected more than 1 value per channel"):
            raise
        raise HiergenError(
            f"batch norms cannot be trained by {images} image at once in maps of one pixel",
            expected="2 images or more for each process and part of an update",
            hint="a larger --batch-size, or --set freeze_norms=true",
        ) from None


def set_form(network: HierarchicalNetwork, recipe: Recipe) -> LearnerForm:
    """The form that is trained, which the network has from now on ("each": that of its generalist). What is not trained
    is frozen. Raises HiergenError for a generalist that is not there."""
    has_one = network._modules.get("generalist") is not None
    if isinstance(network, FlatNetwork):
        return "specialists"
    form: LearnerForm = recipe.form if recipe.form != "auto" else "each" if has_one else "specialists"
    network.form = "generalist" if form == "each" else form
    if has_one and form != "each":
        generalist_of(network, "generalist").requires_grad_(form == "generalist")
        if network._modules.get("flat") is not None:
            generalist_of(network, "flat").requires_grad_(False)
        for part in (*network.levels, network.head):
            part.requires_grad_(form == "specialists")
    for branch in (network.generalist, network.flat):
        if branch is not None:
            branch.gains.requires_grad_(False)  # they are fitted on held-out images
    return form
