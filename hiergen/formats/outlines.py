"""Lines of text as a tree: outlines with indents or dashes, and paths such as "animals > cats > tabby"."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from hiergen.errors import TaxonomyError, quoted
from hiergen.formats.tree import Tree, add, drop_alphabet, new_tree

MARKS = (" > ", " -> ", " » ", " → ", ">", "___", "|", "/", ";", "::")
_MARKED = re.compile(r"^(\s*)((?:[-*+•]+|[│├└─┬ ]+)?)\s*(.*?)\s*$")
_NUMBER = re.compile(r"^[0-9]+ ?[-:.)] (?=\S)")
INDEX = re.compile(r"^[0-9]+(?:[:,;.)] *|\s+)(?=\S*[^\W\d_])")  # "87 ", "3: " before a name
_TOP = "0"


def lines_of(source: str) -> list[tuple[int, str]]:
    """(line number, text) of the lines that say something."""
    lines = ((number, line.rstrip()) for number, line in enumerate(source.split("\n"), 1))
    return [(number, line) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]


def is_outline(source: str) -> bool:
    """Whether some lines, not the first, are indented or begin with more dashes than others."""
    depths = [_depth(line)[0] for _, line in lines_of(source)]
    return len(depths) > 1 and depths[0] == min(depths) and max(depths) > depths[0]


def mark_of(source: str) -> str | None:
    """What parts the steps of paths: the first of `MARKS` that most lines have."""
    lines = [_NUMBER.sub("", line.strip()) for _, line in lines_of(source)]
    return next((mark for mark in MARKS if sum(mark in line for line in lines) * 2 > len(lines)), None)


def read_outline(source: str, path: Path) -> Tree:
    """Each line below the last one with a smaller indent. Raises TaxonomyError for a line that is only an indent."""
    tree = new_tree(path, "outline")
    add(tree, _TOP, place=f"{path}:1")
    above: list[tuple[int, str]] = [(-1, _TOP)]
    for number, line in lines_of(source):
        depth, text = _depth(line)
        if not text:
            raise TaxonomyError("has no name", place=f"{path}:{number}", expected="a name behind the indent")
        while above[-1][0] >= depth:
            above.pop()
        above.append((depth, add(tree, str(len(tree)), above[-1][1], id=text, place=f"{path}:{number}")))
    return tree


def _depth(line: str) -> tuple[int, str]:
    match = _MARKED.match(line.expandtabs(8))
    assert match is not None
    blanks, mark, text = match.groups()
    return len(blanks) + len(mark), text


def read_separated(source: str, path: Path) -> Tree:
    """Each line the way from the root to a class or group; numbers in front ("12 - ") are left out."""
    mark = mark_of(source)
    if mark is None:
        raise TaxonomyError("has no paths", place=str(path), expected=f"one of {' '.join(m.strip() for m in MARKS)}")
    tree = new_tree(path, "separated")
    add(tree, _TOP, place=f"{path}:1")
    below: dict[tuple[str, str], str] = {}
    lines = lines_of(source)
    numbered = Counter(bool(_NUMBER.match(line)) for _, line in lines).most_common(1)[0][0]
    counted = all(re.search(r"\s[0-9]+$", line) for _, line in lines)  # "/a/abbey 0"
    for number, line in lines:
        text = _NUMBER.sub("", line.strip()) if numbered else line.strip()
        text = text.rsplit(None, 1)[0] if counted else text
        key = _TOP
        for step in filter(None, (part.strip() for part in text.split(mark.strip() or mark))):
            if (key, step) not in below:
                below[key, step] = add(tree, str(len(tree)), key, id=step, place=f"{path}:{number}")
            key = below[key, step]
        if key == _TOP:
            raise TaxonomyError(f"{quoted(line)} is no path", place=f"{path}:{number}", expected=f"steps with {mark}")
    drop_alphabet(tree, _TOP)
    return tree


def read_names(source: str, path: Path) -> Tree:
    """One class a line, without groups."""
    tree = new_tree(path, "names")
    add(tree, _TOP, place=f"{path}:1")
    lines = lines_of(source)
    numbered = all(map(INDEX.match, (line.strip() for _, line in lines)))
    for number, line in lines:
        text = INDEX.sub("", line.strip(), count=1) if numbered else line.strip()
        add(tree, str(len(tree)), _TOP, id=text, place=f"{path}:{number}")
    return tree


def is_grouped(source: str) -> bool:
    """Whether every line is "group: class, class"."""
    lines = [line.strip() for _, line in lines_of(source)]
    return len(lines) > 1 and all(re.match(r"[^:,]+: *[^:, ]", line) for line in lines)


def read_grouped(source: str, path: Path) -> Tree:
    """Lines "group: class, class, …"."""
    tree = new_tree(path, "grouped")
    add(tree, _TOP, place=f"{path}:1")
    for number, line in lines_of(source):
        name, _, members = line.partition(":")
        group = add(tree, str(len(tree)), _TOP, id=name.strip(), place=f"{path}:{number}")
        for member in filter(None, map(str.strip, members.split(","))):
            add(tree, str(len(tree)), group, id=member, place=f"{path}:{number}")
    return tree
