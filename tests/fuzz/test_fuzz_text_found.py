"""What the fuzzing of texts and bytes has found, each with its smallest input."""

from __future__ import annotations

import importlib
import io
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from hiergen.errors import HiergenError, SpecError
from hiergen.models.weightsfile import read_weights
from hiergen.nestings.ask.cache import read_cache
from hiergen.nn.macs import count_macs
from hiergen.training.runfolder import recorded
from tests.conftest import Ran, Write
from tests.fuzz.entry import plain, sentence
from tests.fuzz.specimens import small_wordnet

Run = Callable[..., Ran]
START = "name: t\nmodels: {PHL: {}}\nunplaced: root\n"


def refused(ran: Ran, *words: str) -> None:
    assert ran.code == 2, ran
    assert ran.out == ""
    sentence(ran.err)
    plain(ran.err, "stderr")
    assert all(word in ran.err for word in words), ran.err


def test_an_image_folder_with_a_nul_in_its_path(hiergen: Run, write: Write) -> None:
    path = write(START + 'classes: {imagefolder: "a\\0b"}\n')
    refused(hiergen("show", path), "t.yaml:4", "image folder", "cannot be read (embedded null byte)")


@pytest.mark.parametrize(
    "text",
    [
        "classes: ~no-such-user/classes.txt",
        "classes: {imagefolder: ~no-such-user/images}",
        "classes: [cat, dog]\nsources: [wordnet: ~no-such-user/w]",
        "classes: [cat, dog]\nsources: [superclass-files: ~no-such-user/w]",
    ],
)
def test_a_path_in_the_home_of_nobody(hiergen: Run, write: Write, text: str) -> None:
    refused(hiergen("show", write(START + text)), "t.yaml:", "no such home directory")


def test_classes_of_an_import_in_the_home_of_nobody(hiergen: Run, write: Write) -> None:
    tree = write("(cat,dog);", "t.nwk")
    refused(hiergen("import", tree, "-o", tree.with_name("o.yaml"), "--classes", "~no-such-user/c"), "home directory")
    assert not tree.with_name("o.yaml").exists()


@pytest.mark.parametrize("source", ["wordnet", "superclass-files"])
def test_a_path_of_thousands_of_letters_is_not_repeated_whole(hiergen: Run, write: Write, source: str) -> None:
    path = write(START + f"classes: [cat, dog]\nsources: [{source}: {'x' * 5_000}]\n")
    ran = hiergen("show", path)
    refused(ran, "t.yaml:5", "File name too long")
    assert len(ran.err) < 600


def test_one_word_of_5000_letters_as_classes(hiergen: Run, write: Write) -> None:
    ran = hiergen("show", write(START + f"classes: {'x' * 5_000}\n"))
    refused(ran, "t.yaml:4", "no class list")
    assert len(ran.err) < 600


def test_an_array_whose_header_is_no_python_literal_of_its_kind(hiergen: Run, write: Write) -> None:
    out = io.BytesIO()
    np.save(out, np.array([["a", "b"], ["a", "c"]]))
    for old, new in ((b")", b" "), (b"'descr'", b"1234567")):
        path = write(out.getvalue().replace(old, new, 1), "t.npy")
        refused(hiergen("import", path, "-o", path.with_name("o.yaml")), "is no NumPy array of text or numbers")


@pytest.mark.parametrize("order", "<>")
def test_an_array_with_numbers_that_are_no_characters(hiergen: Run, write: Write, order: str) -> None:
    """Such texts can be made, and Python's own functions on them fail with a SystemError."""
    out = io.BytesIO()
    np.save(out, np.array([["a", "b"], ["a", "c"]]).astype(f"{order}U1"))
    good = out.getvalue()
    path = write(good, "t.npy")
    assert hiergen("import", path, "-o", path.with_name("o.yaml")).code == 0
    path.with_name("o.yaml").unlink()
    write(good[:-4] + (0x110000).to_bytes(4, "little" if order == "<" else "big"), "t.npy")
    refused(hiergen("import", path, "-o", path.with_name("o.yaml")), "t.npy: has labels that are no text")
    assert not path.with_name("o.yaml").exists()


@pytest.mark.parametrize("name", ["lexnames", "data.noun", "index.noun"])
def test_a_wordnet_that_is_not_utf8(hiergen: Run, write: Write, name: str) -> None:
    files = small_wordnet()
    at = files[name].index({"lexnames": b"noun", "data.noun": b"barks", "index.noun": b"cat"}[name])
    files[name] = files[name][:at] + b"\xe0" + files[name][at + 1 :]
    for other, raw in files.items():
        write(raw, f"w/{other}")
    line = files[name].count(b"\n", 0, at) + 1
    path = write(START + "classes: [cat, dog]\nsources: [wordnet: w]\n")
    refused(hiergen("show", path), "t.yaml:5", f"{name}:{line}: not UTF-8")


def test_a_confusion_that_no_float_holds(hiergen: Run, write: Write) -> None:
    classes = ["tabby", "pug", "beagle", "minivan"]
    table = [[10**400 if i == j else 1 for j in range(4)] for i in range(4)]
    counts = write(json.dumps({"classes": classes, "counts": table}), "c.json")
    path = write(START + f"classes: {classes}\n")
    ran = hiergen("suggest", path, "--by", "confusions", "--groups", "2", "--confusions", counts)
    refused(ran, "c.json", "is no count", "numbers from 0")


def test_a_checkpoint_of_the_old_format_with_a_wrong_storage(hiergen: Run, write: Write) -> None:
    out = io.BytesIO()
    torch.save({"w": torch.ones(2)}, out, _use_new_zipfile_serialization=False)
    raw = out.getvalue()
    number = max(re.findall(rb"[0-9]{6,}", raw), key=raw.rindex)  # by which the data is found at the file's end
    at = raw.rindex(number)
    path = write(raw[:at] + b"1" * len(number) + raw[at + len(number) :], "c.pth")
    refused(hiergen("convert", path, "-o", path.with_name("o.safetensors")), "is a truncated or corrupt checkpoint")
    path = write(raw, "c.pth")
    assert hiergen("convert", path, "-o", path.with_name("o.safetensors")).code == 0


@pytest.mark.parametrize("backbone", ["cait_xxs24_224", "pit_ti_224"])
def test_a_backbone_that_calls_a_layer_on_its_class_token(backbone: str) -> None:
    """PyTorch's FLOP counter failed on it."""
    with torch.device("meta"):
        model = timm.create_model(backbone).eval()
    macs = count_macs(model, torch.empty(1, 3, 224, 224, device="meta"))
    assert all(p.requires_grad for p in model.parameters())
    # Linear layers and convolutions, counted one by one.
    slow = 0

    def add(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal slow
        if isinstance(module, torch.nn.Linear):
            slow += output.numel() * module.in_features
        elif isinstance(module, torch.nn.Conv2d):
            slow += output.numel() * module.weight[0].numel()

    for module in model.modules():
        module.register_forward_hook(add)
    with torch.no_grad(), warnings.catch_warnings():
        model(torch.empty(1, 3, 224, 224, device="meta"))
    assert macs == slow


def test_a_wordnet_without_physical_entities(hiergen: Run, write: Write) -> None:
    """Plain names were looked up by a wnid of WordNet 3.0."""
    for name, raw in small_wordnet().items():
        write(raw, f"w/{name}")
    path = write(START + "classes: [cat, dog]\nsources: [wordnet: w]\n")
    ran = hiergen("show", path, "--merged")
    assert ran.code == 0, ran
    assert "cat, dog" in ran.out


@pytest.mark.parametrize(
    "words",
    [
        *(["export", "t.yaml", "-o", "w" * 5_000], ["train", "m.py", "--data", "d", "-o", "a" * 300]),
        ["suggest", "t.yaml", "--by", "random", "-o", "a" * 300 + ".yaml"],
        ["import", "t.nwk", "-o", "a" * 300 + ".yaml"],
    ],
    ids=lambda words: words[0],
)
def test_a_name_that_is_too_long_for_a_file(
    hiergen: Run, write: Write, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(START + "classes: [cat, dog, pug]\n")
    write("(cat,dog);", "t.nwk")
    monkeypatch.chdir(path.parent)
    refused(hiergen(*words), "file name too long")


def test_a_page_that_cannot_be_written_is_refused_before_it_is_measured(
    hiergen: Run, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: object, **__: object) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr(importlib.import_module("hiergen.views.explore.explore"), "measure", measure)
    model = "models: {PHL: {trunk: {backbone: resnet18, until: layer2}}}\n"
    path = write("name: t\nunplaced: root\nclasses: [cat, dog]\n" + model)
    for target in (path / "o.html", path.parent / ("a" * 300 + ".html"), Path("/dev/null/x/o.html")):
        refused(hiergen("explore", path, "--measure", "-o", target), "o.html" if target.stem == "o" else "too long")


def test_weights_that_are_not_here_are_said_to_be_so(hiergen: Run, write: Write) -> None:
    path = write(START + "classes: [cat, dog]\n")
    ran = hiergen("explore", path, "--weights", "absent.safetensors", "-o", path.with_name("o.html"))
    assert ran.code == 0
    assert "no file 'absent.safetensors' is here" in ran.out
    there = write(b"", "there.safetensors")
    assert "is here" not in hiergen("explore", path, "--weights", there, "-o", path.with_name("o.html")).out


@pytest.mark.parametrize("text", ["/", "/:N3HL", ".:N3HL", ":N3HL", "..:x"])
def test_the_root_folder_where_a_nesting_is_expected(hiergen: Run, text: str) -> None:
    refused(hiergen("count-partitions", text, "--digits"))


def test_half_of_a_surrogate_pair_in_a_file_of_answers(write: Write) -> None:
    """It was read, and what was paid for since could not be saved."""
    entry = {"item": "pug", "question": "0123456789abcdef", "answer": "\ud800", "by": "m"}
    path = write(json.dumps({"version": 1, "answers": [entry]}), "a.json")
    with pytest.raises(SpecError, match=r"a.json:1: this answer is damaged: 'answer': .*half of a surrogate pair"):
        read_cache(path)


@pytest.mark.parametrize("end", ["1e999", "-1e999", "NaN"])
def test_a_header_of_weights_whose_numbers_have_no_end(write: Write, end: str) -> None:
    head = f'{{"a": {{"dtype": "F32", "shape": [1], "data_offsets": [0, {end}]}}}}'.encode()
    path = write(len(head).to_bytes(8, "little") + head + bytes(4), "w.safetensors")
    with pytest.raises(HiergenError, match=r"w\.safetensors: is corrupt"):
        read_weights(path)


def test_an_unknown_key_of_a_run_is_shown_not_obeyed(tmp_path: Path) -> None:
    """In the exception itself too, which is not only printed by the command line."""
    (tmp_path / "run.json").write_text(json.dumps({"model": "a.py:B", "data": "digits", "\u202eabc": 1}), "utf-8")
    with pytest.raises(HiergenError, match=r"run\.json: cannot be read: '.*abc': extra inputs") as caught:
        recorded(tmp_path)
    plain(str(caught.value), "the error")
    (tmp_path / "run.json").write_text("[]", "utf-8")
    with pytest.raises(HiergenError, match=r"run\.json: cannot be read: input should be a valid dictionary"):
        recorded(tmp_path)
