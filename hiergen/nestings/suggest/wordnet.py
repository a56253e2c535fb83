"""Evidence from WordNet alone: how much the common hypernym of two classes says, or how deep it lies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from hiergen.errors import HiergenError
from hiergen.nestings.compare.similarity import wordnet_homes, wordnet_similarity
from hiergen.nestings.suggest.evidence import Evidence, Floats, symmetric
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.tree import ROOT, class_key, depths, leaves
from hiergen.taxonomy.wordnet.nouns import WordNet


def wordnet_evidence(taxonomy: Taxonomy) -> Evidence:
    """Similarity of the classes' synsets: Lin's (ICML 1998), with the intrinsic information content of Seco, Veale and
    Hayes (ECAI 2004), for which no corpus is needed."""
    _check(taxonomy)
    note = "Similarity: Lin's, with the intrinsic information content of WordNet's synsets (Seco et al. 2004)."
    return Evidence("wordnet", lin_similarity(taxonomy), (note,))


def depth_evidence(taxonomy: Taxonomy) -> Evidence:
    """Similarity of the classes' synsets: Wu and Palmer's (ACL 1994)."""
    _check(taxonomy)
    note = "Similarity: Wu–Palmer, by the depth of the lowest common hypernym."
    return Evidence("depth", symmetric(wordnet_similarity(taxonomy, "wu-palmer")), (note,))


def _check(taxonomy: Taxonomy) -> None:
    """Raises HiergenError where WordNet and the file's groups know nothing of half the classes: any cut is as good."""
    loose = set(taxonomy.tree.succ[ROOT])
    silent = [c for c in taxonomy.classes if c.synset is None and class_key(c.id) in loose]
    if 2 * len(silent) >= len(taxonomy.classes):
        raise HiergenError(
            f"says nothing of {len(silent)} of {len(taxonomy.classes)} classes, which are not in WordNet",
            place=str(taxonomy.path),
            expected="evidence for most classes",
            hint="name what they are under 'synsets:' or 'kind-of:', or suggest --by weights, confusion or features",
        )


def lin_similarity(taxonomy: Taxonomy) -> Floats:
    """2 · IC(common) / (IC(a) + IC(b)) `(n, n)`, common being the hypernym of both with the most information.

    A class that is only a kind of its synset is a leaf below it (IC 1); a class that WordNet has not is a leaf where
    `wordnet_homes` hangs it.
    """
    wordnet = taxonomy.wordnet
    homes = wordnet_homes(taxonomy)
    closures = [list(wordnet.closure([home])) if home is not None else [] for home, _ in homes]
    information = information_content(sorted({wnid for above in closures for wnid in above}), wordnet)
    content = np.array([information[home] if home is not None and exact else 1.0 for home, exact in homes])
    holders: dict[str, list[int]] = {}
    for i, above in enumerate(closures):
        for wnid in above:
            holders.setdefault(wnid, []).append(i)
    common = np.zeros((len(homes), len(homes)))
    for wnid in sorted(holders, key=lambda w: (information[w], w)):  # the most telling last
        common[np.ix_(holders[wnid], holders[wnid])] = information[wnid]
    both = content[:, None] + content[None, :]
    return symmetric(np.divide(2 * common, both, out=np.zeros_like(both), where=both > 0))


def information_content(synsets: Sequence[str], wordnet: WordNet) -> dict[str, float]:
    """1 - ln(1 + synsets below) / ln(synsets in all) for each synset (Seco et al. 2004, eq. 2): 0 for the root, 1 for a
    leaf. Counted below the roots of `synsets`, each synset once, instances too."""
    below = _children(synsets, wordnet)
    total = len(below)
    content = {}
    for wnid in synsets:
        seen = {wnid}
        todo = [wnid]
        while todo:
            new = [child for child in below[todo.pop()] if child not in seen]
            seen.update(new)
            todo += new
        content[wnid] = 1 - math.log(len(seen)) / math.log(total) if total > 1 else 1.0
    return content


def superclass_evidence(taxonomy: Taxonomy, wordnet: Evidence) -> Evidence:
    """How many groups of imagenet-superclass two classes share; among equals, WordNet decides.

    The source is derived as a taxonomy file's `imagenet-superclass` is, whatever sources this file has.
    """
    from hiergen.taxonomy.load import fail
    from hiergen.taxonomy.merge import merge
    from hiergen.taxonomy.sources import read_sources

    spec = taxonomy.spec.model_copy(update={"sources": ["imagenet-superclass"]})
    sources, _ = read_sources(spec, taxonomy.document, taxonomy.classes, taxonomy.wordnet, fail)
    tree = merge(taxonomy.classes, sources).tree
    order: Mapping[str, int] = tree.graph["order"]
    shared = np.zeros((len(order), len(order)))
    depth = depths(tree)
    for key in sorted((key for key in tree if key not in order and key != ROOT), key=lambda key: (depth[key], key)):
        inside = [order[leaf] for leaf in leaves(tree, key)]
        shared[np.ix_(inside, inside)] = depth[key]
    low, high = wordnet.similarity.min(), wordnet.similarity.max()
    rest = (wordnet.similarity - low) / (high - low) if high > low else np.zeros_like(shared)
    note = "Similarity: groups of imagenet-superclass in common; among equals, WordNet's."
    return Evidence("superclass", symmetric(shared + rest / 2), (note,))


def _children(synsets: Sequence[str], wordnet: WordNet) -> dict[str, tuple[str, ...]]:
    """Every synset below the roots of these, with its hyponyms."""
    children: dict[str, tuple[str, ...]] = {}
    todo = [wnid for wnid, above in wordnet.closure(synsets).items() if not above]
    while todo:
        wnid = todo.pop()
        if wnid not in children:
            children[wnid] = wordnet.hyponyms(wnid)
            todo += children[wnid]
    return children
