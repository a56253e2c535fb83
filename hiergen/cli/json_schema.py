"""JSON Schema (draft 2020-12) of taxonomy files and recipes, so that editors complete and check them.

The schema says what a file must look like to be read; what names mean (classes, synsets, backbones, budgets) only
`hiergen validate` knows. Where hiergen takes text, so does the schema take numbers and booleans: in a taxonomy file
`007` is a class name. Numbers in quotes, which hiergen reads too, are not of the schema's types.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from hiergen.taxonomy.modelspec import given, is_
from hiergen.taxonomy.naming import NAME_PATTERN
from hiergen.taxonomy.spec import Model, Spec

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = ["string", "number", "boolean"]  # scalars, all of which are read as they were typed
_MEMBERS, _SUBGROUPS = {"$ref": "#/$defs/Members"}, {"$ref": "#/$defs/Subgroups"}
_GROUPS: dict[str, Any] = {"type": "object", "minProperties": 1, "additionalProperties": _MEMBERS}
_LIST: dict[str, Any] = {"type": "array", "minItems": 1, "items": {"anyOf": [{"type": _TEXT}, _SUBGROUPS]}}
_RECURSIVE: dict[str, Any] = {
    "Members": {"title": "members of a group", "anyOf": [{"type": _TEXT}, _LIST, _SUBGROUPS]},
    "Subgroups": {"title": "groups in a group", **_GROUPS},
}
# as `model_levels`: a name that says no number of levels needs a model that does
_MODEL = {"$ref": "#/$defs/ModelSpec"}
_LISTED = {"required": ["branches"], "properties": {"branches": {"type": "array"}}}
_SAYS = {"anyOf": [given("levels"), _LISTED, is_("single_branch", True)]}
_MODELS: dict[str, Any] = {
    "minProperties": 1,
    "propertyNames": {"pattern": NAME_PATTERN, "maxLength": 60},
    "patternProperties": {r"^([Pp][Hh][Ll]|[Nn](0[1-9]|[1-9][0-9]?)[Hh][Ll])": _MODEL},
    "additionalProperties": {"allOf": [_MODEL, _SAYS]},
}


class _Generator(GenerateJsonSchema):
    """pydantic's, with titles only where they say more than the key, and scalars for text."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        return value  # keys stand as in the models: editors propose them in that order

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Model):
            return {}
        if isinstance(dft, dict):
            return {key: self.encode_default(value) for key, value in dft.items()}
        return super().encode_default(dft)

    def str_schema(self, schema: core_schema.StringSchema) -> JsonSchemaValue:
        generated = super().str_schema(schema)
        return generated if len(generated) > 1 else {"type": list(_TEXT)}


def schema(kind: Literal["taxonomy", "recipe"] = "taxonomy") -> dict[str, Any]:
    """The JSON Schema of taxonomy files or of recipes, with which editors complete and check them."""
    return recipe_schema() if kind == "recipe" else taxonomy_schema()


def taxonomy_schema() -> dict[str, Any]:
    """The schema of a taxonomy file.

    >>> taxonomy_schema()["required"]
    ['name', 'classes']
    """
    schema = _schema(Spec)
    schema["$defs"]["Groups"]["properties"]["groups"].update(_GROUPS)
    schema["properties"]["models"].update(_MODELS)
    schema["$defs"] = dict(sorted((schema["$defs"] | _RECURSIVE).items()))
    return schema


def recipe_schema() -> dict[str, Any]:
    """The schema of a recipe of `hiergen train`."""
    from hiergen.training.recipe import Recipe

    return _schema(Recipe)


def schema_text(schema: dict[str, Any]) -> str:
    """The schema as the text of a file; the same bytes on every machine."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _schema(model: type[Model]) -> dict[str, Any]:
    generated = model.model_json_schema(by_alias=True, schema_generator=_Generator, mode="validation")
    return {"$schema": DRAFT, **_one_spelling(generated)}


def _one_spelling(schema: Any) -> Any:
    """As newer versions of pydantic have it: older ones wrap a lone $ref in allOf, and say a const again as enum."""
    if isinstance(schema, list):
        return [_one_spelling(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {key: _one_spelling(value) for key, value in schema.items()}
    if "const" in plain and plain.get("enum") == [plain["const"]]:
        del plain["enum"]
    if isinstance(refs := plain.get("allOf"), list) and len(refs) == 1 and refs[0].keys() == {"$ref"}:
        plain = {**plain.pop("allOf")[0], **plain}
    return plain
