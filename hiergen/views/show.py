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

from hiergen.console.terminal import command, console, giga, plain_table
from hiergen.planning.from_taxonomy import find_deepest, plan_if_known, unmeasured
from hiergen.planning.plan import Plan
from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.nesting import Nesting
from hiergen.taxonomy.tree import ROOT, class_sizes, info, provenance
from hiergen.views.draw.labels import costs_text
from hiergen.views.draw.network import subtree_costs


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
    chosen = model or find_deepest(loaded, levels)
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
        what = " and ".join(sorted({unmeasured(loaded, name)[0][-1] for name in unknown}))
        printer.print(f"{', '.join(unknown)}: {what} not measured yet; run {run} once", markup=False)
    printer.print(f"conflicts: {conflict_summary(loaded)} (--conflicts lists them)", style="dim")


def model_table(plans: list[Plan]) -> Table:
    """One row per model, and form of one with a generalist: branches per level, params and MACs, beside the flat
    backbone's."""
    heads = ("model", "trunk", "branches", "params", "GMACs", "flat params", "flat GMACs")
    table = plain_table(heads, left=heads[:3])
    for plan in plans:
        trunk = plan.trunk
        forms = ["specialists", *(form for form in ("generalist", "flat") if getattr(plan, form))]
        for form in forms:
            params, macs = plan.answering(form)
            table.add_row(
                plan.model + (f", {form}" if len(forms) > 1 else ""),
                f"{trunk.backbone} to {trunk.until}",
                " → ".join(str(level.branches) for level in plan.levels) if form == "specialists" else "1",
                f"{params:,}",
                giga(macs),
                f"{trunk.flat_params:,}",
                giga(trunk.flat_macs),
            )
    return table


def known_plans(taxonomy: Taxonomy) -> list[Plan]:
    """Plans of the models whose backbone's figures, and ms, are known without torch."""
    return [plan for name in taxonomy.spec.models if (plan := plan_if_known(taxonomy, name)) is not None]


def nesting_tree(taxonomy: Taxonomy, nesting: Nesting, plan: Plan | None) -> RichTree:
    """The nesting with each group's classes and, given a plan, the params and MACs of its sub-tree."""
    costs = subtree_costs(plan) if plan else {}
    label = Text(taxonomy.spec.name, style="bold")
    label.append(f"  {len(nesting.classes)} classes, {nesting.depth} levels", style="dim")
    if plan:
        trunk = plan.trunk
        trunk_costs = costs_text(trunk.params, trunk.macs)
        label.append(f"  trunk {trunk.backbone} to {trunk.until}: {trunk_costs}", style="dim")
    root = RichTree(label)
    above = [root]
    for number, level in enumerate(nesting.levels, 1):
        nodes = []
        for i, group in enumerate(level.groups):
            text = Text(group.name, style={"node": "cyan", "rest": "yellow", "pass": "magenta"}[group.kind])
            text.append(f"  {len(group.classes)} class{'es' * (len(group.classes) > 1)}", style="dim")
            if costs:
                text.append(f"  {costs_text(*costs[number, i])}", style="dim")
            nodes.append(above[group.parent].add(text))
        above = nodes
    members = nesting.levels[-1].members if nesting.levels else (nesting.leaves,)
    for node, classes in zip(above, members, strict=True):
        node.add(Text(", ".join(taxonomy.classes[c].name for c in classes)))
    return root


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
        names = _told_apart(taxonomy, [child for child in children if child not in tree.graph["order"]])
        for child in children:
            if child not in tree.graph["order"]:
                text = Text(names[child], style="cyan")
                text.append(f"  {sizes[child]} classes  {provenance(tree, child)}", style="dim")
                inner.append((child, node.add(text)))
        if classes:
            node.add(Text(", ".join(classes)))
        stack.extend(reversed(inner))
    return root


def _told_apart(taxonomy: Taxonomy, groups: list[str]) -> dict[str, str]:
    """Names of siblings; two of one name, such as WordNet's foods, are called by their synsets."""
    nodes = {key: info(taxonomy.tree, key) for key in groups}
    count = Counter(node.name for node in nodes.values())
    return {
        key: taxonomy.wordnet.synset_name(node.synset) if count[node.name] > 1 and node.synset else node.name
        for key, node in nodes.items()
    }


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
    costs = subtree_costs(plan) if plan and not plan.single_branch else {}
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
