"""Coded findings about a taxonomy file: E = error (nothing is built), W = warning.

`CHECKS` lists every code with one line on what it looks for. Errors come from reading and merging; the functions below
look at the result. All findings of a file are collected; none stops the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hiergen.errors import HiergenError, listed, quoted
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.tree import depths

CHECKS = {
    "E001": "the file can be read, is YAML, and has the keys and values that a taxonomy file may have",
    "E101": "every wnid, synset and class name that the file mentions exists",
    "E102": "no class stands twice, under its own name or as the same synset",
    "E103": "names of classes and groups are printable text of reasonable length",
    "E104": "no two classes or groups become the same identifier",
    "E201": "every member of a group is a class, group, synset or word with classes below it",
    "E202": "no class is in two groups",
    "E203": "no group is empty",
    "E204": "groups do not contain each other",
    "E205": "no group stands twice or in two groups",
    "E206": "no name is both a group and a class",
    "E301": "some source places every class",
    "E401": "no model asks for more levels than the merged tree has",
    "E501": "the backbone is one of timm's and has feature stages",
    "E502": "the backbone has the stage at which the trunk is cut",
    "E503": "the budget is reachable",
    "E504": "branches, levels and strides fit together",
    "E505": "the models have names of their own in code and in timm's registry",
    "W101": "a plain class name was given a WordNet sense by a rule",
    "W301": "a weaker source disagrees with a stronger one",
    "W302": "WordNet gives a synset of this taxonomy several hypernyms",
    "W401": "a group of a nesting has a single child",
    "W402": "a group of a nesting has more than max_children children",
    "W501": "a backbone's figures are not known yet, so that its models could not be checked",
}


Check = Callable[[Taxonomy], "Iterator[Finding]"]


@dataclass(frozen=True)
class Finding:
    """One thing that a check found; `place` is "file:line" where there is one."""

    code: str
    place: str
    message: str

    @property
    def is_error(self) -> bool:
        return self.code.startswith("E")

    def as_dict(self) -> dict[str, str]:
        return {"severity": "error" if self.is_error else "warning", **asdict(self)}


def check_file(path: str | Path, further: Sequence[Check] = ()) -> list[Finding]:
    """All findings about one taxonomy file, errors first. `further` checks are asked if it can be read and merged."""
    findings: list[Finding] = []

    def report(error: HiergenError) -> None:
        findings.append(finding_of(error, str(path)))

    taxonomy = None
    try:
        taxonomy = load_taxonomy(path, report)
    except HiergenError as error:  # nothing further can be read after this one
        report(error)
    if taxonomy is not None and not findings:
        findings += merged_findings(taxonomy, further)
    return sorted(findings, key=lambda f: not f.is_error)


def merged_findings(taxonomy: Taxonomy, further: Sequence[Check] = ()) -> list[Finding]:
    """The findings about a taxonomy that could be read and merged."""
    return [finding for check in (*_AFTER_MERGE, *further) for finding in check(taxonomy)]


def finding_of(error: HiergenError, path: str) -> Finding:
    """An error as a finding: its place apart from its sentence."""
    place = error.place or path
    return Finding(error.code, place, str(error).removeprefix(f"{error.place}: "))


def _guessed_senses(taxonomy: Taxonomy) -> Iterator[Finding]:
    for entry in taxonomy.classes:
        if entry.note:
            yield Finding("W101", entry.place, f"class {quoted(entry.id)} {entry.note}; overrule it under 'synsets:'")


def _conflicts(taxonomy: Taxonomy) -> Iterator[Finding]:
    kinds = Counter(conflict.kind for conflict in taxonomy.conflicts)
    path = str(taxonomy.path)
    hint = "see 'hiergen show --conflicts'"
    if count := kinds["overlap"] + kinds["member"]:
        yield Finding("W301", path, f"{count} groups or members lost to a stronger claim; {hint}")
    if count := kinds["hypernym"]:
        rule = taxonomy.spec.hypernyms.rule
        yield Finding("W302", path, f"{count} hypernyms were set aside by the rule '{rule}'; {hint}")


def _levels(taxonomy: Taxonomy) -> Iterator[Finding]:
    deepest = max(depths(taxonomy.tree).values())
    for name, levels in taxonomy.levels.items():
        place = taxonomy.document.place(("models", name))
        if levels > deepest:
            yield Finding("E401", place, f"model {name} asks for {levels} levels, the merged tree has {deepest}")
            continue
        yield from _shape(taxonomy, name, place)


def _shape(taxonomy: Taxonomy, name: str, place: str) -> Iterator[Finding]:
    nesting = taxonomy.nesting(name)
    limit = taxonomy.spec.nesting.max_children
    for level in range(1, nesting.depth):
        children = Counter(nesting.parents(level + 1))
        single = [group for i, group in enumerate(nesting.names(level)) if children[i] == 1]
        large = [f"{group} ({children[i]})" for i, group in enumerate(nesting.names(level)) if children[i] > limit]
        if single:
            yield Finding("W401", place, f"{name}, level {level}: {len(single)} with one child: {listed(single)}")
        if large:
            yield Finding("W402", place, f"{name}, level {level}: {len(large)} above {limit}: {listed(large)}")


_AFTER_MERGE: tuple[Check, ...] = (_guessed_senses, _conflicts, _levels)
