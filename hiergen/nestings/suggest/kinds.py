"""Kinds of evidence: the one table that option checks, help and the list in docs/suggest.md follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from hiergen.nestings.suggest.evidence import Evidence
    from hiergen.nestings.suggest.request import SuggestRequest
    from hiergen.taxonomy.load import Taxonomy


Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class EvidenceKind:
    """A row of `EVIDENCE`. `gather` is None for a control, which has no evidence. `reads`: options that it looks at, by
    their fields in `SuggestRequest`; one of `needs` must be given."""

    help: str
    gather: Callable[[Taxonomy, SuggestRequest, Progress | None], Evidence] | None
    reads: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def _wordnet(taxonomy: Taxonomy, request: SuggestRequest, progress: Progress | None) -> Evidence:
    from hiergen.nestings.suggest.wordnet import wordnet_evidence

    return wordnet_evidence(taxonomy)


def _depth(taxonomy: Taxonomy, request: SuggestRequest, progress: Progress | None) -> Evidence:
    from hiergen.nestings.suggest.wordnet import depth_evidence

    return depth_evidence(taxonomy)


def _superclass(taxonomy: Taxonomy, request: SuggestRequest, progress: Progress | None) -> Evidence:
    from hiergen.nestings.suggest.wordnet import superclass_evidence, wordnet_evidence

    return superclass_evidence(taxonomy, wordnet_evidence(taxonomy))


def _weights(taxonomy: Taxonomy, request: SuggestRequest, progress: Progress | None) -> Evidence:
    from hiergen.nestings.suggest.weights import weights_evidence

    return weights_evidence(taxonomy, weights=request.weights, key=request.key, timm_name=request.timm)


def _features(taxonomy: Taxonomy, request: SuggestRequest, progress: Progress | None) -> Evidence:
    from hiergen.nestings.suggest.features import features_evidence

    return features_evidence(taxonomy, request, progress)


def _confusions(taxonomy: Taxonomy, request: SuggestRequest, progress: Progress | None) -> Evidence:
    from hiergen.nestings.suggest.confusions import confusions_evidence

    assert request.confusions is not None  # `needs`
    return confusions_evidence(taxonomy, request.confusions)


def _names(taxonomy: Taxonomy, request: SuggestRequest, progress: Progress | None) -> Evidence:
    from hiergen.nestings.suggest.names import names_evidence

    return names_evidence(taxonomy, request.text_model)


EVIDENCE = {
    "wordnet": EvidenceKind("WordNet: what the common hypernym says", _wordnet),
    "depth": EvidenceKind("WordNet: how deep the common hypernym lies", _depth),
    "superclass": EvidenceKind("groups of imagenet-superclass, then WordNet", _superclass),
    "weights": EvidenceKind(
        "rows of a classifier's last layer", _weights, reads=("weights", "key", "timm"), needs=("weights", "timm")
    ),
    "features": EvidenceKind(
        "what images look like to a network",
        _features,
        reads=("data", "network", "weights", "timm"),
        needs=("data",),
    ),
    "confusions": EvidenceKind("a network's mistakes", _confusions, reads=("confusions",), needs=("confusions",)),
    "names": EvidenceKind("words for the classes", _names, reads=("text_model",)),
    "random": EvidenceKind("nothing: at random", None),
    "dissimilar": EvidenceKind("nothing: a coherent nesting, mixed up", None),
}
OPTIONS = tuple(dict.fromkeys(option for kind in EVIDENCE.values() for option in kind.reads))
