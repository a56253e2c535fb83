"""What a network costs, counted and measured, beside its flat backbone (see docs/cost.md). Imports torch and timm."""

from hiergen.costs.card import CostCard, Row, cost
from hiergen.costs.measured import Ratio, Timing, in_turns, machine
from hiergen.costs.memory import Memory
from hiergen.costs.rivals import Flat
from hiergen.costs.runtimes import prepare
from hiergen.costs.subjects import Cost, Part, branch_costs, module_cost, network_parts
from hiergen.costs.verdict import verdict
from hiergen.nn.plain_form import plain_form
from hiergen.nn.runtimes import RUNTIMES, Runtime
from hiergen.planning.measure import flat_network
from hiergen.planning.network import network_of

__all__ = [
    "RUNTIMES",
    "Cost",
    "CostCard",
    "Flat",
    "Memory",
    "Part",
    "Ratio",
    "Row",
    "Runtime",
    "Timing",
    "branch_costs",
    "cost",
    "flat_network",
    "in_turns",
    "machine",
    "module_cost",
    "network_of",
    "network_parts",
    "plain_form",
    "prepare",
    "verdict",
]
