"""What `hiergen show` and `hiergen build` print: rich trees and tables, and the same as JSON-ready data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree as RichTree

from hiergen.console.terminal import command, console, giga
from hiergen.planning.from_taxonomy import plan_if_known
from hiergen.planning.plan import Plan
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.tree import ROOT, class_sizes, info, provenance


def show(
    taxonomy: Taxonomy | str | Path | Mapping[str, Any],
    model: str | None = None,
    *,
    levels: int | None = None,
    merged: bool = False,
    conflicts: bool = False,
    printer: Console | None = None,
) -> None:
    """Print a taxonomy's tree: the nesting of a model (default: the deepest) with the costs of its groups.

    `levels` shows the nesting of so many levels, `merged` the merged tree with who says so, `conflicts` what sources
    said differently. Raises HiergenError as `load_taxonomy` does, and for an unknown model.
    """
    loaded = taxonomy if isinstance(taxonomy, Taxonomy) else load_taxonomy(taxonomy)
    printer = printer or console()
    if conflicts:
        printer.print(conflict_table(loaded))
        printer.print(f"conflicts: {conflict_summary(loaded)}", style="bold")
    elif merged:
        printer.print(merged_tree(loaded))
    else:
        _print_nesting(loaded, model, levels, printer)


def _print_nesting(loaded: Taxonomy, model: str | None, levels: int | None, printer: Console) -> None:
    names = list(loaded.spec.models)
    if model is not None:
        loaded.check_model(model)
    fitting = [n for n in names if levels in (None, loaded.levels[n]) and not loaded.spec.models[n].single_branch]
    chosen = model or max(fitting, key=lambda n: loaded.levels[n], default=None)
    if chosen is not None:
        nesting, plan = loaded.nesting(chosen), plan_if_known(loaded, chosen)
        printer.print(nesting_tree(loaded, nesting, plan if plan and not plan.single_branch else None))
    else:
        printer.print(nesting_tree(loaded, loaded.nesting_of(levels or 1), None))
    plans = known_plans(loaded)
    printer.print()
    printer.print(model_table(plans))
    unknown = [n for n in names if n not in {p.model for p in plans}]
    if unknown:
        run = command(("hiergen", "build", loaded.path))
        printer.print(f"{', '.join(unknown)}: backbone not measured yet; run {run} once", markup=False)
    printer.print(f"conflicts: {conflict_summary(loaded)} (--conflicts lists them)", style="dim")


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
    label.append(f"  {len(nesting.classes)} classes, {nesting.depth} levels", style="dim")
    if plan:
        trunk = plan.trunk
        label.append(f"  trunk {trunk.backbone} to {trunk.until}: {amount(trunk.params)} params, ", style="dim")
        label.append(f"{amount(trunk.macs)}MACs", style="dim")
    root = RichTree(label)
    above = [root]
    for number, level in enumerate(nesting.levels, 1):
        nodes = []
        for i, group in enumerate(level.groups):
            text = Text(group.name, style={"node": "cyan", "rest": "yellow", "pass": "magenta"}[group.kind])
            text.append(f"  {len(group.classes)} class{'es' * (len(group.classes) > 1)}", style="dim")
            text.append(_cost_text(costs.get((number, i))), style="dim")
            nodes.append(above[group.parent].add(text))
        above = nodes
    members = nesting.levels[-1].members if nesting.levels else (nesting.leaves,)
    for node, classes in zip(above, members, strict=True):
        node.add(Text(", ".join(taxonomy.classes[c].name for c in classes)))
    return root


def _subtree_costs(nesting: Nesting, plan: Plan) -> dict[tuple[int, int], tuple[int, int]]:
    """(level, index) → (params, MACs) of the group's own branch and everything below it."""
    costs: dict[tuple[int, int], tuple[int, int]] = {}
    head = plan.levels[-1].channels
    last = plan.levels[-1]
    below = [(last.branch_params + head + 1, last.branch_macs + head)] * len(nesting.classes)
    for level in range(nesting.depth - 1, 0, -1):
        branch_plan = plan.levels[level - 1]
        sums = [[branch_plan.branch_params, branch_plan.branch_macs] for _ in nesting.names(level)]
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
                **dict(zip(("params", "macs"), costs.get((number, i), ()), strict=False)),
            }
            for i, group in enumerate(level.groups)
        ]
        for number, level in enumerate(nesting.levels, 1)
    ]
    data: dict[str, Any] = {"levels": nesting.depth, "groups": levels}
    if plan:
        data |= {"params": plan.params, "macs": plan.macs, "trunk": plan.trunk.model_dump()}
    return data
