"""docs/taxonomy-reference.md and docs/recipe-reference.md: a table per object of the JSON Schemas."""

from __future__ import annotations

import json
from typing import Any

from hiergen.cli.json_schema import recipe_schema, taxonomy_schema
from hiergen.taxonomy import spec as taxonomy
from hiergen.training import recipe

Schema = dict[str, Any]
_TYPES = {"amount": "number, as 25M", "input size": "integer from 8 to 8,192, or 2 or 3 of them"}
EDITORS = """Editors with the YAML language server (VS Code, Neovim, JetBrains, …) complete keys and values, and mark
mistakes while you type, once `hiergen schema{option} -o {file}` has been run and the file begins with

```yaml
# yaml-language-server: $schema={file}
```
"""
TAXONOMY = f"""# Taxonomy files: all keys

Written by `python docs/site/generate.py` from the models that read the file; [taxonomy-file.md](taxonomy-file.md)
explains them. The same as JSON Schema (draft 2020-12): [taxonomy.schema.json](taxonomy.schema.json).

{EDITORS.format(option="", file="taxonomy.schema.json")}
The schema knows the shape of a file. Only `hiergen validate` knows what names mean (classes, synsets, backbones and
their stages), whether a budget is reachable, that `min_children` is not above `max_children`, that `levels` is the
number of lists in `branches`, and that a name is no Python keyword and stays unique as an identifier. Numbers in
quotes are read by hiergen, too, but are no numbers for the schema.
"""
RECIPE = f"""# Recipes: all keys

Written by `python docs/site/generate.py` from the models that read the file; [training.md](training.md) explains
recipes. Every key may be left out, and set by `hiergen train --set key=value`. The same as JSON Schema (draft 2020-12):
[recipe.schema.json](recipe.schema.json).

{EDITORS.format(option=" --recipe", file="recipe.schema.json")}
What the schema does not say: `accumulate` divides `batch_size`, mixup and cutmix want an even number of images, a range
has its smaller number first, and which optimisers timm has.
"""


def taxonomy_page() -> str:
    """All objects of a taxonomy file, in the order in which one meets them."""
    order = ["ImageFolder", "Groups", "SuperclassFiles", "WordNetCopy", "Hypernyms", "NestingOptions", "ModelSpec"]
    order += ["TrunkSpec", "Budget", "Aim", "Stage"]
    return _page(TAXONOMY, taxonomy_schema(), "The file", order, taxonomy.__dict__)


def recipe_page() -> str:
    """All objects of a recipe."""
    order = ["TrunkUse", "Augment", "Loss", "Distillation", "Reject", "Optimizer", "Schedule"]
    return _page(RECIPE, recipe_schema(), "The file", order, recipe.__dict__)


def _page(head: str, schema: Schema, title: str, order: list[str], models: dict[str, Any]) -> str:
    named = schema["$defs"]
    ours = {name for name, part in named.items() if "properties" in part}
    assert ours == set(order), ours ^ set(order)
    sections = [_section(title, schema, named)]
    sections += [_section(named[name]["title"], named[name], named) for name in order]
    return "\n".join([head, *sections])


def _section(title: str, part: Schema, named: Schema) -> str:
    lines = [f"## {title[:1].upper()}{title[1:]}", "", " ".join(part["description"].split()), ""]
    lines += ["| key | type | default | meaning | example |", "|---|---|---|---|---|"]
    for key, value in part["properties"].items():
        needed = key in part.get("required", [])
        default = "needed" if needed else _literal(value.get("default"), value)
        example = next((_code(e) for e in value.get("examples", [])), "")
        cells = [f"`{key}`", _type(value, named), default, value["description"].replace("|", "\\|"), example]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _literal(default: Any, value: Schema) -> str:
    if default in (None, {}, ""):
        return "–"
    return _code(default)


def _code(value: Any) -> str:
    return f"`{_flow(value)}`".replace("|", "\\|")


def _flow(value: Any) -> str:
    """Short YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value)


def _type(value: Schema, named: Schema) -> str:
    """A schema's type in words: "integer 1 to 64", "`auto`, or a list of lists of [stage](#stage)"."""
    if "$ref" in value:
        part = named[value["$ref"].rsplit("/", 1)[1]]
        anchor = part["title"].lower().replace(" ", "-").replace("'", "")
        return f"[{part['title']}](#{anchor})"
    if value.get("title") in _TYPES:
        return _TYPES[value["title"]]
    for kind in ("anyOf", "oneOf"):
        if kind in value:
            inner = [_type(option, named) for option in value[kind] if option != {"type": "null"}]
            return ", or ".join(inner)
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{_flow(option)}`" for option in value["enum"])
    if value.get("type") == "array":
        return _array(value, named)
    if value.get("type") == "object":
        of = value.get("patternProperties") or {"": value.get("additionalProperties", {})}
        inner = next(iter(of.values()))
        if "Members" in str(inner):
            return "mapping: name → members"
        return f"mapping: name → {_type(inner, named)}" if inner else "mapping"
    if isinstance(value.get("type"), list):
        return "text"
    words = {"string": "name", "integer": "integer", "number": "number", "boolean": "true or false"}
    return words[value["type"]] + _bounds(value)


def _array(value: Schema, named: Schema) -> str:
    if "prefixItems" in value:
        return f"[{', '.join(_type(item, named) for item in value['prefixItems'])}]"
    inner = _type(value["items"], named)
    return f"list of {inner.replace('list of', 'lists of', 1)}"


def _bounds(value: Schema) -> str:
    low, above = value.get("minimum"), value.get("exclusiveMinimum")
    high, below = value.get("maximum"), value.get("exclusiveMaximum")
    if value["type"] == "integer" and low is None and above is not None:
        low, above = above + 1, None
    lows = f"from {_number(low)}" if low is not None else f"above {_number(above)}" if above is not None else ""
    highs = f"to {_number(high)}" if high is not None else f"below {_number(below)}" if below is not None else ""
    joint = " " if lows.startswith("from") and highs.startswith("to") else ", "
    return " " * bool(lows or highs) + joint.join(filter(None, [lows, highs]))


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
