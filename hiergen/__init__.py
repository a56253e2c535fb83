"""hiergen: class taxonomies in, networks with separate features per class and superclass out.

The public API, loaded on first use so that `import hiergen` costs nothing:

>>> import hiergen
>>> taxonomy = hiergen.load_taxonomy("taxonomies/imagenet100.yaml")
>>> plans = hiergen.plan_models(taxonomy)
>>> plans[1].params <= 25_000_000
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from hiergen.builder import Built, build, plan_models, validate
    from hiergen.cost import CostCard, cost_card
    from hiergen.cutouts import write_cutout
    from hiergen.errors import HiergenError, OutputError, PlanError, SpecError, TaxonomyError
    from hiergen.formats.exporting import export_tree
    from hiergen.formats.job import import_tree
    from hiergen.models import load_network
    from hiergen.partitions.compare import Comparison, compare_nestings
    from hiergen.partitions.constraints import Constraints
    from hiergen.partitions.count import count_nestings
    from hiergen.partitions.sample import sample_nesting
    from hiergen.plan.ir import Plan
    from hiergen.suggest.job import suggest_nesting
    from hiergen.suggest.request import SuggestRequest
    from hiergen.taxonomy.checks import CHECKS, Finding
    from hiergen.taxonomy.cue import Cue, cue
    from hiergen.taxonomy.load import Taxonomy, load_taxonomy
    from hiergen.taxonomy.nesting import Nesting
    from hiergen.taxonomy.wordnet import WordNet
    from hiergen.weights import load_weights, save_weights

_HOMES = {
    "Built": "builder",
    "build": "builder",
    "plan_models": "builder",
    "CostCard": "cost",
    "cost_card": "cost",
    "write_cutout": "cutouts",
    "load_network": "models",
    "load_weights": "weights",
    "save_weights": "weights",
    "HiergenError": "errors",
    "OutputError": "errors",
    "PlanError": "errors",
    "SpecError": "errors",
    "TaxonomyError": "errors",
    "Plan": "plan.ir",
    "CHECKS": "taxonomy.checks",
    "Finding": "taxonomy.checks",
    "Cue": "taxonomy.cue",
    "cue": "taxonomy.cue",
    "validate": "builder",
    "Taxonomy": "taxonomy.load",
    "load_taxonomy": "taxonomy.load",
    "Nesting": "taxonomy.nesting",
    "WordNet": "taxonomy.wordnet",
    "count_nestings": "partitions.count",
    "Constraints": "partitions.constraints",
    "sample_nesting": "partitions.sample",
    "compare_nestings": "partitions.compare",
    "Comparison": "partitions.compare",
    "suggest_nesting": "suggest.job",
    "SuggestRequest": "suggest.request",
    "import_tree": "formats.job",
    "export_tree": "formats.exporting",
}

__all__ = [
    "CHECKS",
    "Built",
    "Comparison",
    "Constraints",
    "CostCard",
    "Cue",
    "Finding",
    "HiergenError",
    "Nesting",
    "OutputError",
    "Plan",
    "PlanError",
    "SpecError",
    "SuggestRequest",
    "Taxonomy",
    "TaxonomyError",
    "WordNet",
    "__version__",
    "build",
    "compare_nestings",
    "cost_card",
    "count_nestings",
    "cue",
    "export_tree",
    "import_tree",
    "load_network",
    "load_taxonomy",
    "load_weights",
    "plan_models",
    "sample_nesting",
    "save_weights",
    "suggest_nesting",
    "validate",
    "write_cutout",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hiergen' has no attribute {name!r}")
    return getattr(import_module(f"hiergen.{_HOMES[name]}"), name)
