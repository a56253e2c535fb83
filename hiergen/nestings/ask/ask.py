"""A nesting by NHLgpt: the evidence's groups, and a language model's word where the evidence disagrees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hiergen.errors import SpecError, TaxonomyError, quoted
from hiergen.nestings.ask.answers import read_answers
from hiergen.nestings.ask.cache import CacheEntry, read_cache
from hiergen.nestings.ask.client import Client, Key
from hiergen.nestings.ask.questions import (
    NAME,
    check_prompts,
    group_titles,
    namings,
    placements,
    unnamed,
    write_prompts,
)
from hiergen.nestings.ask.session import Session
from hiergen.nestings.ask.votes import START, Spot, find_spots, move_spots, short
from hiergen.nestings.suggest.evidence import Evidence, combine
from hiergen.nestings.suggest.kinds import EVIDENCE, Progress
from hiergen.nestings.suggest.propose import Proposal, from_evidence
from hiergen.nestings.suggest.request import SuggestRequest, refuse_unread, typed_command
from hiergen.nestings.suggest.shape import Shape
from hiergen.nestings.suggest.suggest import Suggestion, open_draft
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.naming import slug
from hiergen.taxonomy.nesting import Nesting

CACHE_SUFFIX = ".answers.json"
MAX_SECONDS = 86_400.0
_SHOWN = 12  # moves that the head of the file lists


def ask(
    file: str | Path,
    request: SuggestRequest = SuggestRequest(),  # noqa: B008 - frozen
    *,
    base_url: str | None = None,
    llm_model: str | None = None,
    key_env: str | None = None,
    answers: Path | None = None,
    dry_run: Path | None = None,
    cache: Path | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    batch: int = 20,
    out: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Suggestion:
    """Make a nesting from WordNet, names and whatever other evidence `request` gives, ask a language model where they
    disagree, and write it to `out`, by default beside the file as NAME-ask.yaml; `dry_run` writes the questions only.

    The file's own nesting has a vote where it has the shape. `cache` is by default the new file's name with
    .answers.json; other arguments as `ask_model` has them, and `proposal.detail` is its result. Raises HiergenError as
    that, and as `suggest`.
    """
    if request.by != "wordnet":
        raise SpecError("all evidence together is what a model is asked about", expected="no --by")
    if base_url is None:
        of_server = {"key_env": key_env, "retries": retries, "timeout": timeout}
        refuse_unread(of_server, "without --base-url", "only a server is asked so")
    elif dry_run is not None:
        refuse_unread({"base_url": base_url}, "with --dry-run", "the prompts are written, and nobody is asked")
    draft = open_draft(file, request, "ask", out=out, force=force, write=dry_run is None)
    taxonomy, current = draft.taxonomy, draft.current
    evidence = [request.gather(taxonomy, kind, progress) for kind in _kinds(request)]
    result = ask_model(
        taxonomy,
        from_evidence(taxonomy, draft.shape, combine(evidence)).nesting,
        evidence,
        cache=cache or draft.path.with_name(draft.path.stem + CACHE_SUFFIX),
        base_url=base_url,
        model=llm_model,
        key_env=key_env or "OPENAI_API_KEY",
        dry_run=dry_run,
        answers=answers,
        timeout=60.0 if timeout is None else timeout,
        retries=3 if retries is None else retries,
        batch=batch,
        names=True,
        shape=draft.shape,
        proposals=[current] if current.counts == draft.shape.counts else [],
        progress=progress,
    )
    proposal = Proposal(result.nesting, result.marks, tuple(result.notes), result)
    command = None if dry_run is not None else typed_command("ask", taxonomy.path, request.words())
    return draft.finish(proposal, command)


def _kinds(request: SuggestRequest) -> list[str]:
    """WordNet and names; of the others the one that is given."""
    if request.data is not None:
        return ["wordnet", "names", "features"]
    given = [
        name for name in ("weights", "confusions") if any(getattr(request, n) is not None for n in EVIDENCE[name].needs)
    ]
    return ["wordnet", "names", *given]


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
    retries: int = 3,
    batch: int = 20,
    names: bool = False,
    shape: Shape | None = None,
    proposals: Sequence[Nesting] = (),
    progress: Progress | None = None,
) -> AskResult:
    """Ask where `evidence` (its rows in the order of the taxonomy's classes), `proposals` and `nesting` itself
    disagree about the group of a class, or about the parent of a group; see `votes.find_spots`, `votes.move_spots`.

    Answers come from the file `cache`, then from `answers`, then from `model` behind `base_url`, which is needed only
    for what is still open; every answer goes to the cache. `dry_run` writes the open questions to a file instead. A
    question without a usable answer keeps the evidence's own answer and gets a mark. `names`: afterwards ask for names
    of groups that are called "like tabby" or "3". `shape`: sizes to keep, by default as many groups as `nesting` has.

    Raises HiergenError (SpecError for settings and files): open questions but no server, a damaged cache, answers that
    cannot be, a server that cannot be used, a key that no header carries. The key is in none of them.
    """
    _check(timeout=timeout, retries=retries, batch=batch)
    if not nesting.levels:
        raise TaxonomyError(
            "one level has no groups to ask about", place=nesting.name, expected="a nesting with two levels or more"
        )
    if dry_run is not None:
        check_prompts(dry_run)
    ids = [entry.id for entry in taxonomy.classes]
    if sorted(ids) != sorted(nesting.classes):
        raise TaxonomyError("the nesting is of other classes", place=nesting.name, expected=f"those of {taxonomy.path}")
    start = nesting.in_class_order(ids)
    spots = find_spots(start, evidence, proposals)
    session = Session(
        read_cache(cache),
        read_answers(answers) if answers is not None else None,
        None if base_url is None else partial(_client, base_url, model, key_env, timeout=timeout, retries=retries),
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
    moved = move_spots(start, spots, choices, answered, shape or Shape(start.counts))
    nesting = moved.nesting
    if names and not session.unwritten:  # who is in a group must be known before it gets a name
        wanted = namings(nesting, unnamed(nesting))
        named = session.resolve(wanted)
        nesting = _renamed(nesting, [entry.answer if (entry := named.get(q.item)) else None for q in wanted])
        entries |= named
        questions += wanted
    written = 0
    if dry_run is not None:
        written = write_prompts(dry_run, session.unwritten, size=batch, model=model)
    verdicts = [
        Verdict(spot, has_answer, choice, i in moved.reverted)
        for i, (spot, has_answer, choice) in enumerate(zip(spots, answered, choices, strict=True))
    ]
    titles = _titles(nesting, moved.of)
    voters = [START, *(part.name for part in evidence), *(short(proposal) for proposal in proposals)]
    usable = sum(entry.answer is not None for entry in entries.values())
    return AskResult(
        nesting,
        list_marks(start, titles, verdicts),
        list_notes(start, titles, verdicts, entries, voters),
        sent=session.sent,
        cached=session.cached,
        taken=session.taken,
        open=len(questions) - usable,
        problems=tuple(f"{quoted(item)}: {problem}" for item, problem in session.problems.items()),
        prompts=written,
    )


def _client(base_url: str, model: str | None, key_env: str, *, timeout: float, retries: int) -> Client:
    if not model:
        raise SpecError("--base-url without --llm-model", expected="the model's name as the server knows it")
    if not model.isprintable() or len(model) > 200:
        raise SpecError("--llm-model is no name of a model", got=quoted(model))
    key = Key.from_environment(key_env)
    return Client(base_url, model, key, timeout=timeout, retries=retries)


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


def _check(*, timeout: float, retries: int, batch: int) -> None:
    if not 0 < timeout <= MAX_SECONDS:  # not a number is refused, too
        raise SpecError(
            f"a timeout of {timeout:g} s cannot be", expected=f"more than 0 s, at most {MAX_SECONDS:,.0f} s"
        )
    if not 0 <= retries <= 100:
        raise SpecError(f"{retries} retries cannot be", expected="0 to 100")
    if not 1 <= batch <= 1000:
        raise SpecError(f"{batch} questions in one prompt cannot be", expected="1 to 1000")


@dataclass(frozen=True)
class Verdict:
    """How a spot ended: `answered` usably or not, the group `chosen`, and whether that was `reverted` for its size."""

    spot: Spot
    answered: bool
    chosen: int
    reverted: bool

    @property
    def final(self) -> int:
        return self.spot.home if self.reverted else self.chosen


def list_marks(start: Nesting, titles: Sequence[Sequence[str]], verdicts: Sequence[Verdict]) -> dict[int, str]:
    """Class → what is open there. `titles[level][group]`: what the groups of `start` are called now. What is open about
    a group stands at its first class."""
    texts: dict[int, list[str]] = {}
    last = len(start.levels) - 1
    for verdict in verdicts:
        spot, names = verdict.spot, titles[verdict.spot.level]
        if not verdict.answered:
            others = [group for group in spot.candidates if group != verdict.final]
            text = (
                " or ".join(f"{quoted(names[g])} ({', '.join(spot.voters(g))})" for g in others) + "; no usable answer"
            )
        elif verdict.reverted:
            text = f"{quoted(names[verdict.chosen])} by the answer, but then the groups' sizes would not do"
        else:
            continue
        if spot.level == last:
            c, who = spot.index, ""
        else:
            c = start.levels[spot.level + 1].members[spot.index][0]
            who = f"its group {quoted(titles[spot.level + 1][spot.index])} in "
        texts.setdefault(c, []).append(f"{who}{text}")
    return {c: "; ".join(texts[c]) for c in sorted(texts)}


def list_notes(
    start: Nesting,
    titles: Sequence[Sequence[str]],
    verdicts: Sequence[Verdict],
    entries: Mapping[str, CacheEntry],
    voters: Sequence[str],
) -> list[str]:
    """Sentences that depend on the evidence and the answers only, not on when and by which run they were asked."""
    voter_names = " and ".join([", ".join(voters[:-1]), voters[-1]] if voters[1:] else voters)
    last = len(start.levels) - 1
    counts = Counter(verdict.spot.level == last for verdict in verdicts)
    parts = [f"{counts[True]} of {len(start.classes)} classes"]
    if last:
        parts.append(f"{counts[False]} of {sum(start.counts[1:])} groups")
    sentences = [f"A language model's word counts where {voter_names} disagree: {' and '.join(parts)}."]
    if not verdicts:
        return [f"No language model was asked: {voter_names} do not disagree anywhere."]
    by = Counter(entry.by for entry in entries.values() if entry.answer is not None)
    if by:
        sentences.append("Answered by " + ", ".join(f"{name} ({by[name]})" for name in sorted(by)) + ".")
    moved = [_move(start, titles, v) for v in verdicts if v.final != v.spot.home]
    if moved:
        rest = f"; and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
        sentences.append(f"Moved from its place in start ({len(moved)}): {'; '.join(moved[:_SHOWN])}{rest}.")
    if unanswered := sum(not verdict.answered for verdict in verdicts):
        sentences.append(f"No usable answer to {unanswered} of {len(verdicts)} questions: the evidence decided there.")
    if kept := sum(verdict.reverted for verdict in verdicts):
        sentences.append(f"Not moved, though chosen, as the groups' sizes would not do: {kept}.")
    return sentences


def _move(start: Nesting, titles: Sequence[Sequence[str]], verdict: Verdict) -> str:
    j, i = verdict.spot.level, verdict.spot.index
    subject = start.labels[i] if j == len(start.levels) - 1 else f"group {titles[j + 1][i]}"
    return f"{subject}: {titles[j][verdict.spot.home]} → {titles[j][verdict.final]}"
