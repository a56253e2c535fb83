"""What `hiergen show` and `hiergen build` print: rich trees and tables, and the same as JSON-ready data."""

from __future__ import annotations

from collections import Counter
from typing import Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree as RichTree

from hiergen.builder import plan_if_known
from hiergen.plan.ir import Plan
from hiergen.taxonomy.load import Taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.tree import ROOT, class_sizes, info, provenance
from hiergen.units import giga


def amount(count: int) -> str:
    """1_144_321 → '1.14 M'."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return str(count)


def model_table(plans: list[Plan]) -> Table:
    """One row per model: branches per level, params and MACs, beside the flat backbone's."""
    table = Table(title=None, header_style="bold", box=None, pad_edge=False)
    for column in ("model", "trunk", "branches", "params", "GMACs", "flat params", "flat GMACs"):
        table.add_column(column, justify="left" if column in {"model", "trunk", "branches"} else "right")
    for plan in plans:
        trunk = plan.trunk
        table.add_row(
            plan.model,
            f"{trunk.backbone} to {trunk.until}",
            " → ".join(str(level.branches) for level in plan.levels),
            f"{plan.params:,}",
            giga(plan.macs),
            f"{trunk.flat_params:,}",
            giga(trunk.flat_macs),
        )
    return table


def known_plans(taxonomy: Taxonomy) -> list[Plan]:
    """Plans of the models whose backbone's figures are known without torch."""
    return [plan for name in taxonomy.spec.models if (plan := plan_if_known(taxonomy, name)) is not None]


def nesting_tree(taxonomy: Taxonomy, nesting: Nesting, plan: Plan | None) -> RichTree:
    """The nesting with each group's classes and, given a plan, the params and MACs of its sub-tree."""
    costs = _subtree_costs(nesting, plan) if plan else {}
    label = Text(taxonomy.spec.name, style="bold")
    label.append(f"  {nesting.classes} classes, {nesting.levels} levels", style="dim")
    if plan:
        trunk = plan.trunk
        label.append(f"  trunk {trunk.backbone} to {trunk.until}: {amount(trunk.params)} params, ", style="dim")
        label.append(f"{amount(trunk.macs)}MACs", style="dim")
    root = RichTree(label)
    above = [root]
    for level, groups in enumerate(nesting.groups, 1):
        nodes = []
        for i, group in enumerate(groups):
            text = Text(group.name, style={"node": "cyan", "rest": "yellow", "pass": "magenta"}[group.kind])
            text.append(f"  {len(group.classes)} class{'es' * (len(group.classes) > 1)}", style="dim")
            text.append(_cost_text(costs.get((level, i))), style="dim")
            nodes.append(above[group.parent].add(text))
        above = nodes
    last = nesting.groups[-1] if nesting.groups else ()
    members = [group.classes for group in last] or [tuple(range(nesting.classes))]
    for node, classes in zip(above, members, strict=True):
        node.add(Text(", ".join(taxonomy.classes[c].name for c in classes)))
    return root


def _subtree_costs(nesting: Nesting, plan: Plan) -> dict[tuple[int, int], tuple[int, int]]:
    """(level, index) → (params, MACs) of the group's own branch and everything below it."""
    costs: dict[tuple[int, int], tuple[int, int]] = {}
    head = plan.levels[-1].channels
    last = plan.levels[-1]
    below = [(last.branch_params + head + 1, last.branch_macs + head)] * nesting.classes
    for level in range(nesting.levels - 1, 0, -1):
        own = plan.levels[level - 1]
        sums = [[own.branch_params, own.branch_macs] for _ in nesting.groups[level - 1]]
        for home, (params, macs) in zip(nesting.parents(level + 1), below, strict=True):
            sums[home][0] += params
            sums[home][1] += macs
        below = [(params, macs) for params, macs in sums]
        costs.update({(level, i): cost for i, cost in enumerate(below)})
    return costs


def _cost_text(cost: tuple[int, int] | None) -> str:
    return f"  {amount(cost[0])} params, {amount(cost[1])}MACs" if cost else ""


def merged_tree(taxonomy: Taxonomy) -> RichTree:
    """The merged tree with the provenance of every edge; the classes of a node share a line."""
    tree, sizes = taxonomy.tree, class_sizes(taxonomy.tree)
    label = Text(taxonomy.spec.name, style="bold")
    label.append(f"  {sizes[ROOT]} classes, merged from {', '.join(_source_names(taxonomy))}", style="dim")
    root = RichTree(label)
    stack = [(ROOT, root)]
    while stack:
        key, node = stack.pop()
        children = list(tree.succ[key])
        classes = [info(tree, c).name for c in children if c in tree.graph["order"]]
        inner = []
        for child in children:
            if child not in tree.graph["order"]:
                text = Text(info(tree, child).name, style="cyan")
                text.append(f"  {sizes[child]} classes  {provenance(tree, child)}", style="dim")
                inner.append((child, node.add(text)))
        if classes:
            node.add(Text(", ".join(classes)))
        stack.extend(reversed(inner))
    return root


def _source_names(taxonomy: Taxonomy) -> list[str]:
    return [s if isinstance(s, str) else next(iter(type(s).model_fields)) for s in taxonomy.spec.sources]


def conflict_table(taxonomy: Taxonomy) -> Table:
    """Every conflict with both sides and the rule that won."""
    table = Table(title=None, header_style="bold", box=None, pad_edge=False)
    for column in ("kind", "subject", "kept", "lost", "rule", "classes"):
        table.add_column(column, overflow="fold")
    for c in taxonomy.conflicts:
        classes = ", ".join(c.classes[:4]) + (f" +{len(c.classes) - 4}" if len(c.classes) > 4 else "")
        kept, lost = (Text(f"{side}\n[{by}]") for side, by in ((c.kept, c.kept_by), (c.lost, c.lost_by)))
        table.add_row(c.kind, Text(c.subject), kept, lost, Text(c.rule), Text(classes))
    return table


def conflict_summary(taxonomy: Taxonomy) -> str:
    kinds = Counter(c.kind for c in taxonomy.conflicts)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"


def as_data(taxonomy: Taxonomy, *, conflicts: bool = False) -> dict[str, Any]:
    """The taxonomy, its merged edges and its models as JSON-ready data."""
    tree = taxonomy.tree
    data: dict[str, Any] = {
        "name": taxonomy.spec.name,
        "classes": [{"id": c.id, "name": c.name, "synset": c.synset} for c in taxonomy.classes],
        "merged": [
            {"child": info(tree, b).id, "parent": info(tree, a).id, "name": info(tree, b).name, "why": vars(w["why"])}
            for a, b, w in tree.edges(data=True)
        ],
        "models": {name: _model_data(taxonomy, name) for name in taxonomy.spec.models},
    }
    if conflicts:
        data["conflicts"] = [vars(c) for c in taxonomy.conflicts]
    return data


def _model_data(taxonomy: Taxonomy, name: str) -> dict[str, Any]:
    nesting, plan = taxonomy.nesting(name), plan_if_known(taxonomy, name)
    costs = _subtree_costs(nesting, plan) if plan and not plan.single_branch else {}
    levels = [
        [
            {
                "name": group.name,
                "parent": group.parent,
                "kind": group.kind,
                "origin": group.origin,
                "classes": [taxonomy.classes[c].id for c in group.classes],
                **dict(zip(("params", "macs"), costs.get((level, i), ()), strict=False)),
            }
            for i, group in enumerate(groups)
        ]
        for level, groups in enumerate(nesting.groups, 1)
    ]
    data: dict[str, Any] = {"levels": nesting.levels, "groups": levels}
    if plan:
        data |= {"params": plan.params, "macs": plan.macs, "trunk": plan.trunk.model_dump()}
    return data
