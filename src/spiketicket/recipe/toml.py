"""TOML that a stranger may have written, bounded before it is built."""

from __future__ import annotations

import tomllib
from typing import Any, Final

from spiketicket.machine.bounded import MAX_DEPTH

MAX_BYTES: Final = 1 << 18
"""Of a recipe's file; the package's longest has less than 1 kB."""
MAX_DOTS: Final = 1000
MAX_TABLE_KEYS: Final = 1000
"""Of all tables together; each one that is unknown is compared with those that are known."""
MAX_BITS: Final = 1000
"""Of a whole number; more are beyond every float."""


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML text of bounded size, depth and digits.

    Raises:
        ValueError: it is not TOML, or is beyond a bound; one line says which.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"is longer than {MAX_BYTES} characters")
    # Before it is read: reading a key takes as many steps as the square of its parts.
    if any(line.count(".") > MAX_DOTS for line in text.split("\n")):
        raise ValueError(f"a line has more than {MAX_DOTS} dots")
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from error
    except ValueError as error:  # Python's own bound of whole numbers
        raise ValueError("a whole number has thousands of digits") from error
    _check_values(tables)
    return tables


def _check_values(tables: dict[str, Any]) -> None:
    """Refuse what is nested too deep, too large a number or too many keys, without recursion."""
    level: list[Any] = [tables]
    keys = 0
    for _ in range(MAX_DEPTH):
        keys += sum(len(value) for value in level if isinstance(value, dict))
        if keys > MAX_TABLE_KEYS:
            raise ValueError(f"it has more than {MAX_TABLE_KEYS} keys")
        if any(type(value) is int and value.bit_length() > MAX_BITS for value in level):
            raise ValueError(f"a whole number has more than {MAX_BITS} bits")
        inner = [
            value.values() if isinstance(value, dict) else value
            for value in level
            if isinstance(value, dict | list)
        ]
        level = [value for values in inner for value in values]
        if not level:
            return
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


def toml_value(text: str) -> Any:
    """A TOML value; what is none is taken as a text, so that bare words work."""
    try:
        parsed = parse_toml(f"value = {text}")
    except ValueError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def toml_text(value: object) -> str:
    """A value as a TOML file has it; tables in one line."""
    import tomli_w

    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {toml_text(value[key])}' for key in value)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_text(item) for item in value)}]"
    return tomli_w.dumps({"v": value}).strip().removeprefix("v = ")
