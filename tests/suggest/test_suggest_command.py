"""The command: what it writes and prints, what it refuses, and what it does not import."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hiergen.partitions.grouping import grouping_of, read_grouping
from hiergen.suggest.job import suggest_nesting
from hiergen.suggest.request import SuggestRequest
from hiergen.taxonomy.load import load_taxonomy

ROOT = Path(__file__).parents[2]
Run = Callable[..., object]
PETS = (
    "name: pets\nclasses: [n02123045, n02123394, n02123597, n02088364, n02110958, n02099601, n02437616, n02389026]\n"
    "sources: [wordnet]\nmodels:\n  N2HL: {trunk: {backbone: resnet18, until: layer2}}\n"
    "  N3HL: {trunk: {backbone: resnet18, until: layer2}}\n"
)


@pytest.mark.parametrize("by", ["wordnet", "superclass", "names", "random", "dissimilar"])
def test_every_kind_writes_a_file_of_the_shape(hiergen, write, by: str) -> None:
    file = write(PETS, "pets.yaml")
    ran = hiergen("suggest", file, "--by", by, "--groups", "2,4")
    assert ran.code == 0, ran.err
    new = file.with_name(f"pets-{by}.yaml")
    taxonomy = load_taxonomy(new)
    assert taxonomy.spec.name == f"pets-{by}"
    found = grouping_of(taxonomy, "N3HL")
    assert found.counts == (2, 4)
    assert min(found.levels[1].sizes()) == 2
    for level in found.levels:
        for name in level.names:
            assert name in ran.out
    assert f"next: edit it, then 'hiergen build {new}'" in ran.out
    first = new.read_bytes()
    assert hiergen("suggest", file, "--by", by, "--groups", "2,4").code == 2
    assert new.read_bytes() == first
    assert hiergen("suggest", file, "--by", by, "--groups", "2,4", "--force").code == 0
    assert new.read_bytes() == first
    assert str(file.parent) not in new.read_text()


def test_wordnet_keeps_cats_and_dogs_apart(hiergen, write) -> None:
    file = write(PETS, "pets.yaml")
    assert hiergen("suggest", file, "--groups", "3", "-o", file.with_name("out.yaml")).code == 0
    found = read_grouping(f"{file.with_name('out.yaml')}:N2HL")
    assert found.levels[0].of == (0, 0, 0, 1, 1, 1, 2, 2)
    assert found.levels[0].names == ("domestic cat", "dog", "ungulate")


def test_json_is_the_file_as_data(hiergen, write) -> None:
    file = write(PETS, "pets.yaml")
    ran = hiergen("suggest", file, "--by", "random", "--seed", "3", "--groups", "3", "--json")
    data = json.loads(ran.out)
    found = read_grouping(f"{data['file']}:{data['model']}")
    level = [(group["name"], tuple(group["classes"])) for group in data["levels"][0]]
    groups = [tuple(found.classes[i] for i in group) for group in found.levels[0].members()]
    mine = list(zip(found.levels[0].names, groups, strict=True))
    assert level == mine
    assert data["groups"] == [3]
    assert data["difference"] is None
    assert data["left_out"] == ["N3HL"]
    assert data["coherence"]["levels"][0]["groups"] == 3
    assert data["own"]["nesting"].endswith("pets.yaml:N2HL")


def test_weights_from_the_command_line(hiergen, write) -> None:
    file = write(PETS, "pets.yaml")
    weight = torch.zeros(8, 4)
    for i in range(8):
        weight[i, i % 2] = 1 + i / 100
    save_file({"fc.weight": weight}, file.with_name("w.safetensors"))
    ran = hiergen("suggest", file, "--by", "weights", "--weights", file.with_name("w.safetensors"), "--groups", "2")
    assert ran.code == 0, ran.err
    new = file.with_name("pets-weights.yaml")
    assert read_grouping(f"{new}:N2HL").levels[0].of == (0, 1) * 4
    head = new.read_text().splitlines()
    assert head[0] == "# Suggested by `hiergen suggest pets.yaml --by weights --groups 2 --weights w.safetensors`."
    assert "order of the file's classes" in head[1]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--by", "weigths", "--groups", "2"], "nothing to suggest by 'weigths'.*nearest: weights"),
        (["--by", "weights"], "--by weights: whose.*--weights FILE"),
        (["--by", "features"], "--by features: of what.*--data FOLDER"),
        (["--groups", "4,2"], "groups 4,2 do not grow"),
        (["--groups", "2,3"], "2 groups of at least 2 groups of level 2 need 4.*got 3"),
        (["--groups", "5"], "5 groups of at least 2 classes need 10.*got 8"),
        (["--groups", "x"], "groups cannot be 'x'"),
        (["--groups", "2", "--max-size", "3"], "2 groups of at most 3 classes hold 6.*got 8"),
        (["--groups", "2", "--model", "N9HL"], "no model 'N9HL'; expected one of N2HL, N3HL"),
        (["--groups", "2", "--criterion", "deep"], "no criterion 'deep'"),
        (["--groups", "2", "--by", "weights", "--weights", "gone.pth"], "gone.pth: no such file"),
        (["--by", "llm", "--search", "--groups", "2"], "a search does not ask a model"),
        (["--groups", "2", "-o", "."], "is a directory"),
    ],
)
def test_bad_input_is_one_sentence(hiergen, write, arguments: list[str], problem: str) -> None:
    import re

    file = write(PETS, "pets.yaml")
    ran = hiergen("suggest", file, *arguments)
    assert ran.code == 2
    assert re.search(problem, ran.err), ran.err
    assert len(ran.err.splitlines()) == 1
    assert [p.name for p in file.parent.iterdir()] == ["pets.yaml"]


def test_a_file_without_groups_needs_a_number(hiergen, write) -> None:
    file = write("name: flat\nclasses: [tabby, beagle, pug, organ]\nmodels: {PHL: {}}\n", "flat.yaml")
    ran = hiergen("suggest", file)
    assert ran.code == 2
    assert "has no groups to take their number from; expected --groups" in ran.err
    ran = hiergen("suggest", file, "--groups", "2")
    assert ran.code == 0
    assert read_grouping(f"{file.with_name('flat-wordnet.yaml')}:N2HL").counts == (2,)


def test_two_classes_can_be_in_no_groups(hiergen, write) -> None:
    file = write("name: two\nclasses: [tabby, beagle]\nmodels: {N2HL: {}}\n", "two.yaml")
    ran = hiergen("suggest", file, "--groups", "2")
    assert ran.code == 2
    assert "2 groups of at least 2 classes need 4; got 2" in ran.err
    ran = hiergen("suggest", file, "--groups", "2", "--min-size", "1", "--by", "random")
    assert ran.code == 2  # a group with one member is that member, so there would be no group
    assert "the suggestion cannot be written" in ran.err
    assert [p.name for p in file.parent.iterdir()] == ["two.yaml"]


def test_classes_without_synsets(hiergen, write) -> None:
    ids = ", ".join(f"zz{i}" for i in range(8))
    # which is no nesting, and no file to build, until something says what belongs together
    file = write(f"name: zz\nclasses: [{ids}]\nmodels: {{N2HL: {{}}}}\n", "zz.yaml")
    assert hiergen("validate", file).code == 2
    for by in ("wordnet", "superclass", "names", "random", "dissimilar"):
        ran = hiergen("suggest", file, "--by", by, "--groups", "2")
        assert ran.code == 0, (by, ran.err)
        assert read_grouping(f"{file.with_name(f'zz-{by}.yaml')}:N2HL").counts == (2,)
        assert hiergen("validate", file.with_name(f"zz-{by}.yaml")).code == 0


def test_a_dry_run_writes_prompts_only_and_answers_come_back(hiergen, write) -> None:
    file = write(PETS, "pets.yaml")
    prompts = file.with_name("prompts.md")
    ran = hiergen("suggest", file, "--by", "llm", "--groups", "2,4", "--dry-run", prompts)
    assert ran.code == 0, ran.err
    assert not file.with_name("pets-llm.yaml").exists()
    assert prompts.exists() == ("prompts are in" in ran.out)


def test_a_search_is_better_than_chance_and_says_so(hiergen, write) -> None:
    file = write(PETS, "pets.yaml")
    ran = hiergen("suggest", file, "--search", "--groups", "3", "--steps", "2000", "--seed", "1", "--json")
    assert ran.code == 0, ran.err
    data = json.loads(ran.out)
    assert data["file"].endswith("pets-search.yaml")
    assert data["search"]["score"] >= data["search"]["own"]
    assert read_grouping(f"{data['file']}:N2HL").levels[0].of == (0, 0, 0, 1, 1, 1, 2, 2)
    head = Path(data["file"]).read_text().replace("\n# ", " ")
    assert "--search --objective coherence --steps 2000 --seed 1`" in head


def test_the_same_input_gives_the_same_bytes_on_every_hash_seed(write) -> None:
    file = write(PETS, "pets.yaml")
    texts = set()
    for seed in ("0", "1"):
        out = file.with_name(f"out{seed}.yaml")
        code = (
            "from hiergen.suggest.job import suggest_nesting; from hiergen.suggest.request import SuggestRequest; "
            f"[suggest_nesting({str(file)!r}, SuggestRequest(by=by, groups=(2, 4)), out={str(out)!r} + by) "
            "for by in ('wordnet', 'names', 'random')]"
        )
        subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONHASHSEED": seed}, cwd=ROOT)
        made = sorted(file.parent.glob(f"out{seed}*"))
        texts.add("".join(p.read_text().partition("classes:")[2] for p in made))
        assert len(made) == 3
    assert len(texts) == 1


def test_random_needs_no_torch(write) -> None:
    file = write(PETS, "pets.yaml")
    code = (
        "import sys; sys.argv = ['hiergen', 'suggest', *sys.argv[1:]]\n"
        "from hiergen import cli\ntry:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'timm'} & set(sys.modules)"
    )
    for by in ("random", "wordnet"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(file), "--by", by, "--groups", "2,4"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert file.with_name(f"pets-{by}.yaml").is_file()


def test_in_python(write) -> None:
    file = write(PETS, "pets.yaml")
    done = suggest_nesting(file, SuggestRequest(by="wordnet", groups=(3,)), out=file.with_name("x.yaml"))
    assert done.coherence is not None
    assert done.coherence.levels[0].z > 2
    assert done.written is not None
    assert done.written.model == "N2HL"
    assert done.own.counts == grouping_of(load_taxonomy(file), "N2HL").counts
