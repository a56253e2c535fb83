"""What a network costs, counted and measured, beside its flat backbone (see docs/cost.md). Imports torch and timm."""

from hiergen.costs.card import CostCard, Row, cost, verdict
from hiergen.costs.measured import Timing, in_turns, machine
from hiergen.costs.memory import Memory
from hiergen.costs.subjects import Cost, Part, branch_costs, module_cost, network_of, network_parts
from hiergen.planning.measure import flat_network

__all__ = [
    "Cost",
    "CostCard",
    "Memory",
    "Part",
    "Row",
    "Timing",
    "branch_costs",
    "cost",
    "flat_network",
    "in_turns",
    "machine",
    "module_cost",
    "network_of",
    "network_parts",
    "verdict",
]
