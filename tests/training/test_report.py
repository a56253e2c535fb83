"""What a training leaves: figures by value, names that can do no harm, pictures as XML, nothing half-written."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shlex
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console

from hiergen.codegen.build import build
from hiergen.console.markdown import escaped, fenced
from hiergen.costs import cost
from hiergen.errors import HiergenError, OutputError
from hiergen.files import writable
from hiergen.lookup.choose import find_terms
from hiergen.models.load import find_model
from hiergen.models.weights import save_weights
from hiergen.nn.network import HierarchicalNetwork
from hiergen.training import model_card, report
from hiergen.training.hierarchy import Hierarchy
from hiergen.training.metrics import Metrics, evaluate
from hiergen.training.model_card import best_epoch, measured_cost, recipe_changes
from hiergen.training.recipe import load_recipe
from hiergen.training.report import cutout_example, draw_pictures, worst_pairs, write_report
from hiergen.training.runfolder import Request
from hiergen.views.plots import draw_confusion, draw_curves, draw_pairs
from tests.training.slow_trees import tree_of

SCRIPT = "<script>alert(1)</script>"
CLASSES = ["a|", SCRIPT, "`code` ```", "$x^2$", "[link](http://x.y)", "класс 鳥", "pug"]
SPEC = {
    "name": "toyreport",
    "classes": CLASSES,
    "sources": [{"groups": {"odd | group": CLASSES[:3], "<b>rest</b> & $more$": CLASSES[3:]}}],
    "models": {
        name: {
            "trunk": {"backbone": "test_resnet", "until": "layer1"},
            "input_size": 32,
            "branches": [[{"width": 4, "out": 8}]] * levels,
        }
        for name, levels in (("PHL", 1), ("N2HL", 2))
    },
}
# true → predicted, by hand: class 0 right twice and taken for class 4 once, …; class 6 has no images
SEEN = [(0, 0), (0, 0), (0, 4), (1, 1), (1, 2), (1, 2), (2, 2), (3, 3), (3, 3), (3, 3), (4, 0), (5, 5)]
DATA = {
    "training": "my|data/<i>images</i>",
    "validation": "my|data/val",
    "training_images": 1234,
    "validation_images": len(SEEN),
    "broken": ["a|b/`c`.jpg"],
    "fingerprint": "f00d" * 16,
}
FILES = {
    *("metrics.json", "classes.csv", "card.md", "architecture.svg", "tree.svg"),
    *("curves.png", "curves.svg", "confusion.png", "confusion.svg"),
    *("confusion-classes.png", "confusion-classes.svg"),
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    spec = folder / "toyreport.yaml"
    spec.write_text(yaml.safe_dump(SPEC, allow_unicode=True), "utf-8")
    return build(spec, folder / "toyreport.py").path


@pytest.fixture(scope="module", autouse=True)
def _counted() -> Iterator[None]:
    """No time is measured."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "measured_cost", lambda network, device: cost(network, time=False, memory=False))
        yield


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished training."""
    folder = tmp_path_factory.mktemp("whole")
    written(folder, source)
    return folder


def network_of(source: Path, name: str = "N2HL") -> HierarchicalNetwork:
    torch.manual_seed(0)
    return find_model(f"{source}:{name}").cls().eval()


def metrics_of(hierarchy: Hierarchy, pairs: list[tuple[int, int]]) -> Metrics:
    targets = torch.tensor([true for true, _ in pairs])
    logits = torch.zeros(len(pairs), len(hierarchy))
    logits[range(len(pairs)), [predicted for _, predicted in pairs]] = 3.0
    return evaluate(logits, targets, hierarchy)


def history_of(metrics: Metrics, scores: list[float]) -> list[dict[str, Any]]:
    return [
        {"epoch": float(i), "step": 7.0 * i, "lr": 0.01 / i, "train_loss": 2 / i, "images_per_s": 50.0}
        | {**metrics.summary(), "val_top1": score, "val_severity": None, "val_nll": None if i == 1 else 1.0}
        for i, score in enumerate(scores, 1)
    ]


def written(
    folder: Path, source: Path, *, name: str = "N2HL", scores: tuple[float, ...] = (0.1, 9 / 12), **changes: Any
) -> tuple[Metrics, str]:
    """The metrics, and what the console showed."""
    network = network_of(source, name)
    metrics = metrics_of(Hierarchy.of(network), SEEN)
    shown = io.StringIO()
    write_report(
        folder,
        network,
        metrics,
        history=history_of(metrics, list(scores)),
        recipe=load_recipe("quick", ["epochs=2", "optimizer.lr=0.02"]),
        request=Request(model=f"{source}:{name}", data="my|data", val="my|data/val", recipe="quick"),
        data={**DATA, **changes},
        console=Console(file=shown, width=100),
    )
    return metrics, shown.getvalue()


def texts(path: Path) -> list[str]:
    """All text of an SVG."""
    root = ET.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return ["".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")]


def outside_fences(card: str) -> str:
    return re.sub(r"^( *)(`{3,}).*?^\1\2$", "", card, flags=re.M | re.S)


def test_figures_are_those_of_the_metrics(whole: Path, source: Path) -> None:
    metrics = metrics_of(Hierarchy.of(network_of(source)), SEEN)
    text = (whole / "metrics.json").read_text("utf-8")
    saved = json.loads(text)
    assert text.endswith("}\n")
    assert list(saved) == list(metrics.to_dict())
    assert saved == metrics.to_dict()
    assert saved["top1"] == sum(a == b for a, b in SEEN) / len(SEEN)
    rows = list(csv.DictReader(io.StringIO((whole / "classes.csv").read_text("utf-8"))))
    assert [row["name"] for row in rows] == CLASSES
    for c, row in enumerate(rows):
        true = [predicted for t, predicted in SEEN if t == c]
        assert int(row["images"]) == len(true)
        assert row["accuracy"] == (str(true.count(c) / len(true)) if true else "")
        assert int(row["confused"]) == max(Counter(s for s in true if s != c).values(), default=0)
    assert {p.name for p in whole.iterdir()} == FILES


def test_the_card_names_what_it_is_of(whole: Path, source: Path) -> None:
    network = network_of(source)
    card = (whole / "card.md").read_text("utf-8")
    content = json.dumps({"classes": list(network.classes), "taxonomy": network.taxonomy}, separators=(",", ":"))
    assert hashlib.sha256(content.encode()).hexdigest() in card
    assert "2 → 7 branches in 2 levels, so that every class and group has features of its own." in card
    assert "| top-1 | 66.67 % |" in card  # 8 of 12
    assert "chosen on (2 of 2, by top-1)" in card
    assert "Top-1 was measured anew at the end: 66.67 %; epoch 2 had 75.00 %" in card
    assert "the standard error of top-1 is 13.61 percentage points" in card  # sqrt(8/12 * 4/12 / 12)
    assert "1 of 7 classes have no validation image" in card
    assert f"full N2HL | 7 | {sum(p.numel() for p in network.parameters()):,} |" in card
    assert "| optimizer.lr | 0.001 | 0.02 |" in card
    assert DATA["fingerprint"] in card
    assert yaml.safe_load(re.findall(r"```yaml\n(.*?)```", card, flags=re.S)[0])["optimizer"]["lr"] == 0.02
    assert "![curves.png](curves.png)" in card
    assert card.endswith("\n")


def test_names_do_no_harm_in_the_card(whole: Path) -> None:
    card = (whole / "card.md").read_text("utf-8")
    plain = outside_fences(card)
    assert "hiergen eval" not in plain  # the fences are found
    assert "<" not in plain.replace("<br>", "")
    assert "http://" not in plain
    assert "](" not in re.sub(r"!\[[\w-]+\.(?:png|svg)\]\([\w-]+\.(?:png|svg)\)", "", plain).replace("\\](", "")
    for name in CLASSES:
        assert escaped(name) in plain
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in plain
    assert "odd \\| group" in plain
    assert "my\\|data/&lt;i&gt;images&lt;/i&gt;: 1,234 images" in plain
    assert "a\\|b/\\`c\\`.jpg" in plain
    cells = 0
    for line in plain.splitlines():
        bars = len(re.findall(r"(?<!\\)\|", line.replace("\\\\", "")))
        if line.startswith("| ---"):
            cells = bars
        elif line.startswith("| ") and cells:
            assert bars == cells, line
        elif not line:
            cells = 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain name", "plain name"),
        ("a|b", "a\\|b"),
        ("<script>", "&lt;script&gt;"),
        ("a\nb\x00\u202e", "a\\\\nb\\\\x00\\\\u202e"),
        ("\\|", "\\\\\\|"),
        ("*_`~$[x]&", "\\*\\_\\`\\~\\$\\[x\\]&amp;"),
        ("https://www.x", "https:&#47;&#47;www&#46;x"),
    ],
)
def test_escaped(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_fences_hold_and_everything_can_be_written() -> None:
    assert fenced("a\n````\nb", "yaml") == ["`````yaml", "a", "````", "b", "`````"]
    assert fenced("a\n") == ["```", "a", "```"]
    assert writable("a\udcff鳥") == "a\\udcff鳥"


def test_svgs_are_xml_with_the_groups(whole: Path) -> None:
    shown = texts(whole / "confusion.svg")
    # by group: 3 + 3 + 1 images of the first, one of them taken for the other; 5 of the other, one taken for the first
    for name, images in (("odd | group", 7), ("<b>rest</b> & $more$", 5)):
        assert f"{name}  ({images})" in shown
        assert name in shown
    assert Counter(text for text in shown if text in {"86", "14", "80"}) == {"86": 1, "14": 1, "80": 2}  # one: an axis
    curves = texts(whole / "curves.svg")
    assert {"best: 2", "top-1", "level 1", "learning rate", "training"} <= set(curves)


def test_the_same_training_gives_the_same_bytes(tmp_path: Path, whole: Path, source: Path) -> None:
    written(tmp_path, source)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (whole / name).read_bytes(), name
    assert b"<dc:date>" not in (whole / "curves.svg").read_bytes()


def test_the_users_matplotlib_settings_change_nothing(tmp_path: Path) -> None:
    import matplotlib as mpl

    draw_pairs([("a", "b", 1, 2)], tmp_path / "a.svg", title="t")
    with mpl.rc_context({"svg.fonttype": "path", "font.size": 30, "axes.grid": True}):
        draw_pairs([("a", "b", 1, 2)], tmp_path / "b.svg", title="t")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "a → b" in texts(tmp_path / "a.svg")


@pytest.mark.parametrize("after", [0, 1, 3, 6])
def test_killed_in_between_leaves_only_whole_files(
    tmp_path: Path, whole: Path, source: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "card.md").write_text("the card before", "utf-8")
    real, done = os.replace, 0

    def replace(*paths: Any) -> None:
        nonlocal done
        if done == after:
            raise KeyboardInterrupt
        done += 1
        real(*paths)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        written(broken, source)
    names = {p.name for p in broken.iterdir()}
    assert names <= FILES
    assert len(names - {"card.md"}) == after
    assert (broken / "card.md").read_text("utf-8") == "the card before"
    for name in names - {"card.md"}:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name


def test_without_matplotlib_a_line_says_so(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name, name=name)

    monkeypatch.setattr("hiergen.views.plots.import_module", missing)
    _, shown = written(tmp_path, source)
    assert "no curves and confusions: pictures need matplotlib; pip install 'hiergen[viz]'" in shown
    assert {p.name for p in tmp_path.iterdir()} == {
        n for n in FILES if n.split(".")[0] not in ("curves", "confusion", "confusion-classes")
    }
    assert re.findall(r"!\[(.*?)\]", (tmp_path / "card.md").read_text("utf-8")) == ["architecture.svg", "tree.svg"]


def test_other_mistakes_of_pictures_are_not_swallowed(tmp_path: Path, source: Path) -> None:
    (tmp_path / "curves.png").mkdir()
    with pytest.raises(OutputError, match=r"curves\.png: is a directory"):
        written(tmp_path, source)


def test_a_cost_that_cannot_be_had_costs_no_card(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(network: HierarchicalNetwork, device: torch.device) -> Any:
        raise HiergenError("there is not enough memory to measure this")

    monkeypatch.setattr(report, "measured_cost", refused)
    _, shown = written(tmp_path, source)
    assert "no costs in the card: there is not enough memory" in shown
    assert f"hiergen cost {source}:N2HL" in (tmp_path / "card.md").read_text("utf-8")


def test_the_next_commands_run(tmp_path: Path, source: Path, hiergen: Callable[..., Any]) -> None:
    folder = tmp_path / "a folder"
    save_weights(network_of(source), folder / "best.safetensors")
    _, shown = written(folder, source)
    commands = [shlex.split(line) for line in shown.splitlines() if line.startswith("  hiergen")]
    assert [command[1] for command in commands] == ["predict", "eval", "cutout"]
    assert commands[1][2:] == [
        f"{source}:N2HL",
        *("--weights", str(folder / "best.safetensors")),
        *("--data", "my|data/val"),
    ]
    ran = hiergen(*commands[2][1:])
    assert ran.code == 0, ran.err
    assert (folder / "cutout" / "model.safetensors").is_file()
    assert "66.67 %" in shown
    assert "the best epoch (2 of 2) was chosen on" in shown


def test_held_out_images_are_not_named_as_a_test_set(tmp_path: Path, source: Path) -> None:
    _, shown = written(tmp_path, source, validation="10% of my|data, held out of training")
    assert "--data TEST_IMAGES\n" in shown


def test_one_epoch_and_one_level(tmp_path: Path, source: Path) -> None:
    written(tmp_path, source, name="PHL", scores=(8 / 12,))
    card = (tmp_path / "card.md").read_text("utf-8")
    assert "No epoch was chosen on the validation images" in card
    assert "measured anew" not in card
    shown = texts(tmp_path / "confusion.svg")
    assert {f"{name}  ({sum(t == c for t, _ in SEEN)})" for c, name in enumerate(CLASSES)} <= set(shown)
    assert any("grey: none" in text for text in shown)  # the last class has no images
    assert shown.count("67") == 2  # 2 of 3 right; 2 of 3 taken for the next class
    assert shown.count("33") == 2


def test_many_classes_are_drawn_as_pairs(tmp_path: Path) -> None:
    tree = tree_of({str(i): f"name {i % 999}" for i in range(1000)}, [str(i) for i in range(1000)])
    pairs = [(i, (7 * i) % 1000) for i in range(1000)] + [(0, 999)] * 3 + [(5, 4)] * 2
    metrics = metrics_of(tree, pairs)
    assert list(draw_pictures(tmp_path, metrics, [])) == ["confusion.png"]
    shown = texts(tmp_path / "confusion.svg")
    assert "name 0 0 → name 0 999" in shown  # two classes of one name are told apart
    assert " 3 of 4" in shown
    assert " 2 of 3" in shown
    assert sum("→" in text for text in shown) == 20


def test_several_levels_have_a_picture_each(tmp_path: Path) -> None:
    nested = {f"g{i}": {f"h{i}{j}": {f"c{i}{j}": "c"} for j in range(2)} for i in range(3)}
    tree = tree_of(nested, [f"c{i}{j}" for i in range(3) for j in range(2)])
    names = list(draw_pictures(tmp_path, metrics_of(tree, [(0, 1), (2, 2)]), []))
    assert names == ["confusion.png", "confusion-level2.png", "confusion-classes.png"]
    assert "g1  (1)" in texts(tmp_path / "confusion.svg")
    assert "h10  (1)" in texts(tmp_path / "confusion-level2.svg")


def test_classes_of_a_group_stand_side_by_side(tmp_path: Path) -> None:
    """Up to 60 of them, whatever their order."""
    tree = tree_of({"even": {"a": "a0", "c": "c2"}, "odd": {"b": "b1", "d": "d3"}}, list("abcd"))
    list(draw_pictures(tmp_path, metrics_of(tree, [(0, 0), (1, 3), (2, 2), (3, 3)]), []))
    shown = texts(tmp_path / "confusion-classes.svg")
    assert [text for text in shown if text in {"a0", "b1", "c2", "d3"}] == ["a0", "c2", "b1", "d3"]
    for classes, there in ((60, True), (61, False)):
        many = tree_of({f"g{j}": {f"c{i}": f"c{i}" for i in range(j, classes, 2)} for j in (0, 1)},
                       [f"c{i}" for i in range(classes)])  # fmt: skip
        names = list(draw_pictures(tmp_path, metrics_of(many, [(0, 1)]), []))
        assert ("confusion-classes.png" in names) == there


def test_worst_pairs_against_a_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    targets, predictions = torch.randint(0, 6, (2, 300), generator=generator)
    plain = Counter((int(t), int(p)) for t, p in zip(targets, predictions, strict=True) if t != p)
    expected = sorted(((t, p, n) for (t, p), n in plain.items()), key=lambda pair: (-pair[2], pair[:2]))
    assert worst_pairs(targets, predictions, 7) == expected[:7]
    assert worst_pairs(targets, targets, 7) == []


def test_pictures_of_any_names_and_numbers(tmp_path: Path) -> None:
    names = ["鳥 🐦", "a\x00\nb\udcff", "x" * 90 + "end", "$\\frac$"]
    draw_confusion([[3, 1, 0, 0], [0] * 4, [0, 0, 999, 1], [0, 0, 1, 199]], names, tmp_path / "c.svg", title="\x07$")
    shown = texts(tmp_path / "c.svg")
    assert {"鳥 🐦", "a\\x00\\nb\\udcff", "$\\frac$", "75", ">99", "<1"} <= set(shown)
    shortened = next(text for text in shown if text.startswith("xxx") and not text.endswith(")"))
    assert len(shortened) == 30
    assert shortened.endswith("end")
    draw_confusion([[3, 1, 0, 0]] * 4, names, tmp_path / "c.png", title="")
    draw_curves([1], {"training": [None]}, {}, [None], tmp_path / "k.png", tmp_path / "k.svg")
    draw_pairs([], tmp_path / "p.svg", title="none")
    assert "no mistakes" in texts(tmp_path / "p.svg")


def test_the_best_epoch_is_the_first_of_equals() -> None:
    rows = [{"epoch": float(i), "val_top1": score} for i, score in enumerate((0.2, 0.5, None, 0.5, 0.1), 1)]
    assert best_epoch(rows) == 2
    assert best_epoch([]) is None


def test_changes_of_a_recipe() -> None:
    assert recipe_changes(load_recipe("quick"), "quick") == []
    changed = load_recipe("quick", ["epochs=3", "augment.scale=[0.1, 0.2]", "ema=0.9"])
    assert recipe_changes(changed, "quick") == [
        ("epochs", 10, 3),
        ("augment.scale", [0.5, 1.0], [0.1, 0.2]),
        ("ema", None, 0.9),
    ]
    assert recipe_changes(changed, "my own") is None


def test_an_example_of_a_cutout_is_one(source: Path) -> None:
    for name in ("PHL", "N2HL"):
        network = network_of(source, name)
        example = cutout_example(network)
        assert example is not None
        kept = {i for classes in find_terms(network.selector, [example]).values() for i in classes}
        assert 0 < len(kept) < len(CLASSES)


def test_costs_are_measured_where_that_is_quick(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        network = type(network_of(source))()
    counted = cost(network, time=False, memory=False, rivals=False)
    card = measured_cost(network, torch.device("cpu"))
    assert [(row.kind, row.params, row.macs) for row in card.rows] == [
        (row.kind, row.params, row.macs) for row in counted.rows
    ]
    assert all(row.times[0].ms > 0 for row in card.rows)
    monkeypatch.setattr(model_card, "_SECONDS", 0.0)
    assert measured_cost(network, torch.device("cpu")) == counted
