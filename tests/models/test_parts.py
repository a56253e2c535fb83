"""A trunk and groups as files of their own: what onnxruntime computes with both, and what stays when classes change."""

from __future__ import annotations

import copy
import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from export_cases import Mobile, Small, trained

from hiergen.data.features import fingerprint
from hiergen.errors import HiergenError, OutputError
from hiergen.models.export import Parts, parts, to_parts
from hiergen.nn import Generalist, HierarchicalNetwork, Nesting
from hiergen.nn.bottleneck import Bottlenecks


class Several(Small):
    """Three groups of two classes, and branches for all classes."""

    def __init__(self) -> None:
        super().__init__(3, 2)
        channels = self.trunk.out_channels
        self.generalist = Generalist([Bottlenecks(channels, 4, 8)], 6, groups=3)
        self.flat = Generalist([Bottlenecks(channels, 4, 8)], 6, groups=3)


def ran(folder: Path, group: str, images: torch.Tensor) -> torch.Tensor:
    """As a user runs the two files, one after the other."""
    trunk = onnxruntime.InferenceSession(str(folder / "trunk.onnx"))
    branch = onnxruntime.InferenceSession(str(folder / f"{group}.onnx"))
    (maps,) = trunk.run(["maps"], {"images": images.numpy()})
    return torch.from_numpy(branch.run(None, {"maps": maps})[0])


def metadata(file: Path) -> dict[str, str]:
    return {prop.key: prop.value for prop in onnx.load(file).metadata_props}


@pytest.fixture(scope="module")
def network() -> Several:
    return trained(Several())


@pytest.fixture(scope="module")
def done(network: Several, tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return to_parts(network, tmp_path_factory.mktemp("parts") / "new" / "folder")


@pytest.mark.parametrize("batch", [1, 3])
def test_two_files_give_the_networks_logits_of_the_group(network: Several, done: Parts, batch: int) -> None:
    folder = done.trunk.file.parent
    assert sorted(file.name for file in folder.iterdir()) == ["g0.onnx", "g1.onnx", "g2.onnx", "trunk.onnx"]
    assert [(part.group, part.classes) for part in done.branches] == [
        *(("g0", ("c0", "c3")), ("g1", ("c1", "c4")), ("g2", ("c2", "c5"))),
    ]
    assert 0 < done.difference < 1e-5
    assert done.trunk.size > 5 * done.branches[0].size
    images = torch.randn(batch, 3, 32, 32)
    with torch.no_grad():
        whole = network(images)
    for i in range(3):
        torch.testing.assert_close(ran(folder, f"g{i}", images), whole[:, [i, i + 3]], atol=1e-4, rtol=1e-4)


def test_files_say_what_they_are(network: Several, done: Parts) -> None:
    trunk, branch = (metadata(part.file) for part in (done.trunk, done.branches[1]))
    assert trunk["trunk_sha256"] == branch["trunk_sha256"] == fingerprint(network.trunk)
    assert json.loads(branch["classes"]) == ["c1", "c4"]
    assert json.loads(branch["names"]) == ["name 1", "name 4"]
    assert (branch["group"], branch["form"]) == ("g1", "specialists")
    assert json.loads(trunk["input_size"]) == [3, 32, 32]
    assert json.loads(trunk["mean"]) == pytest.approx([0.485, 0.456, 0.406])
    assert not {"classes", "names", "taxonomy"} & set(trunk)
    for part in (done.trunk, *done.branches):
        onnx.checker.check_model(str(part.file), full_check=True)
        assert part.size == part.file.stat().st_size


def test_a_group_less_leaves_the_other_files_as_they_are(network: Several, done: Parts, tmp_path: Path) -> None:
    smaller = network.shrink(["c1", "c4"])
    smaller.__class__ = type("SeveralCutout", (Several,), {})  # as the commands name what they write
    fewer = to_parts(smaller, tmp_path / "fewer")
    assert [part.group for part in fewer.branches] == ["g0", "g2"]
    for part in (fewer.trunk, *fewer.branches):
        assert part.file.read_bytes() == (done.trunk.file.parent / part.file.name).read_bytes()
    with pytest.raises(OutputError, match=r"has 'g1.onnx', which is no part of this network; name another folder"):
        to_parts(smaller, done.trunk.file.parent)
    again = to_parts(network, done.trunk.file.parent)  # its own files may be replaced
    assert again == done


def test_branches_for_all_classes(network: Several, tmp_path: Path) -> None:
    images = torch.randn(2, 3, 32, 32)
    network.form, network.choice = "generalist", {"g0": "generalist", "g1": "specialists", "g2": "generalist"}
    try:
        found = to_parts(network, tmp_path / "generalist", batch=2)
        with torch.no_grad():
            general = network(images)
            network.form = "flat"
            network.choice = {}
            flat = network(images)
        alone = to_parts(network, tmp_path / "flat", batch=2)
        network.form = "both"
        names = [group.name for group in parts._wanted(network)]
    finally:
        network.form, network.choice = "specialists", {}
    with torch.no_grad():
        own = network(images)
    assert [part.file.name for part in found.branches] == ["all_classes.onnx", "g1.onnx"]
    assert [part.file.name for part in alone.branches] == ["all_classes.onnx"]
    assert names == ["all classes", "g0", "g1", "g2"]
    for folder, group, want in (
        *((tmp_path / "generalist", "all_classes", general), (tmp_path / "generalist", "g1", own[:, [1, 4]])),
        (tmp_path / "flat", "all_classes", flat),
    ):
        torch.testing.assert_close(ran(folder, group, images), want, atol=1e-4, rtol=1e-4)
    forms = [metadata(part.file)["form"] for part in (*found.branches, *alone.branches)]
    assert forms == ["generalist", "specialists", "flat"]


def test_pixels_in_probabilities_out(tmp_path: Path) -> None:
    network = trained(Mobile())  # padding of TensorFlow: one size of images
    to_parts(network, tmp_path / "parts", preprocess=True, softmax=True)
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    mean, std = (torch.tensor(network.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        want = network((pixels / 255 - mean) / std)[:, [0, 2]].softmax(1)
    torch.testing.assert_close(ran(tmp_path / "parts", "g0", pixels), want, atol=1e-5, rtol=1e-4)


def test_groups_of_one_name_as_files(tmp_path: Path) -> None:
    network = Small(3, 2)
    network.taxonomy = dict(zip(("Trunk", "a b", "a-b"), network.taxonomy.values(), strict=True))
    network.nesting = Nesting.from_tree(network.taxonomy, network.classes)
    files = parts._files(tmp_path, [group.name for group in parts._wanted(network)])
    assert files == ["trunk_2.onnx", "a_b.onnx", "a_b_2.onnx"]


def test_a_part_that_answers_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = trained(Small())
    monkeypatch.setattr(parts, "_chain", lambda first, second: lambda x: second(first(x)) + 1)
    with pytest.raises(HiergenError, match=r"the chain of trunk.onnx and g0.onnx gives other logits than torch"):
        to_parts(network, tmp_path / "parts")
    assert not list(tmp_path.iterdir())
    (tmp_path / "parts").mkdir()
    with pytest.raises(HiergenError):
        to_parts(network, tmp_path / "parts")
    assert [path.name for path in tmp_path.iterdir()] == ["parts"]


def test_a_network_of_one_group(network: Several, tmp_path: Path) -> None:
    """Its own branches are those of all classes, and other branches than the generalist's."""
    one, images = network.cutout(["c0", "c3"]), torch.randn(2, 3, 32, 32)
    both = network.shrink(["c1", "c2", "c4", "c5"])
    both.form, both.choice = "flat", {"g0": "specialists"}
    found = to_parts(both, tmp_path / "both", batch=2)
    assert [part.file.name for part in found.branches] == ["all_classes.onnx", "g0.onnx"]
    assert both.form == "flat"
    with torch.no_grad():
        want = both(images)
        torch.testing.assert_close(ran(tmp_path / "both", "all_classes", images), want, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ran(tmp_path / "both", "g0", images), one(images), atol=1e-4, rtol=1e-4)
        assert float((one(images) - want).abs().max()) > 0.1


def test_a_group_of_the_name_that_all_classes_have(network: Several) -> None:
    named = copy.copy(network)
    named.nesting = Nesting.from_tree(
        dict(zip(("all classes", "b", "c"), network.taxonomy.values(), strict=True)), network.classes
    )
    named.form = "both"
    wanted = parts._wanted(named)
    assert [(group.name, group.form, len(group.classes)) for group in wanted] == [
        *(("all classes", "generalist", 6), ("all classes", "specialists", 2)),
        *(("b", "specialists", 2), ("c", "specialists", 2)),
    ]
    assert parts._files(Path("nowhere"), [group.name for group in wanted])[:2] == [
        *("all_classes.onnx", "all_classes_2.onnx"),
    ]


def test_one_branch_for_all_classes(tmp_path: Path) -> None:
    digits = importlib.import_module("generated.digits").PHL1branch().eval()
    done = to_parts(digits, tmp_path / "parts", batch=1)
    assert [(part.file.name, len(part.classes)) for part in done.branches] == [("all_classes.onnx", 10)]


def test_files_that_are_no_parts_stay(network: Several, done: Parts, tmp_path: Path) -> None:
    for mine in ("text", "folder"):
        folder = tmp_path / mine
        shutil.copytree(done.trunk.file.parent, folder)
        (folder / "g1.onnx").unlink()
        (folder / "g1.onnx").write_text("mine") if mine == "text" else (folder / "g1.onnx").mkdir()
        (folder / "trunk.onnx").write_bytes(done.branches[0].file.read_bytes())
        with pytest.raises(OutputError, match=r"has 'g1.onnx', which is no part of this network"):
            to_parts(network, folder)
        assert (folder / "trunk.onnx").read_bytes() == done.branches[0].file.read_bytes()


def test_what_parts_have_not(network: HierarchicalNetwork, tmp_path: Path) -> None:
    with pytest.raises(HiergenError, match=r"parts have no open size; export the whole network"):
        to_parts(network, tmp_path / "x", open_size=True)
    with pytest.raises(HiergenError, match=r"no such opset; expected 18 … 25, got 17"):
        to_parts(network, tmp_path / "x", opset=17)
    with network.attend({"g0": 2.0}), pytest.raises(HiergenError, match=r"Several runs with gains"):
        to_parts(network, tmp_path / "x")
    network.active = ["c0"]
    try:
        with pytest.raises(HiergenError, match=r"Several runs some of its classes only"):
            to_parts(network, tmp_path / "x")
    finally:
        network.active = None
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file: is a file; expected a folder"):
        to_parts(network, tmp_path / "file")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_by_the_command(hiergen: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    digits = f"{Path(__file__).parents[2] / 'generated' / 'digits.py'}:N2HL"
    done = hiergen("export", digits, "--untrained", "--parts")
    assert done.code == 0, done.err
    assert "group by group: largest difference from torch" in done.out
    assert "→ digits_n2hl_parts: " in done.out
    assert "run trunk.onnx, then the groups you want on its maps" in done.out
    assert "the weights are random: nothing was trained" in done.out
    names = ["even.onnx", "odd.onnx", "trunk.onnx"]
    assert sorted(file.name for file in (tmp_path / "digits_n2hl_parts").iterdir()) == names
    for words, sentence in (
        (["--format", "pt2"], "--parts writes ONNX; expected --format onnx, or none"),
        (["-o", "x.onnx"], "-o x.onnx: --parts writes a folder; expected -o x"),
        (["--int8", "--data", "photos"], "--parts has no --data; export the whole network, or cutouts"),
        (["--steerable"], "parts have no steerable; export the whole network"),
    ):
        done = hiergen("export", digits, "--untrained", "--parts", *words)
        assert (done.code, done.out) == (2, "")
        assert sentence in done.err
