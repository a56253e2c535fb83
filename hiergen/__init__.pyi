from ._version import __version__ as __version__
from .cli.json_schema import schema
from .codegen.build import Built, build
from .costs.attention import attend
from .costs.card import CostCard, cost
from .costs.coarse_first import coarse_first
from .costs.measured import tune
from .errors import HiergenError, OutputError, PlanError, SpecError, TaxonomyError
from .formats.exporting import export_tree
from .formats.importing import import_tree, init
from .lookup.cue import Cue, cue
from .lookup.senses import senses
from .models.convert import convert
from .models.cutout import cutout
from .models.export.run import export
from .models.graft import graft, shrink
from .models.hub import from_pretrained, push_to_hub, save_pretrained
from .models.load import load_network
from .models.network import network
from .models.predict import Predictions, predict
from .models.weights import load_trunk, load_weights, save_weights
from .nestings.ask.ask import ask
from .nestings.compare.compare import Comparison, compare_nestings
from .nestings.count.constraints import Constraints
from .nestings.count.count import count_nestings
from .nestings.count.request import count_partitions
from .nestings.count.sample import sample_nesting
from .nestings.search.search import search
from .nestings.suggest.request import SuggestRequest
from .nestings.suggest.suggest import suggest
from .nn.predict import Recognition
from .planning.from_taxonomy import plan_models, validate
from .planning.plan import Plan
from .taxonomy.checks import CHECKS, Finding
from .taxonomy.load import Taxonomy, load_taxonomy
from .taxonomy.nesting import Nesting
from .taxonomy.wordnet.nouns import WordNet
from .training.embedding import embed
from .training.grow import grow
from .training.rejecting import reject
from .training.run import evaluate, resume, train
from .training.specialise import specialise
from .views.draw.draw import draw
from .views.explore.explore import explore
from .views.show import show

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
    "Predictions",
    "Recognition",
    "SpecError",
    "SuggestRequest",
    "Taxonomy",
    "TaxonomyError",
    "WordNet",
    "__version__",
    "ask",
    "attend",
    "build",
    "coarse_first",
    "compare_nestings",
    "convert",
    "cost",
    "count_nestings",
    "count_partitions",
    "cue",
    "cutout",
    "draw",
    "embed",
    "evaluate",
    "explore",
    "export",
    "export_tree",
    "from_pretrained",
    "graft",
    "grow",
    "import_tree",
    "init",
    "load_network",
    "load_taxonomy",
    "load_trunk",
    "load_weights",
    "network",
    "plan_models",
    "predict",
    "push_to_hub",
    "reject",
    "resume",
    "sample_nesting",
    "save_pretrained",
    "save_weights",
    "schema",
    "search",
    "senses",
    "show",
    "shrink",
    "specialise",
    "suggest",
    "train",
    "tune",
    "validate",
]
