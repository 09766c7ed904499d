"""HDF5: the groups and tables of events as JSON, then the events of the one that is read."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any, Final

import h5py
import numpy as np

from spiketicket.errors import UserError
from spiketicket.events.formats._groups import Group, choose
from spiketicket.events.types import EVENT

with contextlib.suppress(ImportError):
    import hdf5plugin  # noqa: F401  # registers filters where it is installed

_MOST: Final = 10_000
_ROWS: Final = 1 << 17
_DSEC: Final = (640, 480)


def parts(path: str, asked: dict[str, Any]) -> Iterator[bytes]:
    """The events of the group ``asked["topic"]``, or of the only one."""
    with h5py.File(path, "r", locking=False) as file:
        found = _groups(file)
        yield json.dumps([group._asdict() for group in found]).encode()
        try:
            chosen = choose(found, asked["topic"], path)
        except UserError:
            return  # who reads the groups says the same
        columns = _columns(file, chosen.name)
        offset = _offset(file, chosen.name)
        for start in range(0, chosen.events, _ROWS):
            stop = min(start + _ROWS, chosen.events)
            events = np.empty(stop - start, EVENT)
            for name, column in columns.items():
                values = column[start:stop]
                if name == "t":
                    values = values.astype(np.int64) + offset
                elif name == "p":
                    values = values > 0
                elif values.min() < 0 or values.max() > 65535:
                    raise ValueError(f"{name} is beyond 65535 or below 0")
                events[name] = values
            yield events.tobytes()


def _groups(file: Any) -> list[Group]:
    found: list[Group] = []
    seen = 0

    def visit(name: str, item: Any) -> bool | None:
        nonlocal seen
        seen += 1
        columns = _columns(file, name, item)
        if columns:
            found.append(_group(file, name, columns))
        return True if seen > _MOST else None

    root = _columns(file, "", file)
    if root:
        found.append(_group(file, "/", root))
    file.visititems(visit)  # follows no link to another place or file
    return found


def _group(file: Any, name: str, columns: dict[str, Any]) -> Group:
    kinds = {key: _kind(column) for key, column in columns.items()}
    fault = next((f"{key} {fault}" for key, fault in kinds.items() if fault), "")
    lengths = {len(column) for column in columns.values()} if not fault else {0}
    if len(lengths) > 1:
        fault = "t, x, y and p differ in length"
    return Group(name, min(lengths), fault, _sensor(file, name))


def _columns(file: Any, name: str, item: Any = None) -> dict[str, Any]:
    """The arrays t, x, y and p of a group, or the fields of a table; empty where it has none."""
    item = file[name] if item is None else item
    if isinstance(item, h5py.Dataset):
        fields = item.dtype.names or ()
        plain = set("txyp") <= set(fields) and not _unsafe(item)
        return {key: _Field(item, key) for key in "txyp"} if plain else {}
    links = [item.get(key, getlink=True) for key in "txyp" if key in item]
    if len(links) < 4 or not all(isinstance(link, h5py.HardLink) for link in links):
        return {}
    columns = {key: item[key] for key in "txyp"}
    return columns if all(isinstance(c, h5py.Dataset) for c in columns.values()) else {}


class _Field:
    """A field of a table, as a column."""

    def __init__(self, table: Any, name: str) -> None:
        self.table, self._name = table, name
        self.dtype, self.shape = table.dtype[name], table.shape

    def __len__(self) -> int:
        return int(self.table.shape[0])

    def __getitem__(self, part: slice) -> Any:
        return self.table.fields(self._name)[part]


def _kind(column: Any) -> str:
    """What is wrong with a column; empty where nothing is."""
    if len(column.shape) != 1 or column.dtype.kind not in "iub":
        return f"is {column.dtype} {list(column.shape)} and no array of whole numbers [N]"
    table = column.table if isinstance(column, _Field) else column
    return _unsafe(table) or _filter(table)


def _unsafe(table: Any) -> str:
    return "lies in other files" if table.external or table.is_virtual else ""


def _filter(table: Any) -> str:
    plan = table.id.get_create_plist()
    for index in range(plan.get_nfilters()):
        number, _, _, title = plan.get_filter(index)
        if not h5py.h5z.filter_avail(number):
            return f"is packed with {title.decode('utf-8', 'replace') or 'a filter'} ({number})"
    return ""


def _offset(file: Any, name: str) -> int:
    """Microseconds that DSEC takes off its times."""
    item = file.get("t_offset") if name.strip("/") == "events" else None
    if isinstance(item, h5py.Dataset) and item.size == 1 and item.dtype.kind in "iu":
        return 0 if _unsafe(item) else int(item[()])
    return 0


def _sensor(file: Any, name: str) -> tuple[int, int] | None:
    """Of M3ED's ``calib/resolution``, an attribute ``geometry``, or DSEC's own layout."""
    calib = file.get(f"{name}/calib/resolution")
    if isinstance(calib, h5py.Dataset) and calib.shape == (2,) and calib.dtype.kind in "iu":
        return None if _unsafe(calib) else (int(calib[0]), int(calib[1]))
    said = file.attrs.get("geometry")
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", said) if isinstance(said, str) else None
    if match:
        return int(match[1]), int(match[2])
    return _DSEC if name.strip("/") == "events" and {"ms_to_idx", "t_offset"} <= set(file) else None
