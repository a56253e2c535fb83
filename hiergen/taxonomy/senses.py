"""Which noun of WordNet each plain name means: chosen for all names together, for company tells what is meant.

How likely a candidate is comes from itself (candidates.py) and from the other names: between "heron" and "gull", a
crane is a bird.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log

from hiergen.taxonomy.candidates import FAR_FETCHED, Candidate, Dictionary, Label, pictures_below
from hiergen.taxonomy.wordnet.nouns import WordNet

__all__ = ["Label", "Sense", "describe", "read_names"]

_PRIOR_COUNT = 12.0  # so many names would have to lie below a synset to outweigh what photographs show, …
_PRIOR_SHARE = 0.25  # … of few names this share
_SIBLINGS = 2  # a name in the same group counts as so many more
_ROUNDS = 3
_FEW = 4  # names that say little of what kind they all are
_ODD = 0.5  # the doubt about a slip, and about an artifact among animals
_MOST = 0.8  # of the names are of one realm, where another is odd
_SURE = 0.1  # the doubt that nobody is told of, where a name has one sense


@dataclass(frozen=True)
class Sense:
    """What a name was taken for. `exact`: it is that synset, not a kind of it; `others`: what else it may mean, the
    likeliest first; `doubt`: how likely it is one of them, 0 to 1."""

    synset: str | None
    exact: bool = True
    others: tuple[str, ...] = ()
    doubt: float = 0.0

    @property
    def is_doubtful(self) -> bool:
        """Whether there was anything to choose."""
        return bool(self.others) or not self.exact or self.doubt > _SURE


def describe(sense: Sense, wordnet: WordNet) -> str:
    """ "taken as crane.n.05 (large long-necked wading bird …)"."""
    if sense.synset is None:
        return "taken for none of its senses, which are unlike the other classes"
    kind = "" if sense.exact else "a kind of "
    return f"taken as {kind}{wordnet.synset_name(sense.synset)} ({wordnet.gloss(sense.synset)})"


def read_names(labels: Sequence[Label], wordnet: WordNet, *, imagenet1k: bool = True) -> list[Sense]:
    """What each of these names means, in the company of the others.

    `imagenet1k=False` leaves ImageNet-1k's list out of what photographs show, to be measured on its names.

    >>> from hiergen.taxonomy.wordnet.nouns import default
    >>> [sense.synset for sense in read_names([Label("crane"), Label("heron"), Label("gull")], default())]
    ['n02012849', 'n02008041', 'n02041246']
    """
    dictionary = Dictionary(wordnet, imagenet1k)
    choices = [[] if label.synset else dictionary.candidates(label) for label in labels]
    for i, label in enumerate(labels):
        if not choices[i] and not label.synset:
            choices[i] = dictionary.slips(label)
    if not any(choices):
        return [Sense(label.synset) for label in labels]
    company = _Company(labels, choices, dictionary)
    odds = [[candidate.prior for candidate in row] for row in choices]
    for _ in range(_ROUNDS):
        odds = company.odds([_shares(row) for row in odds])
    senses = _distinct(labels, choices, odds)
    for i, (sense, row) in enumerate(zip(senses, choices, strict=True)):
        if any(candidate.is_slip for candidate in row):
            others = dict.fromkeys([*sense.others, *dictionary.beside(labels[i])])
            senses[i] = replace(sense, others=tuple(other for other in others if other != sense.synset))
    return _doubt_strangers(senses, labels, wordnet)


def _distinct(
    labels: Sequence[Label], choices: Sequence[Sequence[Candidate]], odds: Sequence[Sequence[float]]
) -> list[Sense]:
    """The likeliest sense of each; two names share none, the one that is surer of it comes first."""
    senses = [Sense(label.synset) for label in labels]
    taken = {label.synset for label in labels if label.synset and not label.is_kind}
    shares = [_shares(row) for row in odds]
    for i in sorted((i for i, row in enumerate(choices) if row), key=lambda i: (-max(shares[i]), i)):
        ranked = sorted(range(len(choices[i])), key=lambda j: (-odds[i][j], j))
        best = ranked[0]
        if odds[i][best] < choices[i][best].least:
            senses[i] = Sense(None, True, tuple(choices[i][j].synset for j in ranked), 1.0)
            continue
        free = [j for j in ranked if not choices[i][j].exact or choices[i][j].synset not in taken]
        # a far-fetched sense is worse than to stand as a kind of what another name is
        chosen = free[0] if free and odds[i][best] - odds[i][free[0]] < FAR_FETCHED else best
        candidate = choices[i][chosen]
        exact = candidate.exact and candidate.synset not in taken
        if exact:
            taken.add(candidate.synset)
        others = tuple(choices[i][j].synset for j in ranked if j != chosen)
        doubt = max(1 - shares[i][chosen], candidate.is_slip * _ODD)
        senses[i] = Sense(candidate.synset, exact, others, doubt)
    return senses


def _doubt_strangers(senses: list[Sense], labels: Sequence[Label], wordnet: WordNet) -> list[Sense]:
    """Where nearly all are animals, say, what was read as something else is doubtful."""
    realms = [wordnet.lexname(sense.synset) if sense.synset else "" for sense in senses]
    ranked = Counter(filter(None, realms)).most_common(1)
    if not ranked or ranked[0][1] < max(4, _MOST * sum(map(bool, realms))):
        return senses
    return [
        replace(sense, doubt=max(sense.doubt, _ODD))
        if realm not in ("", ranked[0][0]) and label.synset is None
        else sense
        for sense, realm, label in zip(senses, realms, labels, strict=True)
    ]


def _shares(odds: Sequence[float]) -> list[float]:
    if not odds:
        return []
    top = max(odds)
    weights = [exp(value - top) for value in odds]
    return [weight / sum(weights) for weight in weights]


class _Company:
    """How likely a sense is for the senses that the other names have.

    The names are seen as drawn from WordNet by going down from its root, each step as likely as names lie there; as
    long as there are few, as photographs do (a hierarchical Dirichlet prior). The odds are relative to photographs.
    """

    def __init__(self, labels: Sequence[Label], choices: list[list[Candidate]], dictionary: Dictionary) -> None:
        self._choices, self._dictionary = choices, dictionary
        self._groups = [label.groups for label in labels]
        self._given = [label.synset for label in labels]
        self._weight = min(_PRIOR_COUNT, max(1.0, _PRIOR_SHARE * len(labels)))
        self._below = pictures_below() if dictionary.pictures else {}

    def odds(self, shares: Sequence[Sequence[float]]) -> list[list[float]]:
        """Log-odds of every candidate, given how likely each was so far."""
        if not self._below:
            return [[c.prior for c in row] for row in self._choices]
        masses = [self._mass(i, row) for i, row in enumerate(shares)]
        realms = self._realms(shares)
        everyone: dict[str, float] = defaultdict(float)
        groups: dict[tuple[str, ...], dict[str, float]] = {}
        for group, mass in zip(self._groups, masses, strict=True):
            siblings = groups.setdefault(group, defaultdict(float)) if group else None
            for synset, share in mass.items():
                everyone[synset] += share
                if siblings is not None:
                    siblings[synset] += share
        return [
            [
                odds + candidate.rarity * realms.get(candidate.realm, 0.0)
                for odds, candidate in zip(self._lifted(row, mass, everyone, groups.get(group, {})), row, strict=True)
            ]
            for row, mass, group in zip(self._choices, masses, self._groups, strict=True)
        ]

    def _realms(self, shares: Sequence[Sequence[float]]) -> dict[str, float]:
        """How much of all names persons, places and such are."""
        realms: dict[str, float] = defaultdict(float)
        for row, parts in zip(self._choices, shares, strict=True):
            for candidate, share in zip(row, parts, strict=True):
                realms[candidate.realm] += share / max(len(shares), _FEW)
        return realms

    def _mass(self, i: int, shares: Sequence[float]) -> dict[str, float]:
        """Synset → how likely class i lies at or below it."""
        mass: dict[str, float] = defaultdict(float)
        given = self._given[i]
        for synset in self._dictionary.above(given) if given else ():
            mass[synset] = 1.0
        for candidate, share in zip(self._choices[i], shares, strict=True):
            for synset in self._dictionary.above(candidate.synset):
                mass[synset] += share
        return mass

    def _lifted(
        self,
        row: Sequence[Candidate],
        mass: Mapping[str, float],
        everyone: Mapping[str, float],
        siblings: Mapping[str, float],
    ) -> list[float]:
        lifts: dict[str, float] = {}

        def others(synset: str) -> float:
            weight = everyone.get(synset, 0.0) + _SIBLINGS * siblings.get(synset, 0.0)
            return max(weight - mass.get(synset, 0.0) * (1 + _SIBLINGS * bool(siblings)), 0.0)

        def lift(synset: str) -> float:
            if synset not in lifts:
                lifts[synset] = 0.0  # a damaged WordNet may go in circles
                best = None
                for above in self._dictionary.wordnet.hypernyms(synset):
                    part = (self._below.get(synset, 0) + 1) / (self._below.get(above, 0) + 1)
                    step = log((others(synset) + self._weight * part) / (others(above) + self._weight) / part)
                    best = lift(above) + step if best is None else max(best, lift(above) + step)
                lifts[synset] = best or 0.0
            return lifts[synset]

        return [candidate.prior + lift(candidate.synset) for candidate in row]
