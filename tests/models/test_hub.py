"""Networks in folders and repositories as Hugging Face has them: the same logits, and no code is run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
import yaml
from toy_networks import built_toy, scrambled

import hiergen
from hiergen.models import hub
from hiergen.models.load import find_model
from hiergen.nn import HierarchicalNetwork
from tests.helpers import message

GENERALIST = """
  Both:
    trunk: {backbone: mobilenetv2_050, until: blocks.4}
    input_size: 32
    generalist: both
    levels: 2
    budget: {params: 3M}
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_toy(tmp_path_factory.mktemp("hub"), "toyhub")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> HierarchicalNetwork:
    folder = tmp_path_factory.mktemp("both")
    names = {"bird": ["hen", "goose"], "pet": ["cat", "dog"]}
    text = (
        f"name: toyboth\nclasses: [cat, dog, hen, goose]\nsources: [groups: {json.dumps(names)}]\nmodels:{GENERALIST}"
    )
    (folder / "t.yaml").write_text(text)
    return scrambled(find_model(f"{folder}/t.yaml:Both").cls()).eval()


def same(network: HierarchicalNetwork, folder: Path) -> None:
    network.save_pretrained(folder)
    again = HierarchicalNetwork.from_pretrained(folder)
    x = torch.rand(2, *network.trunk.input_size)
    with torch.no_grad():
        torch.testing.assert_close(again(x), network(x), atol=0, rtol=0)
    assert not again.training
    assert (again.form, again.classes, again.taxonomy) == (network.form, network.classes, network.taxonomy)
    assert again.nesting.labels == network.nesting.labels
    assert str(again.preprocess) == str(network.preprocess)
    torch.testing.assert_close(dict(again.state_dict()), dict(network.state_dict()), atol=0, rtol=0)
    some = [0, network.num_classes - 1]
    with torch.no_grad():
        torch.testing.assert_close(again.cutout(some)(x), network.cutout(some)(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["PHL", "N2HL", "N3HL", "OneBranch"])
def test_a_folder_gives_the_network_back(source: Path, name: str, tmp_path: Path, hiergen: Callable[..., Any]) -> None:
    network = scrambled(find_model(f"{source}:{name}").cls()).eval()
    same(network, tmp_path / "whole")
    same(network.cutout([0, 3, 6, 7]), tmp_path / "part")
    generated = type(network).from_pretrained(tmp_path / "whole")
    assert type(generated) is type(network)
    torch.testing.assert_close(dict(generated.state_dict()), dict(network.state_dict()), atol=0, rtol=0)
    ran = hiergen("cutout", tmp_path / "whole", "--classes", "dog", "-o", tmp_path / "dogs")  # a model for all commands
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("form", ["specialists", "generalist", "both", "flat"])
def test_every_form(both: HierarchicalNetwork, form: Any, tmp_path: Path) -> None:
    both.form = form
    with torch.no_grad():
        for branch in (both.generalist, both.flat):
            branch.gains.fill_(0.7)  # type: ignore[union-attr]
    same(both, tmp_path / "whole")
    same(both.cutout(["cat", "hen", "goose"]), tmp_path / "part")


def test_classes_transform_and_card(source: Path, tmp_path: Path) -> None:
    network = find_model(f"{source}:N2HL").cls()
    network.save_pretrained(tmp_path / "a")
    config = json.loads((tmp_path / "a/config.json").read_text("utf-8"))
    assert list(config["id2label"].values()) == list(network.nesting.labels)
    want = network.pretrained_cfg
    assert config["transform"]["mean"] == list(want["mean"])
    assert config["transform"]["input_size"] == [3, 32, 32]
    _, head, text = (tmp_path / "a/README.md").read_text("utf-8").split("---\n", 2)
    front = yaml.safe_load(head)
    assert (front["library_name"], front["pipeline_tag"]) == ("hiergen", "image-classification")
    assert "license" not in front  # nobody said one
    assert (
        "- cat & dog: pug, beagle, tabby".replace("&", "&amp;") in text or "- cat &amp; dog: tabby, pug, beagle" in text
    )
    assert f"hiergen.from_pretrained({str(tmp_path / 'a')!r})" in text
    mine = "---\nlicense: mit\n---\n# Mine\n\n![tree](tree.svg) ![other](../secret.svg) ![gone](gone.png)\n"
    (tmp_path / "card.md").write_text(mine)
    (tmp_path / "tree.svg").write_text("<svg/>")
    network.save_pretrained(tmp_path / "b", card=tmp_path / "card.md")
    assert (tmp_path / "b/README.md").read_text() == mine
    names = ["README.md", "config.json", "model.py", "model.safetensors", "tree.svg"]
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == names


def test_no_code_of_a_folder_is_run(source: Path, tmp_path: Path) -> None:
    find_model(f"{source}:N2HL").cls().save_pretrained(tmp_path / "a")
    (tmp_path / "a/model.py").write_text("raise SystemExit(7)")
    assert hiergen.from_pretrained(tmp_path / "a").num_classes == 9


class Api:
    """A hub in a folder."""

    home: Path

    def __init__(self, token: str | None = None) -> None: ...

    def create_repo(self, repo_id: str, **_: Any) -> Any:
        (self.home / repo_id).mkdir(parents=True)
        return type("Url", (), {"repo_id": repo_id})

    def upload_folder(self, repo_id: str, folder_path: Path, **_: Any) -> str:
        shutil.copytree(folder_path, self.home / repo_id, dirs_exist_ok=True)
        return f"hub/{repo_id}"


def test_there_and_back_through_the_mixin(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Api.home = tmp_path

    def download(repo_id: str, filename: str, **_: Any) -> str:
        return str(tmp_path / repo_id / filename)

    monkeypatch.setattr(huggingface_hub.hub_mixin, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub.hub_mixin, "hf_hub_download", download)
    monkeypatch.setattr(hub, "hf_hub_download", download)
    network = scrambled(find_model(f"{source}:N3HL").cls()).eval()
    assert network.push_to_hub("me/toys") == "hub/me/toys"
    assert "from_pretrained('me/toys')" in (tmp_path / "me/toys/README.md").read_text("utf-8")
    again = hiergen.from_pretrained("me/toys")
    torch.testing.assert_close(dict(again.state_dict()), dict(network.state_dict()), atol=0, rtol=0)


def test_what_is_refused(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a"
    network = find_model(f"{source}:N2HL").cls()
    network.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))

    def said(change: Callable[[dict[str, Any]], object]) -> str:
        changed = json.loads(json.dumps(config))
        change(changed)
        (folder / "config.json").write_text(json.dumps(changed))
        return message(lambda: hiergen.from_pretrained(folder))

    assert "holds no network of hiergen; expected a config.json with a plan" in said(lambda c: c.pop("plan"))
    assert "holds no plan of a network" in said(lambda c: c["plan"].pop("trunk"))
    assert "timm has no model 'evil'" in said(lambda c: c["plan"]["trunk"].update(backbone="evil"))
    assert "weights of another taxonomy" in said(lambda c: c["plan"]["nesting"]["classes"].reverse())
    assert "holds a plan that cannot be: HierarchicalNetwork: level 2" in said(
        lambda c: c["plan"]["levels"][1].update(parents=[99] * 9)
    )
    assert "are weights of another" in message(lambda: find_model(f"{source}:PHL").cls.from_pretrained(folder))
    (folder / "config.json").write_text("{")
    assert "cannot be read; got JSONDecodeError" in message(lambda: hiergen.from_pretrained(folder))
    (folder / "config.json").unlink()
    assert "holds no network of hiergen" in message(lambda: hiergen.from_pretrained(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert "'me/toys' cannot be read; got " in message(lambda: hiergen.from_pretrained("me/toys"))
    assert "'../x' cannot be read; got HFValidationError" in message(lambda: hiergen.from_pretrained("../x"))
    assert "'me/toys' could not be sent; got " in message(lambda: network.push_to_hub("me/toys"))
    (tmp_path / "file").write_text("")
    assert "could not be written" in message(lambda: network.save_pretrained(tmp_path / "file"))
