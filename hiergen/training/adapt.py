"""The job of `hiergen adapt`: from a fine-tuned checkpoint and its images to measured cutouts, by ordinary commands,
and to what they must beat: the flat network of smaller images that takes as long."""

from __future__ import annotations

import json
import shlex
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch
import yaml

from hiergen.console.terminal import as_json, one_line, plain_table
from hiergen.data.sources import has_validation
from hiergen.errors import HiergenError, unquoted
from hiergen.files import write_text, writing
from hiergen.formats.files import read_graph
from hiergen.formats.matching import own_leaves
from hiergen.lookup.reference import CUTOUT_SOURCE
from hiergen.models.convert import read_state
from hiergen.models.load import CUTOUT_WEIGHTS, find_model, load_network
from hiergen.nn.flat import check_backbone
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.runtimes import checked
from hiergen.nn.trunk import known_model, make_model
from hiergen.planning.aim import equal_sides, usual_runtime
from hiergen.planning.measure import flat_network
from hiergen.planning.network import Timer
from hiergen.taxonomy.naming import slug
from hiergen.training.adaptprogress import REPORT, Progress, digest, is_finished
from hiergen.training.flatnetwork import FLAT
from hiergen.training.loop import BEST
from hiergen.training.recipe import Recipe, load_recipe
from hiergen.training.runfolder import CHOICE

if TYPE_CHECKING:
    from rich.table import Table

Run = Callable[[Sequence[str]], object]
MODEL = "N2HL"
TAXONOMY, SOURCE = "taxonomy.yaml", "model.py"
TRAINED, CUTOUTS = "run", "cutouts"  # folders
SEEN = (
    "without validation images figures are of a share of --data, which the checkpoint may have been trained on: then "
    "those of the flat network are upper bounds; --val FOLDER (val=…) gives images that it has not seen"
)


@dataclass(frozen=True)
class Row:
    """A cutout: shares of its group's held-out images that it, the flat network, sliced, and the flat network of
    smaller images tell apart among its classes; ms of one image, that part of the flat network's in the same turns, and
    MB of its weights."""

    name: str
    classes: int
    images: int
    flat: float | None
    cutout: float
    form: str
    ms: float
    share: float
    megabytes: float
    folder: str
    smaller: float | None = None


@dataclass(frozen=True)
class Smaller:
    """The flat network of images of `px`, which takes about as long as a cutout: a network of its own in `folder`; ms,
    part of the flat network's ms and MB as of a `Row`."""

    px: int
    ms: float
    share: float
    megabytes: float
    folder: str


@dataclass(frozen=True)
class Adapted:
    """What `adapt` made: a folder, a row for each cutout, the runtime, ms and MB of the flat network, and the flat
    network of smaller images (None: cutouts take as long as the flat network, or the backbone takes one size only).
    `seen`: the held-out images are a share of `data`, which the checkpoint may have been trained on. `single` are the
    groups of one class, which have no row; `whole` is the generalist with all classes, where the network has one."""

    folder: Path
    rows: tuple[Row, ...]
    runtime: str
    flat_ms: float
    flat_megabytes: float
    smaller: Smaller | None = None
    seen: bool = False
    single: tuple[str, ...] = ()
    whole: Row | None = None

    def notes(self) -> Iterator[str]:
        """What the table leaves out, and what its figures are of."""
        if self.single:
            yield f"left out, as one class is always right: {', '.join(self.single)}"
        yield "accuracies are of the images that chose the best epoch; of others hiergen eval says them"

    def table(self) -> Table:
        """The rows."""
        small = self.smaller
        at = () if small is None else (f"at {small.px} px",)
        heads = (
            "cutout",
            "classes",
            f"flat, sliced{' (upper bound)' * self.seen}",
            *at,
            "cutout's top-1",
            "is",
            f"ms ({self.runtime})",
            "× flat",
            "MB",
        )
        table = plain_table(heads)
        blank = ("",) * (len(heads) - 4)
        table.add_row("flat network", *blank, f"{self.flat_ms:.2f}", "1", f"{self.flat_megabytes:.1f}")
        if small is not None:
            times = f"{small.ms:.2f}", f"{small.share:.2f}", f"{small.megabytes:.1f}"
            table.add_row(f"flat, {small.px} px", *blank, *times)
        for row in (*(() if self.whole is None else (self.whole,)), *self.rows):
            form = "own branch" if row.form == "specialists" else "generalist"
            both = (row.flat, *((row.smaller,) if at else ()))
            shares = (
                *("" if share is None else f"{100 * share:.1f} %" for share in both),
                f"{100 * row.cutout:.1f} %",
                form,
            )
            times = f"{row.ms:.2f}", f"{row.share:.2f}", f"{row.megabytes:.1f}"
            table.add_row(row.name, str(row.classes), *shares, *times)
        return table


def adapt(
    checkpoint: str | Path,
    backbone: str,
    data: str | Path,
    folder: str | Path,
    run: Run,
    *,
    val: str | Path | None = None,
    input_size: int | None = None,
    cutout: float = 0.6,
    settings: Sequence[str] = (),
    runtime: str | None = None,
    threads: int = 1,
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> Adapted:
    """Make cutouts of every group of a fine-tuned flat network's classes, and measure them.

    `checkpoint` is timm's `backbone` (safetensors or a PyTorch checkpoint), `data` its images, a folder for each class
    in the order of its classifier. One that was trained on other classes is fine-tuned first, which `warn` is
    told. Figures are of the images `val`, else of the validation part of `data`, else of a share of it, which the
    checkpoint may have been trained on: `warn` is then told `SEEN`. `run` takes the words of a `hiergen` command; `say`
    gets each of them before it runs.
    `folder` is new, or of an `adapt` that was stopped and asked for the same, which goes on, or with `force` of an
    earlier one, whose files are replaced: it gets the taxonomy, the model's source, the training and a folder for each
    cutout, and the flat network fine-tuned on smaller images, so that it takes about as long as the cutouts. `runtime`
    is what cutouts are measured in: onnxruntime where it is installed, else torch. Raises
    HiergenError as these commands do.
    """
    chosen = runtime or usual_runtime()
    checked(chosen, torch.device("cpu"), torch.float32).package()  # before hours of training
    known_model(backbone)
    folder, given = Path(folder), Path(checkpoint)
    count = _checked(given, backbone, input_size)
    asked: dict[str, Any] = {"place": str(folder.resolve()), "checkpoint": str(given), "its sha256": digest(given)}
    asked |= {"backbone": backbone, "data": str(data), "val": None if val is None else str(val)}
    asked |= {"input size": input_size, "cutout": cutout, "settings": list(settings), "runtime": runtime}
    runtime, taxonomy, source = chosen, folder / TAXONOMY, folder / SOURCE
    retrained = _retrained(
        count, len(own_leaves(read_graph(data)).classes), load_recipe("tails", settings), unquoted(data)
    )
    progress = Progress.begin(folder, runtime, asked, force)
    progress.check_files()
    anew = progress.anew

    def step(*words: object) -> None:
        text = [str(word) for word in words]
        say(one_line(shlex.join(["hiergen", *text])))
        run(text)

    if retrained is not None:
        warn(retrained)
    if not progress.is_done("init"):
        sized = () if input_size is None else ("--input-size", input_size)
        step("init", data, "-o", taxonomy, "--backbone", backbone, *sized, "--cutout", cutout, *anew)
        progress.finish("init", [taxonomy])
    seen = val is None and not has_validation(data)
    if seen:
        warn(SEEN)
    if not progress.is_done("build"):
        step("build", taxonomy, "-o", source)
        progress.finish("build", [source])
    reference = f"{source}:{MODEL}"
    network = find_model(reference).cls()
    images = ["--data", data, *(() if val is None else ("--val", val))]
    more = [word for setting in settings for word in ("--set", setting)]
    trained = folder / TRAINED

    def trains(place: Path, model: str, start: tuple[object, object], *words: object) -> None:
        """Train in a folder, or go on where it was stopped, there or in the flat network's."""
        first = place.with_name(f"{place.name}-flat")
        if progress.is_done(place.name):
            return
        if progress.began(place):
            step("train", "--resume", place)
        else:
            if progress.began(first):
                if not is_finished(first):
                    step("train", "--resume", first)
                start = "--teacher", first / FLAT
            else:
                progress.start(place, first)
            step("train", model, *images, *start, *words, *more, "-o", place, *anew)
        progress.finish(place.name)

    # of other classes it is fine-tuned first, by the training itself
    taught = "--teacher" if count == network.num_classes else "--pretrained"
    trains(trained, reference, (taught, given), "--recipe", "tails")
    choice = json.loads((trained / CHOICE).read_text(encoding="utf-8"))
    parts: list[tuple[dict[str, Any], Path]] = []
    single: list[str] = []
    for number, group in enumerate(choice["groups"], 1):
        if group["classes"] == network.num_classes:  # the whole network
            continue
        if group["classes"] == 1:  # it is always right
            single.append(group["group"])
            continue
        part = folder / CUTOUTS / f"{number}-{slug(group['group'])}"
        step("cutout", reference, "--weights", trained / BEST, "--classes", group["group"], "-o", part, *anew)
        parts.append((group, part))
    cutouts = [part for _, part in parts]
    _remove_others(folder / CUTOUTS, cutouts)
    generalist = _generalist(reference, trained / BEST)
    timed = network, cutouts, generalist, runtime, threads
    times = _ms(*timed)
    if "side" not in progress.said:  # of this run's ms: another's would begin another training
        progress.said["side"] = _smaller_side(network, times[: 1 + len(cutouts)])
        progress.write()
    side = progress.said["side"]
    megabytes, smaller, shares = _megabytes(network), None, dict[str | None, float]()  # None: of all classes
    if side is not None:
        name, alone = f"flat_{side}px", ("--set", "form=generalist", "--set", "flat_epochs=0")
        small = folder / f"{name}.yaml"
        write_text(small, _smaller_file(taxonomy, network, side))
        step("build", small, "-o", folder / f"{name}.py")
        more += alone
        trains(folder / name, f"{folder / name}.py:{MODEL}", ("--pretrained", given), "--recipe", "fine-tune")
        other = json.loads((folder / name / CHOICE).read_text(encoding="utf-8"))
        shares = {group["group"]: group["generalist"] for group in other["groups"]}
        shares[None] = other["top1"]["generalist"]
        *times, ms = _ms(*timed, side)  # anew: a table's rows are of the same turns
        smaller = Smaller(side, round(ms, 3), round(ms / times[0], 3), megabytes, str(folder / name))
    flat_ms, *times = times
    whole = None
    if generalist is not None:
        whole = _whole_row(generalist, choice, trained, times.pop(), flat_ms, shares.get(None))
    rows = tuple(
        _row(group, part, ms, flat_ms, shares.get(group["group"]))
        for (group, part), ms in zip(parts, times, strict=True)
    )
    adapted = Adapted(folder, rows, runtime, round(flat_ms, 3), megabytes, smaller, seen, tuple(single), whole)
    write_text(folder / REPORT, as_json({**asdict(adapted), "folder": str(folder)}, indent=2) + "\n")
    return adapted


def _smaller_side(network: HierarchicalNetwork, times: Sequence[float]) -> int | None:
    """px of the square images of which the flat network, the first of `times`, takes as long as the others, the
    cutouts, in the mean."""
    _, height, width = network.input_size
    flat_ms, *cutouts = times
    if network.trunk.tokens or height != width or not cutouts:
        return None
    side = equal_sides(network.input_size, statistics.mean(cutouts) / flat_ms)[0]
    return side if side < height else None


def _smaller_file(taxonomy: Path, network: HierarchicalNetwork, side: int) -> str:
    """The taxonomy with one model: cut at the same stage, the flat network's tail its branch for all classes."""
    content = yaml.safe_load(taxonomy.read_text(encoding="utf-8"))
    model = content["models"][MODEL]
    trunk = {**model["trunk"], "until": network.trunk.until}
    content["models"] = {MODEL: {**model, "trunk": trunk, "input_size": side, "generalist": "whole"}}
    content["name"] = f"{content['name']}-{side}px"  # timm's registry has a name once
    text = f"# The flat network of {side} px: what cutouts must beat.\n"
    return text + str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def _retrained(outputs: int, classes: int, recipe: Recipe, data: str) -> str | None:
    """What the training does first with a checkpoint of other classes, as it takes its time."""
    if outputs == classes:
        return None
    epochs = f"{recipe.flat_epochs} epoch{'s' * (recipe.flat_epochs != 1)}"
    first = f" and is fine-tuned first, {epochs} of its own" if recipe.flat_epochs else ""
    return (
        f"the checkpoint has {outputs} outputs, {data} {classes} classes: the flat network gets a new classifier{first}"
    )


def _remove_others(folder: Path, cutouts: Sequence[Path]) -> None:
    """Remove an earlier adapt's cutouts that are not replaced: groups are others now."""
    with writing(folder):
        for part in set(folder.glob("[0-9]*-*")) - set(cutouts):
            for name in (CUTOUT_SOURCE, CUTOUT_WEIGHTS):
                (part / name).unlink(missing_ok=True)
            with suppress(OSError):  # somebody's own files stay
                part.rmdir()


def _checked(file: Path, backbone: str, input_size: int | None) -> int:
    """How many classes the checkpoint's classifier has. Raises HiergenError for one that is not of the backbone."""
    known = timm.get_pretrained_cfg(backbone)
    cfg = known.to_dict() if known else {"classifier": "classifier"}
    state = read_state(file)
    count = _classes(state, cfg, file)
    fixed = known is not None and known.fixed_input_size
    size = (3, input_size, input_size) if input_size else known.input_size if known else (3, 224, 224)
    with torch.device("meta"):
        flat = make_model(backbone, size, pretrained=False, num_classes=count)
    # without a size `init` chooses one by the images, which shapes of a fixed size depend on
    shapes = input_size is not None or not fixed
    check_backbone(flat.state_dict(), state, backbone, unquoted(file), cfg, shapes=shapes)
    return count


def _classes(state: dict[str, Any], cfg: dict[str, Any], file: Path) -> int:
    """How many classes a checkpoint's classifier has. Raises HiergenError for one without a classifier."""
    rows = [tensor.shape[0] for name, tensor in state.items() if name.endswith(f"{cfg.get('classifier')}.weight")]
    if not rows:
        like = f"hiergen convert FILE --like {cfg.get('architecture')} -o OUT.safetensors"
        raise HiergenError(
            "the checkpoint has no classifier",
            place=unquoted(file),
            expected=f"{cfg.get('classifier')}.weight among its tensors",
            hint=f"another model's weights, or names of another implementation: {like}",
        )
    return int(rows[0])


def _ms(
    network: HierarchicalNetwork,
    cutouts: Sequence[Path],
    whole: HierarchicalNetwork | None,
    runtime: str,
    threads: int,
    side: int | None = None,
) -> list[float]:
    """ms of the flat network, of each cutout, of the `whole` network where there is one, and with a `side` of the flat
    network of images of so many px; all of them take turns."""
    backbone, size = network.trunk.backbone, network.input_size
    timer = Timer(size, runtime, threads)
    runs = [timer.add(flat_network(backbone, network.num_classes, size))]
    runs += [timer.add(load_network(part)) for part in cutouts]
    if whole is not None:
        runs.append(timer.add(whole))
    if side is not None:
        small = (size[0], side, side)
        runs.append(Timer(small, runtime, threads).add(flat_network(backbone, network.num_classes, small)))
    return timer.measure(runs)


def _megabytes(network: HierarchicalNetwork) -> float:
    """Of the flat network's weights; the checkpoint's file may hold averages and an optimiser's state too."""
    with torch.device("meta"):
        flat = flat_network(network.trunk.backbone, network.num_classes, network.input_size)
    size: int = sum(tensor.nbytes for tensor in flat.state_dict().values())
    return round(size / 1e6, 2)


def _row(group: dict[str, Any], part: Path, ms: float, flat_ms: float, smaller: float | None) -> Row:
    own = group["form"] == "specialists"
    return Row(
        name=group["group"],
        classes=group["classes"],
        images=group["images"],
        flat=group["flat"],
        cutout=group["specialist"] if own else group["generalist"],
        form=group["form"],
        ms=round(ms, 3),
        share=round(ms / flat_ms, 3),
        megabytes=round((part / "model.safetensors").stat().st_size / 1e6, 2),
        folder=str(part),
        smaller=smaller,
    )


def _generalist(reference: str, weights: Path) -> HierarchicalNetwork | None:
    """The network that answers as its generalist; None where it has none."""
    network = load_network(reference, weights)
    if network.generalist is None:
        return None
    network.form = "generalist"
    return network


def _whole_row(
    network: HierarchicalNetwork, choice: dict[str, Any], folder: Path, ms: float, flat_ms: float, smaller: float | None
) -> Row:
    """Of the generalist with all classes; MB are of the trunk and it."""
    parts = network.trunk, network.generalist
    size = sum(tensor.nbytes for part in parts if part is not None for tensor in part.state_dict().values())
    return Row(
        name="all classes",
        classes=network.num_classes,
        images=sum(group["images"] for group in choice["groups"]),
        flat=choice["teacher"],
        cutout=choice["top1"]["generalist"],
        form="generalist",
        ms=round(ms, 3),
        share=round(ms / flat_ms, 3),
        megabytes=round(size / 1e6, 2),
        folder=str(folder),
        smaller=smaller,
    )
