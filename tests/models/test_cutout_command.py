"""`hiergen cutout`: source and weights that rebuild the part, or one sentence and an untouched folder."""

from __future__ import annotations

import ast
import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from conftest import Ran
from toy_networks import parts, scrambled, toy_home

import hiergen.models.cutout
from hiergen.errors import HiergenError
from hiergen.lookup.choose import find_terms
from hiergen.lookup.select import Selector
from hiergen.models.cutout import _proof, cutout
from hiergen.models.load import find_model, load_network
from hiergen.models.weights import load_weights, save_weights, taxonomy_hash
from hiergen.models.weightsfile import read_weights
from hiergen.nn.cutout import cut, difference
from hiergen.planning.from_network import plan_of
from hiergen.taxonomy.nesting import Nesting
from tests.helpers import check_lint

Run = Callable[..., Ran]
GOLDEN = Path(__file__).parents[1] / "golden" / "toy_cutout.py.golden"
QUOTED, CODE = 'it\'s "quoted"', '""" + exit() #'
# One process writes the same cutout into several folders here, which timm's registry notices.
pytestmark = pytest.mark.filterwarnings("ignore:Overwriting toycommand:UserWarning")


EMPTY = "an empty class name; expected a class id, name, group, WordNet term, index or FROM:TO"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_home(tmp_path_factory.mktemp("command"), "toycommand", "N3HL", "N2HL", "OneBranch")


@pytest.fixture(autouse=True)
def out(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the cutout goes; the models are in the current folder."""
    monkeypatch.chdir(home)
    return tmp_path / "out"


@pytest.mark.parametrize("name", ["N3HL", "N2HL", "OneBranch"])
def test_source_and_weights_rebuild_the_part(name: str, out: Path, hiergen: Run) -> None:
    model, weights = f"toycommand_{name.lower()}", f"{name}.safetensors"
    pets = "tabby,pug,beagle" if name == "OneBranch" else "cat & dog"
    ran = hiergen("cutout", model, "--weights", weights, "--classes", pets, "--classes", "3", "-o", out)
    assert (ran.code, ran.err) == (0, "")
    assert parts(out) == ["model.py", "model.safetensors"]
    assert parts(out.parent) == ["out"]
    full, part = load_network(model, weights), load_network(out)
    keep = [0, 3, 6, 7]
    assert (type(part).__name__, part.classes) == (f"{name}Cutout", tuple(full.classes[i] for i in keep))
    direct = cut(full, keep)
    torch.testing.assert_close(dict(part.state_dict()), dict(direct.state_dict()), atol=0, rtol=0)
    assert difference(full, part, torch.randn(2, 3, 32, 32)) == 0
    assert (part.taxonomy, taxonomy_hash(part)) == (direct.taxonomy, taxonomy_hash(direct))
    # what is printed
    before, after = (plan_of(n, taxonomy="t", model="m") for n in (full, direct))
    assert f"{before.params:,}" in ran.out
    assert f"{after.params:,}" in ran.out
    assert f"{100 * (after.params / before.params - 1):+.2f} %" in ran.out
    assert f"{100 * (after.macs / before.macs - 1):+.2f} %" in ran.out
    assert "largest difference from the full network's kept logits: 0 (4 random images, float32" in ran.out
    # where it comes from
    file = read_weights(out / "model.safetensors")
    assert file.provenance is not None
    assert file.provenance.source_weights == read_weights(weights).sha256
    assert (file.provenance.source_model, file.provenance.kept) == (name, tuple(part.classes))
    assert file.provenance.source_taxonomy == taxonomy_hash(full)
    assert file.metadata["model"] == f"{name}Cutout"
    head = (out / "model.py").read_text("utf-8")
    for digest in (file.provenance.source_weights, taxonomy_hash(full), taxonomy_hash(part)):
        assert digest in head


def test_golden_source(out: Path, hiergen: Run) -> None:
    ran = hiergen("cutout", "toycommand_n3hl", "--untrained", "--except", "класс,4,pug", "-o", out)
    assert ran.code == 0
    assert "the weights are random: nothing was trained" in ran.out
    source = (out / "model.py").read_text("utf-8")
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(source, "utf-8")
    assert source == GOLDEN.read_text("utf-8"), "if this is right: UPDATE_GOLDEN=1 pytest tests/models"
    assert read_weights(out / "model.safetensors").provenance.source_weights is None
    check_lint(out / "model.py")


def test_names_stay_data(out: Path) -> None:
    cutout("toycommand_n3hl", out, classes=[QUOTED, CODE, "{{ 7*7 }}"], weights="N3HL.safetensors")
    tree = ast.parse((out / "model.py").read_text("utf-8"))
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert {QUOTED, CODE, "{{ 7*7 }}", 'odd "ones"'} <= strings
    calls = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert calls == {"Bottlenecks", "ClassHeads", "Siblings", "Trunk", "register", "super"}


def test_cutouts_of_cutouts_and_names(out: Path, hiergen: Run) -> None:
    first, second, direct = out / "a", out / "b", out / "c"
    cutout("toycommand_n3hl", first, except_=["goldfish"], weights="N3HL.safetensors")
    ran = hiergen("cutout", first, "--except", "tabby", "-o", second)
    assert (ran.code, ran.err) == (0, "")
    ran = hiergen(
        "cutout",
        "generated.toycommand:N3HL",
        "--weights",
        "N3HL.safetensors",
        "--except",
        "0,3",
        "-o",
        direct,
        "--name",
        "Pets",
    )
    assert (ran.code, ran.err) == (0, "")
    nested, pets = load_network(second), load_network(direct)
    torch.testing.assert_close(dict(nested.state_dict()), dict(pets.state_dict()), atol=0, rtol=0)
    assert (nested.classes, nested.taxonomy) == (pets.classes, pets.taxonomy)
    names = [find_model(folder) for folder in (first, second, direct)]
    assert [found.name for found in names] == ["N3HLCutout", "N3HLCutout", "Pets"]
    hashes = [taxonomy_hash(load_network(folder))[:8] for folder in (first, second)]
    registered = [*(f"toycommand_n3hl_cutout_{digest}" for digest in hashes), "toycommand_n3hl_pets"]
    assert [found.registered for found in names] == registered
    assert type(timm.create_model("toycommand_n3hl_pets", num_classes=7)) is names[2].cls
    assert timm.create_model("toycommand_n3hl").num_classes == 9  # the full one is still there


def test_commas_numbers_and_repetition() -> None:
    taxonomy = {"g": {"a": "tench, Tinca tinca", "b": "tench"}, "h": {"0": "zero", "c, d": "e"}}

    class Net:
        def __init__(self) -> None:
            self.selector = Selector(Nesting.from_tree(taxonomy, ["a", "b", "0", "c, d"]))

    selector = Net().selector
    for typed, wanted in (
        (["tench, Tinca tinca"], {"tench, Tinca tinca": (0,)}),
        (["tench,tench, Tinca tinca,b"], {"tench": (1,), "tench, Tinca tinca": (0,), "b": (1,)}),
        ([" a , c, d ,h,"], {"a": (0,), "c, d": (3,), "h": (2, 3)}),
        (["0", "1,3"], {"0": (2,), "1": (1,), "3": (3,)}),
        (["a,a", "a"], {"a": (0,)}),
        (["", " , "], {}),
    ):
        assert find_terms(selector, typed) == wanted
    for typed in ("tench, Tinca tinc", "c,d", "4", "-1", "1.0", "a,nothing"):
        with pytest.raises(HiergenError):
            find_terms(selector, [typed])


N3HL = ("toycommand_n3hl", "--weights", "N3HL.safetensors")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*N3HL, "--classes", "tabbi"), "no class or group 'tabbi'; nearest: tabby"),
        ((*N3HL, "--except", "pug,9"), "no class has the index 9; expected 0..8; or name the class"),
        (N3HL, "no classes named; expected --classes or --except"),
        (
            (*N3HL, "--classes", ","),
            EMPTY,
        ),
        (
            (*N3HL, "--except", " "),
            EMPTY,
        ),
        (
            (*N3HL, "--classes", "pug", "--except", "dog"),
            "no class is left; expected at least one that --except does not name",
        ),
        (
            (*N3HL, "--classes", 'cat & dog,odd "ones",rest'),
            "all 9 classes are kept: that is the full network; expected fewer classes; use it as it is",
        ),
        (
            ("toycommand_n3hl", "--classes", "pug"),
            "no weights for N3HL; expected --weights FILE.safetensors; --untrained cuts a network of random ones",
        ),
        (
            (*N3HL, "--classes", "pug", "--untrained"),
            "weights are given, and none are wanted; expected --weights or --untrained",
        ),
        (
            (*N3HL, "--classes", "pug", "--name", "a b"),
            "a network cannot be called 'a b'; expected a letter, then letters, ",
        ),
        (
            (*N3HL, "--classes", "pug", "--name", "class"),
            "a network cannot be called 'class'; 'class' is a Python keyword",
        ),
        (
            (*N3HL, "--classes", "pug", "--name", "Nest"),
            "a network cannot be called 'Nest'; expected a Python name that is ",
        ),
        (
            (*N3HL, "--classes", "pug", "--name", "a-b"),
            "a network cannot be called 'a-b'; expected a Python name that is ",
        ),
        (("toycommand_n3h", "--classes", "pug"), "no model 'toycommand_n3h'; nearest: toycommand_n3hl, "),
        (
            ("toycommand_n3hl", "--weights", "N2HL.safetensors", "--classes", "pug"),
            "N2HL.safetensors: are weights of another taxonomy; expected ",
        ),
        (
            ("toycommand_n3hl", "--weights", "N4HL.safetensors", "--classes", "pug"),
            "N4HL.safetensors: no such file; nearest: N",
        ),
    ],
)
def test_bad_input_is_one_sentence(arguments: tuple[str, ...], message: str, out: Path, hiergen: Run) -> None:
    ran = hiergen("cutout", *arguments, "-o", out / "a" / "b")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {message}")
    assert ran.err.count("\n") == 1
    assert not out.exists()
    assert parts(out.parent) == []


def test_weights_that_are_no_numbers_prove_nothing(out: Path) -> None:
    network = load_network("toycommand_n3hl", "N3HL.safetensors")
    with torch.no_grad():
        network.head.bias[0] = float("nan")
    save_weights(network, out.parent / "nan.safetensors")
    with pytest.raises(HiergenError, match=r"not finite on random images, so nothing can be proved; check the weights"):
        cutout("toycommand_n3hl", out, classes=["tabby"], weights=out.parent / "nan.safetensors")
    assert not out.exists()


def test_the_proof_sees_any_weight_and_names_rounding_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    full = load_network("toycommand_n3hl", "N3HL.safetensors")
    part = cut(full, [0, 3, 6])
    full.set_lowering("loop")
    part.set_lowering("matmul")
    equal, as_run = _proof(full, part)
    assert equal == 0 < as_run < 1e-3
    names = [name for name, _ in part.named_parameters()]
    for name in (names[0], *(n for n in names if "level3" in n), "head.bias"):  # the first shows on images only
        wrong = copy.deepcopy(part)
        tensor = dict(wrong.named_parameters())[name]
        with torch.no_grad():
            tensor[-1] *= 1.5
        assert min(_proof(full, wrong)) > 1e-5, name  # of the part as it is: 0
    for found in ([0.0, float("nan")], [float("inf"), 0.0]):
        monkeypatch.setattr(hiergen.models.cutout, "difference", lambda *_, found=found, **__: found.pop())
        with pytest.raises(HiergenError, match="logits are not finite"):
            _proof(full, part)


def test_untrained_takes_no_weights_of_the_folder_either(out: Path) -> None:
    first = cutout("toycommand_n3hl", out, classes=["0", "3", "6"], weights="N3HL.safetensors")
    again = out.parent / "again"
    cutout(out, again, classes=["0", "1"], untrained=True)
    assert read_weights(again / "model.safetensors").provenance.source_weights is None
    taken, random = (dict(load_network(folder).state_dict()) for folder in (first.folder, again))
    assert not torch.equal(taken["head.weight"][:2], random["head.weight"])


def test_weights_that_are_given_go_before_those_of_the_folder(out: Path) -> None:
    cutout("toycommand_n3hl", out, classes=["0", "3", "6"], weights="N3HL.safetensors")
    other = out.parent / "other.safetensors"
    save_weights(scrambled(load_network(out), seed=1), other)
    cutout(out, out.parent / "again", classes=["0", "1"], weights=other)
    again = read_weights(out.parent / "again/model.safetensors")
    assert again.provenance.source_weights == read_weights(other).sha256


def test_the_written_files_work_in_a_fresh_process(out: Path, hiergen: Run) -> None:
    assert hiergen("cutout", *N3HL, "--classes", "pug,tabby", "-o", out).code == 0
    code = (
        "import sys, torch; sys.path.insert(0, sys.argv[1]); import model, safetensors.torch;"
        "weights = safetensors.torch.load_file(sys.argv[1] + '/model.safetensors');"
        "net = model.N3HLCutout(); net.load_state_dict(weights);"
        "print(net.eval()(torch.ones(1, 3, 32, 32)).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, text=True, check=True)
    with torch.no_grad():
        want = load_network("toycommand_n3hl", "N3HL.safetensors")(torch.ones(1, 3, 32, 32))[:, [0, 6]]
    torch.testing.assert_close(torch.tensor(ast.literal_eval(done.stdout)), want, atol=1e-5, rtol=1e-5)


def test_convert_command(out: Path, hiergen: Run) -> None:
    network = load_network("toycommand_n3hl", "N3HL.safetensors")
    out.mkdir()
    torch.save({"state_dict": network.state_dict(), "epoch": 3}, out / "c.pth")
    refused = hiergen("cutout", "toycommand_n3hl", "--weights", out / "c.pth", "--classes", "pug", "-o", out / "x")
    command = refused.err.rpartition("hiergen convert ")[2].split()
    assert command == [str(out / "c.pth"), "-o", str(out / "c.safetensors")]
    ran = hiergen("convert", *command)
    count, params = len(network.state_dict()), sum(t.numel() for t in network.state_dict().values())
    assert ran.out == f"{command[0]} → {command[2]}: its 'state_dict', {count} tensors, {params:,} values\n"
    load_weights(scrambled(network, seed=4), command[2])
    ran = hiergen("convert", out / "nothing_like.it", "-o", out / "d.safetensors")
    assert (ran.code, ran.err) == (2, f"error: {out / 'nothing_like.it'}: no such file\n")


@pytest.mark.filterwarnings("ignore:Overwriting both_cutout:UserWarning")
def test_it_says_whose_logits_a_cutout_keeps_and_where_it_saves_nothing(
    tmp_path: Path, hiergen: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a network that answers as its flat branch, while the cutout is a slice of the branch for all classes."""
    monkeypatch.chdir(tmp_path)
    model = "Both: {trunk: {backbone: mobilenetv2_050, until: blocks.2}, input_size: 32, generalist: both, levels: 2, "
    model += "budget: {params: 1500k}}"
    groups = "groups: {bird: [hen, goose], pet: [cat, dog]}"
    Path("t.yaml").write_text(f"name: t\nclasses: [cat, dog, hen, goose]\nsources: [{groups}]\nmodels: {{{model}}}")
    network = scrambled(find_model("t.yaml:Both").cls()).eval()
    printed = {}
    for form in ("flat", "generalist"):
        network.form, network.choice = form, {"bird": "generalist", "pet": "generalist"}
        save_weights(network, f"{form}.safetensors")
        ran = hiergen("cutout", "t.yaml:Both", "--weights", f"{form}.safetensors", "--classes", "pet", "-o", form)
        assert ran.code == 0, ran.err
        part, x = load_network(form), torch.randn(2, 3, 32, 32)
        network.form = "generalist"
        torch.testing.assert_close(part(x), network(x)[:, :2])
        printed[form] = ran.out
    assert "full network's kept logits in the form generalist: 0 (" in printed["flat"]
    assert "the network itself answers as flat, with other logits" in printed["flat"]
    assert "a slice of" not in printed["flat"]
    assert "a slice of one branch for all classes: as large and as fast as the whole network" in printed["generalist"]
    assert "full network's kept logits: 0 (" in printed["generalist"]
