"""The page as a file: its policy, what is inlined, its data, and the command."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from collections.abc import Callable
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from hiergen.codegen.build import build
from hiergen.errors import HiergenError
from hiergen.planning.from_taxonomy import plan_if_known
from hiergen.taxonomy.load import load_taxonomy
from hiergen.views.explore import document, explore
from hiergen.views.explore.explore import OPTIONAL, SCRIPTS, as_json
from hiergen.views.explore.payload import payload
from hiergen.views.explore.read import read_source
from tests.helpers import printed_twice
from tests.views.page_cases import AWKWARD, EVIL, OTHER, data_of


@pytest.fixture
def awkward(write: Callable[..., Path]) -> Path:
    return write(AWKWARD, "awkward.yaml")


def test_the_policy_allows_what_is_there_and_nothing_else(awkward: Path, tmp_path: Path) -> None:
    html = explore([str(awkward)], tmp_path / "p.html").path.read_text("utf-8")
    policy = unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1])  # type: ignore[index]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split("; ")}
    assert rules["default-src"] == ["'none'"]
    assert rules["img-src"] == ["data:"]
    assert "unsafe" not in policy
    assert "connect-src" not in rules  # so that default-src holds

    def digests(tag: str) -> list[str]:
        texts = re.findall(rf"<{tag}>(.*?)</{tag}>", html, flags=re.S)
        return [f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'" for t in texts]

    assert digests("script") == rules["script-src"]
    assert digests("style") == rules["style-src"]
    assert len(rules["script-src"]) == len(SCRIPTS) - len(OPTIONAL) + 12
    markup = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", html, flags=re.S)
    assert not re.search(r"\son\w+=|\sstyle=|javascript:", markup)
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", markup)
    assert html.count("</script>") == len(rules["script-src"]) + 2  # data and licences: no name ended one early
    assert EVIL not in html


def test_data_survives_and_nothing_in_it_is_markup() -> None:
    text = {"a": "</script><!-- & \u2028\u2029 ]]>", "b": [1, None, "ä\ud800"]}
    made = as_json(text)
    assert not set("<>&\u2028\u2029") & set(made)
    assert json.loads(made) == {"a": text["a"], "b": [1, None, "ä?"]}
    with pytest.raises(ValueError, match="JSON"):
        as_json(float("nan"))


def test_same_input_same_bytes(awkward: Path) -> None:
    code = (
        "import sys, hashlib\n"
        "from hiergen.views.explore import document\n"
        "from hiergen.views.explore.payload import payload\n"
        "from hiergen.views.explore.read import read_source\n"
        "html = document(payload([read_source(sys.argv[1])]))\n"
        "print(hashlib.sha256(html.encode()).hexdigest())"
    )
    printed_twice(code, awkward)


def test_d3_is_as_it_was_published() -> None:
    folder = files("hiergen.views.explore").joinpath("vendor")
    rows = json.loads(folder.joinpath("manifest.json").read_text("utf-8"))["files"]
    named = {"manifest.json"}
    for row in rows:
        for file, digest in ((row["file"], row["sha256"]), (row["licence_file"], row["licence_sha256"])):
            assert hashlib.sha256(folder.joinpath(file).read_bytes()).hexdigest() == digest, file
            named.add(file)
        assert f"v{row['version']} " in folder.joinpath(row["file"]).read_text("utf-8")[:120]
        assert row["licence"] in ("ISC", "BSD-3-Clause")
    assert {entry.name for entry in folder.iterdir()} == named
    assert "d3-ease" in document(payload_of_two_classes())


def payload_of_two_classes() -> dict[str, Any]:
    return {"title": "x", "format": 1}


def test_every_script_of_the_page_is_used() -> None:
    folder = files("hiergen.views.explore").joinpath("page")
    assert {entry.name for entry in folder.iterdir()} == {*SCRIPTS, "page.css", "body.html"}


def test_pieces_of_the_costs_add_up_to_the_plans(awkward: Path) -> None:
    source, loaded = read_source(str(awkward)), load_taxonomy(awkward)
    data = payload([source])
    draw = random.Random(3)
    for entry in data["models"]:
        plan = plan_if_known(loaded, entry["name"])
        assert plan is not None
        pieces, nest = entry["plan"], data["nests"][entry["nest"]]
        for _ in range(20):
            kept = draw.sample(range(11), draw.randint(1, 10))
            branches = {nest["of"][c] for c in kept} if nest["of"] else set()
            counts = [len(kept)]
            for level in reversed(nest["levels"]):
                counts.insert(0, len(branches))
                branches = {level["parent"][b] for b in branches}
            for what, total in zip(("params", "macs"), plan.cutout_cost(frozenset(kept)), strict=True):
                parts = sum(n * level[what] for n, level in zip(counts, pieces["levels"], strict=True))
                assert pieces["trunk"][what] + parts + len(kept) * pieces["head"][what] == total


def test_the_second_is_put_into_the_order_of_the_first(awkward: Path, write: Callable[..., Path]) -> None:
    sources = [read_source(str(awkward)), read_source(str(write(OTHER, "other.yaml")))]
    data = payload(sources)
    for nest in data["nests"]:
        if not nest["levels"]:
            continue
        loaded = load_taxonomy(sources[nest["source"]].taxonomy.path)  # type: ignore[union-attr]
        groups = loaded.nesting_of(len(nest["levels"]) + 1).levels[-1].groups
        home = {loaded.classes[c].id: group.name for group in groups for c in group.classes}
        names = nest["levels"][-1]["name"]
        assert {c: names[g] for c, g in zip(data["classes"]["id"], nest["of"], strict=True)} == home
    assert data["start"] == [2, 5]


def test_what_is_known_of_a_node(write: Callable[..., Path]) -> None:
    text = (
        "name: x\nclasses: [n02123045, n02123597, n02110958, gizmo thing]\nunplaced: root\n"
        "sources: [{groups: {odd: [gizmo thing, n02110958]}}, wordnet]\n"
        "models: {N2HL: {trunk: {backbone: resnet50}}}\n"
    )
    data = payload([read_source(str(write(text)))])
    classes, (level,) = data["classes"], data["nests"][0]["levels"]
    assert classes["name"][:3] == ["tabby", "Siamese cat", "pug"]
    assert classes["synset"][0] == "tabby.n.01"
    assert classes["gloss"][0].startswith("a cat with a grey or tawny coat")
    at = level["name"].index("odd")
    assert level["origin"][at].startswith("groups (")
    cat = next(i for i, name in enumerate(level["name"]) if "cat" in name)
    assert level["wnid"][cat] == "n02121808"
    assert "domesticated" in level["gloss"][cat] or "house cat" in level["also"][cat]
    assert classes["origins"][classes["origin"][0]].startswith("wordnet")


def test_a_sense_that_the_file_gives_is_on_the_networks_page(write: Callable[..., Path]) -> None:
    text = "name: yard\nclasses: [crane, heron, dumper]\nsynsets: {crane: crane.n.05}\n"
    models = "models: {N2HL: {trunk: {backbone: resnet18}}}\nsources: [groups: {a: [crane, heron], b: [dumper]}]\n"
    file = write(text + models, "yard.yaml")
    build(file, file.with_suffix(".py"))
    assert payload([read_source(f"{file.with_suffix('.py')}:N2HL")])["classes"]["wnid"][0] == "n02012849"


def test_conflicts_name_the_groups_they_concern(write: Callable[..., Path]) -> None:
    text = (
        "name: x\nclasses: [a1, a2, b1, b2]\nsources:\n  - groups: {one: [a1, a2], two: [b1, b2]}\n"
        "  - groups: {three: [a2, b1], four: [a1, b2]}\nunplaced: root\nmodels: {N2HL: {trunk: {backbone: resnet50}}}\n"
    )
    data = payload([read_source(str(write(text)))])
    found = data["sources"][0]["conflicts"]
    assert found
    assert {name for c in found for name in c["names"]} == {"one", "two", "three", "four"}
    assert {c for one in found for c in one["classes"]} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.yaml"], "missing.yaml: no such file"),
        (["T", "-o", "page.txt"], "page.txt: the page is an HTML file; expected a path that ends in .html"),
        (["T:N9HL"], "no model 'N9HL'; expected one of PHL, N2HL, N3HL"),
        (["T", "SMALL"], "are over different classes: 9 only in the first"),
        (["T", "--results", "T"], "is no JSON file; expected the metrics.json"),
        (["T", "--results", "BAD"], "does not fit: 'classes.0.accuracy': "),
        (["T", "--results", "ALIEN"], "is of other classes: 'alien'; expected results of these classes"),
        (["T", "--results", "none.json"], "none.json: no such file"),
        (["T", "-o", "T/page.html"], "cannot be written"),
    ],
)
def test_bad_input_is_one_sentence(
    hiergen: Callable[..., Any], write: Callable[..., Path], tmp_path: Path, arguments: list[str], says: str
) -> None:
    made = {
        "T": write(AWKWARD, "t.yaml"),
        "SMALL": write(
            "name: small\nclasses: [tabby, pug]\nsources: [wordnet]\nmodels: {PHL: {trunk: {backbone: resnet50}}}\n",
            "s.yaml",
        ),
        "BAD": write('{"images": 1, "top1": 1, "classes": [{"id": "tabby", "images": 1, "accuracy": 3}]}', "bad.json"),
        "ALIEN": write('{"images": 1, "top1": 1, "classes": [{"id": "alien", "images": 1}]}', "alien.json"),
    }
    typed = [re.sub(r"^(T|SMALL|BAD|ALIEN)\b", lambda m: str(made[m[1]]), a) for a in arguments]
    if "-o" not in typed:
        typed += ["-o", str(tmp_path / "p.html")]
    ran = hiergen("explore", *typed)
    assert ran.code == 2
    assert says in ran.err
    assert len(ran.err.strip().splitlines()) == 1
    assert not list(tmp_path.glob("*.html"))


def test_the_command_says_what_it_wrote(hiergen: Callable[..., Any], awkward: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "p.html"
    ran = hiergen("explore", awkward, "-o", out)
    assert ran.code == 0
    assert "11 classes; PHL, N2HL, N3HL" in ran.out
    data = data_of(out.read_text("utf-8"))
    assert [m["name"] for m in data["models"]] == ["PHL", "N2HL", "N3HL"]
    assert data["models"][2]["reference"] == f"{awkward}:N3HL"
    assert [p.name for p in out.parent.iterdir()] == ["p.html"]  # nothing half-written stays


def test_two_models_of_one_name_are_told_apart(
    hiergen: Callable[..., Any], awkward: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    text = AWKWARD.replace("  N2HL:\n", "  N2HL:\n    input_size: 232\n")  # which nobody has measured
    Path("edited.yaml").write_text(text)
    Path("other.yaml").write_text(OTHER)
    out = hiergen("explore", awkward.name, "other.yaml").out
    assert "; awkward:PHL, awkward:N2HL, awkward:N3HL, other:PHL, other:N2HL, other:N3HL; " in out
    out = hiergen("explore", f"{awkward.name}:N2HL", "edited.yaml:N2HL").out
    assert "; awkward.yaml:N2HL, edited.yaml:N2HL; " in out
    assert re.search(r"^edited.yaml:N2HL: .* was never measured here; run 'hiergen build edited.yaml' once$", out, re.M)


def test_a_page_begins_with_the_model_that_was_trained(
    awkward: Path, write: Callable[..., Path], tmp_path: Path
) -> None:
    def weights(name: str, metadata: dict[str, str] | None) -> str:
        save_file({"w": np.zeros(1, np.float32)}, tmp_path / name, metadata)
        return str(tmp_path / name)

    def begun(files: int = 1, **given: Any) -> tuple[list[str], list[str]]:
        names = [str(awkward), str(write(OTHER, "other.yaml"))][:files]
        data = data_of(explore(names, tmp_path / "p.html", **given).path.read_text("utf-8"))
        models = data["models"]
        return [models[i]["name"] for i in data["start"]], [m["name"] for m in models if "other_weights" in m]

    assert begun() == (["N3HL"], [])
    ours = weights("ours.safetensors", {"model": "N2HL"})
    assert begun(weights=ours) == (["N2HL"], ["PHL", "N3HL"])
    assert begun(2, weights=ours) == (["N2HL", "N2HL"], ["PHL", "N3HL", "PHL", "N3HL"])
    # weights that are not here, or do not say whose of these they are, may be anyone's
    (tmp_path / "damaged.safetensors").write_bytes(b"\x08" + 7 * b"\0" + b"[[[[[[[[")
    other = weights("other.safetensors", {"model": "N7HL"})
    for file in ("absent.safetensors", "damaged.safetensors", weights("bare.safetensors", None), other):
        assert begun(weights=str(tmp_path / file)) == (["N3HL"], [])
    # results are told by the groups of one nesting
    (level,) = next(nesting for nesting in read_source(str(awkward)).nestings if len(nesting.levels) == 1).levels
    groups = [{"level": 1, "path": [group.name], "images": 1, "recall": 1} for group in level.groups]
    rows = [{"id": "tabby", "images": 1, "accuracy": 1}]
    (tmp_path / "m.json").write_text(json.dumps({"images": 1, "top1": 1, "classes": rows, "groups": groups}))
    assert begun(results=tmp_path / "m.json") == (["N2HL"], [])


def test_a_page_is_of_one_or_two(awkward: Path) -> None:
    with pytest.raises(HiergenError, match="one taxonomy or model, or two"):
        explore([str(awkward)] * 3)
