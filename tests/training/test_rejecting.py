"""None of these: thresholds, temperatures and figures against counting, and what files keep of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor

import hiergen as public
from hiergen.errors import HiergenError
from hiergen.models.load import load_network
from hiergen.models.weightsfile import read_weights, write_tensors
from hiergen.nn.rejection import Rejection
from hiergen.training.rejecting import fit_rejection, score_rejection
from hiergen.training.run import Trained, train
from tests.training.own_images import PLAIN

Hiergen = Callable[..., Any]


@pytest.fixture
def answers() -> tuple[Tensor, Tensor, Tensor]:
    """Overconfident logits of own images, their targets, and logits of others."""
    draw = torch.Generator().manual_seed(3)
    targets = torch.randint(4, (203,), generator=draw)
    own = 6 * (torch.randn(203, 4, generator=draw) + 1.2 * torch.nn.functional.one_hot(targets, 4))
    return own, targets, 6 * torch.randn(77, 4, generator=draw)


def test_threshold_keeps_its_share_and_no_higher_one_does(answers: tuple[Tensor, Tensor, Tensor]) -> None:
    own, targets, _ = answers
    for kept in (0.01, 0.5, 0.95, 1.0):
        found = fit_rejection(own, targets, kept)
        largest = sorted((max(row) for row in own.tolist()), reverse=True)
        accepted = sum(value >= found.threshold for value in largest)
        assert accepted >= kept * 203 > sum(value > found.threshold for value in largest)
        assert int(found.accepts(own).sum()) == accepted


def test_temperature_is_that_of_the_least_nll(answers: tuple[Tensor, Tensor, Tensor]) -> None:
    own, targets, _ = answers
    found = fit_rejection(own, targets).temperature

    def nll(temperature: float) -> float:
        logs = (own.double() / temperature).log_softmax(1)
        guess = -float(logs.mean())  # an image more, of any class: one of the mean image, as it were
        return guess - sum(float(logs[i, int(c)]) for i, c in enumerate(targets))

    assert found > 2  # they were made so
    assert nll(found) <= min(nll(1 + 0.02 * step) for step in range(1000)) + 1e-9
    assert fit_rejection(own[:, :1], torch.zeros_like(targets)).temperature == 1


def test_figures_by_counting(answers: tuple[Tensor, Tensor, Tensor]) -> None:
    own, targets, others = answers
    others[:5] = own[:5]  # ties
    found = fit_rejection(own, targets)
    score = score_rejection(own, targets, others, found)
    a, b = ([max(row) for row in rows.tolist()] for rows in (own, others))
    pairs = [(x > y) + 0.5 * (x == y) for x in a for y in b]
    assert score.auroc == pytest.approx(sum(pairs) / len(pairs))
    assert score.fpr == score.accepted_others == sum(y >= found.threshold for y in b) / 77
    assert score.accepted == sum(x >= found.threshold for x in a) / 203
    assert score.ece_tempered is not None
    assert score.ece_tempered < score.ece
    edge = torch.full((1, own.shape[1]), found.threshold, dtype=torch.double)  # as `accepts` has it
    assert score_rejection(own.double(), targets, edge, found).accepted_others == float(found.accepts(edge)) == 1
    alone = score_rejection(own, targets)
    assert (alone.auroc, alone.fpr, alone.accepted, alone.ece) == (None, None, None, score.ece)
    # of other images the threshold and the figure at 95 % kept part
    moved = score_rejection(own - 9, targets, others, found)
    assert moved.accepted == sum(x - 9 >= found.threshold for x in a) / 203 < 0.95
    assert moved.fpr is not None
    assert moved.fpr > score.fpr == moved.accepted_others


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"threshold": float("nan")}, "the threshold of a rejection cannot be nan; expected a finite number"),
        ({"threshold": "1"}, "the threshold of a rejection cannot be '1'; expected a finite number"),
        ({"temperature": 0.0}, "the temperature of a rejection cannot be 0.0; expected a finite number above 0"),
        ({"kept": 1.5}, "the kept of a rejection cannot be 1.5; expected a share above 0, at most 1"),
        ({"score": "luck"}, "no score 'luck'; expected largest logit"),
    ],
)
def test_rejections_that_cannot_be(values: dict[str, Any], words: str) -> None:
    with pytest.raises(HiergenError) as error:
        Rejection(**{"threshold": 0.0, **values})
    assert str(error.value) == words


def test_logits_that_cannot_be_are_one_sentence() -> None:
    for call, words in (
        (lambda: Rejection(0.0).accepts(torch.zeros(3)), "scores are of logits; expected (B, classes), got (3,)"),
        (lambda: fit_rejection(torch.zeros(0, 3), torch.zeros(0)), "there are no images to fit a rejection on"),
        (lambda: fit_rejection(torch.full((1, 3), torch.nan), torch.zeros(1)), "logits are not finite; check the"),
    ):
        with pytest.raises(HiergenError) as error:
            call()
        assert str(error.value).startswith(words)


@pytest.fixture
def place(trained: Trained, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with own.py, best.safetensors of a training, images of its five classes, and a cutout "cold"."""
    for name in ("own.py", "other", "trained/best.safetensors"):
        source = home / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / source.name)
    monkeypatch.chdir(tmp_path)
    public.cutout("own.py:N2HL", "cold", classes="cold", weights="best.safetensors")
    return tmp_path


def test_a_cutout_gets_a_threshold_of_its_own(place: Path, hiergen: Hiergen) -> None:
    before = read_weights("cold/model.safetensors")
    done = hiergen("reject", "cold", "--data", "other", "--kept", 0.8, "--json")
    assert done.code == 0, done.err
    cutout, after = load_network("cold"), read_weights("cold/model.safetensors")
    assert all(torch.equal(after.tensors[name], tensor) for name, tensor in before.tensors.items())
    assert after.metadata.keys() - before.metadata.keys() == {"rejection"}
    assert after.provenance == before.provenance
    assert cutout.rejection is not None
    assert cutout.rejection == Rejection(**json.loads(done.out)["rejection"])

    # by hand: its three classes' images are its own, those of rust and sand are others
    images = public_images(place / "other", ("Night_Sky", "moss", "plum"))
    with torch.no_grad():
        largest = cutout(images).amax(1)
    assert len(largest) == 9
    assert cutout.rejection.threshold == pytest.approx(float(largest.sort(descending=True).values[7]), rel=1e-5)
    assert 7 <= int(cutout.rejection.accepts(cutout(images)).sum()) <= 8
    with torch.no_grad():
        strange = cutout.rejection.accepts(cutout(public_images(place / "other", ("rust", "sand"))))
    score = json.loads(done.out)["score"]
    assert (score["images"], score["others"]) == (9, 6)
    assert score["accepted_others"] == pytest.approx(float(strange.double().mean()))

    evaluated = hiergen("eval", "cold", "--data", "other", "--classes", "present", "--others", "other", "--json")
    assert evaluated.code == 0, evaluated.err
    assert json.loads(evaluated.out)["rejection"]["others"] == 6
    assert cutout.cutout(["moss"]).rejection is None
    assert cutout.rejection is not None


def public_images(folder: Path, names: tuple[str, ...]) -> Tensor:
    """Read without hiergen's own reading of folders; `own_images` are 32 × 32, the network's size."""
    from PIL import Image

    from hiergen.data.images import eval_transform

    transform = eval_transform(load_network("cold"))
    files = [file for name in names for file in sorted((folder / name).iterdir())]
    return torch.stack([transform(Image.open(file)) for file in files])


def test_eval_of_some_classes_takes_the_rest_for_others(place: Path, hiergen: Hiergen) -> None:
    sliced = hiergen("eval", "own.py:N2HL", "--weights", "best.safetensors", "--data", "other", "--classes", "cold",
                     "--others", "other", "--json")  # fmt: skip
    cutout = hiergen("eval", "cold", "--data", "other", "--classes", "present", "--others", "other", "--json")
    assert sliced.code == cutout.code == 0, sliced.err + cutout.err
    first, second = (json.loads(done.out)["rejection"] for done in (sliced, cutout))
    assert first == pytest.approx(second, abs=1e-5)
    text = hiergen("eval", "cold", "--data", "other", "--classes", "present", "--others", "other").out
    assert "AUROC" in text
    assert "FPR at 95% kept" in text


def test_what_reject_and_eval_refuse(place: Path, hiergen: Hiergen) -> None:
    before = read_weights("cold/model.safetensors").sha256
    for arguments, words in (
        (("reject", "own.py:N2HL", "--data", "other"), "no weights for N2HL; expected --weights FILE.safetensors"),
        (("reject", "cold", "--data", "other", "--kept", 2), "the kept of a rejection cannot be 2.0"),
        (("reject", "cold", "--data", "nowhere"), "no data 'nowhere'"),
        (("reject", "cold", "--data", "other", "--split", "test"), "--split 'test' is not known"),
        (
            ("reject", "own.py:N2HL", "--weights", "best.safetensors", "--data", "other", "--others", "other"),
            "other: every folder is one of the classes; expected images of other classes",
        ),
    ):
        done = hiergen(*arguments)
        assert (done.code, done.out) == (2, ""), done
        assert words in done.err
    assert read_weights("cold/model.safetensors").sha256 == before
    # of all classes there are no others, which is said
    done = hiergen("reject", "own.py:N2HL", "--weights", "best.safetensors", "--data", "other")
    assert done.code == 0
    assert "--others DATA measures" in done.out
    assert "AUROC" not in done.out


def test_exports_carry_it(place: Path, hiergen: Hiergen) -> None:
    assert hiergen("reject", "cold", "--data", "other").code == 0
    want = load_network("cold").rejection
    assert want is not None
    for kind, file in (("onnx", "m.onnx"), ("plain", "p.py"), ("safetensors", "w.safetensors")):
        done = hiergen("export", "cold", "--format", kind, "-o", file)
        assert done.code == 0, done.err
    props = onnxruntime.InferenceSession("m.onnx").get_modelmeta().custom_metadata_map
    assert Rejection(**json.loads(props["rejection"])) == want
    space: dict[str, Any] = {"__name__": "p", "__file__": "p.py"}
    exec(compile(Path("p.py").read_text("utf-8"), "p.py", "exec"), space)
    assert (space["THRESHOLD"], space["TEMPERATURE"]) == (want.threshold, want.temperature)
    assert read_weights("w.safetensors").rejection == want


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"threshold": NaN, "temperature": 1, "kept": 1, "score": "x"}'])
def test_metadata_that_is_no_rejection_is_refused(place: Path, text: str) -> None:
    file = read_weights("cold/model.safetensors")
    write_tensors(file.tensors, file.path, {**file.metadata, "rejection": text})
    with pytest.raises(HiergenError, match="is corrupt: "):
        load_network("cold")


def test_a_form_or_a_training_leaves_it_behind(place: Path, home: Path, lean: None) -> None:
    settings = ["epochs=1", "batch_size=10", *PLAIN, "reject.kept=0.7"]
    done = train("own.py:N2HL", home / "images", val=home / "other", settings=settings, out="run")
    found = load_network("own.py:N2HL", "run/best.safetensors").rejection
    assert found is not None
    assert done.network.rejection == found
    images = public_images(home / "other", ("Night_Sky", "rust", "moss", "sand", "plum"))
    with torch.no_grad():
        largest = done.network(images).amax(1).sort(descending=True).values
    assert found.threshold == pytest.approx(float(largest[10]), rel=1e-5)  # 11 of 15 are the first to be 0.7 of them
    assert read_weights("run/last.safetensors").rejection is None
    again = ["epochs=1", "batch_size=10", *PLAIN]
    train("own.py:N2HL", home / "images", val=home / "other", settings=again, weights="run/best.safetensors", out="b")
    assert read_weights("b/best.safetensors").rejection is None
