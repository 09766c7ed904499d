"""How the fuzz targets damage things: one to four edits of bytes, or of tables and lists.

``draw`` is what Hypothesis hands to a composite strategy: every choice is its, so that a failure
is shrunk and can be repeated.
"""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
Place = tuple[Any, Any]
"""A table or list, and a key or index in it."""

CANARY = "fuzz_canary"
"""A module beside this one that no code may import because a file names it."""


def nested(depth: int) -> list[Any]:
    """Lists in lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


NUMBERS = [
    0,
    1,
    -1,
    2,
    3,
    7,
    8,
    255,
    256,
    65535,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32,
    2**53,
    2**63 - 1,
    2**63,
    -(2**63),
    2**64,
    10**9,
    10**30,
    10**400,
    0.5,
    -0.0,
    1.0,
    1.5,
    1e-300,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
]
TEXTS = [
    "",
    " ",
    ":",
    "a",
    "0",
    "\0",
    "1e999",
    "None",
    f"{CANARY}:called",
    CANARY,
    "../../x",
    "/proc",
    "~nosuchuser/x",
    "..",
    "\x1b]0;forged\x07\x9b2J",
    "\u202egpj",
    "x\nerror: forged",
    "a" * 5000,
    "\ud800",
    "\U0001f600" * 50,
    "convnet",
    "lif",
    "digits",
    "float",
    "binary",
    "[red]x[/red]",
]
OTHERS = [
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    [":"],
    {":": 1},
    {"": {}},
    {"name": ":"},
    [f"{CANARY}:called"],
    {"name": f"{CANARY}:called"},
    [0] * 300,
    [10**9] * 8,
    nested(20),
    nested(70),
    nested(600),
]
NAMES = ["name", "args", "", "x", "model", "\x1b[2J", "format_version", "folder", "root", "layers"]
VALUES = st.one_of(*map(st.sampled_from, (NUMBERS, TEXTS, OTHERS)))


def places(value: Any) -> list[Place]:
    """Every place inside a value, those of an outer one first."""
    found: list[Place] = []
    open_: list[Any] = [value]
    for part in open_:
        keys = list(part) if isinstance(part, dict) else range(len(part))
        found += [(part, key) for key in keys]
        open_ += [part[key] for key in keys if isinstance(part[key], (dict, list))]
    return found


def edited_tree(draw: Draw, value: Any, most: int = 3) -> Any:
    """A copy of a table or list with some edits at random places."""
    made = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, most))):
        if not made or not isinstance(made, (dict, list)):
            return made
        holder, key = _place(draw, made)
        draw(st.sampled_from(TREE_EDITS))(draw, made, holder, key)
    return made


def _place(draw: Draw, tree: Any) -> Place:
    """Some place in a tree that is not empty, where long lists weigh no more than short tables."""
    while True:
        key = draw(st.sampled_from(list(tree) if isinstance(tree, dict) else range(len(tree))))
        inner = tree[key]
        if not isinstance(inner, (dict, list)) or not inner or draw(st.integers(0, 3)) == 0:
            return tree, key
        tree = inner


def _replace(draw: Draw, _: Any, holder: Any, key: Any) -> None:
    holder[key] = copy.deepcopy(draw(VALUES))


def _delete(_: Draw, __: Any, holder: Any, key: Any) -> None:
    del holder[key]


def _add(draw: Draw, _: Any, holder: Any, key: Any) -> None:
    value = copy.deepcopy(draw(VALUES))
    if isinstance(holder, list):
        holder.insert(key, value)
    else:
        holder[draw(st.sampled_from(NAMES))] = value


def _transplant(draw: Draw, tree: Any, holder: Any, key: Any) -> None:
    source, other = _place(draw, tree)
    holder[key] = copy.deepcopy(source[other])


def _bend(draw: Draw, _: Any, holder: Any, key: Any) -> None:
    """Another value that is near, or of a near type."""
    value = holder[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        holder[key] = draw(st.sampled_from([[value], {"name": value}, str(value)]))
    else:
        near = [-value, str(value), value + 1, value - 1]
        if abs(value) < 1e30:
            near += [value * 1000, float(value), int(value) if value == value else 0]
        holder[key] = draw(st.sampled_from(near))


def _everywhere(draw: Draw, tree: Any, _: Any, key: Any) -> None:
    """Replaces what stands at this key in every table: files repeat names, and one is checked."""
    for holder, other in places(tree):
        if other == key and isinstance(holder, dict) and draw(st.booleans()):
            holder[key] = copy.deepcopy(draw(VALUES))


def _rename(draw: Draw, _: Any, holder: Any, key: Any) -> None:
    if isinstance(holder, dict):
        holder[draw(st.sampled_from(NAMES))] = holder.pop(key)


TREE_EDITS = [_replace, _replace, _bend, _delete, _add, _transplant, _rename, _everywhere]


def json_text(value: Any) -> str:
    """The JSON text of an edited tree, with what JSON does not allow (NaN) and all."""
    return json.dumps(value, separators=(",", ":"))


def edited_bytes(draw: Draw, content: bytes, most: int = 4) -> bytes:
    """The content with bits, numbers, pieces or its end changed."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, most))):
        at = draw(st.integers(0, max(len(made) - 1, 0)))
        draw(st.sampled_from(BYTE_EDITS))(draw, made, at)
    return bytes(made)


def _flip(draw: Draw, made: bytearray, at: int) -> None:
    if made:
        made[at] ^= 1 << draw(st.integers(0, 7))


def _cut(_: Draw, made: bytearray, at: int) -> None:
    del made[at:]


def _remove(draw: Draw, made: bytearray, at: int) -> None:
    del made[at : at + draw(st.integers(1, 40))]


def _insert(draw: Draw, made: bytearray, at: int) -> None:
    made[at:at] = draw(st.binary(min_size=1, max_size=16))


def _repeat(draw: Draw, made: bytearray, at: int) -> None:
    made[at:at] = made[at : at + draw(st.integers(1, 64))] * draw(st.sampled_from([1, 2, 50]))


def _number(draw: Draw, made: bytearray, at: int) -> None:
    """A whole number of a file's own kind, at the edge of its range."""
    code = draw(st.sampled_from(["<B", "<H", ">H", "<I", ">I", "<Q", ">Q"]))
    bits = 8 * struct.calcsize(code)
    number = draw(st.sampled_from([0, 1, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1]))
    made[at : at + bits // 8] = struct.pack(code, number)


def _digit(draw: Draw, made: bytearray, at: int) -> None:
    """Another digit, where the file holds text."""
    digits = [i for i, byte in enumerate(made[:4096]) if 48 <= byte < 58]
    if digits:
        place = digits[at % len(digits)]
        made[place : place + 1] = draw(st.sampled_from([b"0", b"9", b"-", b"99999999999"]))


BYTE_EDITS = [_flip, _flip, _number, _digit, _cut, _remove, _insert, _repeat]
