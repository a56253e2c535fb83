"""Coded findings about a taxonomy file: E = error (nothing is built), W = warning.

`CHECKS` lists every code with one line on what it looks for. Errors come from reading and merging; the functions below
look at the result. All findings of a file are collected; none stops the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hiergen.console.terminal import command
from hiergen.errors import HiergenError, listed, quoted
from hiergen.files import user_path
from hiergen.taxonomy.load import Taxonomy, load_taxonomy, unplaced_error
from hiergen.taxonomy.roots import training_part
from hiergen.taxonomy.senses import Sense, describe
from hiergen.taxonomy.spec import ImageFolder
from hiergen.taxonomy.tree import depths
from hiergen.taxonomy.wordnet.nouns import WordNet
from hiergen.taxonomy.yamlfile import scalar

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
    "W102": "a class's id and its name are different things in WordNet",
    "W103": "class folders have folders inside, or are those of a part, or class names are paths",
    "W301": "a weaker source disagrees with a stronger one",
    "W302": "WordNet gives a synset of this taxonomy several hypernyms",
    "W401": "a group of a nesting has a single child",
    "W402": "a group of a nesting has more than max_children children",
    "W403": "a group by hand is no group of a model's nesting",
    "W404": "one group of a nesting holds nearly all classes",
    "W501": "a backbone's figures, or a budget's ms, are not known yet, so that its models could not be checked",
}

EVEN = 0.75  # of the classes in one group of level 1 are a finding
DOUBTFUL = 0.2  # of the senses chosen with more doubt one in … was wrong on names with known senses


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
    if taxonomy is not None and any(finding.code == "E301" for finding in findings):
        everyone = unplaced_error(
            taxonomy.missing, taxonomy.classes, taxonomy.wordnet, taxonomy.path, most=len(taxonomy.classes)
        )
        findings = [finding_of(everyone, str(path)) if f.code == "E301" else f for f in findings]
    if taxonomy is not None and all(finding.code == "E301" for finding in findings):
        findings += merged_findings(taxonomy, further)
    return sorted(findings, key=lambda f: not f.is_error)


def merged_findings(taxonomy: Taxonomy, further: Sequence[Check] = ()) -> list[Finding]:
    """The findings about a taxonomy that could be read and merged."""
    return [finding for check in (*_AFTER_MERGE, *further) for finding in check(taxonomy)]


SHOWN = ("W102", "W103", "W403", "W404")  # what `show` and `build` say, too


def remarks(taxonomy: Taxonomy, *, names: bool = True) -> list[str]:
    """What to know of a taxonomy's networks: `names` that were guessed, groups that are lost, and the like."""
    guessed = [c for c in taxonomy.classes if c.guess is not None and c.synset is not None]
    doubtful = [c.id for c in guessed if c.guess is not None and c.guess.doubt >= DOUBTFUL]
    lines = []
    if guessed and names:
        look = f", {len(doubtful)} doubtful: {listed(doubtful, 12)}" if doubtful else ""
        lists = command(("hiergen", *(("validate",) if doubtful else ("senses", guessed[0].id)), taxonomy.path))
        lines.append(f"{len(guessed)} names were read by WordNet{look} ({lists} lists senses)")
    for finding in merged_findings(taxonomy):
        if finding.code in SHOWN and (finding.code != "W403" or finding.message.startswith(f"{taxonomy.deepest}: ")):
            lines.append(finding.message)
    return lines


def finding_of(error: HiergenError, path: str) -> Finding:
    """An error as a finding: its place apart from its sentence."""
    place = error.place or path
    return Finding(error.code, place, str(error).removeprefix(f"{error.place}: "))


def _guessed_senses(taxonomy: Taxonomy) -> Iterator[Finding]:
    """The likeliest mistakes first."""
    guessed = [(c, c.guess) for c in taxonomy.classes if c.guess is not None and c.guess.is_doubtful]
    for entry, sense in sorted(guessed, key=lambda pair: -pair[1].doubt):
        called = f" ({quoted(entry.name)})" if entry.name != entry.id else ""
        message = f"class {quoted(entry.id)}{called} is {describe(sense, taxonomy.wordnet)}"
        lines = [message + ("; if another is meant, under 'synsets:'" if sense.others else "")]
        lines += sense_lines(entry.id, sense, taxonomy.wordnet)
        yield Finding("W101", entry.place, "\n".join(lines))


def sense_lines(class_id: str, sense: Sense, wordnet: WordNet) -> Iterator[str]:
    """The other senses, to be pasted under `synsets:`."""
    for other in sense.others:
        yield f"  {scalar(class_id)}: {wordnet.synset_name(other)}  # {wordnet.gloss(other)}"


def _other_names(taxonomy: Taxonomy) -> Iterator[Finding]:
    """A list of wnids whose names slipped by a line, say."""
    wordnet = taxonomy.wordnet
    for entry in taxonomy.classes:
        if entry.guess is not None or entry.synset is None or not entry.exact or entry.name == entry.id:
            continue
        senses = wordnet.senses(entry.name)
        above = wordnet.closure([entry.synset])
        if senses and all(s not in above and entry.synset not in wordnet.closure([s]) for s in senses):
            other, mine = wordnet.synset_name(senses[0]), wordnet.synset_name(entry.synset)
            text = f"is called {quoted(entry.name)}, which is {senses[0]} ({other}), but is {mine}"
            yield Finding("W102", entry.place, f"class {quoted(entry.id)} {text}")


def _paths(taxonomy: Taxonomy) -> Iterator[Finding]:
    paths = [c for c in taxonomy.classes if c.path]
    if paths:
        groups = listed(dict.fromkeys(c.path[0] for c in paths))
        text = f"{len(paths)} class names are read as paths, {quoted(paths[0].id)} and others: groups {groups}"
        yield Finding("W103", paths[0].place, text)


def _folders(taxonomy: Taxonomy) -> Iterator[Finding]:
    classes = taxonomy.spec.classes
    if not isinstance(classes, ImageFolder):
        return
    place = taxonomy.document.place(("classes",))
    top, note = training_part(taxonomy.path.parent / user_path(classes.imagefolder))
    if note:
        yield Finding("W103", place, note)
    around = {Path(c.place).relative_to(top).parts[0] for c in taxonomy.classes if Path(c.place).parent != top}
    if around:
        offer = command(("hiergen", "init", classes.imagefolder, "-o", "NEW.yaml"))
        text = f"{len(around)} class folders have folders inside: {listed(sorted(around))}; {offer} makes them groups"
        yield Finding("W103", place, f"{text}; the innermost are classes")


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
        try:  # groups by hand that are ranks have levels which the merged tree contracts
            taxonomy.nesting(name)
        except HiergenError as error:
            if error.code != "E401":
                raise
            yield Finding("E401", place, f"model {name} asks for {levels} levels, the merged tree has {deepest}")
            continue
        yield from _shape(taxonomy, name, place)
        yield from _lost_groups(taxonomy, name, place)


def _lost_groups(taxonomy: Taxonomy, name: str, place: str) -> Iterator[Finding]:
    """Groups by hand that this model's nesting joins or skips."""
    nesting, count = taxonomy.nesting(name), len(taxonomy.classes)
    kept = {members for level in nesting.levels for members in level.members}
    lost = [group for group, members in nesting.groups if 1 < len(members) < count and members not in kept]
    if lost and nesting.levels:
        text = f"{name}: {len(lost)} group{'s' * (len(lost) != 1)} of the file joined or skipped: {listed(lost)}"
        yield Finding("W403", place, text)


def _shape(taxonomy: Taxonomy, name: str, place: str) -> Iterator[Finding]:
    nesting = taxonomy.nesting(name)
    limit = taxonomy.spec.nesting.max_children
    for level in range(1, nesting.depth):
        children = Counter(nesting.parents(level + 1))
        single = [group for i, group in enumerate(nesting.names(level)) if children[i] == 1]
        large = [f"{group} ({children[i]})" for i, group in enumerate(nesting.names(level)) if children[i] > limit]
        if single:
            yield Finding("W401", place, f"{name}, level {level}: {len(single)} with one child: {listed(single)}")
        uneven = max(nesting.levels[level - 1].sizes) if nesting.levels else 0
        if level == 1 and len(nesting.names(1)) > 1 and uneven > EVEN * len(nesting.classes):
            name_of = nesting.names(1)[nesting.levels[0].sizes.index(uneven)]
            share = f"{uneven} of {len(nesting.classes)} classes are in {quoted(name_of)}"
            yield Finding(
                "W404", place, f"{name}, level 1: {share}; more levels, groups by hand or 'nesting:' even it out"
            )
        if large:
            yield Finding("W402", place, f"{name}, level {level}: {len(large)} above {limit}: {listed(large)}")


_AFTER_MERGE: tuple[Check, ...] = (_guessed_senses, _other_names, _paths, _folders, _conflicts, _levels)
