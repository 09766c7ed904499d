"""A recipe with some changes."""

from collections.abc import Mapping
from typing import Any

from spiketicket.recipe import Recipe, parse_recipe


def varied(base: Mapping[str, Any], **changes: Any) -> Recipe:
    """The recipe of some tables, with keys of its sections, and values, as ``changes`` has them."""
    merged = {
        key: {**base.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in changes.items()
    }
    return parse_recipe({**base, **merged})
