"""The command: what it writes and prints, what it refuses, and what it does not import."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hiergen.nestings.read import nesting_of, read_nesting
from hiergen.nestings.search.kinds import OBJECTIVES
from hiergen.nestings.suggest.kinds import EVIDENCE, OPTIONS
from hiergen.nestings.suggest.request import SuggestRequest, typed_command
from hiergen.nestings.suggest.suggest import suggest
from hiergen.taxonomy.load import load_taxonomy
from tests.helpers import printed_twice

ROOT = Path(__file__).parents[2]
Run = Callable[..., object]
PETS = (
    "name: pets\nclasses: [n02123045, n02123394, n02123597, n02088364, n02110958, n02099601, n02437616, n02389026]\n"
    "sources: [wordnet]\nmodels:\n  N2HL: {trunk: {backbone: resnet18, until: layer2}}\n"
    "  N3HL: {trunk: {backbone: resnet18, until: layer2}}\n"
)


@pytest.mark.parametrize("by", [kind for kind, row in EVIDENCE.items() if not row.needs])
def test_every_kind_writes_a_file_of_the_shape(hiergen, write, by: str) -> None:
    file = write(PETS, "pets.yaml")
    ran = hiergen("suggest", file, "--by", by, "--groups", "2,4")
    assert ran.code == 0, ran.err
    new = file.with_name(f"pets-{by}.yaml")
    taxonomy = load_taxonomy(new)
    assert taxonomy.spec.name == f"pets-{by}"
    result = nesting_of(taxonomy, "N3HL")
    assert result.counts == (2, 4)
    assert min(result.levels[1].sizes) == 2
    for level in result.levels:
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
    result = read_nesting(f"{file.with_name('out.yaml')}:N2HL")
    assert result.levels[0].of == (0, 0, 0, 1, 1, 1, 2, 2)
    assert result.levels[0].names == ("domestic cat", "dog", "ungulate")


def test_json_is_the_file_as_data(hiergen, write) -> None:
    file = write(PETS, "pets.yaml")
    ran = hiergen("suggest", file, "--by", "random", "--seed", "3", "--groups", "3", "--json")
    data = json.loads(ran.out)
    result = read_nesting(f"{data['file']}:{data['model']}")
    level = [(group["name"], tuple(group["classes"])) for group in data["levels"][0]]
    groups = [tuple(result.classes[i] for i in group) for group in result.levels[0].members]
    mine = list(zip(result.levels[0].names, groups, strict=True))
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
    assert read_nesting(f"{new}:N2HL").levels[0].of == (0, 1) * 4
    head = new.read_text().splitlines()
    assert head[0] == "# Suggested by `hiergen suggest pets.yaml --by weights --groups 2 --weights w.safetensors`."
    assert "order of the file's classes" in head[1]


G2 = ("--groups", "2")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("suggest", "--by", "weigths", *G2), "nothing to suggest by 'weigths'.*nearest: weights"),
        (("suggest", "--by", "llm", *G2), "nothing to suggest by 'llm'; expected --by wordnet, depth, "),
        (("suggest", "--by", "weights"), "--by weights: of what.; expected --weights FILE or --timm NAME"),
        (("suggest", "--by", "features"), "--by features: of what.; expected --data FOLDER"),
        (("suggest", "--by", "confusions"), "--by confusions: of what.; expected --confusions FILE.csv"),
        (("suggest", "--groups", "4,2"), "groups 4,2 do not grow"),
        (("suggest", "--groups", "2,3"), "2 groups of at least 2 groups of level 2 need 4.*got 3"),
        (("suggest", "--groups", "5"), "5 groups of at least 2 classes need 10.*got 8"),
        (("suggest", "--groups", "x"), "groups cannot be 'x'"),
        (("suggest", *G2, "--max-size", "3"), "2 groups of at most 3 classes hold 6.*got 8"),
        (("suggest", *G2, "--model", "N9HL"), "no model 'N9HL'; expected one of N2HL, N3HL"),
        (("suggest", *G2, "--by", "weights", "--weights", "gone.pth"), "gone.pth: no such file"),
        (("suggest", *G2, "-o", "."), "is a directory"),
        (("suggest", *G2, "-o", "x.txt"), "x.txt: is no name for a taxonomy file; expected a file that ends in .yaml"),
        (
            ("suggest", "--groups", "2,8", "--min-size", "1"),
            "groups 2,8, level 2: 8 groups of 8 classes are the classes themselves",
        ),
        (("suggest", "--weights", "x.pth"), "--weights does nothing with --by wordnet; it reads no evidence"),
        (("suggest", "--by", "random", "--timm", "x"), "--timm does nothing with --by random; it reads no evidence"),
        (
            ("suggest", "--by", "weights", "--timm", "x", "--text-model", "y", "--data", "z"),
            "--data and --text-model do nothing with --by weights; it reads --weights, --key, --timm",
        ),
        (("search", "--by", "random", *G2), "'random' is no evidence; expected another --by"),
        (("search", "--objective", "cost", "--by", "names"), "--by does nothing with --objective cost"),
        (("search", "--objective", "tasks", "--timm", "x"), "--timm does nothing with --objective tasks"),
        (("search", "--objective", "tasks", *G2), "no tasks to search a nesting for; expected --tasks FILE"),
        (("search", "--tasks", "x.txt", *G2), "x.txt: no such file"),
        (("search", "--objective", "cohesion"), "no objective 'cohesion'; .*nearest: coherence"),
        (("search", "--objective", "sep", "--by", "names"), "no objective 'sep'; .*nearest: separability"),
        (("search", "--same-sizes", *G2), "--same-sizes takes all numbers and sizes of groups from the"),
        (("ask", "--timeout", "9"), "--timeout does nothing without --base-url"),
        (("ask", "--key-env", "K"), "--key-env does nothing without --base-url"),
        (("ask", "--dry-run", "p.md", "--base-url", "http://x/v1"), "--base-url does nothing with --dry-run"),
        (("ask", "--base-url", "http://x/v1", *G2), "--base-url without --llm-model"),
        (("ask", "--base-url", "x", "--llm-model", "m", *G2), "--base-url is no http"),
    ],
)
def test_bad_input_is_one_sentence(hiergen, write, arguments: tuple[str, ...], problem: str) -> None:
    import re

    file = write(PETS, "pets.yaml")
    ran = hiergen(arguments[0], file, *arguments[1:])
    assert ran.code == 2
    assert re.search(problem, ran.err), ran.err
    assert len(ran.err.splitlines()) == 1
    assert [p.name for p in file.parent.iterdir()] == ["pets.yaml"]


def test_a_long_field_is_no_table(hiergen, write) -> None:
    file = write(PETS, "pets.yaml")
    path = write("a,b\n" + "x" * 200_000, "c.csv")
    ran = hiergen("suggest", file, "--by", "confusions", "--confusions", path)
    assert ran.code == 2
    assert ran.err.startswith(
        f"error: {path}: is no CSV table (field larger than field limit (131072)); expected a CSV"
    )


def test_a_file_without_groups_needs_a_number(hiergen, write) -> None:
    file = write("name: flat\nclasses: [tabby, beagle, pug, organ]\nmodels: {PHL: {}}\n", "flat.yaml")
    ran = hiergen("suggest", file)
    assert ran.code == 2
    assert "has no groups to take their number from; expected --groups" in ran.err
    ran = hiergen("suggest", file, "--groups", "2")
    assert ran.code == 0
    assert read_nesting(f"{file.with_name('flat-wordnet.yaml')}:N2HL").counts == (2,)


def test_classes_without_synsets(hiergen, write) -> None:
    ids = ", ".join(f"zz{i}" for i in range(8))
    # which is no nesting, and no file to build, until something says what belongs together
    file = write(f"name: zz\nclasses: [{ids}]\nmodels: {{N2HL: {{}}}}\n", "zz.yaml")
    assert hiergen("validate", file).code == 2
    for by in ("wordnet", "depth"):
        ran = hiergen("suggest", file, "--by", by, "--groups", "2")
        assert ran.code == 2
        assert "says nothing of 8 of 8 classes, which are not in WordNet" in ran.err
    for by in ("names", "random"):
        ran = hiergen("suggest", file, "--by", by, "--groups", "2")
        assert ran.code == 0, (by, ran.err)
        assert read_nesting(f"{file.with_name(f'zz-{by}.yaml')}:N2HL").counts == (2,)
        assert hiergen("validate", file.with_name(f"zz-{by}.yaml")).code == 0
    ran = hiergen("search", file, "--groups", "2")
    assert ran.code == 2
    assert "coherence by WordNet, which has none of the classes; expected another evidence, as --by weights" in ran.err


def test_a_dry_run_writes_prompts_only_and_answers_come_back(hiergen, write) -> None:
    file = write(PETS, "pets.yaml")
    prompts = file.with_name("prompts.md")
    ran = hiergen("ask", file, "--groups", "2,4", "--dry-run", prompts)
    assert ran.code == 0, ran.err
    assert not file.with_name("pets-ask.yaml").exists()
    assert prompts.read_text().count("## Prompt") == 1
    assert f"1 prompt is in {prompts}; give" in ran.out


def test_a_search_is_better_than_chance_and_says_so(hiergen, write) -> None:
    file = write(PETS, "pets.yaml")
    ran = hiergen("search", file, "--groups", "3", "--steps", "2000", "--seed", "1", "--json")
    assert ran.code == 0, ran.err
    data = json.loads(ran.out)
    assert data["file"].endswith("pets-search.yaml")
    assert data["search"]["score"] >= data["search"]["own"]
    assert read_nesting(f"{data['file']}:N2HL").levels[0].of == (0, 0, 0, 1, 1, 1, 2, 2)
    head = Path(data["file"]).read_text().replace("\n# ", " ")
    assert "`hiergen search pets.yaml --objective coherence --groups 3 --seed 1 --steps 2000`" in head
    shown = hiergen("search", file, "--groups", "3", "--steps", "1500", "-o", file.with_name("2.yaml")).out
    (line,) = (line for line in shown.splitlines() if "  score  " in line)
    assert line.rstrip().endswith("  score  z, by 100 draws")
    assert "1,500 steps in " in shown


def test_a_search_for_tasks_says_which_in_its_head(hiergen, write) -> None:
    file, words = write(PETS, "pets.yaml"), write("tabby\ncat\n", "my tasks.txt")
    ran = hiergen("search", file, "--objective", "tasks", "--tasks", words, "--groups", "2,4", "--steps", "1000")
    assert ran.code == 0, ran.err
    head = file.with_name("pets-search.yaml").read_text().replace("\n# ", " ")
    assert "--objective tasks --tasks 'my tasks.txt' --groups 2,4 --steps 1000`" in head


def test_the_same_input_gives_the_same_bytes_on_every_hash_seed(write) -> None:
    code = (
        "import pathlib, sys; from hiergen import SuggestRequest, suggest\n"
        "for by in ('wordnet', 'names', 'random'):\n"
        "    out, request = sys.argv[2] + by + '.yaml', SuggestRequest(by=by, groups=(2, 4))\n"
        "    suggest(sys.argv[1], request, out=out, force=True)\n"
        "    print(pathlib.Path(out).read_text().partition('classes:')[2])"
    )
    file = write(PETS, "pets.yaml")
    assert printed_twice(code, file, file.parent / "out-").count("- groups:") == 3


def test_the_command_in_the_head_can_be_run_as_it_stands() -> None:
    weights = Path("my files/w; rm.pth")
    request = SuggestRequest(by="weights", groups=(2, 4), weights=weights, key="head weight", min_size=1, seed=3)
    words = ["--by", "weights", "--groups", "2,4", "--weights", "w; rm.pth", "--key", "head weight", "--min-size", "1"]
    words = ["hiergen", "suggest", "a b.yaml", *words, "--seed", "3"]
    assert shlex.split(typed_command("suggest", Path("x/a b.yaml"), request.words())) == words


def test_the_tables_are_what_help_and_docs_say(hiergen) -> None:
    texts = {name: (ROOT / f"docs/{name}.md").read_text() for name in ("suggest", "search")}
    for command, table in (("suggest", EVIDENCE), ("search", OBJECTIVES)):
        shown = hiergen(command, "--help").out
        for name in table:
            assert name in shown
            assert f"| `{name}` |" in texts[command]
    for option in OPTIONS:
        assert f"--{option.replace('_', '-')}" in texts["suggest"]


def test_in_python(write) -> None:
    file = write(PETS, "pets.yaml")
    done = suggest(file, SuggestRequest(by="wordnet", groups=(3,)), out=file.with_name("x.yaml"))
    assert done.coherence is not None
    assert done.coherence.levels[0].z > 2
    assert done.written is not None
    assert done.written.model == "N2HL"
    assert done.current.counts == nesting_of(load_taxonomy(file), "N2HL").counts
