"""`hiergen train` and `hiergen eval` as a user types them: sentences, exit codes, and what is on disk afterwards."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hiergen.data.images import eval_transform
from hiergen.models.load import load_network
from hiergen.training import assembly
from hiergen.training.loop import BEST, LAST
from hiergen.training.progress import TrainingLog
from hiergen.training.runfolder import recorded
from tests.training.own_images import CLASSES, FOLDERS, GROUPS, files

ROOT = Path(__file__).parents[2]
MODEL = "own.py:N2HL"
Hiergen = Callable[..., Any]


@pytest.fixture(autouse=True)
def here(home: Path, lean: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a folder with own.py, images/ and other/."""
    for name in ("images", "other"):
        shutil.copytree(home / name, tmp_path / "copy" / name)
    shutil.copy(home / "own.py", tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def run(hiergen: Hiergen) -> Hiergen:
    """A short training that must end well."""

    def ran(*arguments: object) -> Any:
        done = hiergen("train", MODEL, "--data", "images", "--val", "other", "--epochs", 1, *arguments)
        assert done.code == 0, done.err
        return done

    return ran


def test_a_training_says_what_it_did_and_what_comes_next(run: Hiergen, hiergen: Hiergen) -> None:
    done = run("--out", "a run", "--batch-size", 10)
    lines = done.out.splitlines()
    assert lines[0].startswith("N2HL: ")
    assert lines[1] == "data: 30 training images of images, 15 validation images (other); 5 classes"
    assert lines[2] == "in a run: 1 epochs of 3 updates"
    assert lines[3].startswith("epoch 1/1  loss ")
    assert lines[-4:-2] == ["next:", "  hiergen predict 'a run' IMAGES"]
    assert lines[-2] == "  hiergen eval 'a run' --data other"
    assert lines[-1] == "  hiergen cutout 'a run' --classes=cold --out 'a run/cutout'"
    assert done.err == ""
    again = hiergen("eval", MODEL, "--weights", f"a run/{BEST}", "--data", "other", "--json")
    kept = json.loads(Path("a run/metrics.json").read_text())
    figures = json.loads(again.out)
    assert (figures.pop("nll"), figures.pop("ece")) == pytest.approx((kept.pop("nll"), kept.pop("ece")), rel=1e-4)
    kept.pop("ece_bins"), figures.pop("ece_bins")
    assert figures == kept
    assert hiergen(*shlex.split(lines[-1])[1:]).code == 0


def test_a_training_stays_what_it_was_wherever_its_folder_is_and_whatever_is_built(
    run: Hiergen, hiergen: Hiergen, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--out", "run")
    trained = load_network("run")
    x = torch.rand(2, *trained.trunk.input_size)
    wanted = trained(x)
    source = Path("own.py").read_text()
    Path("own.py").write_text(re.sub(r"\bN2HL\b", "Other", source))  # built anew, to something else
    assert torch.equal(load_network("run")(x), wanted)
    Path("own.py").unlink()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert torch.equal(load_network("../run")(x), wanted)
    done = hiergen("predict", "../run", "../other", "--json")
    assert done.code == 0, done.err
    monkeypatch.chdir("../run")
    card = Path("card.md").read_text()
    given = re.search(r"network = hiergen\.(load_network\(.*\))", card)
    assert given
    assert torch.equal(eval(given[1])(x), wanted)
    for line in re.findall(r"^\s*(hiergen .*)$", card, flags=re.MULTILINE):
        command = shlex.split(line)[1:]
        done = hiergen(*("../other" if word == "TEST_IMAGES" else word for word in command))
        assert done.code == 0, (line, done.err)


def test_what_cannot_be_copied_is_named_where_it_is(run: Hiergen, hiergen: Hiergen) -> None:
    """Models by another hand, and edited copies that need what lies beside them; files of the user's stay."""
    text = Path("own.py").read_text()
    Path("near").mkdir()
    Path("near/scale.txt").write_text("1")
    Path("near/edited.py").write_text(
        f"{text}\nfrom pathlib import Path\nPath(__file__).with_name('scale.txt').read_text()"
    )
    done = hiergen("train", "near/edited.py:N2HL", "--data", "images", "--epochs", 1, "--out", "run")
    assert done.code == 0, done.err
    request = json.loads(Path("run/run.json").read_text())
    assert (request["model"], request["copied"]) == ("near/edited.py:N2HL", None)
    assert load_network("run").num_classes == 5
    Path("run/model.py").write_text(text.replace("Written by hiergen", "Made by hand"))
    done = hiergen("train", "run/model.py:N2HL", "--data", "images", "--epochs", 1, "--out", "run", "--force")
    assert done.code == 0, done.err
    assert "Made by hand" in Path("run/model.py").read_text()
    assert load_network("run").num_classes == 5
    assert "load_network('run/model.py:N2HL'" in Path("run/card.md").read_text()


def test_the_source_that_is_kept_is_the_one_that_was_read(run: Hiergen, monkeypatch: pytest.MonkeyPatch) -> None:
    text, images = Path("own.py").read_text(), assembly.Job._images

    def built_meanwhile(job: assembly.Job) -> Any:
        Path("own.py").write_text(text.replace("Written by hiergen", "Written by hiergen anew,"))
        return images(job)

    monkeypatch.setattr(assembly.Job, "_images", built_meanwhile)
    assert run("--out", "run").code == 0
    assert Path("run/model.py").read_text() == text


def test_a_training_that_goes_on_with_another_source_keeps_that(run: Hiergen, hiergen: Hiergen) -> None:
    run("--out", "run")
    x = torch.rand(2, *load_network("run").trunk.input_size)
    Path("other_place").mkdir()
    text = Path("run/model.py").read_text()
    Path("other_place/model.py").write_text(text.replace('"""', '"""Edited. ', 1))
    done = hiergen("train", "other_place/model.py:N2HL", "--resume", "run", "--epochs", 2)
    assert done.code == 0, done.err
    assert Path("run/model.py").read_text() == Path("other_place/model.py").read_text()
    assert json.loads(Path("run/run.json").read_text())["copied"] == "N2HL"
    assert load_network("run")(x).isfinite().all()


def test_a_source_that_is_gone_is_named_anew(copied: Path, hiergen: Hiergen) -> None:
    copied.rename("run")
    Path("run/model.py").rename("saved.py")
    for command, hint in (
        (("predict", "run", "images"), "name the model: MODEL --weights run/best.safetensors"),
        (("train", "--resume", "run"), "name the model: hiergen train MODEL --resume run"),
    ):
        done = hiergen(*command)
        assert (done.code, done.err) == (2, f"error: run: is a training's folder without model.py; {hint}\n")
    done = hiergen("train", "saved.py:N2HL", "--resume", "run", "--epochs", 2)
    assert done.code == 0, done.err
    assert load_network("run").num_classes == 5
    request = json.loads(Path("run/run.json").read_text())
    Path("run/run.json").write_text(json.dumps({**request, "copied": 7}))
    done = hiergen("predict", "run", "images")
    assert (done.code, done.err) == (2, "error: run/run.json: says of no training\n")


def test_quiet_prints_nothing_and_all_is_written(run: Hiergen) -> None:
    done = run("--quiet", "--out", "q")
    assert (done.out, done.err) == ("", "")
    assert {BEST, LAST, "history.csv", "metrics.json", "classes.csv", "card.md"} <= set(files(Path("q")))


def test_without_arguments_in_an_empty_folder(
    hiergen: Hiergen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands that it prints run there, the training goes on there, and after the folder was moved."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    done = hiergen("train", "--epochs", 1)
    assert done.code == 0, done.err
    first, *commands = [shlex.split(line)[1:] for line in done.out.splitlines() if line.startswith("  hiergen")]
    assert first == ["predict", "runs/N2HL-digits", "IMAGES"]
    assert commands[0] == ["eval", "runs/N2HL-digits", "--data", "digits"]
    for command in commands:
        ran = hiergen(*command)
        assert ran.code == 0, ran.err
    sources = [Path("runs/N2HL-digits/model.py").read_text(), (ROOT / "generated/digits.py").read_text()]
    assert len({re.sub("plan sha256.*", "", text) for text in sources}) == 1
    again = hiergen("train", "--resume", "runs/N2HL-digits", "--quiet")
    assert again.code == 0, again.err
    Path("runs/N2HL-digits").rename("moved")
    assert recorded(Path("moved"))[0].copied == "N2HL"


def test_options_that_commands_share_say_the_same() -> None:
    import typer

    from hiergen.cli import app

    shared = {
        "batch_size": ("train", "eval", "attend", "coarse-first"),
        "workers": ("train", "eval", "attend", "coarse-first"),
        "device": ("train", "eval", "attend", "coarse-first", "cost"),
    }
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, users in shared.items():
        options = [next(p for p in commands[user].params if p.name == name) for user in users]
        assert len({(tuple(option.opts), option.default, option.help) for option in options}) == 1, name


WRONG = {
    "no recipe": (["--recipe", "quik"], r"no recipe 'quik'; expected .*; nearest: quick"),
    "no setting": (["--set", "lr"], "--set lr: is no setting; expected key=value, such as optimizer.lr=0.01"),
    "no key": (
        ["--set", "optimiser.lr=1"],
        r"--set optimiser\.lr=1: 'optimiser\.lr' is not a key of a recipe; nearest: optimizer",
    ),
    "no number": (["--lr", "nan"], "'optimizer.lr' is not a finite number"),
    "no optimizer": (["--set", "optimizer.name=adamx"], "no optimizer 'adamx'"),
    "no loss": (["--set", "loss.name=hx"], "no loss is called 'hx'"),
    "no augmentation": (["--set", "augment.auto_augment=foo"], "augment.auto_augment 'foo'"),
    "no device": (["--device", "cuda:9"], "no device 'cuda:9'"),
    "no weights": (["--weights", "w.safetensors"], "w.safetensors: no such file"),
    "no trunk": (["--trunk-weights", "t.safetensors"], "t.safetensors: no such file"),
    "no backbone": (
        ["--pretrained", "t.pth"],
        r"t\.pth: no such file; --pretrained takes timm's weights where no word",
    ),
    "one of two": (
        ["--pretrained", "own.py", "--trunk-weights", "own.py"],
        "pretrained and trunk_weights are one option; trunk_weights is its older name",
    ),
    "no val": (["--val", "others"], "no data 'others'; expected digits, a folder, .*; nearest: other"),
    "torchvision": (["--data", "torch/cifar10"], "torch/cifar10: its files are not there"),
    "hub": (["--data", "hfds/x"], "'?hfds/x'?"),
    "shards": (["--data", "wds/a-{0..1}.tar"], "no shard 'a-0.tar', and 1 more"),
    "no parts": (["--data", "images/rust"], "images/rust: images lie in no folder; expected one folder for each class"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_are_one_sentence(hiergen: Hiergen, name: str) -> None:
    options, sentence = WRONG[name]
    before = sorted(os.listdir())
    done = hiergen("train", MODEL, "--data", "images", *options)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert re.search(rf"^error: .*{sentence}", done.err)
    assert sorted(os.listdir()) == before


def test_pretrained_takes_a_file_or_none(hiergen: Hiergen, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("hiergen.training.run.train", lambda *_, **options: seen.append(options.get("pretrained")))
    common = ("train", MODEL, "--data", "images")
    for words, want in (
        (("--pretrained", "--epochs", 1), True),
        (("--epochs", 1, "--pretrained"), True),
        (("--pretrained", "own.py", "--epochs", 1), Path("own.py")),
        (("--pretrained=own.py",), Path("own.py")),
        (("--epochs", 1), None),
    ):
        done = hiergen(*common, *words)
        assert done.code == 0, done.err
        assert seen.pop() == want
    assert hiergen("train", "--data", "images", "--pretrained", "--", MODEL).code == 0
    assert seen.pop() is True
    for words, sentence in (
        (
            ("--pretrained", MODEL, "--data", "images"),
            rf"{MODEL}: no such file; --pretrained takes timm's weights where",
        ),
        (("--resume", "images", "--pretrained"), "--pretrained has no meaning in a training that goes on"),
    ):
        done = hiergen("train", *words)
        assert done.code == 2
        assert re.match(f"error: {sentence}", done.err)


def test_what_is_missing_is_named(hiergen: Hiergen) -> None:
    for arguments, sentence in {
        (MODEL,): "no images to train on; expected --data FOLDER",
        ("--data", "images"): "no model to train; expected digits:N2HL",
        ("--resume", "images"): "images: holds no training to go on with; expected a folder that 'hiergen train' wrote",
    }.items():
        done = hiergen("train", *arguments)
        assert done.code == 2
        assert done.err.startswith(f"error: {sentence}")


def folder_gone() -> None:
    shutil.rmtree("images/moss")


def folder_empty() -> None:
    folder_gone()
    Path("images/moss").mkdir()


def folder_twice() -> None:
    shutil.copytree("images/Night_Sky", "images/sky")


def folder_more() -> None:
    shutil.copytree("images/moss", "images/gravel")


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (folder_gone, "error: images: holds no images of class 'moss'; give it images, or train a cutout without it"),
        (folder_empty, "error: images: holds no images of class 'moss'; got an empty folder"),
        (folder_twice, "error: images: folders 'Night_Sky' and 'sky' are the same class, 'night sky' (sky)"),
        (folder_more, "error: images: folder 'gravel' is no class of the network"),
    ],
)
def test_folders_that_do_not_fit(hiergen: Hiergen, run: Hiergen, harm: Callable[[], None], sentence: str) -> None:
    harm()
    done = hiergen("train", MODEL, "--data", "images")
    assert done.code == 2
    assert done.err.startswith(sentence)
    assert "--classes" not in done.err
    assert not Path("runs").exists()
    if harm is folder_more:
        assert "--only-known" in done.err
        ran = run("--only-known", "--out", "known")
        assert "left out of the training images: folders 'gravel'" in ran.out
        assert json.loads(Path("known/run.json").read_text())["only_known"] is True


@pytest.mark.parametrize("trunk", ["train", "frozen"])
def test_a_broken_image(hiergen: Hiergen, run: Hiergen, trunk: str) -> None:
    Path("images/plum/2.png").write_bytes(Path("images/plum/2.png").read_bytes()[:60])
    options = ("--set", f"trunk.mode={trunk}", "--workers", 0)
    done = hiergen("train", MODEL, "--data", "images", "--val", "other", "--out", "b", *options)
    assert done.code == 2
    assert done.err.startswith("error: images/plum/2.png: ")
    assert "--skip-broken" in done.err
    run("--out", "b2", "--skip-broken", *options)
    card = Path("b2/card.md").read_text().replace("\\", "").replace("`", "")
    assert "| broken images left out | 1: images/plum/2.png" in card
    if trunk == "train":  # the hint is for a training that has begun, too
        again = hiergen("train", "--resume", "b", "--skip-broken", "--epochs", 1)
        assert again.code == 0, again.err


# interrupted


def test_ctrl_c_saves_and_resume_gives_the_same_weights(run: Hiergen, hiergen: Hiergen, monkeypatch: Any) -> None:
    run("--out", "whole", "--batch-size", 10)
    step = TrainingLog.step

    def pressed(self: TrainingLog, number: int, loss: float, rate: float) -> None:
        step(self, number, loss, rate)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLog, "step", pressed)
        arguments = ("--data", "images", "--val", "other", "--epochs", 1, "--batch-size", 10, "--out", "part")
        done = hiergen("train", MODEL, *arguments)
    assert done.code == 130
    assert done.err == (
        "part: stopped by Ctrl-C after 1 of 3 updates; all is saved; go on with: hiergen train --resume part\n"
    )
    assert hiergen("train", "--resume", "part").code == 0
    one, other = load_file(f"whole/{LAST}"), load_file(f"part/{LAST}")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_second_ctrl_c_ends_at_once(hiergen: Hiergen, monkeypatch: Any) -> None:
    def pressed(*_: object) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TrainingLog, "step", pressed)
    done = hiergen("train", MODEL, "--data", "images", "--out", "part")
    assert done.code == 130
    assert done.err == ("interrupted; what was saved last is whole; go on with: hiergen train --resume part\n")


def test_ctrl_c_before_anything_is_trained(hiergen: Hiergen, monkeypatch: Any) -> None:
    def pressed(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(assembly, "cached_features", pressed)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background shells ignore it
    done = hiergen("train", MODEL, "--data", "images", "--set", "trunk.mode=frozen", "--force", "--out", "new")
    signal.signal(signal.SIGINT, before)
    assert done.code == 130
    assert done.err == ("interrupted before the training began: nothing is written; the same command starts again\n")
    assert not Path("new").exists()


def test_what_has_no_meaning_when_going_on(copied: Path, hiergen: Hiergen) -> None:
    copied.rename("r")
    before = files(Path("r"))
    for option in (["--recipe", "quick"], ["--out", "s"], ["--force"], ["--seed", "3"], ["--weights", f"r/{BEST}"]):
        done = hiergen("train", "--resume", "r", *option)
        assert done.code == 2
        assert "in a training that goes on" in done.err
    assert files(Path("r")) == before


def test_going_on_takes_what_was_recorded(run: Hiergen, hiergen: Hiergen) -> None:
    frozen = ("--set", "trunk.mode=frozen", "--set", "augment.crop=none", "--set", "schedule.name=constant")
    run("--out", "r", "--cache", "maps", "--cache-limit", 3, "--workers", 0, "--device", "cpu", "--only-known", *frozen)
    request = json.loads(Path("r/run.json").read_text())
    assert (request["cache"], request["cache_limit"], request["workers"]) == ("maps", 3_000_000_000, 0)
    shutil.rmtree("maps")
    assert hiergen("train", "--resume", "r", "--set", "epochs=2").code == 0
    assert len(list(Path("maps").glob("*.maps"))) == 2
    assert json.loads(Path("r/run.json").read_text()) == request


# eval


@pytest.fixture
def logits(copied: Path) -> tuple[Tensor, list[int]]:
    """Of a network of one epoch, for other/, by hand."""
    from PIL import Image

    copied.rename("r")
    network = load_network(MODEL, f"r/{BEST}")
    look = eval_transform(network)
    x, y = [], []
    for index, name in enumerate(CLASSES):
        for file in sorted(Path("other", FOLDERS[name]).iterdir()):
            x.append(look(Image.open(file).convert("RGB")))
            y.append(index)
    with torch.inference_mode():
        return network(torch.stack(x)).float(), y


def test_eval_by_hand(hiergen: Hiergen, logits: tuple[Tensor, list[int]]) -> None:
    scores, targets = logits

    def figures(*arguments: object) -> dict[str, Any]:
        done = hiergen("eval", MODEL, "--weights", f"r/{BEST}", "--data", "other", "--json", *arguments)
        assert done.code == 0, done.err
        answer: dict[str, Any] = json.loads(done.out)
        return answer

    def share(guesses: list[int], true: list[int]) -> float:
        return sum(a == b for a, b in zip(guesses, true, strict=True)) / len(true)

    predicted = scores.argmax(1).tolist()
    assert figures()["top1"] == pytest.approx(share(predicted, targets))
    # only some compete: the logits, sliced
    warm = [i for i, name in enumerate(CLASSES) if GROUPS[name] == "warm"]
    rows = [i for i, target in enumerate(targets) if target in warm]
    sliced = scores[rows][:, warm]
    some = figures("--classes", "warm")
    true = [warm.index(targets[i]) for i in rows]
    assert some["images"] == 6
    assert some["top1"] == pytest.approx(share(sliced.argmax(1).tolist(), true))
    assert some["nll"] == pytest.approx(float(torch.nn.functional.cross_entropy(sliced, torch.tensor(true))), rel=1e-4)
    # the least expected height of the common group: 0 itself, 1 in its group, 2 elsewhere
    cost = torch.tensor([[0 if a == b else 1 if GROUPS[a] == GROUPS[b] else 2 for b in CLASSES] for a in CLASSES])
    careful = (scores.softmax(1) @ cost.float()).argmin(1).tolist()
    crm = figures("--decision", "crm")
    assert crm["top1"] == pytest.approx(share(careful, targets))
    assert crm["lca_height"] == pytest.approx(sum(int(cost[a, b]) for a, b in zip(targets, careful, strict=True)) / 15)
    # another tree: all classes right under the root but two
    Path("t.yaml").write_text(
        "name: t\nclasses: [sky, rust, moss, sand, plum]\nunplaced: root\nsources: [{groups: {z: [sky, rust]}}]\n"
    )
    near = {("sky", "rust"), ("rust", "sky")}
    height = [
        0 if a == b else 1 if (CLASSES[a], CLASSES[b]) in near else 2 for a, b in zip(targets, predicted, strict=True)
    ]
    assert figures("--taxonomy", "t.yaml")["lca_height"] == pytest.approx(sum(height) / 15)


def test_wrong_evaluations_are_one_sentence(copied: Path, hiergen: Hiergen) -> None:
    copied.rename("r")
    given = ["--weights", f"r/{BEST}"]
    for model, options, sentence in (
        (MODEL, [], "no weights for N2HL; expected --weights FILE.safetensors"),
        ("own.py:PHL", given, f"r/{BEST}: are weights of another taxonomy; expected "),
        (MODEL, [*given, "--classes", " "], "an empty class name"),
        (MODEL, [*given, "--classes", "mosx"], "no class or group 'mosx'; nearest: moss"),
        (MODEL, [*given, "--decision", "best"], "--decision 'best' is not known; expected one of argmax, crm"),
        (MODEL, [*given, "--split", "test"], "--split 'test' is not known"),
        (MODEL, [*given, "--taxonomy", "none.yaml"], "none.yaml: no such file"),
    ):
        done = hiergen("eval", model, "--data", "other", *options)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"error: {sentence}")
    shutil.copytree("other/moss", "other/gravel")
    done = hiergen("eval", MODEL, "--data", "other", *given, "--classes", "present")
    assert done.code == 0
    assert done.err.startswith("left out: 1 folders ('gravel')")
