"""WordNet is not a tree: one hypernym per synset is chosen here, by a stated rule, and the others are recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter

from hiergen.errors import TaxonomyError, quoted
from hiergen.taxonomy.classes import ClassEntry, resolve_synset
from hiergen.taxonomy.spec import Hypernyms
from hiergen.taxonomy.tree import Conflict
from hiergen.taxonomy.wordnet.nouns import WordNet
from hiergen.taxonomy.yamlfile import Document

Closure = Mapping[str, tuple[str, ...]]


def choose_parents(
    closure: Closure,
    classes: tuple[ClassEntry, ...],
    options: Hypernyms,
    document: Document,
    wordnet: WordNet,
) -> tuple[dict[str, str], list[Conflict]]:
    """synset → its one hypernym (roots are absent), for every synset of the classes' ancestor closure.

    What a plain name was guessed to be is a physical thing, and stays one: where some of its hypernyms are physical,
    the others are out. Then the rule: `deepest` (longest path to the root), `shallowest`, `first` (as WordNet lists
    them), `most-classes` (of this taxonomy). Ties fall to more classes, then to the one listed first. `choose`
    overrules all.
    """
    chosen_by_hand = _hand_choices(options, document, wordnet)
    rank = _rank(options, closure, classes, wordnet)
    physical = _below(wordnet.resolve("physical_entity.n.01"), closure)
    guessed = wordnet.closure(c.synset for c in classes if c.guess and c.synset)
    parents: dict[str, str] = {}
    conflicts: list[Conflict] = []
    for synset, above in closure.items():
        if not above:
            continue
        rule = f"hypernyms.rule: {options.rule}"
        things = [a for a in above if a in physical and synset in guessed] or above
        best = min(things, key=lambda a: (*rank(a), above.index(a)))
        if synset in chosen_by_hand:
            best, place = chosen_by_hand[synset]
            rule = f"hypernyms.choose ({place})"
        parents[synset] = best
        for lost in above:
            if lost != best:
                conflicts.append(
                    Conflict(
                        kind="hypernym",
                        subject=wordnet.synset_name(synset),
                        kept=wordnet.synset_name(best),
                        kept_by="wordnet",
                        lost=wordnet.synset_name(lost),
                        lost_by="wordnet",
                        rule=rule,
                    )
                )
    return parents, conflicts


def _below(top: str | None, closure: Closure) -> set[str]:
    """The synsets of the closure at or below `top`."""
    children: dict[str, list[str]] = {}
    for synset, above in closure.items():
        for higher in above:
            children.setdefault(higher, []).append(synset)
    inside: set[str] = set()
    stack = [top] if top in closure and top is not None else []
    while stack:
        synset = stack.pop()
        if synset not in inside:
            inside.add(synset)
            stack += children.get(synset, ())
    return inside


def _hand_choices(options: Hypernyms, document: Document, wordnet: WordNet) -> dict[str, tuple[str, str]]:
    choices = {}
    for name, above in options.choose.items():
        place = document.place(("hypernyms", "choose", name))
        synset = resolve_synset(name, wordnet, place)
        parent = resolve_synset(above, wordnet, place)
        parents = wordnet.hypernyms(synset)
        if parent not in parents:
            raise TaxonomyError(
                f"{quoted(above)} is not a hypernym of {quoted(name)}",
                place=place,
                expected=" or ".join(wordnet.synset_name(h) for h in parents) or "nothing: it has none",
            )
        choices[synset] = (parent, place)
    return choices


def _rank(
    options: Hypernyms, closure: Closure, classes: tuple[ClassEntry, ...], wordnet: WordNet
) -> Callable[[str], tuple[int, ...]]:
    """Smaller is better; counted only where a rule needs it."""
    if options.rule == "first":
        return lambda synset: ()
    counts = _class_counts(closure, classes)
    if options.rule == "most-classes":
        return lambda synset: (-counts[synset],)
    sign = -1 if options.rule == "deepest" else 1
    depth = _depths(closure, wordnet)
    return lambda synset: (sign * depth(synset), -counts[synset])


def _depths(closure: Closure, wordnet: WordNet) -> Callable[[str], int]:
    """Steps on the longest path to the root, found for all synsets at once."""
    depths: dict[str, int] = {}
    try:
        for synset in TopologicalSorter(closure).static_order():
            depths[synset] = max((depths[above] + 1 for above in closure[synset]), default=0)
    except CycleError:
        return wordnet.depth  # which says where the cycle is
    return depths.__getitem__


def _class_counts(closure: Closure, classes: tuple[ClassEntry, ...]) -> dict[str, int]:
    """Synset → how many classes lie at or below it, along any hypernym."""
    counts = dict.fromkeys(closure, 0)
    for entry in classes:
        if entry.synset is None:
            continue
        seen = {entry.synset}
        stack = [entry.synset]
        while stack:
            synset = stack.pop()
            counts[synset] += 1
            for above in closure[synset]:
                if above not in seen:
                    seen.add(above)
                    stack.append(above)
    return counts
