"""What a network costs, counted and measured, beside its flat backbone (see docs/cost.md). Imports torch and timm."""

from hiergen.cost.card import CostCard, Row, cost_card
from hiergen.cost.measured import Timing, in_turns, machine
from hiergen.cost.memory import Memory
from hiergen.cost.static import Cost, Part, branch_costs, module_cost, network_parts
from hiergen.cost.subjects import flat_network, network_of
from hiergen.cost.verdict import verdict

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
