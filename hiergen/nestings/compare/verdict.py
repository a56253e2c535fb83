"""What a comparison comes to, in words: whose cutouts of one group cost less, and whose groups hold similar classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from hiergen.console.terminal import giga
from hiergen.taxonomy.modelspec import ModelSpec

if TYPE_CHECKING:
    from hiergen.nestings.compare.compare import GroupCost, NestingFigures


def verdicts(nestings: Sequence[NestingFigures]) -> list[str]:
    """A sentence on cost and one on coherence, each where at least two of the nestings have it."""
    return [*_cheaper(nestings), *_coherent(nestings)]


def terms_of(spec: ModelSpec, model: str) -> str:
    """What a model's widths are solved for, and whose that is, for a sentence."""
    if (aim := spec.find_aim()) is not None:
        return f"aim are those of {model}: {aim.cutout:g} × the flat network's ms"
    if (budget := spec.budget) is None:
        return f"widths are those of {model}"
    parts = [] if budget.params is None else [f"{budget.params / 1e6:.4g} M params"]
    parts += [] if budget.macs is None else [f"{giga(budget.macs)} GMACs"]
    parts += [] if budget.ms is None else [f"{budget.ms:g} ms"]
    return f"budget are those of {model}: {', '.join(parts)}"


def _cheaper(nestings: Sequence[NestingFigures]) -> Iterator[str]:
    costs = {figures.called: figures.cost for figures in nestings if figures.cost}
    if len(costs) < 2:
        return
    groups = {name: cost.group for name, cost in costs.items()}
    macs, params = (_least(groups, amount) for amount in (lambda g: giga(g.macs), lambda g: f"{g.params / 1e6:.2f}"))
    if macs is None and params is None:
        said = "A group's cutout costs as much in each"
    elif params in (macs, None):
        said = f"A group's cutout costs less in {macs}"
    elif macs is None:
        said = f"A group's cutout has fewer params in {params}, and as many MACs"
    else:
        said = f"A group's cutout has fewer MACs in {macs}, fewer params in {params}"
    means = "; ".join(f"{name} {_amounts(cost.group)}" for name, cost in costs.items())
    terms = {cost.terms for cost in costs.values()}
    terms = terms if len(terms) == 1 else {"budget are each model's own ('as model' above)"}
    text = f"{said} (means: {means}). The trunk and the {terms.pop()}."
    if any(cost.shared for cost in costs.values()):
        text += " Cut from the branch for all classes they cost alike."
    yield text


def _amounts(group: GroupCost) -> str:
    classes = f"{group.classes:.3g} class{'es' * (group.classes != 1)}"
    return f"{giga(group.macs)} GMACs, {group.params / 1e6:.2f} M params, {classes}"


def _least(groups: dict[str, GroupCost], shown: Callable[[GroupCost], str]) -> str | None:
    """Whose is the least, as it is printed; None where all are the same."""
    values = {name: float(shown(group)) for name, group in groups.items()}
    return min(values, key=values.__getitem__) if len(set(values.values())) > 1 else None


def _coherent(nestings: Sequence[NestingFigures]) -> Iterator[str]:
    scores = {
        figures.called: [value for score in figures.coherence.values() for value in (score.correlation, score.z)]
        for figures in nestings
    }
    scores = {name: values for name, values in scores.items() if values and not any(map(math.isnan, values))}
    if len(scores) < 2:
        return
    best = [name for name in scores if all(_beats(scores[name], scores[o]) for o in scores if o != name)]
    nobody = "Neither groups similar classes together" if len(scores) == 2 else "None groups similar classes together"
    said = f"{best[0]} groups similar classes together better" if best else f"{nobody} better by every measure"
    means = "; ".join(f"{name} r {_real(v[0], 3)}, z {_real(v[1], 1)}" for name, v in scores.items())
    yield f"{said} (whole nesting, Wu–Palmer: {means}; by chance 0)."


def _beats(first: Sequence[float], second: Sequence[float]) -> bool:
    return all(a > b for a, b in zip(first, second, strict=True))


def _real(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")
