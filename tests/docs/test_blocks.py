"""Every block of README and docs does what its page says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import REASONS, Block, blocks, pages, parse
from running import DocsError, Forker, Running, console, same, shell_commands, simple

PAGES = {page: blocks(page) for page in pages()}
CASES = [(page, i) for page, found in PAGES.items() for i in range(len(found))]


@pytest.fixture(scope="session")
def forker() -> Iterator[Forker]:
    made = Forker()
    yield made
    made.close()


@pytest.fixture(scope="session")
def running(forker: Forker, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Running]:
    """The pages, as far as they have been run; made when they are needed."""

    class Pages(dict[str, Running]):
        def __missing__(self, page: str) -> Running:
            made = self[page] = Running(page, tmp_path_factory.mktemp("page"), forker)
            return made

    return Pages()


@pytest.mark.parametrize(("page", "number"), CASES, ids=[PAGES[page][i].place for page, i in CASES])
def test_block(page: str, number: int, running: dict[str, Running]) -> None:
    block = PAGES[page][number]
    if block.not_run:
        pytest.skip(f"not run: {block.not_run}")
    running[page].up_to(PAGES[page], number)


def test_reasons_for_not_running() -> None:
    """Each begins with a known one; `pytest -rs tests/docs` lists them."""
    for block in (block for found in PAGES.values() for block in found if block.not_run):
        assert block.not_run.split(":")[0].split(" (")[0] in REASONS, f"{block.place}: {block.not_run!r}"


PAGE = """# A page
<!-- first: sh
echo hidden
-->
```sh
hiergen show a.yaml  # what for
```
<!-- numbers vary -->
```text
1.5 ms
```
some text
```text
no output
```
<!-- not run: minutes (a night) -->
```console
$ hiergen train \\
    --long
done
$ ls
```
```yaml
# pets.yaml
name: pets
```
<!-- file: mine.yaml -->
```yaml
name: mine
```
```python
x = 1
```
"""


def test_a_page_is_taken_apart() -> None:
    found = parse("p.md", PAGE)
    assert [(b.kind, b.line) for b in found] == [
        ("sh", 2),
        ("sh", 5),
        ("console", 17),
        ("file", 23),
        ("file", 28),
        ("python", 31),
    ]
    assert (found[1].output, found[1].vary) == ("1.5 ms\n", True)
    assert (found[2].not_run, found[3].name, found[4].name) == ("minutes (a night)", "pets.yaml", "mine.yaml")
    for text in ("<!-- not run: -->", "<!-- not-run: GPU -->", "<!-- remark -->"):
        with pytest.raises(ValueError, match=r"p\.md:1: unknown mark"):
            parse("p.md", text + "\n```sh\nls\n```\n")
    with pytest.raises(ValueError, match="nobody would run"):
        parse("p.md", "<!-- not run: GPU -->\n```json\n{}\n```\n")


def test_commands_are_told_apart() -> None:
    assert simple("hiergen cue 'dog bark' --all  # c1 | c2") == ["cue", "dog bark", "--all"]
    assert simple('hiergen attend M --gain "domestic cat=1.4"') == ["attend", "M", "--gain", "domestic cat=1.4"]
    assert simple("hiergen show \\\n  a.yaml") == ["show", "a.yaml"]
    for text in (
        "hiergen show a | head",
        "hiergen show $A",
        "cd x && hiergen show a",
        "python -m hiergen",
        "hiergen a > b",
    ):
        assert simple(text) is None
    assert shell_commands("# what\nls\nhiergen a \\\n  b\n\nls") == ["ls", "hiergen a \\\n  b", "ls"]
    assert shell_commands("cat > a <<E\nx\nE\n") == ["cat > a <<E\nx\nE\n"]
    assert console("$ a \\\n  b\nx\ny\n$ c\n") == [("a \\\n  b", "x\ny\n"), ("c", "")]


def test_outputs_are_compared() -> None:
    assert same("a\nb  \nc\n\n", "a\nb\nc")
    assert not same("a\nb\nc", "a\nb\n")
    assert same("a\nb\nc\nd", "a\n…\nd")
    assert not same("a\nb\nc", "…\nd")
    assert same("a cat and a dog", "a … dog")
    assert not same("a.b", "axb")
    assert same("conv   12.3 ms (1,200–1.5e-3)", "conv 9 ms (7–2)", vary=True)
    assert not same("conv 12 ms", "convs 12 ms", vary=True)
    assert not same("12 ms", "13 ms")


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (Block("p.md", 3, "sh", "hiergen show nothing.yaml\n"), "exit code 2, not 0"),
        (Block("p.md", 3, "sh", "ls nothing\n"), "exit code 2, not 0"),
        (Block("p.md", 3, "sh", "true | false\n"), "exit code 1, not 0"),
        (Block("p.md", 3, "console", "$ hiergen --version\nhiergen 7\n"), "instead of\nhiergen 7"),
        (Block("p.md", 3, "console", "$ hiergen --version\nerror: x\n"), "exit code 0, not 2"),
        (Block("p.md", 3, "python", "x = 1\nx.y\n"), "line 5"),
    ],
)
def test_what_is_not_so_is_found(block: Block, problem: str, forker: Forker, tmp_path: Path) -> None:
    running = Running("p.md", tmp_path, forker)
    with pytest.raises(DocsError, match=r"p\.md:3: ") as error:
        running.up_to([block], 0)
    assert problem in str(error.value)
    with pytest.raises(DocsError, match=r"not reached, as p\.md:3 failed"):
        running.up_to([block, block], 1)


def test_names_of_a_page_stay(forker: Forker, tmp_path: Path) -> None:
    first, second = Block("q.md", 1, "python", "x = 1\n"), Block("q.md", 5, "python", "assert x == 1\n")
    running = Running("q.md", tmp_path, forker)
    running.up_to([first, Block("q.md", 3, "console", "$ hiergen --version\nhiergen …\n"), second], 2)
    assert list(running.seconds) == ["q.md:1", "q.md:3", "q.md:5"]
