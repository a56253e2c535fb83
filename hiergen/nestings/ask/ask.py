"""A nesting by NHLgpt: the evidence's groups, and a language model's word where the evidence disagrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hiergen.errors import SpecError, TaxonomyError, quoted
from hiergen.nestings.ask import prompts as dryrun
from hiergen.nestings.ask import report
from hiergen.nestings.ask.cache import read_cache
from hiergen.nestings.ask.client import Client
from hiergen.nestings.ask.key import Key
from hiergen.nestings.ask.pasted import read_answers
from hiergen.nestings.ask.questions import NAME, group_titles, namings, placements, unnamed
from hiergen.nestings.ask.session import Session
from hiergen.nestings.ask.votes import START, Spot, find_spots, short
from hiergen.nestings.suggest.evidence import Evidence
from hiergen.nestings.suggest.kinds import Progress
from hiergen.nestings.suggest.shape import Shape, shape_of
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.naming import slug
from hiergen.taxonomy.nesting import Nesting

MAX_SECONDS = 86_400.0


@dataclass(frozen=True)
class AskResult:
    """`nesting`: the result, classes in the taxonomy's order. `marks`: class → what is left to a person there.

    `notes` for the head of the file; they, the marks and the nesting are the same when all answers come from the
    cache. Questions: `sent` to the server, `taken` from --answers, `cached` answered before, `open` without a usable
    answer. `problems`: what was wrong with the server's last answer to the open ones. `prompts`: written by --dry-run.
    """

    nesting: Nesting
    marks: dict[int, str]
    notes: list[str]
    sent: int = 0
    cached: int = 0
    taken: int = 0
    open: int = 0
    problems: tuple[str, ...] = ()
    prompts: int = 0

    def as_data(self) -> dict[str, Any]:
        """For --json."""
        counts = {"sent": self.sent, "taken": self.taken, "cached": self.cached, "open": self.open}
        return {"questions": {**counts, "prompts": self.prompts, "problems": list(self.problems)}}


def ask_model(
    taxonomy: Taxonomy,
    nesting: Nesting,
    evidence: Sequence[Evidence],
    *,
    cache: Path,
    base_url: str | None = None,
    model: str | None = None,
    key_env: str = "OPENAI_API_KEY",
    dry_run: Path | None = None,
    answers: Path | None = None,
    timeout: float = 60.0,
    overall: float = 3600.0,
    retries: int = 3,
    batch: int = 20,
    names: bool = False,
    shape: Shape | None = None,
    proposals: Sequence[Nesting] = (),
    progress: Progress | None = None,
) -> AskResult:
    """Ask where `evidence` (its rows in the order of the taxonomy's classes), `proposals` and `nesting` itself
    disagree about the group of a class, or about the parent of a group; see `votes.find_spots`, `choose.move_spots`.

    Answers come from the file `cache`, then from `answers`, then from `model` behind `base_url`, which is needed only
    for what is still open; every answer goes to the cache. `dry_run` writes the open questions to a file instead. A
    question without a usable answer keeps the evidence's own answer and gets a mark. `names`: afterwards ask for names
    of groups that are called "like tabby" or "3". `shape`: sizes to keep, by default those of `shape_of`.

    Raises HiergenError (SpecError for settings and files): open questions but no server, a damaged cache, answers that
    cannot be, a server that cannot be used, a key that no header carries. The key is in none of them.
    """
    _check(timeout=timeout, overall=overall, retries=retries, batch=batch)
    if not nesting.levels:
        raise TaxonomyError(
            "one level has no groups to ask about", place=nesting.name, expected="a nesting with two levels or more"
        )
    if dry_run is not None:
        dryrun.checked(dry_run)
    ids = [entry.id for entry in taxonomy.classes]
    if sorted(ids) != sorted(nesting.classes):
        raise TaxonomyError("the nesting is of other classes", place=nesting.name, expected=f"those of {taxonomy.path}")
    start = nesting.in_class_order(ids)
    spots = find_spots(start, evidence, proposals)
    session = Session(
        read_cache(cache),
        read_answers(answers) if answers is not None else None,
        None
        if base_url is None
        else partial(_client, base_url, model, key_env, timeout=timeout, overall=overall, retries=retries),
        dry_run,
        by=model or (answers.name if answers else ""),
        batch=batch,
        retries=retries,
        progress=progress,
    )
    questions = placements(taxonomy, start, spots)
    entries = session.resolve(questions, later=NAME if names else None)
    answered = [(entry := entries.get(q.item)) is not None and entry.answer is not None for q in questions]
    titles = group_titles(start)
    choices = [
        titles[spot.level].index(str(entries[question.item].answer)) if has_answer else spot.evident
        for spot, question, has_answer in zip(spots, questions, answered, strict=True)
    ]
    moved = move_spots(start, spots, choices, answered, shape or shape_of(start))
    nesting = moved.nesting
    if names and not session.unwritten:  # who is in a group must be known before it gets a name
        wanted = namings(nesting, unnamed(nesting))
        named = session.resolve(wanted)
        nesting = _renamed(nesting, [entry.answer if (entry := named.get(q.item)) else None for q in wanted])
        entries |= named
        questions += wanted
    written = 0
    if dry_run is not None:
        written = dryrun.write_prompts(dry_run, session.unwritten, size=batch, model=model)
    verdicts = [
        report.Verdict(spot, has_answer, choice, i in moved.reverted)
        for i, (spot, has_answer, choice) in enumerate(zip(spots, answered, choices, strict=True))
    ]
    titles = _titles(nesting, moved.of)
    voters = [START, *(part.name for part in evidence), *(short(proposal) for proposal in proposals)]
    usable = sum(entry.answer is not None for entry in entries.values())
    return AskResult(
        nesting,
        report.marks(start, titles, verdicts),
        report.notes(start, titles, verdicts, entries, voters),
        sent=session.sent,
        cached=session.cached,
        taken=session.taken,
        open=len(questions) - usable,
        problems=tuple(f"{quoted(item)}: {problem}" for item, problem in session.problems.items()),
        prompts=written,
    )


def _client(base_url: str, model: str | None, key_env: str, *, timeout: float, overall: float, retries: int) -> Client:
    if not model:
        raise SpecError("--base-url without --llm-model", expected="the model's name as the server knows it")
    if not model.isprintable() or len(model) > 200:
        raise SpecError("--llm-model is no name of a model", got=quoted(model))
    key = Key.from_environment(key_env)
    return Client(base_url, model, key, timeout=timeout, overall=overall, retries=retries)


def _renamed(nesting: Nesting, names: Sequence[str | None]) -> Nesting:
    """New names for the unnamed groups, in their order; None, and a name that another group has got, change nothing."""
    new = [list(level.names) for level in nesting.levels]
    taken: set[str] = set()
    for (j, i), name in zip(unnamed(nesting), names, strict=True):
        if name is not None and slug(name) not in taken:
            new[j][i] = name
            taken.add(slug(name))
    return nesting.renamed(new)


def _titles(nesting: Nesting, of: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
    """What the groups are called in the end, in the order that `of` numbers them in."""
    titles = []
    for level, numbers in zip(nesting.levels, of, strict=True):
        names = {number: level.names[group] for number, group in zip(numbers, level.of, strict=True)}
        titles.append(tuple(names[number] for number in range(len(names))))
    return titles


def _check(*, timeout: float, overall: float, retries: int, batch: int) -> None:
    for name, seconds in (("a timeout", timeout), ("an overall time", overall)):
        if not 0 < seconds <= MAX_SECONDS:  # not a number is refused, too
            expected = f"more than 0 s, at most {MAX_SECONDS:,.0f} s"
            raise SpecError(f"{name} of {seconds:g} s cannot be", expected=expected)
    if not 0 <= retries <= 100:
        raise SpecError(f"{retries} retries cannot be", expected="0 to 100")
    if not 1 <= batch <= 1000:
        raise SpecError(f"{batch} questions in one prompt cannot be", expected="1 to 1000")


@dataclass(frozen=True)
class Rearranged:
    """`nesting` has the groups of the start under the same names; `of[j][c]` is that of class c at level j, in the
    start's numbers. `reverted`: indices of the spots whose choice would have made a group too small or too large, and
    which stay where they were."""

    nesting: Nesting
    of: tuple[tuple[int, ...], ...]
    reverted: tuple[int, ...]


def move_spots(
    start: Nesting, spots: Sequence[Spot], choices: Sequence[int], firm: Sequence[bool], shape: Shape
) -> Rearranged:
    """Move each spot to its chosen group, as far as `shape` allows.

    While a group has too few or too many members, the weakest move out of it, or into it, is taken back: not `firm`
    (answered) before firm, fewest votes first, of equals the last. A group of the start that is outside the bounds
    already may stay as large as it is. The start itself is allowed, so this ends.
    """
    if shape.counts != start.counts:
        raise ValueError(f"a shape of {shape.counts} groups for a nesting of {start.counts}")
    last = len(start.levels) - 1
    parents = [list(start.above(j + 2)) for j in range(last + 1)]
    allowed = []
    for j, (_, _, low, high) in enumerate(shape.bounds(len(start.classes))):
        sizes = Counter(parents[j])
        allowed.append({group: (min(low, size), max(high, size)) for group, size in sizes.items()})
    moved = {}
    for i, (spot, choice) in enumerate(zip(spots, choices, strict=True)):
        if choice != spot.home:
            parents[spot.level][spot.index] = choice
            moved[i] = choice
    reverted = []
    while (wrong := _first_wrong(parents, allowed)) is not None:
        j, group, few = wrong
        undone = min(
            (i for i in moved if spots[i].level == j and group == (spots[i].home if few else moved[i])),
            key=lambda i: (firm[i], len(spots[i].voters(moved[i])), -i),
        )
        spot = spots[undone]
        parents[j][spot.index] = spot.home
        del moved[undone]
        reverted.append(undone)
    of = [parents[last]]
    for j in range(last - 1, -1, -1):
        of.insert(0, [parents[j][group] for group in of[0]])
    names = [level.names for level in start.levels]
    nesting = Nesting.from_levels(start.classes, of, labels=start.labels, names=names, name=start.name)
    return Rearranged(nesting, tuple(map(tuple, of)), tuple(sorted(reverted)))


def _first_wrong(
    parents: Sequence[Sequence[int]], allowed: Sequence[dict[int, tuple[int, int]]]
) -> tuple[int, int, bool] | None:
    """(level, group, whether it has too few members rather than too many)."""
    for j, of in enumerate(parents):
        sizes = Counter(of)
        for group, (low, high) in allowed[j].items():
            if not low <= sizes[group] <= high:
                return j, group, sizes[group] < low
    return None
