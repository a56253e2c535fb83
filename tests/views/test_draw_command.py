"""`hiergen draw` through the real command line."""

from __future__ import annotations

import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ran
from drawn import nodes, parsed
from PIL import Image
from toy_networks import MODELS, built_toy, toy_home

Run = Callable[..., Ran]
ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "taxonomies/digits.yaml"


def test_files_models_and_defaults(hiergen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hiergen("draw", DIGITS) == Ran(0, "→ digits-tree.svg\n", "")
    groups = [n["name"] for n in nodes(parsed(Path("digits-tree.svg").read_text("utf-8"))) if "class" not in n]
    assert groups == ["even", "looped", "loopless", "odd", "angular", "round"]
    assert hiergen("draw", DIGITS, "--architecture", "--model", "N2HL").code == 0
    by_file = Path("digits-architecture.svg").read_text("utf-8")
    assert hiergen("draw", f"{ROOT}/generated/digits.py:N2HL", "-o", "b.svg").code == 0
    assert Path("b.svg").read_text("utf-8") == by_file  # the plan of the file is the plan of the network
    assert hiergen("draw", f"{DIGITS}:N2HL", "--architecture", "-o", "d.svg").code == 0
    assert Path("d.svg").read_text("utf-8") == by_file
    twice = hiergen("draw", f"{DIGITS}:N2HL", "--model", "N3HL", "-o", "e.svg")
    assert (twice.code, "two models are named" in twice.err, Path("e.svg").exists()) == (2, True, False)
    assert hiergen("draw", DIGITS, "--class", "seven", "--classes", "odd", "--except", "9", "-o", "c.svg").code == 0
    text = Path("c.svg").read_text("utf-8")
    assert text.count("cutbox") > 2
    assert "hotbox" in text


def test_a_png_is_as_large_as_asked_for(hiergen: Run, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    sizes = []
    for scale in ("1", "2"):
        out = tmp_path / f"{scale}.png"
        assert hiergen("draw", DIGITS, "-o", out, "--scale", scale).code == 0
        with Image.open(out) as image:
            image.load()
            sizes.append(image.size)
            assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)
    assert sizes[1] == (2 * sizes[0][0], 2 * sizes[0][1])
    out = tmp_path / "dark.png"
    assert hiergen("draw", DIGITS, "-o", out, "--theme", "dark").code == 0
    with Image.open(out) as image:
        assert image.convert("RGB").getpixel((2, 2)) == (13, 17, 23)


BAD = [
    (("--class", "sevn"), "no class or group 'sevn'; nearest: seven"),
    (("--classes", "oddd"), "no class or group 'oddd'; nearest: odd"),
    (("--classes", "odd", "--except", "odd"), "no class is left"),
    (("-o", "x.gif"), "x.gif: is no name for a picture; expected one of .svg, .png"),
    (("-o", "x.svg", "--scale", "2"), "an SVG has no scale"),
    (("-o", "x.png", "--scale", "0"), "the scale cannot be; expected a number above 0"),
    (("-o", "x.png", "--scale", "99"), "cannot be drawn; expected a scale up to"),
    (("--tree", "--architecture"), "expected --tree or --architecture"),
    (("--merged", "--architecture"), "the merged tree has no architecture"),
    (("--architecture", "--layout", "radial"), "--layout is of a tree"),
    (("--model", "N2HLL"), "no model 'N2HLL'; expected one of PHL, N2HL, N3HL, PHL1branch; nearest: N2HL"),
    (("--branches", "odd"), "--branches needs an image; expected --image FILE"),
    (("--image", "x.png", "--tree"), "--tree does not go with --image"),
    (("--image", "x.png"), "an image needs a network"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD)
def test_bad_input_is_one_sentence(
    hiergen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = hiergen("draw", DIGITS, *arguments)
    assert ran.code == 2
    assert ran.err.startswith("error: ")
    assert sentence in ran.err
    assert ran.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(hiergen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    ran = hiergen("draw", DIGITS, "-o", tmp_path / "x.png")
    assert (ran.code, ran.err) == (
        2,
        "error: a PNG needs resvg-py; pip install 'hiergen[viz]', or write an .svg\n",
    )
    assert hiergen("draw", DIGITS, "-o", tmp_path / "x.svg").code == 0


def test_maps_of_an_image(hiergen: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = toy_home(tmp_path, "drawcommand", "N2HL")
    monkeypatch.chdir(home)
    Image.effect_noise((90, 70), 60).convert("RGB").save(home / "noise.png")
    model = "generated/drawcommand.py:N2HL"
    ran = hiergen("draw", model, "--weights", "N2HL.safetensors", "--image", "noise.png", "--overlay")
    assert ran == Ran(0, "→ noise-maps.png\n", "")
    ran = hiergen("draw", model, "--image", "noise.png", "-o", "m.svg", "--gain", "0=1.3")
    assert ran.code == 0
    assert "untrained weights" in ran.err
    assert "untrained weights" in (home / "m.svg").read_text("utf-8")
    for arguments, sentence in (
        (("--branches", "xqzzy"), "no class or group 'xqzzy'"),
        (("--gain", "0"), "--gain '0' is no gain"),
        (("--gain", "0=-1"), "cannot be; expected a finite number from 0 up"),
        (("-o", "m.gif"), "is no name for a picture"),
    ):
        ran = hiergen("draw", model, "--image", "noise.png", *arguments)
        assert ran.code == 2
        assert sentence in ran.err
    ran = hiergen("draw", model, "--image", "nose.png")
    assert "no such image file; nearest: noise.png" in ran.err


def test_a_real_photograph(hiergen: Run, tmp_path: Path, shared_data: Path) -> None:
    source = built_toy(tmp_path, "drawphoto")
    with tarfile.open(shared_data / "imagenet-1k-samples-256.tar") as tar:
        member = next(m for m in tar if "n02123045" in m.name and m.isfile())
        inside = tar.extractfile(member)
        assert inside is not None
        (tmp_path / "tabby.jpg").write_bytes(inside.read())
    out = tmp_path / "tabby.png"
    ran = hiergen("draw", f"{source}:{MODELS[1]}", "--image", tmp_path / "tabby.jpg", "--overlay", "-o", out)
    assert ran.code == 0
    with Image.open(out) as image:
        image.load()
        assert min(image.size) > 200


def test_two_nestings_side_by_side_are_another_command(hiergen: Run) -> None:
    ran = hiergen("draw", "A.yaml", "my B.yaml", "-o", "AB.svg")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: one thing is drawn at once; expected 'A.yaml', got 'my B.yaml' too; "
        "hiergen count-partitions A.yaml 'my B.yaml' --svg AB.svg draws nestings side by side\n"
    )
    assert "No such option" in hiergen("draw", DIGITS, "--trees").err
