"""The generated pages are those of the code, the site builds, and its checks find what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
import yaml

from hiergen.cli import app
from hiergen.taxonomy.spec import (
    Budget,
    Groups,
    Hypernyms,
    ImageFolder,
    ModelSpec,
    NestingOptions,
    Spec,
    Stage,
    TrunkSpec,
)
from hiergen.training.recipe import Augment, Loss, Optimizer, Recipe, Schedule, TrunkUse

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs/site"
sys.path.insert(0, str(SITE))

from clipage import cell, cli_page  # noqa: E402
from sitecheck import problems  # noqa: E402


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SITE / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_generated_pages_are_up_to_date() -> None:
    done = run("generate.py", "--check")
    assert done.returncode == 0, done.stderr  # it names the command that renews them


def test_every_command_and_option_is_on_the_page() -> None:
    """Against what typer makes of the same functions."""
    sections = dict(re.findall(r"^## hiergen ([\w-]+)\n(.*?)(?=^## |\Z)", cli_page(), flags=re.M | re.S))
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(sections) == set(commands)
    for name, command in commands.items():
        shown = set(re.findall(r"(?<=[`/])--?[\w-]+", sections[name].split("| option |")[-1]))
        options = [
            p for p in command.params if p.param_type_name == "option" and "--help" not in p.opts and not p.hidden
        ]
        assert {o for p in options for o in (*p.opts, *p.secondary_opts)} - shown == set(), name
        first = {max(p.opts, key=len): p for p in options}
        for row in re.findall(r"^\| `(-.*?)$", sections[name], flags=re.M):
            longest = max(re.findall(r"--?[\w-]+", row.split(" | ")[0]), key=lambda o: (o in first, len(o)))
            needed = row.split(" | ")[1] == "needed"
            assert needed == first[longest].required, (name, longest)
            assert cell(first[longest].help or "") in row


def test_a_cell_is_a_cell() -> None:
    assert cell("a | b\n <c> [d] _e_ *f*") == r"a \| b &lt;c&gt; \[d\] \_e\_ \*f\*"


@pytest.mark.parametrize(
    ("page", "models"),
    [
        (
            "taxonomy-reference.md",
            (Spec, ImageFolder, Groups, Hypernyms, NestingOptions, ModelSpec, TrunkSpec, Budget, Stage),
        ),
        ("recipe-reference.md", (Recipe, TrunkUse, Augment, Loss, Optimizer, Schedule)),
    ],
)
def test_every_key_is_in_the_reference(page: str, models: tuple[type[Spec], ...]) -> None:
    sections = re.split(r"^## ", (ROOT / "docs" / page).read_text("utf-8"), flags=re.M)[1:]
    keys = [set(re.findall(r"^\| `([\w-]+)` \|", section, flags=re.M)) for section in sections]
    for model in models:
        assert {field.alias or name for name, field in model.model_fields.items()} in keys, model
        assert all(field.description for field in model.model_fields.values()), model


def test_the_site_builds(tmp_path: Path) -> None:
    done = run("build.py", tmp_path / "site")
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in (tmp_path / "site").glob("*.html")}
    assert (tmp_path / "site/taxonomy.schema.json").read_bytes() == (ROOT / "docs/taxonomy.schema.json").read_bytes()


def test_every_page_has_its_place() -> None:
    data = yaml.safe_load((SITE / "nav.yml").read_text("utf-8"))
    placed = [page for pages in data["nav"].values() for page in pages]
    assert len(placed) == len(set(placed))
    there = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert there | {"readme.md"} == set(placed)  # the README is a page, too


PAGE = '<h1 id="top">x</h1><a href="b.html#end">b</a><a href="#top">t</a><img src="p.svg"><a href="https://example.org">e</a>'


def site(folder: Path, page: str) -> list[str]:
    (folder / "a.html").write_text(page)
    (folder / "b.html").write_text('<p id="end">')
    (folder / "p.svg").write_text("<svg/>")
    return problems(folder)


def test_a_whole_site_has_no_problems(tmp_path: Path) -> None:
    assert site(tmp_path, PAGE) == []
    assert problems(tmp_path / "empty") == [f"{tmp_path / 'empty'} has no pages"]


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        ("b.html#end", "c.html", "a.html: link to 'c.html': there is no such file"),
        ("b.html#end", "b.html#start", "a.html: link to 'b.html#start': there is no such place on the page"),
        ("#top", "#bottom", "a.html: link to '#bottom': there is no such place on the page"),
        ("#top", "/b.html", "a.html: link to '/b.html': it is absolute"),
        ("p.svg", "q.svg", "a.html: loads 'q.svg': there is no such file"),
        ("p.svg", "https://example.org/q.svg", "a.html: loads 'https://example.org/q.svg' from elsewhere"),
    ],
)
def test_problems_are_found(good: str, bad: str, problem: str, tmp_path: Path) -> None:
    assert site(tmp_path, PAGE.replace(good, bad)) == [problem]


def test_sheets_that_load_are_found(tmp_path: Path) -> None:
    (tmp_path / "s.css").write_text("body{background:url(data:x)} p{background:url(//example.org/x.png)}")
    assert site(tmp_path, PAGE) == ["s.css: loads //example.org/x.png from elsewhere"]
