"""From somebody's network to tails that learn from it, on small images of five colours."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file

from hiergen.codegen.build import build
from hiergen.data.augment import eval_transform
from hiergen.data.samples import Samples
from hiergen.data.sources import open_data
from hiergen.errors import HiergenError
from hiergen.models.load import find_model, load_network
from hiergen.models.weights import whole_state
from hiergen.nn.flat import check_backbone
from hiergen.nn.network import HierarchicalNetwork
from hiergen.planning.network import Timer
from hiergen.training.adapt import SEEN, _classes, adapt
from hiergen.training.flatnetwork import FlatNetwork
from hiergen.training.initial import start_heads
from hiergen.training.loop import Training
from hiergen.training.progress import TrainingLog
from hiergen.training.recipe import load_recipe
from hiergen.training.run import evaluate, resume, train
from tests.training.own_images import CLASSES, files, folders

BACKBONE = "tf_efficientnet_lite0"
SPEC = """\
name: {name}
classes: [Night_Sky, moss, plum, rust, sand]
sources:
  - groups: {{cold: [Night_Sky, moss, plum], warm: [rust, sand]}}
nesting: {{closeness: 0}}
models:
  N2HL:
    trunk: {{backbone: tf_efficientnet_lite0, until: blocks.3}}
    input_size: 64
    budget: {{macs: 20M}}
    generalist: {generalist}
"""
FAST = ("epochs=1", "flat_epochs=0", "form=each", "batch_size=10", "trunk.cache_dtype=float32")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a model with and one without a generalist, and timm's network with random weights for other classes."""
    home = tmp_path_factory.mktemp("tails")
    folders(home / "images", 6)
    for name, generalist in (("with", "shallow"), ("without", "none"), ("two", "both")):
        (home / f"{name}.yaml").write_text(SPEC.format(name=f"tailed_{name}", generalist=generalist), "utf-8")
        build(home / f"{name}.yaml", home / f"{name}.py")
    torch.manual_seed(0)
    save_file(timm.create_model(BACKBONE, num_classes=7).state_dict(), home / "seven.safetensors")
    return home


@pytest.fixture(autouse=True)
def here(lean: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a fresh folder, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def images(home: Path, network: HierarchicalNetwork) -> torch.Tensor:
    samples = Samples(open_data(home / "images", network, split="train"), eval_transform(network), seed=0)
    return torch.stack([samples[0, i][0] for i in range(4)])  # type: ignore[misc]


def test_the_flat_network_is_trained_from_the_split_on_and_written_for_timm(home: Path) -> None:
    settings = (*FAST, "optimizer.lr=1e-3")  # random weights bear no more
    options = {"recipe": "fine-tune", "settings": settings, "pretrained": home / "seven.safetensors", "flat": True}
    done = train(f"{home}/without.py:N2HL", home / "images", out="flat", **options)
    assert isinstance(done.network, FlatNetwork)
    written, before = load_file("flat/flat.safetensors"), load_file(home / "seven.safetensors")
    model = timm.create_model(BACKBONE, num_classes=len(CLASSES))
    model.load_state_dict(written)  # strict: timm's names, all of them
    x = images(home, done.network)
    torch.testing.assert_close(model.eval()(x), done.network.eval()(x), atol=1e-4, rtol=1e-4)
    # the trunk is frozen, the tail learns
    assert torch.equal(written["blocks.3.0.conv_pw.weight"], before["blocks.3.0.conv_pw.weight"])
    assert not torch.equal(written["blocks.4.0.conv_pw.weight"], before["blocks.4.0.conv_pw.weight"])
    assert json.loads(Path("flat/metrics.json").read_text())["images"] == 5
    again = resume("flat", settings=["epochs=2"])
    assert isinstance(again.network, FlatNetwork)


def test_a_network_learns_from_a_teacher_and_chooses(home: Path) -> None:
    model = timm.create_model(BACKBONE, num_classes=len(CLASSES))
    save_file(model.state_dict(), "teacher.safetensors")
    settings = (*FAST, "negatives=1")
    done = train(
        f"{home}/with.py:N2HL",
        home / "images",
        recipe="tails",
        settings=settings,
        teacher="teacher.safetensors",
        out="tails",
    )
    network = done.network
    # the trunk is the teacher's, without another word
    assert torch.equal(network.trunk.model.conv_stem.weight, model.conv_stem.weight)
    choice = json.loads(Path("tails/choice.json").read_text())
    assert {group["group"] for group in choice["groups"]} == {"cold", "warm"}
    assert choice["teacher"] is not None
    assert network.form == choice["form"]
    assert done.metrics.top1 == pytest.approx(choice["top1"][network.form])  # of the form that answers
    again = load_network(f"{home}/with.py:N2HL", "tails/best.safetensors")
    assert (again.form, dict(again.choice)) == (network.form, dict(network.choice))
    x = images(home, network).double()
    torch.testing.assert_close(again.double()(x), network.double()(x))
    network.float()
    before, held = network.form, str(home / "images")
    for form in ("specialists", "generalist", "both"):
        done_by = evaluate("tails", held, split="train", form=form)
        again.form = form
        same = evaluate(again.float(), held, split="train")
        assert done_by.metrics.nll == pytest.approx(same.metrics.nll)
    by_default = evaluate(network, held, split="train", form="specialists")
    assert by_default.metrics.nll != pytest.approx(evaluate(network, held, split="train", form="both").metrics.nll)
    assert network.form == before
    with pytest.raises(HiergenError, match="no such form; expected specialists, generalist, both, flat, got 'all'"):
        evaluate("tails", held, form="all")  # type: ignore[arg-type]


def _explode(training: Training, loss: float) -> None:
    if training.progress.step == training.updates_per_epoch:
        raise training._lost(f"the loss explodes: {loss}")


def test_without_a_teacher_the_flat_network_is_trained_first_and_stays_in_the_network(home: Path) -> None:
    settings = (*FAST, "flat_epochs=2", "trunk.flip_maps=0.25")
    options = {"recipe": "tails", "settings": settings, "out": "a"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_check_loss", _explode)
        with pytest.raises(HiergenError, match=r"explodes") as caught:
            train(f"{home}/two.py:N2HL", home / "images", pretrained=home / "seven.safetensors", **options)
    assert "then the same command with --teacher a-flat/flat.safetensors" in str(caught.value)
    assert not Path("a").exists()
    torch.manual_seed(0)
    model = timm.create_model(BACKBONE, num_classes=7)
    for _ in range(30):
        model(images(home, find_model(f"{home}/two.py:N2HL").cls()))
    save_file(model.state_dict(), file := Path("calm.safetensors"))
    done = train(f"{home}/two.py:N2HL", home / "images", pretrained=file, force=True, **options)
    first = json.loads(Path("a-flat/run.json").read_text())
    assert (first["flat"], first["trunk_weights"]) == (True, str(file))
    recipe = load_recipe(Path("a-flat/recipe.yaml"))
    assert (recipe.trunk.flip_maps, recipe.trunk.crop_maps) == (0.25, 0.75)
    teacher, network = load_file("a-flat/flat.safetensors"), done.network
    assert all(torch.equal(tensor, teacher[name]) for name, tensor in whole_state(network).items())
    choice = json.loads(Path("a/choice.json").read_text())
    assert set(choice["top1"]) == {"specialists", "generalist", "both", "flat"}
    assert choice["top1"]["flat"] == choice["teacher"]
    model, x = timm.create_model(BACKBONE, num_classes=len(CLASSES)).eval(), images(home, network).double()
    model.load_state_dict(teacher)
    network.eval().form = "flat"
    torch.testing.assert_close(network.double()(x), model.double()(x))


def test_a_file_without_the_trunk_is_said_once_and_first(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = timm.create_model(BACKBONE, num_classes=5).state_dict()
    torch.save({f"net.{name}": tensor for name, tensor in state.items()}, "raw.pth")  # names of somebody's own
    options = {"recipe": "tails", "settings": ["flat_epochs=2"], "console": Console(width=200)}
    with pytest.raises(HiergenError, match=r"raw\.pth: are no weights of the backbone .*--like"):
        train(f"{home}/with.py:N2HL", home / "images", pretrained="raw.pth", **options)
    assert capsys.readouterr().out == ""


def test_the_generalist_is_trained_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = timm.create_model(BACKBONE, num_classes=len(CLASSES))
    save_file(model.state_dict(), "teacher.safetensors")
    options = {"recipe": "tails", "settings": [*FAST, "form=auto"], "teacher": "teacher.safetensors"}
    done = train(f"{home}/with.py:N2HL", home / "images", out="few", console=Console(width=200), **options)
    assert "the generalist is trained alone" in capsys.readouterr().out
    assert "form: generalist" in Path("few/recipe.yaml").read_text()
    choice = json.loads(Path("few/choice.json").read_text())
    assert set(choice["top1"]) == {"generalist"}
    assert {(group["specialist"], group["form"]) for group in choice["groups"]} == {(None, "generalist")}
    assert done.network.form == "generalist"


VIT = """\
name: tokens
classes: [Night_Sky, moss, plum, rust, sand]
sources:
  - groups: {cold: [Night_Sky, moss, plum], warm: [rust, sand]}
nesting: {closeness: 0}
models:
  N2HL:
    trunk: {backbone: vit_tiny_patch16_224, until: blocks.10}
    input_size: 32
    block: attention
    budget: {macs: 1G}
    generalist: both
"""


def test_a_transformer_is_fine_tuned_and_teaches_as_well(home: Path) -> None:
    Path("vit.yaml").write_text(VIT, "utf-8")
    build("vit.yaml", "vit.py")
    torch.manual_seed(0)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=7, img_size=32)
    save_file(vit.state_dict(), "vit.safetensors")
    settings = (*FAST, "flat_epochs=1", "optimizer.lr=1e-4")
    options = {"recipe": "tails", "settings": settings, "pretrained": "vit.safetensors", "out": "a"}
    log = Console(file=io.StringIO(), width=200)
    done = train("vit.py:N2HL", home / "images", console=log, **options)
    lines = log.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert lines[0] == "first 1 epoch of the flat network, then 1 of the network; time left is that of each"
    assert len([line for line in lines if line.startswith("first ")]) == 1
    teacher, network = load_file("a-flat/flat.safetensors"), done.network
    model, x = timm.create_model("vit_tiny_patch16_224", num_classes=5, img_size=32), images(home, network).double()
    model.load_state_dict(teacher)  # strict
    assert torch.equal(teacher["blocks.10.attn.qkv.weight"], vit.blocks[10].attn.qkv.weight)
    assert not torch.equal(teacher["blocks.11.attn.qkv.weight"], vit.blocks[11].attn.qkv.weight)
    network.eval().form = "flat"
    torch.testing.assert_close(network.double()(x), model.double().eval()(x))


@pytest.mark.parametrize("form", ["generalist", "specialists"])
def test_one_form_is_trained_and_the_other_stays(home: Path, form: str) -> None:
    options = {"recipe": "tails", "pretrained": home / "seven.safetensors"}
    for rate, out in ((1e-12, "a"), (0.01, "b")):
        settings = (*FAST, f"form={form}", f"optimizer.lr={rate}")
        done = train(f"{home}/with.py:N2HL", home / "images", settings=settings, out=out, **options)
    before, after = load_file("a/last.safetensors"), load_file("b/last.safetensors")
    moved = {
        name.split(".")[0]
        for name in after
        if after[name].is_floating_point() and "running" not in name and (after[name] - before[name]).abs().max() > 1e-5
    }
    assert moved == ({"generalist"} if form == "generalist" else {"level1", "level2", "head"})
    assert done.network.form == form or form == "specialists"


def test_regressions_that_would_not_fit_into_memory_are_left_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = find_model(f"{home}/with.py:N2HL").cls()
    head, generalist = network.head, network.generalist
    assert generalist is not None
    maps = torch.rand(10, network.trunk.out_channels, 4, 4)
    batches = [(maps, torch.arange(10) % len(CLASSES))]
    before = [head.weight.clone(), generalist.head.weight.clone()]
    monkeypatch.setattr("hiergen.training.initial._MOST_GRAM", 0)
    assert not start_heads(network, lambda: batches)
    assert torch.equal(head.weight, before[0])
    assert not torch.equal(generalist.head.weight, before[1])
    monkeypatch.undo()
    assert start_heads(network, lambda: batches)
    assert not torch.equal(head.weight, before[0])


def test_teachers_that_do_not_fit_are_refused_in_a_sentence(home: Path) -> None:
    options = {"recipe": "tails", "settings": FAST}
    with pytest.raises(HiergenError, match="other classes"):
        train(f"{home}/with.py:N2HL", home / "images", teacher=home / "seven.safetensors", **options)
    save_file(timm.create_model(BACKBONE, num_classes=5).state_dict(), "five.safetensors")
    with pytest.raises(HiergenError, match="teacher's trunk is not the network's"):
        train(
            f"{home}/with.py:N2HL",
            home / "images",
            teacher="five.safetensors",
            pretrained=home / "seven.safetensors",
            **options,
        )
    assert not Path("runs").exists()


def test_adapt_runs_the_ordinary_commands(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hiergen.planning.network.LEAST", 0.01)
    monkeypatch.setattr("hiergen.training.adapt.equal_sides", lambda _size, _share: [32, 32])
    measure, times = Timer.measure, list[list[float]]()
    monkeypatch.setattr(Timer, "measure", lambda self, runs: times.append(measure(self, runs)) or times[-1])
    from hiergen.cli.app import app

    said, warned = list[str](), list[str]()
    state = timm.create_model(BACKBONE, num_classes=5).state_dict()
    torch.save({"state_dict": state, "optimizer": {"momentum": torch.rand(2_000_000)}}, "five.pth")
    done = adapt(
        "five.pth",
        BACKBONE,
        home / "images",
        "adapted",
        lambda words: app(list(words), standalone_mode=False),
        input_size=64,
        cutout=3.0,  # an aim that a busy machine meets as well
        settings=FAST,
        runtime="torch",
        say=said.append,
        warn=warned.append,
    )
    assert [line.split()[1] for line in said[:3]] == ["init", "build", "train"]
    assert all(line.split()[1] == "cutout" for line in said[3:-2])
    assert [line.split()[1] for line in said[-2:]] == ["build", "train"]
    assert len(done.rows) == len(said) - 5 > 0
    for row in done.rows:
        part = load_network(row.folder)
        assert part.num_classes == row.classes
        assert row.ms > 0
    assert json.loads(Path("adapted/adapt.json").read_text())["rows"][0]["classes"] == done.rows[0].classes
    assert done.smaller is not None
    # all rows of the table took turns, and say so twice
    assert done.whole is not None
    assert [done.flat_ms, *(row.ms for row in (*done.rows, done.whole))] == pytest.approx(times[-1][:-1], abs=1e-3)
    assert (done.smaller.px, done.smaller.ms) == (32, pytest.approx(times[-1][-1], abs=1e-3))
    for row in (*done.rows, done.whole, done.smaller):
        assert row.share == pytest.approx(row.ms / done.flat_ms, rel=0.01, abs=1e-3)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
    assert done.flat_megabytes == done.smaller.megabytes == pytest.approx(weights / 1e6, abs=0.01)
    assert (done.seen, warned) == (True, [SEEN])  # the held-out images are of those that the checkpoint was given
    assert "flat, sliced (upper bound)" in {column.header for column in done.table().columns}
    assert "flat, sliced" in {column.header for column in replace(done, seen=False).table().columns}
    small = load_network("adapted/flat_32px").eval()
    _, held = open_data(home / "images", small).split(load_recipe("fine-tune", FAST).hold_out)
    with torch.no_grad():
        logits = torch.cat([small(held[i][0][None]) for i in range(len(held))])
    targets = torch.tensor(held.targets)
    for row in done.rows:
        members = torch.tensor(small.selector.classes(row.name))
        mine = torch.isin(targets, members)
        right = members[logits[mine][:, members].argmax(1)] == targets[mine]
        assert row.smaller == pytest.approx(float(right.double().mean()) if len(right) else 0.0)
    assert done.whole.smaller == pytest.approx(float((logits.argmax(1) == targets).double().mean()))
    choice = json.loads(Path("adapted/run/choice.json").read_text())
    shares = done.whole.flat, done.whole.cutout, done.whole.images
    assert shares == (choice["teacher"], choice["top1"]["generalist"], len(held))
    whole = load_network("adapted/run")
    whole.form = "generalist"
    tensors = whole.cutout(["moss", "plum", "rust", "sand"]).state_dict().values()
    assert done.whole.megabytes == pytest.approx(sum(tensor.nbytes for tensor in tensors) / 1e6, abs=0.01)
    assert ["chose the best epoch" in note for note in done.notes()] == [True]
    cells = [list(column.cells) for column in done.table().columns]
    assert [cells[0][2], cells[1][2]] == ["all classes", "5"]
    assert find_model("adapted/model.py:N2HL").cls.nesting.classes == ("Night_Sky", "moss", "plum", "rust", "sand")
    assert all(line.startswith("hiergen ") for line in said)  # to copy
    with pytest.raises(HiergenError, match="no runtime 'warp'"):
        adapt("five.pth", BACKBONE, home / "images", "other", lambda _: None, runtime="warp")
    with pytest.raises(HiergenError, match="timm has no model 'resnet19'"):
        adapt("five.pth", "resnet19", home / "images", "other", lambda _: None, runtime="torch")
    assert not Path("other").exists()
    with pytest.raises(HiergenError, match="is not empty"):
        adapt("five.pth", BACKBONE, home / "images", "adapted", lambda _: None)


@pytest.mark.parametrize("way", ["val", "part", "none"])
def test_adapt_says_when_the_checkpoint_may_have_seen_the_held_out_images(home: Path, way: str) -> None:
    save_file(timm.create_model(BACKBONE, num_classes=5).state_dict(), "five.safetensors")
    for part in ("train", "val"):
        folders(Path("parts") / part, 2)
    images = Path("parts") if way == "part" else Path("parts/train")
    val, ran, warned = Path("parts/val") if way == "val" else None, list[str](), list[str]()

    def run(words: Sequence[str]) -> None:
        ran.append(words[0])
        if words[0] == "build":  # after what is said at the start
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        adapt("five.safetensors", BACKBONE, images, "out", run, val=val, runtime="torch", warn=warned.append)
    assert (ran, warned) == (["init", "build"], [SEEN] if way == "none" else [])


def test_adapt_names_a_checkpoint_with_other_names() -> None:
    with pytest.raises(HiergenError, match=r"^own\.pth: the checkpoint has no classifier; .*FILE --like resnet18"):
        _classes({"net.fc.w": torch.zeros(2)}, timm.get_pretrained_cfg("resnet18").to_dict(), Path("own.pth"))


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (
            "tf_efficientnet_lite1",
            r"expected 'blocks\.1\.2\.conv_pw\.weight' of shape \(144, 24, 1, 1\), got none of that name; "
            r"of \d+ tensors \d+ are there and \d+ fit; .*--backbone",
        ),
        ("efficientnet_b0", r"expected 'blocks\..*of \d+ tensors \d+ are there"),
    ],
)
def test_adapt_looks_at_the_checkpoint_before_anything_is_written(home: Path, other: str, sentence: str) -> None:
    options = {"runtime": "torch", "say": pytest.fail}
    with pytest.raises(HiergenError, match=r"seven\.safetensors: are weights of another backbone") as caught:
        adapt(home / "seven.safetensors", other, home / "images", "out", pytest.fail, **options)
    assert re.search(sentence, str(caught.value))
    assert "convert" not in str(caught.value)
    assert not Path("out").exists()


def test_adapt_refuses_a_deeper_checkpoint_and_names_of_others(home: Path) -> None:
    save_file(timm.create_model("tf_efficientnet_lite1", num_classes=5).state_dict(), "deep.safetensors")
    with pytest.raises(HiergenError, match=r"all of them and 'blocks\.1\.2\.bn1\.weight', the first of \d+ more"):
        adapt("deep.safetensors", BACKBONE, home / "images", "out", pytest.fail, runtime="torch")
    state = {f"x.{name}": tensor for name, tensor in load_file("deep.safetensors").items()}
    save_file(state, "own.safetensors")
    with pytest.raises(HiergenError, match=r"timm's names.*hiergen convert FILE --like"):
        adapt("own.safetensors", BACKBONE, home / "images", "out", pytest.fail, runtime="torch")


def test_a_checkpoint_of_another_size_says_which_shape_differs() -> None:
    with torch.device("meta"):
        wide, own = (timm.create_model(name, num_classes=5) for name in ("tf_efficientnet_lite2", BACKBONE))
    options = {"backbone": BACKBONE, "place": "w", "cfg": own.pretrained_cfg}
    with pytest.raises(HiergenError, match=r"expected 'blocks.*' of shape \(.*, got \(.*are there and \d+ fit"):
        check_backbone(own.state_dict(), wide.state_dict(), **options)
    prefixed = {f"module.{name}": tensor for name, tensor in own.state_dict().items()}
    check_backbone(own.state_dict(), {**prefixed, "total_ops": torch.zeros(1)}, **options)
    check_backbone(
        own.state_dict(), {**prefixed, "module.conv_stem.weight": torch.zeros(32, 3, 5, 5)}, shapes=False, **options
    )


@pytest.mark.filterwarnings("ignore:Overwriting taxonomy:UserWarning")
def test_adapt_that_is_stopped_goes_on_or_begins_anew(
    home: Path, hiergen: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hiergen.planning.network.LEAST", 0.01)
    monkeypatch.setattr("hiergen.training.adapt.equal_sides", lambda *_: [24, 24])
    save_file(timm.create_model("test_resnet", num_classes=7).state_dict(), "seven.safetensors")
    for path in list(folders(Path("grouped"), 6).iterdir()):
        if path.name != "plum":
            group = Path("grouped", "warm" if path.name in ("rust", "sand") else "cold")
            group.mkdir(exist_ok=True)
            path.rename(group / path.name)
    settings = [word for setting in (*FAST, "flat_epochs=1") for word in ("--set", setting)]
    given = ["adapt", "seven.safetensors", "--backbone", "test_resnet", "--data", "grouped"]
    given += ["--input-size", 32, "--cutout", 3, *settings, "--runtime", "torch", "-o", "adapted"]
    step = TrainingLog.step

    def stopped_in(name: str) -> Callable[..., None]:
        def logged(log: TrainingLog, *arguments: Any) -> None:
            os.kill(os.getpid(), signal.SIGTERM) if log.folder.name == name else step(log, *arguments)

        return logged

    whole = hiergen(*given[:-1], "whole")
    assert whole.code == 0, whole.err
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLog, "step", stopped_in("run-flat"))
        done = hiergen(*given)
    assert done.code == 130
    assert done.err == "adapted: stopped before the table; the same command goes on, with --force it begins anew\n"
    done = hiergen(*given, "--cutout", 4)
    assert (done.code, done.err) == (
        2,
        "error: adapted: was begun otherwise; expected cutout '3.0', got cutout '4.0'; the same command goes on, "
        "--force (force=True) begins anew in it\n",
    )
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLog, "step", stopped_in("run"))
        done = hiergen(*given)
    assert done.code == 130
    assert "$ hiergen train --resume adapted/run-flat\n" in done.out
    assert (
        "$ hiergen train adapted/model.py:N2HL --data grouped --teacher adapted/run-flat/flat.safetensors" in done.out
    )
    done = hiergen(*given)
    assert done.code == 0, done.err
    assert "$ hiergen train --resume adapted/run\n" in done.out
    assert "hiergen init" not in done.out
    for name in ("run", "flat_24px"):
        ours, theirs = (load_file(f"{place}/{name}/best.safetensors") for place in ("adapted", "whole"))
        assert {key: tensor.tolist() for key, tensor in ours.items()} == {k: t.tolist() for k, t in theirs.items()}
    done = hiergen(*given)
    assert (done.code, done.err.endswith("--force (force=True) begins anew in it\n")) == (2, True)
    # anew, and stopped: what the earlier one left is not taken for this one's
    other, force = (*given, "--set", "seed=3"), ["--force"]
    for name in ("run-flat", "run", "flat_24px"):
        with monkeypatch.context() as patch:
            patch.setattr(TrainingLog, "step", stopped_in(name))
            done = hiergen(*other, *force)
        assert done.code == 130, done.err
        force = []
        if name == "run-flat":  # as a kill between its first two files leaves it
            request = Path("adapted/run-flat/run.json").read_bytes()
            shutil.rmtree("adapted/run-flat")
            Path("adapted/run-flat").mkdir()
            Path("adapted/run-flat/run.json").write_bytes(request)
        if name == "run":
            text = Path("adapted/taxonomy.yaml").read_bytes()
            Path("adapted/taxonomy.yaml").write_bytes(b"# mine\n" + text)
            done = hiergen(*other)
            assert (done.code, done.err) == (
                2,
                "error: adapted/taxonomy.yaml: was changed since the stop; put it back, or --force (force=True) begins "
                "anew in it\n",
            )
            Path("adapted/taxonomy.yaml").write_bytes(text)
    done = hiergen(*other)
    assert done.code == 0, done.err
    assert all(
        "seed: 3\n" in Path("adapted", name, "recipe.yaml").read_text() for name in ("run-flat", "run", "flat_24px")
    )
    Path("adapted/notes.txt").write_text("mine")
    for name in ("9-old", "9-mine"):
        Path("adapted/cutouts", name).mkdir(parents=True)
        Path("adapted/cutouts", name, "model.py").write_text("")
    Path("adapted/cutouts/9-mine/notes.txt").write_text("mine")
    done = hiergen(*given, "--force")
    assert done.code == 0, done.err
    assert "flat network" in done.out
    report = json.loads(Path("adapted/adapt.json").read_text())
    assert ([row["name"] for row in report["rows"]], report["single"]) == (["cold", "warm"], ["plum"])
    assert "left out, as one class is always right: plum\n" in done.out
    assert "all classes" in done.out
    assert Path("adapted/notes.txt").read_text() == "mine"
    assert files(Path("adapted/cutouts/9-mine")) == {"notes.txt": b"mine"}
    assert not Path("adapted/cutouts/9-old").exists()
    (part,) = [path for path in Path("adapted/cutouts").glob("*") if path.name != "9-mine"][:1]
    (part / "notes.txt").write_text("mine")
    assert hiergen(*given, "--force").code == 0
    Path("adapted/adapt.json").write_text("{}")
    done = hiergen(*given, "--force")
    assert (done.code, done.err) == (
        2,
        "error: adapted: is not empty; expected a new folder, or one of an earlier adapt\n",
    )


def test_adapt_that_is_stopped_while_it_measures(
    home: Path, hiergen: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    save_file(timm.create_model("test_resnet", num_classes=5).state_dict(), "five.safetensors")
    given = ["adapt", "five.safetensors", "--backbone", "test_resnet", "--data", home / "images", "--runtime", "torch"]
    for place in ("hiergen.formats.importing.init", "hiergen.training.adapt.Progress.begin"):
        with monkeypatch.context() as patch:
            patch.setattr(place, pressed)
            done = hiergen(*given, "-o", place)
        assert (done.code, done.err.count("\n")) == (130, 1)
        assert "stopped before the table" in done.err


@pytest.mark.parametrize(("epochs", "end"), [(1, " and is fine-tuned first, 1 epoch of its own"), (0, "")])
def test_adapt_says_at_once_that_a_checkpoint_of_other_classes_is_fine_tuned(home: Path, epochs: int, end: str) -> None:
    ran, warned = list[str](), list[str]()

    def run(words: Sequence[str]) -> None:
        ran.append(words[0])
        raise KeyboardInterrupt

    options = {"runtime": "torch", "warn": warned.append, "settings": [f"flat_epochs={epochs}"]}
    with pytest.raises(KeyboardInterrupt):
        adapt(home / "seven.safetensors", BACKBONE, home / "images", "out", run, **options)
    classes = f"{home / 'images'} 5 classes"
    assert warned == [f"the checkpoint has 7 outputs, {classes}: the flat network gets a new classifier{end}"]
    assert ran == ["init"]
    with pytest.raises(HiergenError, match="flat_epoch"):
        adapt(home / "seven.safetensors", BACKBONE, home / "images", "new", run, settings=["flat_epoch=1"])
    assert not Path("new").exists()
