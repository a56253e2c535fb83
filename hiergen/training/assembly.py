"""From what is asked for to a `Training`: the network with its weights, the images, the batches."""

from __future__ import annotations

import copy
import logging
import math
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hiergen.console.progress import ProgressBar
from hiergen.console.terminal import say
from hiergen.data.augment import eval_transform, train_transform
from hiergen.data.batches import Feed, ImageFeed, MapFeed
from hiergen.data.features import FeatureSet, cached_features, fingerprint
from hiergen.data.images import ImageSet, check_apart
from hiergen.data.samples import Samples, default_workers, seed_of
from hiergen.data.sources import has_validation, open_data
from hiergen.errors import HiergenError, listed, quoted, unquoted
from hiergen.models.convert import read_state
from hiergen.models.load import ModelRef, copy_source, find_model, load_network, source_of
from hiergen.models.weights import flat_backbone, load_trunk
from hiergen.nn.flat import load_flat
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.takeover import OTHER_SHAPES, take_over
from hiergen.training.channelscores import score_batches
from hiergen.training.checkpoint import load_checkpoint
from hiergen.training.flatnetwork import FlatNetwork, flat_tail
from hiergen.training.hierarchy import Hierarchy
from hiergen.training.initial import InitReport, estimate_norms, fetched, init_branches, start_heads
from hiergen.training.labelled import check_labels, class_weights
from hiergen.training.loop import Training, normed
from hiergen.training.losses import make_loss
from hiergen.training.optim import make_optimizer
from hiergen.training.parallel import Parallel
from hiergen.training.progress import TrainingLog
from hiergen.training.recipe import Recipe
from hiergen.training.runfolder import Request, record
from hiergen.training.training_module import seed_all

if TYPE_CHECKING:
    from rich.console import Console


_NORM_BATCHES = 20  # that statistics are estimated on
_SCORE_IMAGES = 100  # of each class, that channels are scored on


class Job:
    """From a request to a `Training`; `checkpoint` is one to go on from, `model` where the request's is now. `lenient`:
    where the weights given are of the trunk alone, branches that nobody asked to start from the backbone start at
    random."""

    def __init__(
        self,
        request: Request,
        recipe: Recipe,
        parallel: Parallel,
        console: Console | None,
        quiet: bool,
        checkpoint: Path | None = None,
        lenient: bool = False,
        model: str | None = None,
    ) -> None:
        self.request, self.recipe, self.parallel = request, recipe, parallel
        self.console = None if quiet or not parallel.main else console
        self.checkpoint, self.lenient = checkpoint, lenient
        self.model: ModelRef = find_model(model or request.model)
        self.source = source_of(self.model)  # now: in the hours that maps take, the file may be built anew
        self.new_classifier = False  # of a flat network: it has other classes than the weights given
        self.before: dict[str, Any] = {}  # what the checkpoint says of the training

    def training(self) -> tuple[Training, Feed, Feed]:
        """Everything but the folder; nothing is written."""
        seed_all(seed_of(self.recipe.seed, 0))
        self.network = self._network()
        self.images, self.validation_images, self.where = self._images()
        self.fingerprint = self.images.fingerprint()
        self._choose_form()
        self.initial = self._initial()
        self._check_recipe()
        self._say_what()
        self.network.to(self.parallel.device)
        feed, validation = self._feeds()
        self._check_images(len(feed))
        if isinstance(self.network, FlatNetwork) and self.new_classifier and isinstance(feed, MapFeed):
            self.network.start_classifier(feed.mixed(self.recipe.batch_size))
            self.say("the classifier starts by ridge regression on the features of the flat network")
        if self.initial is None and (start := self._scored(feed)):
            self.initial = start
            for line in start.lines(specialists=self.recipe.form != "generalist"):
                self.say(line)
        facts = {"name": self.model.name, "recipe": self.request.recipe, "fingerprint": self.fingerprint}
        training = Training(
            *(self.network, self.recipe, feed, validation, Path()),
            parallel=self.parallel,
            facts=facts,
            teacher=self._teacher(feed, validation),
        )
        if training.batch != self.recipe.batch_size:
            text = f"{len(feed)} images are fewer than the recipe's batch_size {self.recipe.batch_size}"
            self.say(f"{text}: {training.batch} are one batch", style="yellow")
        self._check_forward(training, feed)
        return training, feed, validation

    def keep_source(self, folder: Path) -> None:
        """Copy the network's source into the folder, and record that: elsewhere it may be built anew, or moved."""
        copied = self.model.name if copy_source(self.source, self.model.name, folder) else None
        if copied != self.request.copied:
            self.request = self.request.model_copy(update={"copied": copied})
            record(folder, self.request, self.recipe)

    def facts(self, feed: Feed, validation: Feed, broken: set[str]) -> dict[str, Any]:
        """What a model card says about the data."""
        return {
            "training": self.request.data,
            "validation": self.where,
            "training_images": len(feed),
            "validation_images": len(validation),
            "broken": sorted(broken),
            "left_out": sorted({*self.images.left_out, *self.validation_images.left_out}),
            "fingerprint": self.fingerprint,
        }

    def _network(self) -> HierarchicalNetwork:
        from hiergen.models.weights import load_weights

        request, frozen = self.request, self.recipe.trunk.mode == "frozen"
        if self.checkpoint is not None:
            # all weights, before the trunk's maps are computed: where the trunk's came from may be gone
            network = self.model.cls()
            network = FlatNetwork(network) if request.flat else network
            saved = load_checkpoint(self.checkpoint, network)
            _restore(network, saved.network, self.checkpoint)
            self.before = saved.state
            return network
        start = request.weights or self.model.weights
        fetching = self.recipe.trunk.pretrained and not (start or request.trunk_weights)
        if fetching:
            self.say("fetching the backbone's weights")
        with _offline():
            network = self.model.cls(pretrained=fetching)
        if request.flat:
            network = self._flat(network, fetching)
        if start is not None and Path(start).is_dir():
            self._take_over(network, start)
        elif start is not None:
            load_weights(network, start)
        if request.trunk_weights is not None:
            load_trunk(network, request.trunk_weights)
        if frozen and not (start or request.trunk_weights or fetching):
            self.say(
                "the trunk is frozen at random weights: --pretrained (pretrained=True) gives it timm's, "
                "--pretrained FILE (pretrained=FILE) a file's",
                style="yellow",
            )
        return network

    def _take_over(self, network: HierarchicalNetwork, folder: str | Path) -> None:
        """What the network of another training, cutout or growth has by the same names."""
        from hiergen.planning.from_network import spelled_out

        if self.request.flat:
            hint = "--weights FLAT.safetensors (weights=…) of a training with --flat"
            raise HiergenError("a flat network starts from a file of weights", got=unquoted(folder), hint=hint)
        other, place = load_network(folder), unquoted(folder)
        until = f"'until: {other.trunk.until}'"
        try:
            taken = take_over(network, other)
        except HiergenError as error:
            if other.trunk.backbone == network.trunk.backbone and other.trunk.until != network.trunk.until:
                error.hint = f"{until} under 'trunk' keeps it"
                if lines := spelled_out(other):
                    error.hint += f", and these its branches, in place of budget and aim: {' and '.join(lines)}"
            raise error.at(place) from None
        nesting, parts = network.nesting, ["the trunk"]
        for level, names in enumerate(taken.groups, 1):
            parts.append(f"{len(names)} of {len(nesting.names(level))} groups of level {level}")
        parts += [
            f"{len(taken.classes)} of {network.num_classes} classes",
            *(f"the {name} branch" for name in taken.tails),
        ]
        new = taken.others or len(taken.classes) < network.num_classes
        self.say(f"taken over from {place}: {', '.join(parts)}{'; the rest starts at random' if new else ''}")
        if not taken.others:
            return
        text = "not taken over: " + ", ".join(f"{name} ({why})" for name, why in taken.others.items())
        ours, lines = spelled_out(network), spelled_out(other)
        same = [line for line in lines if line not in ours and not (line.startswith("tail") and len(ours) < 2)]
        if same:
            text += f"; in the taxonomy file these keep them, with {until}, in place of budget, aim, block, depth and "
            text += f"kernel: {' and '.join(same)}"
        elif OTHER_SHAPES in taken.others.values() and not lines:
            text += "; a file cannot spell its shapes out: 'hiergen grow' adds classes to the network as it is"
        self.say(text, style="yellow")

    def _flat(self, network: HierarchicalNetwork, fetching: bool) -> FlatNetwork:
        """The flat network with the weights that are asked for."""
        file, flat = self.request.trunk_weights, FlatNetwork(network, pretrained=fetching)
        self.new_classifier = self.request.weights is None
        if file is not None:
            self.new_classifier &= not flat.load_tail(file)
        elif file is None and not fetching and self.recipe.trunk.mode == "frozen":
            self.say("the flat network's tail starts at random", style="yellow")
        return flat

    def _images(self) -> tuple[ImageSet, ImageSet, str]:
        request, network = self.request, self.network
        options: dict[str, Any] = {"root": request.root, "groups": True, "several": True}
        if request.only_known:
            options["classes"] = list(range(network.num_classes))
        with image_hints(moved=self.checkpoint is not None):
            images = open_data(request.data, network, split="train", **options)
            other = request.val
            if other is None and has_validation(request.data, root=request.root):
                other = request.data
            if other is not None:
                held = open_data(other, network, split="validation", **options)
                check_apart(images, held)
                return images, held, other if request.val is not None else f"{other}, its validation part"
        share = self.recipe.hold_out
        images, held = images.split(share, seed=0)
        check_apart(images, held, hint="they are links to one file; keep one of them, or give --val (val=…)")
        return images, held, f"{share:.0%} of {request.data}, held out of training"

    def _choose_form(self) -> None:
        """What "auto" trains. Behind a frozen trunk the flat network's tail stays the teacher's; behind one that is
        trained it has to learn with it."""
        frozen = self.recipe.trunk.mode == "frozen"
        if self.network.flat is not None and self.request.teacher is not None and frozen:
            self.network.flat.requires_grad_(False)
        if self.recipe.form != "auto" or self.network.generalist is None:
            return
        alone = frozen or self.network.flat is None
        self.recipe = self.recipe.model_copy(update={"form": "generalist" if alone else "each"})
        if alone:
            self.say("the generalist is trained alone; --set form=each trains the groups' own branches too")

    def _check_recipe(self) -> None:
        """What the loop would refuse, before the trunk's maps are computed for hours."""
        loss = self.recipe.loss
        make_loss(loss.name, Hierarchy.of(self.network), **loss.options)
        check_labels(self.images.labels, self.recipe, taught=self.request.teacher is not None, flat=self.request.flat)
        class_weights(self.network, self.recipe, torch.tensor(self.images.targets), self.images.labels)
        make_optimizer(self.network, self.recipe)
        train_transform(self.network, self.recipe.augment)

    def _check_forward(self, training: Training, feed: Feed) -> None:
        """Whether batch norms have two values or more, where a process gets one image at once, and blocks pixels
        enough, where they get windows of maps."""
        crop = feed.crop if isinstance(feed, MapFeed) else 1.0
        images = training.batch // (self.parallel.world * self.recipe.accumulate)
        if self.parallel.sharded or (images > 1 and crop == 1):
            return
        shape: tuple[int, ...] = self.network.input_size
        if isinstance(feed, MapFeed):
            channels, *sides = next(iter(feed.once(1, 0, 1)))[0].shape[1:]
            shape = (channels, *(min(math.ceil(crop * side), side) for side in sides))
        learner = copy.deepcopy(training.learner).train()
        try:
            with torch.no_grad(), normed(images):
                learner(torch.zeros(min(images, 2), *shape, device=self.parallel.device), maps=feed.maps)
        except (RuntimeError, HiergenError) as error:
            if crop == 1 or ("size" not in str(error) and "smaller" not in str(error)):
                raise
            raise HiergenError(
                f"windows of trunk.crop_maps {crop:g} are too small for the network's blocks",
                got=f"{shape[1]} × {shape[2]} pixels",
                hint="a larger trunk.crop_maps, or 1",
            ) from None

    def _check_images(self, count: int) -> None:
        """Whether the training images are those of the checkpoint, before anything is written."""
        if self.before.get("images", count) != count:
            raise HiergenError(
                "the training images are not those that this training started with",
                place=unquoted(self.checkpoint),
                expected=f"{self.before['images']:,} images",
                got=f"{count:,}",
            )
        if self.before.get("fingerprint", self.fingerprint) != self.fingerprint:
            text = "some training images are not those that this training started with (by name, size or time)"
            self.say(text, style="yellow")

    def _initial(self) -> InitReport | None:
        """Branches from the backbone, in a network that has no weights of its own yet."""
        request = self.request
        started = self.checkpoint or request.weights or self.model.weights
        if self.recipe.branches != "backbone" or started or request.flat:
            return None
        model = None
        if request.trunk_weights and (model := self._flat_backbone(request.trunk_weights)) is None:
            return None
        with _offline():
            return init_branches(self.network, "backbone", pretrained_model=model, seed=self.recipe.seed)

    def _flat_backbone(self, file: str) -> nn.Module | None:
        """The backbone with a file's weights; None, and branches start at random, where it has the trunk alone and
        nobody asked for more."""
        try:
            return flat_backbone(self.network, file)
        except HiergenError:
            if not self.lenient:
                raise
            self.recipe = self.recipe.model_copy(update={"branches": "random"})
            self.say(f"{unquoted(file)} has the trunk alone: branches start at random")
            return None

    def _scored(self, feed: Feed) -> InitReport | None:
        """The same, by the channels that matter most on the training images' maps; alike in every process."""
        request, network, device = self.request, self.network, self.parallel.device
        started = self.checkpoint or request.weights or self.model.weights
        if self.recipe.branches != "scored" or started or request.flat:
            return None
        with _offline():
            model = self._flat_backbone(request.trunk_weights) if request.trunk_weights else fetched(network)
        if model is None:
            return None
        model.to(device)
        assert isinstance(feed, MapFeed)  # a recipe says so
        size, specialists = self.recipe.batch_size, self.recipe.form != "generalist"
        scores = score_batches(network, model, feed.balanced(size, _SCORE_IMAGES))
        report = init_branches(network, "backbone", pretrained_model=model, seed=self.recipe.seed, importance=scores)
        estimate_norms(network, feed.mixed(size, _NORM_BATCHES), specialists=specialists)
        done = {*report.rows, *(() if specialists else ("specialists",))}
        fits = start_heads(network, lambda: feed.mixed(size), but=done)
        if not report.rows:
            ridge, random = "by ridge regression on their branches' features", "at random: their features are too many"
            self.say(f"classes start {ridge if fits else random}")
        return report

    def _teacher(self, feed: Feed, validation: Feed) -> nn.Module | None:
        """The teacher, on the training device; where the trunk's maps are kept, its logits of them, which the feeds
        have from now on, and no teacher. Raises HiergenError for one of other classes, or another frozen trunk."""
        file, network, device = self.request.teacher, self.network, self.parallel.device
        if file is None:
            return None
        tail = flat_tail(network)
        trunk = copy.deepcopy(network.trunk)
        state = read_state(file)
        load_flat(trunk, tail, state, unquoted(file))
        if network.flat is not None and not (self.checkpoint or self.request.weights or self.model.weights):
            load_flat(trunk, network.flat, state, unquoted(file))
        if not isinstance(feed, MapFeed) or not isinstance(validation, MapFeed):
            return nn.Sequential(trunk, tail).requires_grad_(False).eval().to(device)
        if fingerprint(trunk) != fingerprint(network.trunk):
            raise HiergenError(
                "the teacher's trunk is not the network's, which is frozen",
                place=unquoted(file),
                hint="train the trunk (trunk.mode=train), or leave --teacher away"
                if self.request.weights
                else f"--pretrained {shlex.quote(file)} gives the network the teacher's",
            )
        tail.requires_grad_(False).eval().to(device)
        with ProgressBar(self.console, "the teacher's logits") as report:
            feed.taught = feed.answers(tail, self.recipe.batch_size, report, device)
        validation.taught = validation.answers(tail, self.recipe.batch_size, lambda *_: None, device)
        known = validation.targets < network.num_classes
        right = (validation.taught[0].argmax(1) == validation.targets)[known].float().mean()
        self.say(f"teacher: {unquoted(file)}, right on {right:.1%} of the validation images")
        return None

    def _feeds(self) -> tuple[Feed, Feed]:
        recipe, request, network = self.recipe, self.request, self.network
        workers = default_workers(self.images) if request.workers is None else request.workers
        plain = eval_transform(network)
        if not recipe.trunk.cached:
            augmented = train_transform(network, recipe.augment)
            training = Samples(self.images, augmented, seed=recipe.seed)
            held = Samples(self.validation_images, plain, seed=recipe.seed)
            return (
                ImageFeed(training, workers, request.skip_broken),
                ImageFeed(held, workers, request.skip_broken),
            )
        views = train_transform(network, recipe.augment)
        features = self._features(self.images, views, workers, views=recipe.trunk.views, what="training")
        held_features = self._features(self.validation_images, plain, workers, views=1, what="validation")
        return (
            MapFeed(features, recipe.seed, recipe.trunk.flip_maps, recipe.trunk.crop_maps),
            MapFeed(held_features),
        )

    def _features(
        self, images: ImageSet, transform: Callable[..., Any], workers: int, *, views: int, what: str
    ) -> FeatureSet:
        request, recipe, parallel = self.request, self.recipe, self.parallel
        with ProgressBar(self.console, f"features of {what} images") as report:
            return cached_features(
                self.network,
                images,
                transform,
                views=views,
                seed=0,  # views are alike for all of the recipe's seeds, which share the cache
                folder=None if request.cache is None else Path(request.cache),
                limit=request.cache_limit,
                dtype=recipe.trunk.cache_dtype,
                workers=workers,
                skip_broken=request.skip_broken,
                progress=report,
                note=lambda text: self.say(text, style="yellow"),
                share=(parallel.rank, parallel.world),
            )

    def log(self, folder: Path) -> TrainingLog | None:
        return TrainingLog(folder, self.console, epochs=self.recipe.epochs) if self.parallel.main else None

    def _say_what(self) -> None:
        network, parallel = self.network, self.parallel
        frozen = self.recipe.trunk.mode == "frozen"
        untrained = {"generalist": ("level", "head.", "flat."), "specialists": ("generalist.", "flat.")}
        still = (*untrained.get(self.recipe.form, ()), *(("trunk.",) if frozen else ()))
        named = network.named_parameters()
        parts = [p for name, p in named if p.requires_grad and not name.startswith(still)]
        places = f"{parallel.world} processes" if parallel.world > 1 else str(parallel.device)
        trunk = f"{network.trunk.backbone} to {network.trunk.until}, {self.recipe.trunk.mode}"
        trained = sum(p.numel() for p in parts)
        self.say(f"{self.model.name}: {trained:,} trained params; trunk {trunk}; {places}, {parallel.precision}")
        self.say(
            f"data: {len(self.images):,} training images of {self.request.data}, {len(self.validation_images):,} "
            f"validation images ({self.where}); {network.num_classes} classes"
        )
        for line in self.initial.lines() if self.initial is not None else ():
            self.say(line)
        request, given = self.request, self.recipe.trunk.pretrained or bool(self.checkpoint or self.model.weights)
        given |= any((request.weights, request.trunk_weights, request.teacher))
        if network.generalist is not None and not (frozen or given):  # made to start from a network that is there
            self.say("the network starts from random weights: --pretrained [FILE] starts from timm's", style="yellow")
        for name, images in (("training", self.images), ("validation", self.validation_images)):
            if images.left_out:
                self.say(f"left out of the {name} images: folders {listed(images.left_out)}", style="yellow")
            if images.note:
                self.say(f"{name} images: {images.note}", style="yellow")

    def say(self, text: str, *, style: str | None = None) -> None:
        say(self.console, text, style=style)


@contextmanager
def _offline() -> Iterator[None]:
    """Weights that cannot be fetched: one sentence, with what else there is, instead of every attempt's."""
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    except HiergenError as error:
        if "could not be fetched" in error.problem:
            error.hint = "without a network, --pretrained FILE (pretrained=FILE) takes them from a file"
        raise
    finally:
        log.setLevel(level)


@contextmanager
def image_hints(*, moved: bool = False) -> Iterator[None]:
    """Errors of images that speak of an option which training has not, and of a training that goes on elsewhere."""
    try:
        yield
    except HiergenError as error:
        if (error.hint or "").startswith("--classes"):
            error.hint = (
                "give it images, or train a cutout without it ('hiergen cutout')"
                if error.problem.startswith("holds no images")
                else "--only-known (only_known=True) leaves out what is no class"
            )
        if moved and error.problem.startswith("no data "):
            error.hint = "--data and --val (data=…, val=…) say where the images lie now"
        raise


def _restore(network: HierarchicalNetwork, weights: dict[str, Tensor], path: Path) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    if expected != shapes:
        first = next(name for name in (*expected, *shapes) if expected.get(name) != shapes.get(name))
        raise HiergenError(
            f"is of another network than {type(network).__name__} is now",
            place=unquoted(path),
            expected=f"{quoted(first)} of shape {expected.get(first, 'none')}",
            got=f"{shapes.get(first, 'none')}",
            hint="the model's file was changed since; build the earlier one again, or start anew",
        )
    network.load_state_dict(weights)
