"""Classes that join a trained network, and specialists: what was there stays to the bit, what is new is right."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import Ran

from hiergen.codegen.build import build
from hiergen.data.sources import open_data
from hiergen.errors import HiergenError
from hiergen.models.load import find_model, load_network
from hiergen.models.weights import save_weights
from hiergen.nn.cutout import difference
from hiergen.nn.network import HierarchicalNetwork
from hiergen.nn.routing import generalist_of
from hiergen.training.branches import Pool, Setting
from hiergen.training.grow import _affine, grow
from hiergen.training.recipe import load_recipe
from hiergen.training.run import evaluate, train
from hiergen.training.specialise import _named, specialise
from tests.training.conftest import no_report
from tests.training.own_images import CLASSES, folders

Run = Callable[..., Ran]
SPEC = """\
name: toy_grow
classes: [sky, rust, moss, sand]
names: {sky: night sky}
sources:
  - groups: {cold: [sky, moss], warm: [rust, sand]}
nesting: {closeness: 0}
models:
  N2HL:
    trunk: {backbone: test_resnet, until: layer1}
    input_size: 32
    block: bottleneck
    depth: 1
    budget: {params: 50k}
"""
X = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
FAST = ("epochs=6", "batch_size=8", "hold_out=0.25", "optimizer.lr=0.01", "trunk.flip_maps=0")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """grow.py:N2HL (own branches) and general.py:N2HL (with branches for all classes), four of the five colours;
    images/ has all five, and best.safetensors are trained."""
    place = tmp_path_factory.mktemp("grow")
    folders(place / "images", 16)
    for name, more in (("grow", ""), ("general", "    generalist: both\n")):
        spec = place / f"{name}.yaml"
        text = SPEC.replace("toy_grow", f"toy_{name}") + more
        spec.write_text(text.replace("50k", "600k") if more else text, "utf-8")
        build(spec, place / f"{name}.py")
        settings = ["epochs=4", "batch_size=8", "optimizer.lr=0.01", "trunk.mode=frozen", "hold_out=0.25"]
        with no_report():
            train(
                f"{place}/{name}.py:N2HL",
                place / "images",
                settings=[*settings, *(["form=each"] if more else [])],
                out=place / name,
                only_known=True,
            )
    return place


@pytest.fixture
def given(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return {
        "model": f"{home}/grow.py:N2HL",
        "weights": home / "grow" / "best.safetensors",
        "data": home / "images",
        "folder": tmp_path / "out",
        "settings": FAST,
    }


def before(given: dict[str, object]) -> HierarchicalNetwork:
    return load_network(str(given["model"]), str(given["weights"]))


@pytest.mark.parametrize("place", [{"group": "cold"}, {"new_group": "violet"}])
@pytest.mark.parametrize("solver", ["train", "ridge"])
def test_a_class_joins_and_nothing_else_changes(place: dict[str, str], solver: str, given: dict[str, object]) -> None:
    """Old logits and tensors to the bit; the new class is recognised among all, by `eval` too."""
    old = before(given)
    done = grow(**given, **place, solver=solver)  # type: ignore[arg-type]
    new = load_network(tmp := Path(str(given["folder"])))
    assert new.classes == (*old.classes, "plum") == (*CLASSES[:4], "plum")
    assert difference(new, old, X) == 0
    assert new.nesting.names(1) == (("cold", "warm") if "group" in place else ("cold", "warm", "violet"))
    level = old.state_dict()["level1.stages.0.0.conv1.weight"]
    assert torch.equal(new.state_dict()["level1.stages.0.0.conv1.weight"][: len(level)], level)
    (shares,) = done.shares
    assert (shares.form, done.classes) == ("specialists", ("plum",))
    assert shares.new == 1
    assert shares.all > 0.9
    assert done.images == (12, 48)
    metrics = evaluate(str(tmp), str(given["data"])).metrics
    assert metrics.top1 > 0.9
    # a stranger's way to the same number: argmax of the joined logits of the images that were held out
    held = open_data(str(given["data"]), new).split(0.25)[1]
    right = [int(new(x[None]).argmax()) == y for x, y in (held[i] for i in range(len(held)))]
    assert sum(right) / len(right) == pytest.approx(shares.all)


def test_the_branch_for_all_classes_gets_a_row_and_keeps_its_tail(home: Path, given: dict[str, object]) -> None:
    given |= {"model": f"{home}/general.py:N2HL", "weights": home / "general" / "best.safetensors"}
    old = before(given)
    done = grow(**given, group="cold")  # type: ignore[arg-type]
    new = load_network(Path(str(given["folder"])))
    assert [row.form for row in done.shares][-2:] == ["generalist", "flat"]
    for form in (row.form for row in done.shares):
        old.form = new.form = form
        assert difference(new, old, X) == 0
    assert all(row.new > 0.7 for row in done.shares)
    assert new.cutout(["plum", "sky"]).classes == ("sky", "plum")


def test_a_network_that_answers_by_both_gets_a_row_of_that_form(home: Path, given: dict[str, object]) -> None:
    given |= {"model": f"{home}/general.py:N2HL", "weights": "both.safetensors"}
    old = load_network(f"{home}/general.py:N2HL", home / "general" / "best.safetensors")
    old.form = "both"
    generalist_of(old, "both").gains.data.fill_(0.7)
    save_weights(old, "both.safetensors")
    done = grow(**given, group="cold")  # type: ignore[arg-type]
    new = load_network(Path(str(given["folder"])))
    row = done.shares[-1]
    assert (new.form, row.form, row.uncalibrated) == ("both", "both", None)
    assert "both" in str(list(done.table().columns[0].cells))
    held = open_data(str(given["data"]), new).split(0.25)[1]
    images = [(x[None], y) for x, y in (held[i] for i in range(len(held)))]
    right = [int(new(x).argmax()) == y for x, y in images]
    alone = [int(old(x).argmax()) == y for x, y in images if y < 4]
    assert row.all == pytest.approx(sum(right) / len(right))
    assert row.alone == pytest.approx(sum(alone) / len(alone))


def test_calibration_is_the_affine_map_of_least_loss(given: dict[str, object]) -> None:
    """Against a grid; and after it the share of all images that are recognised does not fall here."""
    torch.manual_seed(0)
    old, new, targets = torch.randn(60, 3), 5 * torch.randn(60, 2) + 4, torch.randint(0, 5, (60,))

    def loss(scale: float, offset: float) -> float:
        return float(torch.nn.functional.cross_entropy(torch.cat([old, scale * new + offset], 1), targets))

    scale, offset = _affine(old, new, targets)
    grid = min(loss(a, b) for a in torch.linspace(0.01, 2, 40).tolist() for b in torch.linspace(-6, 6, 49).tolist())
    assert loss(scale, offset) <= grid + 1e-6
    done = grow(**given, group="cold")  # type: ignore[arg-type]
    assert done.shares[0].all >= done.shares[0].uncalibrated


def test_without_images_of_old_classes(home: Path, given: dict[str, object], tmp_path: Path) -> None:
    """The new class is trained beside the old logits, and beats them on most of its own images."""
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "plum").symlink_to(home / "images" / "plum")
    given["data"] = tmp_path / "new"
    with pytest.raises(HiergenError, match="the new ones are to be named"):
        grow(**given, group="cold")  # type: ignore[arg-type]
    with pytest.raises(HiergenError, match="ridge regression needs images of old classes"):
        grow(**given, group="cold", classes=["plum"], solver="ridge")  # type: ignore[arg-type]
    old = before(given)
    done = grow(**given, group="cold", classes=["plum"])  # type: ignore[arg-type]
    assert done.images == (12, 0)
    assert done.shares[0].alone is None
    assert done.shares[0].new >= 0.75
    assert difference(load_network(tmp_path / "out"), old, X) == 0
    again = grow(**{**given, "data": tmp_path / "new"}, group="cold", classes=["plum"], old=home / "images", force=True)  # type: ignore[arg-type]
    assert again.images == (12, 48)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({}, "no group for the new classes"),
        ({"group": "clod"}, "no group 'clod'; expected 'cold', 'warm'; nearest: cold"),
        ({"new_group": "cold"}, "there is a group 'cold' already"),
        ({"group": "cold", "new_group": "violet"}, "'cold' is of the finest level"),
        ({"group": "cold", "classes": ["moss"]}, "the network has a class 'moss' already"),
        ({"group": "cold", "classes": ["mauve"]}, "holds no images of class 'mauve'"),
        ({"group": "cold", "solver": "magic"}, "no solver 'magic'"),
        ({"group": "cold", "weights": None}, "no weights for N2HL"),
        ({"new_group": ""}, "group '' is an empty name"),
        ({"new_group": "sky"}, "a class is called 'sky' already"),
        ({"new_group": "plum"}, "'plum' is to be a class and a group"),
        ({"group": "cold", "classes": [" "]}, "class ' ' is an empty name"),
        ({"group": "cold", "classes": ["warm"]}, "a group is called 'warm' already"),
        ({"group": "cold", "classes": ["plum", "plum"]}, "class 'plum' is named twice"),
        ({"group": "cold", "classes": ["plum", "Plum"]}, "class 'plum' and 'Plum' are one name"),
        ({"group": "cold", "classes": ["Night_Sky"]}, "folder 'Night_Sky' is the network's class 'night sky' (sky)"),
    ],
)
def test_bad_requests_are_one_sentence(more: dict[str, object], problem: str, given: dict[str, object]) -> None:
    with pytest.raises(HiergenError) as raised:
        grow(**{**given, **more})  # type: ignore[arg-type]
    assert problem in str(raised.value)
    assert not Path(str(given["folder"])).exists()


def test_classes_of_a_new_group_share_its_branch(given: dict[str, object], tmp_path: Path) -> None:
    """Also where they look like classes of different groups; a wnid is shown as WordNet's word."""
    images = tmp_path / "new"
    folders(images, 8)
    for folder, name in (("plum", "n02099601"), ("rust", "brick"), ("Night_Sky", "n02108089-boxer")):
        (images / folder).rename(images / name)
    (images / "warm").mkdir()
    shutil.copy(images / "sand" / "0.png", images / "warm")
    with pytest.raises(HiergenError, match=r"a group is called 'warm' already;.* or name the new ones with --class"):
        grow(**{**given, "data": images}, new_group="violet", solver="ridge")  # type: ignore[arg-type]
    shutil.rmtree(images / "warm")
    done = grow(**{**given, "data": images}, new_group="violet", solver="ridge")  # type: ignore[arg-type]
    new = load_network(tmp_path / "out")
    assert done.classes == ("brick", "n02099601", "n02108089-boxer")
    assert new.nesting.names(1) == ("cold", "warm", "violet")
    assert new.nesting.labels[4:] == ("brick", "golden retriever", "boxer")
    assert new.selector.classes("dog") == (5, 6)


def test_what_was_not_trained_on_is_held_out(home: Path, given: dict[str, object], tmp_path: Path) -> None:
    """Images of a validation part: a training on such data has seen all others."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "train").symlink_to(home / "images")
    folders(tmp_path / "parts" / "val", 3, seed=5)
    setting = Setting(before(given), load_recipe("tails", FAST), None, None, 0, False, torch.device("cpu"))
    images, held = setting.images(tmp_path / "parts", setting.network, classes="present")
    assert (len(images), len(held)) == (64, 12)
    assert grow(**{**given, "data": tmp_path / "parts"}, group="cold", solver="ridge").images == (16, 64)  # type: ignore[arg-type]


def test_few_images(home: Path, given: dict[str, object], tmp_path: Path) -> None:
    """A single held-out one beats the old logits, and does not tie with them; where none can be read, that is said."""
    images = tmp_path / "few" / "plum"
    images.mkdir(parents=True)
    for i in range(2):
        shutil.copy(home / "images" / "plum" / f"{i}.png", images)
    given |= {"data": tmp_path / "few", "classes": ["plum"], "group": "cold"}
    done = grow(**given)  # type: ignore[arg-type]
    assert done.shares[0].new == 1
    for i in range(2):
        (images / f"{i}.png").write_bytes(b"no image")
    with pytest.raises(HiergenError, match="no image of class 'plum' can be read"):
        grow(**{**given, "skip_broken": True, "force": True})  # type: ignore[arg-type]
    (images / "1.png").unlink()
    with pytest.raises(HiergenError, match=r"plum/0\.png: 1 class has a single image"):
        grow(**{**given, "force": True})  # type: ignore[arg-type]


def test_an_old_class_may_have_a_single_image(home: Path, given: dict[str, object], tmp_path: Path) -> None:
    shutil.copytree(home / "images", tmp_path / "images")
    for file in sorted((tmp_path / "images" / "rust").iterdir())[1:]:
        file.unlink()
    done = grow(**{**given, "data": tmp_path / "images"}, group="cold", solver="ridge")  # type: ignore[arg-type]
    assert done.images == (12, 3 * 12 + 1)  # it is learned from, and not held out
    for file in (
        file for c in ("Night_Sky", "moss", "sand") for file in sorted((tmp_path / "images" / c).iterdir())[1:]
    ):
        file.unlink()
    with pytest.raises(HiergenError, match="no old class has an image to hold out"):
        grow(**{**given, "data": tmp_path / "images", "force": True}, group="cold", solver="ridge")  # type: ignore[arg-type]


def test_groups_are_named_with_commas() -> None:
    assert _named(["a, b", "c,d,a"], ("a", "b", "c,d")) == ("a", "b", "c,d")


def without_warm(home: Path, given: dict[str, object], file: Path) -> HierarchicalNetwork:
    """A network whose generalist tells cold colours apart, and of warm ones says rust whatever it sees; for `given`."""
    network = load_network(f"{home}/general.py:N2HL", home / "general" / "best.safetensors")
    assert network.generalist is not None
    with torch.no_grad():
        network.generalist.head.weight[[1, 3]] = 0.0
        network.generalist.head.bias[[1, 3]] = torch.tensor([1.0, 0.0])
    network.choice, network.form = {}, "generalist"
    save_weights(network, file)
    given |= {"model": f"{home}/general.py:N2HL", "weights": file}
    return network


def test_specialists_learn_the_level_of_the_teachers_logits(
    home: Path, given: dict[str, object], tmp_path: Path
) -> None:
    """A softmax within the group is blind to it, and unions of groups need it."""
    network, apart = without_warm(home, given, tmp_path / "w.safetensors"), []
    held = open_data(home / "images", network, classes="present").split(0.25)[1]
    x = torch.stack([held[i][0] for i in range(len(held))])
    network.form = "flat"
    for weight in (0.0, 1.0):
        settings = (*FAST, f"distillation.l1={weight}")
        folder = tmp_path / str(weight)
        done = specialise(**{**given, "folder": folder, "settings": settings}, groups=["warm"], only_known=True)  # type: ignore[arg-type]
        assert done.kept == ("warm",)
        new = load_network(folder)
        new.form = "specialists"
        with torch.no_grad():
            apart.append(float((new(x) - network(x))[:, [1, 3]].abs().mean()))
    assert apart[1] < 0.5 * apart[0], apart


def test_specialists_are_kept_where_they_are_better(home: Path, given: dict[str, object], tmp_path: Path) -> None:
    """One group at a time; the other's branches, and the branch for all classes, stay to the bit."""
    network = without_warm(home, given, tmp_path / "w.safetensors")
    done = specialise(**given, groups=["cold", "warm"], only_known=True)  # type: ignore[arg-type]
    assert done.kept == ("warm",), done.groups
    new = load_network(tmp_path / "out")
    assert new.nesting == network.nesting
    assert dict(new.choice) == {"cold": "generalist", "warm": "specialists"}
    assert new.form == "generalist"
    changed = {name for name, t in network.state_dict().items() if not torch.equal(t, new.state_dict()[name])}
    assert changed
    assert all(name.startswith(("level", "head.", "generalist.gains")) for name in changed)
    network.form = new.form = "specialists"
    assert difference(network, new, X, classes=["sky", "moss"]) == 0
    held = open_data(home / "images", new, classes="present").split(0.25)[1]
    warm = [i for i in range(len(held)) if held.targets[i] in (1, 3)]
    right = [int(new(held[i][0][None])[:, [1, 3]].argmax()) == (held.targets[i] == 3) for i in warm]
    assert done.groups[1].specialist == pytest.approx(sum(right) / len(right))
    with pytest.raises(HiergenError, match=r"no group 'wram'.*nearest: warm"):
        specialise(**{**given, "folder": tmp_path / "o"}, groups=["wram"])  # type: ignore[arg-type]


def test_specialists_that_are_not_better_are_not_written(
    home: Path, given: dict[str, object], monkeypatch: pytest.MonkeyPatch, hiergen: Run
) -> None:
    """Branches that forget all in place of learning."""

    def ruin(part: HierarchicalNetwork, *_: object) -> None:
        torch.nn.init.zeros_(part.head.weight)

    monkeypatch.setattr("hiergen.training.specialise.fit", ruin)
    general = (f"{home}/general.py:N2HL", "--weights", home / "general" / "best.safetensors")
    ran = hiergen("specialise", *general, "--data", home / "images", "-o", "out", "--set", "hold_out=0.25")
    assert ran.code == 2
    assert "'plum' is no class of the network" in ran.err
    assert "--only-known" in ran.err
    words = ("--data", home / "images", "--only-known", "-o", "out", "--set", "hold_out=0.25")
    ran = hiergen("specialise", *general, *words)
    assert (ran.code, ran.err) == (0, "")
    assert "kept: 0 of 2 new branches: none is better than the generalist, nothing is written" in ran.out
    assert not Path("out").exists()


def test_a_device_that_is_not_there_is_one_sentence(home: Path, given: dict[str, object], hiergen: Run) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    data = ("--weights", given["weights"], "--data", given["data"], "-o", "out", "--device", "cuda")
    for words in (("grow", given["model"], "--group", "cold"), ("specialise", given["model"])):
        ran = hiergen(words[0], words[1], *data, *words[2:])
        assert (ran.code, ran.out) == (2, "")
        assert "no device 'cuda'; expected cpu" in ran.err
    assert not Path("out").exists()


def test_settings_that_mean_nothing_here_are_refused(home: Path, given: dict[str, object]) -> None:
    general = {"model": f"{home}/general.py:N2HL", "weights": home / "general" / "best.safetensors"}
    for job, more in ((grow, {"group": "cold"}), (specialise, general)):
        for setting in ("augment.crop=none", "ema=0.9", "negatives=1"):
            with pytest.raises(HiergenError, match=f"--set {setting}: means nothing where single branches are trained"):
                job(**{**given, **more, "settings": (*FAST, setting)})  # type: ignore[arg-type, operator]


def test_maps_are_mirrored_and_cropped_by_the_recipe(home: Path, given: dict[str, object]) -> None:
    """Against the maps themselves: each image's is one of them, or its mirror image, in a window that all share."""
    network = before(given)
    recipe = load_recipe("tails", ["trunk.flip_maps=0.5", "trunk.crop_maps=0.5"])
    setting = Setting(network, recipe, None, None, 0, False, torch.device("cpu"))
    images = open_data(home / "images", network, classes="present")
    feed = setting.feed(images, "all")
    pool, sizes, flipped = Pool([feed], [feed.targets], setting.device), set(), 0
    every = torch.arange(len(pool))
    for rows, maps in (pair for epoch in range(4) for pair in pool.epoch(every, 8, recipe, epoch)):
        whole, (height, width) = pool.maps(rows), maps.shape[-2:]
        sizes.add((height, width))
        places = [
            (i, j)
            for i in range(whole.shape[-2] - height + 1)
            for j in range(whole.shape[-1] - width + 1)
            if all(
                torch.equal(some[:, i : i + height, j : j + width], x)
                or torch.equal(some.flip(-1)[:, i : i + height, j : j + width], x)
                for some, x in zip(whole, maps, strict=True)
            )
        ]
        assert places
        i, j = places[0]
        flipped += sum(
            not torch.equal(some[:, i : i + height, j : j + width], x) for some, x in zip(whole, maps, strict=True)
        )
    assert len(sizes) > 2
    assert 0.3 < flipped / (4 * (len(pool) // 8) * 8) < 0.7


def test_the_command(home: Path, given: dict[str, object], hiergen: Run) -> None:
    words = ("grow", given["model"], "--weights", given["weights"], "--data", given["data"], "-o", "out")
    ran = hiergen(*words, "--class", "plum", "--group", "cold", "--solver", "ridge", "--set", "hold_out=0.25")
    assert (ran.code, ran.err) == (0, "")
    assert "new: 'plum'; learned from 12 images of them and 48 of old classes" in ran.out
    assert "old logits are what they were, to the bit" in ran.out
    assert find_model("out").cls().num_classes == 5
