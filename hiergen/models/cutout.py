"""The job of `hiergen cutout`: a full network's part, as readable source and weights, proved before they are kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from hiergen.codegen.build import render_cutout
from hiergen.codegen.standalone import standalone
from hiergen.codegen.view import CutoutOrigin
from hiergen.errors import HiergenError
from hiergen.files import write_text
from hiergen.lookup.choose import choose, find_terms, read_term
from hiergen.lookup.reference import CUTOUT_SOURCE
from hiergen.models.folder import CUTOUT_STANDALONE, class_name, free_folder, staged, timm_name
from hiergen.models.load import CUTOUT_WEIGHTS, check_weights, find_model, network_in, run_source
from hiergen.models.weights import load_weights, save_weights, taxonomy_hash
from hiergen.models.weightsfile import CutoutProvenance
from hiergen.nn.cutout import chosen_form, cut, difference
from hiergen.nn.generalist import Form
from hiergen.nn.network import HierarchicalNetwork
from hiergen.planning.from_network import plan_of
from hiergen.planning.plan import Plan

IMAGES = 4  # random ones, for the proof


@dataclass(frozen=True)
class Cutout:
    """What `cutout` wrote. `full` and `part` are plans: classes, params and MACs before and after.

    `form` is that of the full network that was cut, `chosen` whether a training chose it, and `answers` the form that
    the full network answers in. `why` says of each term
    what it was taken for; `difference` is the largest |difference| between the logits of the
    files as written and the full network's, on `IMAGES` random images in float32, both run in one way;
    `as_run` is the same where each runs as it would by itself, which adds rounding.
    """

    folder: Path
    full: Plan
    part: Plan
    form: Form
    chosen: bool
    answers: Form
    why: dict[str, str]
    difference: float
    as_run: float


def cutout(
    model: str | Path,
    folder: str | Path,
    *,
    classes: str | Sequence[str] = (),
    except_: str | Sequence[str] = (),
    weights: str | Path | None = None,
    untrained: bool = False,
    name: str | None = None,
    form: Form | None = None,
    force: bool = False,
    alone: bool = False,
) -> Cutout:
    """Cut the `classes` (default: all) but the `except_` ones out of a model, into FOLDER/model.py and .safetensors.

    `model` is what `find_model` takes; a cutout's folder brings its own weights. `name` is the new class's name. `form`
    says what of a network with a generalist is cut: by default what the end of the training chose for these groups.
    `alone` adds FOLDER/standalone.py, the same source with the modules of hiergen that it uses.
    The folder must be new or empty, or with `force` an earlier cutout. Raises HiergenError for unknown, no, or all
    classes, weights that are missing or do not belong, and a folder that cannot be written; then it is as it was.
    """
    target = free_folder(Path(folder), force)
    reference = find_model(model)
    name = class_name(reference, name)
    check_weights(reference, weights, untrained, hint="--untrained cuts a network of random ones")
    file = weights if weights is not None else reference.weights
    network = reference.cls().eval()
    source_weights = load_weights(network, file).sha256 if file is not None and not untrained else None
    selector = network.selector
    classes, except_ = ([terms] if isinstance(terms, str) else list(terms) for terms in (classes, except_))
    kept = choose(selector, classes, except_)
    if kept is None:
        raise HiergenError("no classes named", expected="--classes or --except")
    terms = find_terms(selector, [*classes, *except_])
    why = {term: selector.explain(read_term(selector, term)) for term in terms}
    chosen, answers = form is None and bool(network.choice), network.form
    network.form = form if form is not None else chosen_form(network, kept)
    part = cut(network, kept)
    origin = CutoutOrigin(
        model=reference.name,
        file=reference.path.name if reference.path else "memory",
        classes=network.num_classes,
        registered=timm_name(reference, name, taxonomy_hash(part)),
        source_taxonomy=taxonomy_hash(network),
        source_weights=source_weights,
        taxonomy=taxonomy_hash(part),
    )
    full_plan = plan_of(network, taxonomy="full", model="full")
    plan = plan_of(part, taxonomy="cutout", model=name)
    source = render_cutout(plan, origin)
    provenance = CutoutProvenance(reference.name, origin.source_taxonomy, source_weights, tuple(part.classes))
    with staged(target) as made:
        save_weights(part, made / CUTOUT_WEIGHTS, model=name, provenance=provenance)
        write_text(made / CUTOUT_SOURCE, source)
        if alone:
            write_text(made / CUTOUT_STANDALONE, standalone(source))
        again = network_in(run_source(source, target / CUTOUT_SOURCE), name, None).cls().eval()
        load_weights(again, made / CUTOUT_WEIGHTS)
        proof = _proof(network, again)
    return Cutout(target, full_plan, plan, network.form, chosen, answers, why, *proof)


def _proof(network: HierarchicalNetwork, part: HierarchicalNetwork) -> tuple[float, float]:
    """The largest differences on random images. Raises HiergenError where logits are not finite: nothing to compare."""
    images = torch.randn(IMAGES, *network.trunk.input_size, generator=torch.Generator().manual_seed(0))
    differences = difference(network, part, images), difference(network, part, images, lowering=None)
    if not all(map(math.isfinite, differences)):
        raise HiergenError(
            "the full network's logits are not finite on random images, so nothing can be proved",
            hint="check the weights",
        )
    return differences
