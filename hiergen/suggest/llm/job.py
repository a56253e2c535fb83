"""A nesting by NHLgpt: the evidence's groups, and a language model's word where the evidence disagrees."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from hiergen.errors import SpecError, TaxonomyError, quoted
from hiergen.partitions.grouping import Grouping, Level
from hiergen.suggest.evidence import Evidence
from hiergen.suggest.llm import dryrun, report
from hiergen.suggest.llm.cache import read_cache
from hiergen.suggest.llm.client import Client
from hiergen.suggest.llm.key import Key
from hiergen.suggest.llm.pasted import read_answers
from hiergen.suggest.llm.questions import NAME, group_titles, namings, placements, unnamed
from hiergen.suggest.llm.rounds import Progress
from hiergen.suggest.llm.session import Session
from hiergen.suggest.llm.settle import settle
from hiergen.suggest.llm.votes import START, short, spots
from hiergen.suggest.shape import Shape, shape_of
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.naming import slug

Sleep = Callable[[float], None]
MAX_SECONDS = 86_400.0


@dataclass(frozen=True)
class Asked:
    """`grouping`: the nesting, classes in the taxonomy's order. `marks`: class → what is left to a person there.

    `notes` for the head of the file; they, the marks and the grouping are the same when all answers come from the
    cache. Questions: `asked` of the server, `taken` from --answers, `cached` known before, `open` without a usable
    answer. `problems`: what was wrong with the server's last answer to the open ones. `prompts`: written by --dry-run.
    """

    grouping: Grouping
    marks: dict[int, str]
    notes: list[str]
    asked: int = 0
    cached: int = 0
    taken: int = 0
    open: int = 0
    problems: tuple[str, ...] = ()
    prompts: int = 0


def ask(
    taxonomy: Taxonomy,
    grouping: Grouping,
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
    seed: int = 0,
    names: bool = False,
    shape: Shape | None = None,
    proposals: Sequence[Grouping] = (),
    progress: Progress | None = None,
    sleep: Sleep = time.sleep,
) -> Asked:
    """Ask where `evidence` (its rows in the order of the taxonomy's classes), `proposals` and `grouping` itself
    disagree about the group of a class, or about the parent of a group; see `votes.spots`, `settle.settle`.

    Answers come from the file `cache`, then from `answers`, then from `model` behind `base_url`, which is needed only
    for what is still open; every answer goes to the cache. `dry_run` writes the open questions to a file instead. A
    question without a usable answer keeps the evidence's own answer and gets a mark. `names`: afterwards ask for names
    of groups that are called "like tabby" or "3". `shape`: sizes to keep, by default those of `shape_of`.

    Raises HiergenError (SpecError for settings and files): open questions but no server, a damaged cache, answers that
    cannot be, a server that cannot be used, a key that no header carries. The key is in none of them.
    """
    _check(timeout=timeout, overall=overall, retries=retries, batch=batch)
    if not grouping.levels:
        raise TaxonomyError(
            "one level has no groups to ask about", place=grouping.name, expected="a nesting with two levels or more"
        )
    if dry_run is not None:
        dryrun.checked(dry_run)
    ids = [entry.id for entry in taxonomy.classes]
    if sorted(ids) != sorted(grouping.classes):
        raise TaxonomyError(
            "the nesting is of other classes", place=grouping.name, expected=f"those of {taxonomy.path}"
        )
    start = grouping.reordered(ids)
    found = spots(start, evidence, proposals)
    session = Session(
        read_cache(cache),
        read_answers(answers) if answers is not None else None,
        None
        if base_url is None
        else partial(
            _client, base_url, model, key_env, timeout=timeout, overall=overall, retries=retries, seed=seed, sleep=sleep
        ),
        dry_run,
        by=model or (answers.name if answers else ""),
        batch=batch,
        retries=retries,
        progress=progress,
    )
    questions = placements(taxonomy, start, found)
    entries = session.resolve(questions, later=NAME if names else None)
    answered = [(entry := entries.get(q.item)) is not None and entry.answer is not None for q in questions]
    titles = group_titles(start)
    choices = [
        titles[spot.level].index(str(entries[question.item].answer)) if known else spot.evident
        for spot, question, known in zip(found, questions, answered, strict=True)
    ]
    settled = settle(start, found, choices, answered, shape or shape_of(start))
    nesting = settled.grouping
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
        report.Verdict(spot, known, choice, i in settled.reverted)
        for i, (spot, known, choice) in enumerate(zip(found, answered, choices, strict=True))
    ]
    titles = _titles(nesting, settled.of)
    voters = [START, *(known.name for known in evidence), *(short(known) for known in proposals)]
    usable = sum(entry.answer is not None for entry in entries.values())
    return Asked(
        nesting,
        report.marks(start, titles, verdicts),
        report.notes(start, titles, verdicts, entries, voters),
        asked=session.asked,
        cached=session.cached,
        taken=session.taken,
        open=len(questions) - usable,
        problems=tuple(f"{quoted(item)}: {problem}" for item, problem in session.problems.items()),
        prompts=written,
    )


def _client(
    base_url: str,
    model: str | None,
    key_env: str,
    *,
    timeout: float,
    overall: float,
    retries: int,
    seed: int,
    sleep: Sleep,
) -> Client:
    if not model:
        raise SpecError("--base-url without --llm-model", expected="the model's name as the server knows it")
    if not model.isprintable() or len(model) > 200:
        raise SpecError("--llm-model is no name of a model", got=quoted(model))
    key = Key.from_environment(key_env)
    return Client(base_url, model, key, timeout=timeout, overall=overall, retries=retries, seed=seed, sleep=sleep)


def _renamed(nesting: Grouping, names: Sequence[str | None]) -> Grouping:
    """New names for the unnamed groups, in their order; None, and a name that another group has got, change nothing."""
    new = [list(level.names) for level in nesting.levels]
    taken: set[str] = set()
    for (j, i), name in zip(unnamed(nesting), names, strict=True):
        if name is not None and slug(name) not in taken:
            new[j][i] = name
            taken.add(slug(name))
    levels = [Level(tuple(titles), level.of) for titles, level in zip(new, nesting.levels, strict=True)]
    return replace(nesting, levels=tuple(levels))


def _titles(nesting: Grouping, of: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
    """What the groups are called in the end, in the order that `of` numbers them in."""
    found = []
    for level, numbers in zip(nesting.levels, of, strict=True):
        names = {number: level.names[group] for number, group in zip(numbers, level.of, strict=True)}
        found.append(tuple(names[number] for number in range(len(names))))
    return found


def _check(*, timeout: float, overall: float, retries: int, batch: int) -> None:
    for name, seconds in (("a timeout", timeout), ("an overall time", overall)):
        if not 0 < seconds <= MAX_SECONDS:  # not a number is refused, too
            expected = f"more than 0 s, at most {MAX_SECONDS:,.0f} s"
            raise SpecError(f"{name} of {seconds:g} s cannot be", expected=expected)
    if not 0 <= retries <= 100:
        raise SpecError(f"{retries} retries cannot be", expected="0 to 100")
    if not 1 <= batch <= 1000:
        raise SpecError(f"{batch} questions in one prompt cannot be", expected="1 to 1000")
