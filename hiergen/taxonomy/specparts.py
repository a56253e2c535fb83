"""What the models of YAML files are made of: their base, amounts, unions told apart by shape, rules for editors.

pydantic checks a file; `hiergen.schema` gives the same as JSON Schema. A rule over several keys is a validator for the
one and a fragment of JSON Schema for the other: the functions below write such fragments.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, PositiveInt, WithJsonSchema

_SUFFIX = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


class Model(BaseModel):
    """Base of all parts of the file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _amount(value: Any) -> Any:
    """'25M' → 25_000_000, '4.2G' → 4_200_000_000."""
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,12})?) ?([kKmMgGtT]?)", value.strip())
        if not match:
            raise ValueError("expected a number like 25M or 4.2G")
        return round(float(match[1]) * _SUFFIX.get(match[2].lower(), 1))
    return value


Amount = Annotated[
    PositiveInt,
    BeforeValidator(_amount),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0.5},  # it is rounded
                {"type": "string", "pattern": r"^(?=.*[1-9])[0-9]{1,15}(\.[0-9]{1,12})? ?[kKmMgGtT]?$"},
            ],
            "title": "amount",
        }
    ),
]
Width = Annotated[PositiveInt, Field(le=65_536)]
Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


def by_shape(*others: str) -> Discriminator:
    """Which member of a union is meant, by the value's shape: "<list>", or a mapping by its key, or "<text>".

    Then an error is about that member only. No tag is a key that a user may write.
    """

    def tag(value: Any) -> str:
        if isinstance(value, list):
            return "<list>"
        keys = value if isinstance(value, dict) else [key for key in others if type(value).__name__ == key]
        return next((f"<{key}>" for key in others if key in keys), "<text>")

    return Discriminator(tag)


def given(*keys: str) -> dict[str, Any]:
    """JSON Schema: all of `keys` are there, and none of them is null."""
    return {"required": list(keys), "properties": {key: {"not": {"type": "null"}} for key in keys}}


def is_(key: str, value: object) -> dict[str, Any]:
    """JSON Schema: `key` is there and has this value."""
    return {"required": [key], "properties": {key: {"const": value}}}


def only_with(keys: tuple[str, ...], condition: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema: where any of `keys` is given, `condition` holds."""
    return {"if": {"anyOf": [given(key) for key in keys]}, "then": condition}
