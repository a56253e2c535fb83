"""What a network costs, counted and measured, beside its flat backbone (see docs/cost.md). Imports torch and timm."""

from hiergen.costs.card import CostCard, Row, cost_card
from hiergen.costs.measured import Timing, in_turns, machine
from hiergen.costs.memory import Memory
from hiergen.costs.subjects import Cost, Part, branch_costs, flat_network, module_cost, network_of, network_parts
from hiergen.costs.verdict import verdict

__all__ = [
    "Cost",
    "CostCard",
    "Memory",
    "Part",
    "Row",
    "Timing",
    "branch_costs",
    "cost_card",
    "flat_network",
    "in_turns",
    "machine",
    "module_cost",
    "network_of",
    "network_parts",
    "verdict",
]
