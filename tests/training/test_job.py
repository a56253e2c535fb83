"""Trainings from their Python entry points, on a user's own images and classes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hiergen.data.augment import eval_transform
from hiergen.data.samples import Samples
from hiergen.data.sources import open_data
from hiergen.errors import HiergenError
from hiergen.models.cutout import cutout
from hiergen.models.load import load_network
from hiergen.models.weights import load_trunk, save_weights
from hiergen.training import runfolder
from hiergen.training.channelscores import score_batches
from hiergen.training.loop import BEST, CHECKPOINT, LAST, Training
from hiergen.training.recipe import load_recipe
from hiergen.training.run import Trained, resume, train
from tests.training.own_images import CLASSES, FOLDERS, GROUPS, PLAIN, files, folders, source

FROZEN = (*PLAIN, "trunk.mode=frozen", "trunk.cache_dtype=float32")


@pytest.fixture(autouse=True)
def here(lean: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a fresh folder, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def go(home: Path) -> Callable[..., Trained]:
    """One short training."""

    def run(*settings: str, model: str = "N2HL", data: str = "images", **options: Any) -> Trained:
        val = options.pop("val", home / "other")
        return train(
            f"{home}/own.py:{model}", home / data, val=val, settings=("epochs=1", *PLAIN, *settings), **options
        )

    return run


def weights(folder: Path, name: str = LAST) -> dict[str, Tensor]:
    return load_file(folder / name)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_labels_are_names_whatever_their_order(home: Path, trained: Trained) -> None:
    network = load_network(f"{home}/own.py:N2HL", home / "trained" / BEST)
    assert sorted(FOLDERS.values(), key=str.casefold) != [FOLDERS[name] for name in network.classes]
    for name in CLASSES:
        images = open_data(home / "other", network, split="validation")
        rows = [i for i in range(len(images)) if f"/{FOLDERS[name]}/" in images.place(i)]
        x = torch.stack([images[i][0] for i in rows])
        assert len(rows) == 3
        assert [network.classes[i] for i in network(x).argmax(1).tolist()] == [name] * 3
    assert trained.metrics.top1 == 1


# folders


def test_a_folder_is_never_lost_by_accident(copied: Path, go: Callable[..., Trained]) -> None:
    copied.rename("mine")
    (Path("mine") / "notes.txt").write_text("mine")
    (Path("mine") / "cutout").mkdir()
    before = files(Path("mine"))
    with pytest.raises(HiergenError, match=r"mine: holds a training already; hiergen train --resume mine .*force=True"):
        go(out="mine")
    with pytest.raises(HiergenError, match="no optimizer 'adamx'"):
        go("optimizer.name=adamx", out="mine", force=True)
    assert files(Path("mine")) == before
    again = go("seed=1", out="mine", force=True)
    assert (again.folder / "notes.txt").read_text() == "mine"
    assert (again.folder / "cutout").is_dir()
    assert len((again.folder / "history.csv").read_text().splitlines()) == 2
    assert load_recipe(again.folder / "recipe.yaml").seed == 1
    assert len(list((again.folder / "tensorboard").glob("*"))) <= 1


@pytest.mark.parametrize("content", ['{"steps": 3}', "no json"])
def test_a_foreign_folder_is_left_alone(go: Callable[..., Trained], content: str) -> None:
    Path("theirs").mkdir()
    Path("theirs/run.json").write_text(content)  # other programs have such files too
    Path("theirs/recipe.yaml").write_text("epochs: 1")
    for force in (False, True):
        with pytest.raises(HiergenError, match="theirs: is no folder of a training; expected a new or empty folder"):
            go(out="theirs", force=force)
    assert files(Path("theirs")) == {"run.json": content.encode(), "recipe.yaml": b"epochs: 1"}
    Path("file").touch()
    with pytest.raises(HiergenError, match="file: is no folder of a training"):
        go(out="file", force=True)
    Path("empty").mkdir()
    runfolder.check_folder(Path("empty"))


def test_trainings_that_begin_together_get_two_folders() -> None:
    request = runfolder.Request(model="m", data="d")
    runs = [runfolder.begin(None, "N2HL-quick", request, load_recipe("quick")) for _ in range(3)]
    assert [path.name for path in runs] == ["N2HL-quick", "N2HL-quick-2", "N2HL-quick-3"]


def test_a_request_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Of folders, too, whose names are no UTF-8."""
    request = runfolder.Request(model="m", data="images \udcff", val="\u202e", workers=2)
    runfolder.record(tmp_path, request, load_recipe("quick"))
    assert runfolder.recorded(tmp_path)[0] == request
    for broken, reason in (('{"model": ', "no JSON"), ("[" * 100_000, "no JSON"), ("{}", "'model': field required")):
        (tmp_path / "run.json").write_text(broken)
        with pytest.raises(HiergenError, match=f"run.json: cannot be read: {reason}"):
            runfolder.recorded(tmp_path)


def test_an_own_recipe_is_no_shipped_one(home: Path) -> None:
    """And a share of each class is held out where no validation images are named."""
    Path("quick.yaml").write_text("epochs: 1\nbatch_size: 30\nhold_out: 0.34\n")
    done = train(f"{home}/own.py:N2HL", home / "images", recipe=Path("quick.yaml"))
    assert done.folder == Path("runs/N2HL-quick")
    assert json.loads((done.folder / "run.json").read_text())["recipe"] == "quick.yaml"
    card = (done.folder / "card.md").read_text()
    assert "a recipe of the user's" in card
    assert [score.images for score in done.metrics.classes] == [2] * 5
    assert "34% of " in card


# going on


def test_a_finished_training_goes_on_to_the_same_end(copied: Path, one_epoch: Trained) -> None:
    before = {name: data for name, data in files(copied).items() if "tensorboard" not in name}
    again = resume(copied)
    assert again.metrics.to_dict() == one_epoch.metrics.to_dict()
    after = {name: data for name, data in files(copied).items() if "tensorboard" not in name}
    assert {name for name in before if before[name] != after[name]} <= {"card.md", "run.json"}  # it was moved


def test_killed_before_the_first_checkpoint_begins_anew(copied: Path, one_epoch: Trained) -> None:
    for name in (CHECKPOINT, LAST, BEST):
        (copied / name).unlink()
    resume(copied)
    assert same(weights(one_epoch.folder), weights(copied))


def test_changes_that_a_checkpoint_goes_with(home: Path, go: Callable[..., Trained]) -> None:
    os.rename(folders(home / "moving", 3), home / "moved")
    (home / "moving").symlink_to(home / "moved")
    go("schedule.name=constant", data="moving", out="run", only_known=True, workers=0)
    (home / "moving").unlink()
    done = resume("run", settings=["optimizer.lr=0.125", "epochs=2"], data=home / "moved", skip_broken=True)
    assert done.history[1]["lr"] == pytest.approx(0.125)
    request, recipe = runfolder.recorded(Path("run"))
    assert (request.data, request.only_known, request.skip_broken) == (str(home / "moved"), True, True)
    assert (recipe.epochs, recipe.optimizer.lr) == (2, 0.125)


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("seed=1", "'seed' cannot change in a training that goes on; expected 0, got 1"),
        ("hold_out=0.5", "'hold_out' cannot change"),
        ("batch_size=2", "'batch_size' cannot change"),
        ("optimizer.name=sgd", r"'optimizer\.name' cannot change"),
        ("trunk.mode=frozen", r"'trunk\.mode' cannot change"),
        ("epoch=2", "'epoch' is not a key"),
        ("loss.name=hx", "no loss is called 'hx'"),
    ],
)
def test_changes_that_it_does_not_go_with(home: Path, trained: Trained, setting: str, what: str) -> None:
    before = files(trained.folder)
    with pytest.raises(HiergenError, match=what):
        resume(trained.folder, settings=[setting])
    assert files(trained.folder) == before


def test_other_images_and_other_weights_do_not_go_on(home: Path, trained: Trained) -> None:
    before = files(trained.folder)
    with pytest.raises(HiergenError, match="not those that this training started with; expected 30 images, got 15"):
        resume(trained.folder, data=folders(Path("fewer").absolute(), 3, seed=2))
    with pytest.raises(HiergenError, match="15 of 15 validation images are training images"):
        resume(trained.folder, data=home / "other")
    with pytest.raises(
        HiergenError, match=r"no data 'gone'; .*; --data and --val \(data=…, val=…\) say where the images"
    ):
        resume(trained.folder, data="gone")
    with pytest.raises(HiergenError, match=r"trained: trunk_weights cannot change in a training that goes on"):
        resume(trained.folder, trunk_weights=home / "trunk.safetensors")
    with pytest.raises(TypeError, match=r"resume\(\) got unexpected arguments: out"):
        resume(trained.folder, out="elsewhere")
    with pytest.raises(HiergenError, match="holds no training to go on with"):
        resume(home / "images")
    with pytest.raises(HiergenError, match=r"checkpoint\.safetensors: is of another network than N2HL is now"):
        resume(trained.folder, model=f"{source(Path(), 'toy_wide', params='70k')}:N2HL")
    assert files(trained.folder) == before


# a trunk's weights


def test_a_frozen_trunks_cache_changes_nothing(home: Path, go: Callable[..., Trained]) -> None:
    flat = load_file(home / "trunk.safetensors")
    frozen = (*FROZEN, "branches=random")  # with a cache they would be scored by it
    options = {"trunk_weights": home / "trunk.safetensors", "cache": Path("maps")}
    cached = go(*frozen, "epochs=2", out="cached", recipe="quick", **options)
    caches = {path.name for path in Path("maps").glob("*.maps")}
    assert len(caches) == 2  # training and validation
    times = {path: path.stat().st_mtime_ns for path in Path("maps").glob("*.maps/maps*")}
    plain = go(*frozen, "epochs=2", "trunk.cache=false", out="plain", recipe="quick", **options)
    one, other = weights(cached.folder), weights(plain.folder)
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=1e-3, atol=1e-5)
        if name.startswith("trunk.model.") and not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, flat[name.removeprefix("trunk.model.")])
    go(*frozen, model="PHL", out="phl", recipe="quick", **options)
    assert {path.name for path in Path("maps").glob("*.maps")} == caches
    assert {path: path.stat().st_mtime_ns for path in Path("maps").glob("*.maps/maps*")} == times
    assert not list(Path("cache").rglob("*.maps"))


def test_a_frozen_training_goes_on_without_the_file_of_its_trunk(home: Path, go: Callable[..., Trained]) -> None:
    trunk = Path("t.safetensors")
    trunk.write_bytes((home / "trunk.safetensors").read_bytes())
    go(*FROZEN, "schedule.name=constant", out="run", trunk_weights=trunk)
    trunk.unlink()
    resume("run", settings=["epochs=2"])
    whole = go(*FROZEN, "epochs=2", "schedule.name=constant", out="whole", trunk_weights=home / "trunk.safetensors")
    assert same(weights(Path("run")), weights(whole.folder))


def test_a_network_of_ours_gives_its_trunk(home: Path, trained: Trained, go: Callable[..., Trained]) -> None:
    done = go(*FROZEN, model="PHL", trunk_weights=trained.folder / BEST)
    theirs = weights(trained.folder, BEST)
    for name, tensor in weights(done.folder).items():
        if name.startswith("trunk.") and not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, theirs[name])


def test_weights_of_another_backbone(home: Path, go: Callable[..., Trained]) -> None:
    save_file(timm.create_model("test_vit").state_dict(), "vit.safetensors")
    with pytest.raises(
        HiergenError, match=r"vit\.safetensors: are no weights of the backbone 'test_resnet'; .* missing"
    ):
        go(trunk_weights="vit.safetensors")
    state = load_file(home / "trunk.safetensors")
    name = next(name for name in state if state[name].ndim == 4)
    save_file({**state, name: state[name][:, :1].contiguous()}, "grey.safetensors")
    with pytest.raises(HiergenError, match=r"grey\.safetensors: are weights of another backbone than 'test_resnet'"):
        go(trunk_weights="grey.safetensors")
    assert not Path("runs").exists()


class BegunError(Exception):
    """A training that is not to be run begins."""


@pytest.fixture
def only_begun(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The weights that trainings would begin with, which then raise BegunError."""
    seen: list[dict[str, Tensor]] = []

    def run(self: Training, *, resume: bool = False) -> Any:
        seen.append({name: tensor.clone() for name, tensor in self.network.state_dict().items()})
        raise BegunError

    monkeypatch.setattr(Training, "run", run)
    return seen


def test_without_a_network_a_file_is_named(
    home: Path, go: Callable[..., Trained], monkeypatch: Any, only_begun: list[dict[str, Tensor]]
) -> None:
    def fetch(*_: object, pretrained: bool = False, **__: object) -> None:
        assert pretrained
        raise OSError("no way out")

    with monkeypatch.context() as patch:
        patch.setattr("hiergen.nn.trunk.timm.create_model", fetch)
        with pytest.raises(HiergenError, match=r"weights of 'test_resnet' could not be fetched; .*--pretrained FILE"):
            go("trunk.pretrained=true")
    # weights of the network's own need no others
    assert not Path("runs").exists()
    save_weights(load_network(f"{home}/own.py:N2HL"), "start.safetensors")
    with pytest.raises(BegunError):
        go("trunk.pretrained=true", "trunk.mode=frozen", weights="start.safetensors")


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Tensor]]]:
    """The weights that trainings begin with."""
    seen: list[dict[str, Tensor]] = []
    run = Training.run

    def watched(self: Training, *, resume: bool = False) -> Any:
        seen.append({name: tensor.clone() for name, tensor in self.network.state_dict().items()})
        return run(self, resume=resume)

    monkeypatch.setattr(Training, "run", watched)
    return seen


def test_branches_begin_as_the_backbones_channels(home: Path, only_begun: list[dict[str, Tensor]]) -> None:
    torch.manual_seed(2)
    flat = timm.create_model("resnet26").state_dict()
    save_file(flat, "resnet26.safetensors")
    model = f"{source(Path(), 'toy_deep', params='2M', backbone='resnet26')}:PHL"
    for branches in ("backbone", "random"):
        settings = ["epochs=1", "flat_epochs=0", f"branches={branches}", "trunk.mode=frozen"]
        with pytest.raises(BegunError):
            train(model, home / "images", val=home / "other", settings=settings, trunk_weights="resnet26.safetensors")
    theirs = flat["layer2.0.conv1.weight"].squeeze()  # (128, 256): each kernel reads all channels of the trunk
    for start, taken in zip(only_begun, (True, False), strict=True):
        for branch in start["level1.stages.0.0.conv1.weight"].squeeze():  # (16, 256) or more of them
            equal = (branch[:, None] == theirs).all(2).any(1)
            assert bool(equal.all()) is taken


def test_branches_begin_as_the_channels_that_matter(
    home: Path, go: Callable[..., Trained], untouched: list[dict[str, Tensor]]
) -> None:
    """As `score_batches` and `init_branches` do by hand, on the same maps; a training that goes on does not begin."""
    torch.manual_seed(2)
    flat = timm.create_model("resnet26")
    save_file(flat.state_dict(), "resnet26.safetensors")
    model = f"{source(Path(), 'toy_scored', params='2M', backbone='resnet26')}:PHL"
    settings = [
        "epochs=1",
        "flat_epochs=0",
        "branches=scored",
        "trunk.mode=frozen",
        "trunk.cache_dtype=float32",
        *PLAIN,
    ]
    done = train(model, home / "images", val=home / "other", settings=settings, trunk_weights="resnet26.safetensors")
    network = load_network(model).eval()
    load_trunk(network, "resnet26.safetensors")
    images = open_data(str(home / "images"), network, split="train")
    samples = Samples(images, eval_transform(network), seed=0)
    with torch.no_grad():
        maps = network.trunk(torch.stack([samples[(0, i)][0] for i in range(len(images))]))
    scores = score_batches(network, flat, [(maps, torch.tensor(images.targets))])
    theirs = flat.layer2[0].conv1.weight.squeeze()
    for branch, kernels in enumerate(untouched[0]["level1.stages.0.0.conv1.weight"].squeeze()):
        chosen = (kernels[:, None] == theirs).all(2).float().argmax(1)
        best = scores(1, branch, "layer2.0").first.topk(len(chosen)).indices
        shared = set(chosen.tolist()) & set(best.tolist())
        assert len(shared) >= len(best) - 2  # rounding may swap neighbours; of a random choice 60 are shared
        assert len(best) < 100 < len(theirs)
    last = load_file(done.folder / LAST)
    resume(done.folder, settings=["epochs=2"])
    assert same(untouched[1], last)


def test_a_cutout_goes_on_from_its_weights(
    home: Path, trained: Trained, go: Callable[..., Trained], untouched: list[dict[str, Tensor]]
) -> None:
    cutout(f"{home}/own.py:N2HL", "warm", classes=["warm"], weights=trained.folder / BEST)
    with pytest.raises(HiergenError, match=r"is no class of the network.*--only-known \(only_known=True\)"):
        train("warm", home / "images", settings=["epochs=1"])
    done = train("warm", home / "images", val=home / "other", settings=["epochs=1"], only_known=True)
    assert same(untouched[0], load_file("warm/model.safetensors"))
    assert list(done.network.classes) == [name for name in CLASSES if GROUPS[name] == "warm"]
    assert done.metrics.top1 == 1


def test_settings_over_a_recipe_that_is_given(home: Path) -> None:
    recipe = load_recipe("quick")
    assert load_recipe(recipe, ["epochs=3"]) == recipe.model_copy(update={"epochs": 3})
    assert load_recipe("quick", "epochs=3").epochs == 3
    with pytest.raises(HiergenError, match="'epochs' is too small"):
        load_recipe(recipe, ["epochs=0"])


def test_pretrained_weights_start_branches_too(
    home: Path, only_begun: list[dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file or fetched, unless the recipe or a setting says how branches start; recorded as asked."""
    torch.manual_seed(2)
    flat = timm.create_model("resnet26")
    save_file(flat.state_dict(), "r.safetensors")
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in flat.state_dict().items()}}, "r.pth")
    model = f"{source(Path(), 'toy_deep', params='2M', backbone='resnet26')}:PHL"
    create = timm.create_model

    def fetch(name: str, *, pretrained: bool = False, **options: Any) -> Any:
        made = create(name, **options)
        if pretrained:
            made.load_state_dict(flat.state_dict(), strict=False)
        return made

    monkeypatch.setattr("hiergen.nn.trunk.timm.create_model", fetch)
    monkeypatch.setattr("hiergen.nn.trunk.timm.is_model_pretrained", lambda name: True)
    Path("own.yaml").write_text("branches: random\n")

    def begin(*settings: str, **options: Any) -> dict[str, Tensor]:
        folder = Path(f"run{len(only_begun)}")
        with pytest.raises(BegunError):
            train(
                model,
                home / "images",
                val=home / "other",
                settings=["flat_epochs=0", *settings],
                out=folder,
                **options,
            )
        return only_begun[-1]

    first = begin(pretrained="r.safetensors")
    assert torch.equal(first["trunk.model.conv1.weight"], flat.conv1.weight)
    assert load_recipe("run0/recipe.yaml").branches == "scored"
    assert same(first, begin(trunk_weights="r.safetensors"))  # its older name
    assert same(first, begin(pretrained=Path("r.pth")))
    assert same(first, begin(pretrained=True))
    assert load_recipe("run3/recipe.yaml").trunk.pretrained
    for options in (
        {"pretrained": "r.pth", "recipe": "own.yaml"},
        {"pretrained": "r.pth", "recipe": load_recipe("own.yaml")},
    ):
        other = begin(**options)
        assert torch.equal(first["trunk.model.conv1.weight"], other["trunk.model.conv1.weight"])
        assert not torch.equal(first["level1.stages.0.0.conv1.weight"], other["level1.stages.0.0.conv1.weight"])
    other = begin("branches=random", pretrained=True)
    assert not torch.equal(first["level1.stages.0.0.conv1.weight"], other["level1.stages.0.0.conv1.weight"])
    with pytest.raises(HiergenError, match="pretrained and trunk_weights are one option"):
        begin(pretrained="r.pth", trunk_weights="r.pth")


def test_weights_of_a_trunk_alone_leave_branches_at_random(
    home: Path, trained: Trained, go: Callable[..., Trained]
) -> None:
    done = go(*FROZEN, model="PHL", pretrained=trained.folder / BEST)
    assert load_recipe(done.folder / "recipe.yaml").branches == "random"
    with pytest.raises(HiergenError, match="are no weights of the backbone 'test_resnet'"):
        go(*FROZEN, "branches=backbone", model="PHL", pretrained=trained.folder / BEST)
