"""What commands print is shown, never obeyed, and what is printed for copying is safe to paste."""

from __future__ import annotations

import ast
import io
import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ran

from hiergen.console.terminal import PlainConsole, as_json, command, guarded, one_line, shown
from tests.security.hostile import CLEAR, ESCAPES, LEGAL, TITLE, taxonomy, unsafe

Run = Callable[..., Ran]
E = ESCAPES
FILE = f"a{E}.yaml"
TREE = f"t{E}.nwk"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path(FILE).write_text(taxonomy("x"), "utf-8")
    Path(f"bad{E}.yaml").write_text(f"name: t\nclasses: [a, b]\nx{E.encode('unicode_escape').decode()}: 1\n", "utf-8")
    Path(TREE).write_text("((tabby,beagle)animal,(pug,toucan)x)r;")
    Path("data", f"f{E}").mkdir(parents=True)


PRINT = {
    "validate": (["validate", FILE], 0),
    "validate json": (["validate", "--json", f"bad{E}.yaml"], 2),
    "validate bad": (["validate", f"bad{E}.yaml"], 2),
    "show": (["show", FILE], 0),
    "show json": (["show", "--json", FILE], 0),
    "show merged": (["show", "--merged", FILE], 0),
    "show conflicts": (["show", "--conflicts", FILE], 0),
    "show missing": (["show", FILE, "--model", f"m{E}"], 2),
    "build": (["build", FILE], 0),
    "build to": (["build", FILE, "-o", f"g{E}"], 0),
    "build check": (["build", "--check", FILE, "-o", f"h{E}.py"], 1),
    "no such file": (["build", f"none{E}.yaml"], 2),
    "count": (["count-partitions", FILE], 0),
    "count json": (["count-partitions", "--json", FILE], 0),
    "compare": (["compare", FILE, TREE], 2),
    "suggest": (["suggest", FILE, "--by", "random", "--out", f"s{E}.yaml"], 0),
    "suggest where": (["suggest", FILE, "--by", "weights", "--weights", f"w{E}.pt"], 2),
    "import": (["import", TREE, "-o", f"i{E}.yaml"], 0),
    "import again": (["import", TREE, "-o", FILE], 2),
    "import format": (["import", TREE, "-o", "i.yaml", "--format", f"f{E}"], 2),
    "import classes": (["import", TREE, "-o", "i.yaml", "--classes", f"tabby,b{E}"], 2),
    "cue": (["cue", f"dog{E}", FILE], 2),
    "cue of": (["cue", "dog", FILE], 0),
    "schema": (["schema", "-o", f"s{E}.json"], 0),
    "export": (["export", FILE, "--format", "newick", "-o", f"e{E}.nwk"], 0),
    "explore": (["explore", FILE, "-o", f"p{E}.html"], 0),
    "draw": (["draw", FILE, "-o", f"d{E}.svg"], 0),
    "draw model": (["draw", f"{FILE}:m{E}", "-o", "d.svg"], 2),
    "cost": (["cost", f"g{E}.py:X"], 2),
    "cutout": (["cutout", f"m{E}", "--classes", f"c{E}", "-o", f"o{E}"], 2),
    "convert": (["convert", f"w{E}.pt", "-o", f"w{E}.safetensors"], 2),
    "eval": (["eval", f"m{E}", "--data", f"d{E}"], 2),
    "attend": (["attend", f"m{E}", "--data", f"d{E}", "--scan"], 2),
    "train": (["train", f"m{E}", "--data", f"d{E}"], 2),
    "train recipe": (["train", "m", "--data", "d", "--recipe", f"r{E}"], 2),
    "train set": (["train", "m", "--data", "d", "--set", f"k{E}=v{E}"], 2),
    "resume": (["train", "--resume", f"r{E}"], 2),
    "unknown command": ([f"x{E}"], 2),
    "unknown option": (["show", f"--x{E}", FILE], 2),
    "too many": (["validate", FILE, f"x{E}"], 2),
    "help": (["show", "--help"], 0),
}


@pytest.mark.parametrize("name", PRINT)
def test_no_command_prints_what_a_terminal_obeys(name: str, hiergen: Run) -> None:
    words, code = PRINT[name]
    ran = hiergen(*words)
    assert ran.code == code, ran.err
    assert ran.out + ran.err
    assert unsafe(ran.out + ran.err) == set()
    if "--json" in words:
        json.loads(ran.out)


def test_a_path_with_a_line_break_begins_no_line_of_its_own(hiergen: Run) -> None:
    file = "a.yaml\nerror: all is well\nb.yaml"
    Path(file).write_text(taxonomy("x"), "utf-8")
    for words in (["validate", file], ["build", file], ["validate", f"x{file}"], ["show", f"x{file}"]):
        ran = hiergen(*words)
        assert not re.search(r"^error: all is well", ran.out + ran.err, flags=re.M)


def test_help_and_errors_keep_their_colours_and_nothing_else() -> None:
    out = io.StringIO()
    import sys

    kept = sys.stdout
    sys.stdout = out
    try:
        with guarded():
            print(f"\x1b[1;31mred\x1b[0m{TITLE}{CLEAR}\x1b[3A\rx")
    finally:
        sys.stdout = kept
    assert out.getvalue() == "\x1b[1;31mred\x1b[0m\\x1b]0;owned\\x07\\x1b[2J\\x1b[3A\\rx\n"


def test_on_a_terminal_only_richs_own_sequences_are_written() -> None:
    """Tables, trees, texts and progress bars with names in them; the bars steer the cursor themselves."""
    from rich.progress import Progress, TextColumn
    from rich.table import Table
    from rich.text import Text
    from rich.tree import Tree

    screen = io.StringIO()
    console = PlainConsole(file=screen, force_terminal=True, width=300, color_system="standard", legacy_windows=False)
    table = Table(f"head{E}")
    table.add_row(f"[red]cell[/red]{E}", style="bold")
    tree = Tree(Text(f"root{E}", style="cyan"))
    tree.add(f"[link=file:///etc/passwd]leaf[/link] :smile:{E}")
    console.print(table, tree, f"[bold]plain[/bold]{E}", f"{E}")
    with Progress(TextColumn(f"{{task.description}}{E}", markup=False), console=console) as progress:
        progress.add_task(f"task[red]{E}")
    said = screen.getvalue()
    for word in ("[red]cell[/red]", "[link=file:///etc/passwd]leaf[/link] :smile:", "[bold]plain[/bold]", "task[red]"):
        assert word in said
    rest = re.sub(r"\x1b\[(?:[0-9;]*m|\?25[lh]|[0-9]*[AK])", "", said).replace("\r", "")
    assert unsafe(rest) == set()
    assert "owned" in rest
    assert "\x1b]" not in said


def test_texts_say_what_was_there() -> None:
    assert shown("a\tb\nc\u00a0é猫") == "a\tb\nc\u00a0é猫"
    assert one_line("a\nb\x1b") == "a\\nb\\x1b"
    data = {E: [E, "\ud800", "\U000e0041", "\u2028", "ok\n\t\u00e9"], "n": 1}
    text = as_json(data, 2)
    assert unsafe(text) == set()
    assert json.loads(text) == data
    assert as_json({"é": 1}) == '{"é": 1}'
    assert json.loads(as_json({"a": [float("inf"), (float("nan"),)], "b": 0.5})) == {"a": [None, [None]], "b": 0.5}


@pytest.mark.parametrize(
    "name", [*LEGAL, *(f"a{c}b" for c in "\n\r\t !\"#$&'()*;<>?[]^`{|}~\\"), "-rf", "a b"], ids=ascii
)
def test_commands_to_copy_are_one_word_a_word(name: str, tmp_path: Path) -> None:
    """A shell that is given the line calls the program with these words and nothing else."""
    line = command(["printf", "%s\\0", "hiergen", "build", name])
    line = line[1:-1] if line.startswith("'printf") else line
    assert shlex.split(line)[2:] == ["hiergen", "build", one_line(name)]
    ran = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert ran.stdout.split("\0")[:-1] == ["hiergen", "build", one_line(name)]
    assert list(tmp_path.rglob("owned")) == []


def test_the_next_step_can_be_pasted(hiergen: Run, tmp_path: Path) -> None:
    file = "$(touch owned)`touch owned`;touch owned'.yaml"
    Path(file).write_text(taxonomy("x"), "utf-8")
    ran = hiergen("build", file)
    line = re.search(r"hiergen show (.*) prints its tree", ran.out)
    assert line
    assert shlex.split(line[1]) == [file]
    ran = hiergen("suggest", file, "--by", "random", "--out", f"o{file}")
    line = re.search(r"hiergen build (.*)", ran.out)
    assert line
    assert shlex.split(line[1]) == [f"o{file}"]


@pytest.mark.parametrize(
    "out", ["n.py", "o/n.py", "with blank.py", "a b/net f.py", "class.py", "1.py", 'a"b.py', "../n.py", "json.py"]
)
def test_the_next_step_in_python_is_python(
    hiergen: Run, tmp_path: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a part of the file's name cannot be imported."""
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir("sub")
    Path("t.yaml").write_text(taxonomy("x"), "utf-8")
    where, *lines = hiergen("build", "t.yaml", "-o", out).out.partition("next: in Python")[2].splitlines()[:3]
    folder = Path() if where in ("", ", from this folder") else Path(where.removeprefix(", from "))
    first, second = ast.parse("\n".join(line.strip() for line in lines)).body
    if isinstance(first, ast.ImportFrom):
        file = (folder / str(first.module).replace(".", "/")).with_suffix(".py")
    else:
        (reference,) = second.value.args  # type: ignore[attr-defined]
        file = Path(reference.value.removesuffix(":N2HL"))
    assert file.resolve() == Path(out).resolve()
    assert where != ", from ."
    assert ("hides" in where) == (out == "json.py")


def test_warnings_and_hidden_bytes_of_file_names(hiergen: Run) -> None:
    """A name that is no UTF-8 was a UnicodeEncodeError on a terminal."""
    ran = hiergen("validate", "x\udce9\x1b[2J.yaml")
    assert ran.code == 2
    assert "x\\udce9\\x1b[2J.yaml" in ran.err + ran.out
