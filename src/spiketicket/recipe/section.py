"""What every part of a recipe is: a frozen table, written and hashed so that old ones keep theirs.

A field that is added later must leave recipes that do not use it as they were: their hash, their
bytes in run folders and tickets, and the keys of their stages. Such a field is marked
:data:`LATER`, with a default that changes nothing. Where the default is to change what a recipe
does, the field is written always, and ``hashed_default`` names the value that changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from annotated_types import Interval
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Epochs = Annotated[int, Interval(ge=0, le=1_000_000)]
Count = Annotated[int, Interval(ge=1, le=2**31 - 1)]
"""Of samples or optimizer steps."""
Seed = Annotated[int, Interval(ge=0, le=2**63 - 1)]
MOST_SEEDS = 10_000
"""Repetitions of a run, and each is some trainings."""
Microseconds = Annotated[int, Interval(ge=0, le=10**15)]
"""Up to 30 years."""
LATER: Final = Field(json_schema_extra={"later": True})
"""Marks a field that is written only where it has another value than its default."""


class Section(BaseModel):
    """Base of every part of a recipe: frozen, exact types, no unknown keys, no NaN or infinity.

    A list given for a tuple field is accepted (TOML and JSON have no tuples). A field that may be
    ``None`` must default to it, because TOML cannot say ``None``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _lists_to_tuples(cls, data: Any) -> Any:
        return {k: _tuples(v) for k, v in data.items()} if isinstance(data, dict) else data

    @model_serializer(mode="wrap")
    def _without_unused(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = write(self)
        return {key: value for key, value in table.items() if not _is_unused(self, key)}


def _is_unused(section: BaseModel, key: str) -> bool:
    field = type(section).model_fields.get(key)
    extra = None if field is None else field.json_schema_extra
    if field is None or not isinstance(extra, dict) or not extra.get("later"):
        return False
    return bool(getattr(section, key) == field.default)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def hashed(section: BaseModel) -> dict[str, Any]:
    """The fields that a recipe's hash is of, nested."""
    kept: dict[str, Any] = {}
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        extra = field.json_schema_extra
        if isinstance(extra, dict) and extra.get("hashed") is False:
            continue
        default = field.get_default(call_default_factory=True)
        if isinstance(extra, dict):
            default = extra.get("hashed_default", default)
        # A choice's name may be its default in its own Config, and still decides everything.
        if key == "name" or value != default:
            kept[key] = hashed(value) if isinstance(value, BaseModel) else value
    return kept
