"""A ticket as one page for a browser: the packed engine as WebAssembly, and what shows its answers.

The page loads nothing, and says so in its Content-Security-Policy: the engine, the program and all
words are in it. Words of a ticket are data of a JSON block without ``<``, ``>`` and ``&``; the
script shows them as text only. ``engine.wasm`` is made from ``csrc/`` by ``csrc/web/build.sh``.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.engine.compile import compile_ticket, normalisation
from spiketicket.engine.engine import class_names
from spiketicket.engine.inputs import Recordings
from spiketicket.engine.layer_ops import Neuron, Synapse
from spiketicket.engine.program import Kind, Program
from spiketicket.errors import UserError, argument, plain
from spiketicket.events import read_events
from spiketicket.machine.files import explained, write_bytes
from spiketicket.measure.energy import DEFAULT, TABLES
from spiketicket.ticket import Ticket

__all__ = ["PAGE", "Page", "export_web", "web_page"]

PAGE = "index.html"
_MOST_EVENTS = 1 << 18
_RECORD = np.dtype([("t", "<u4"), ("word", "<u4")])


@dataclass(frozen=True, kw_only=True)
class Page:
    """What was written; sizes in bytes."""

    path: Path
    size: int
    program: int
    engine: int


def export_web(
    ticket: Ticket, folder: Path, title: str, sample: Path | None = None, note: str = ""
) -> Page:
    """Write ``folder/index.html``; ``sample`` and ``note`` as in :func:`web_page`.

    Raises:
        UserError: a ticket or a sample that a page cannot take, or files that cannot be written.
        TicketError: a ticket of a network that is not this package's.
    """
    program = compile_ticket(ticket)
    content = web_page(ticket, program, title, sample, note).encode()
    with explained(folder, "output"):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / PAGE
    write_bytes(path, content, "output")
    sizes = {"program": len(program.to_bytes()), "engine": len(_content("engine.wasm"))}
    return Page(path=path, size=len(content), **sizes)


def web_page(
    ticket: Ticket, program: Program, title: str, sample: Path | None = None, note: str = ""
) -> str:
    """The page as HTML.

    ``sample`` is a recording that it begins with, of any format that the package reads, and of at
    most 262,144 events; ``note`` is said at its end.

    Raises:
        UserError: a ticket without normalisation, of pictures with other than 1 or 3 channels, or
            of recordings that are filtered or cut into windows, which the page does not do; a
            sample for pictures, or one that cannot be read, is of another sensor, or is too long.
    """
    model = _model(ticket, program, plain(title), sample, plain(note))
    style, script = (_text("page.css"), _text("recordings.js") + _text("page.js"))
    policy = (
        f"default-src 'none'; script-src 'wasm-unsafe-eval' {_digest(script)};"
        f" style-src {_digest(style)}; img-src data:; base-uri 'none'; form-action 'none'"
    )
    parts = {"policy": html.escape(policy), "style": style, "script": script, "model": _json(model)}
    # Split first: what is put in is not looked at again.
    first, *rest = _text("page.html").split("@")
    return first + "".join(parts.get(piece, piece) for piece in rest)


def _content(name: str) -> bytes:
    return (resources.files(__package__) / name).read_bytes()


def _text(name: str) -> str:
    return _content(name).decode()


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Mapping[str, Any]) -> str:
    """JSON in ASCII that no HTML parser takes for anything else."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _model(
    ticket: Ticket, program: Program, title: str, sample: Path | None, note: str
) -> dict[str, Any]:
    constants = normalisation(ticket, program.channels)
    if constants is None:
        raise UserError("has no normalisation, by which a page prepares inputs", where="ticket")
    given = ticket.metadata.get("data")
    data: Mapping[str, Any] = given if isinstance(given, dict) else {}
    scale, shift = constants
    table = TABLES[DEFAULT]
    return {
        "name": title,
        "classes": [plain(name) for name in class_names(ticket, program.classes)],
        "shape": [program.frames, program.channels, program.height, program.width],
        "scale": scale.tolist(),
        "shift": shift.tolist(),
        "fit": program.channels == 1 and data.get("name") == "digits" and not _canvas(data),
        **_inputs(program, data, sample),
        **_layers(program),
        "table": table.name,
        "assumes": table.assumes,
        "notes": note,
        "program": _base64(program.to_bytes()),
        "engine": _base64(_content("engine.wasm")),
    }


def _canvas(data: Mapping[str, Any]) -> bool:
    """Whether its digits lie anywhere on a larger canvas."""
    config = data.get("config")
    return isinstance(config, dict) and bool(config.get("canvas"))


def _layers(program: Program) -> dict[str, Any]:
    table, synapses, neurons = TABLES[DEFAULT], [], []
    weights = zeros = 0
    for index, op in enumerate(program.ops):
        name = plain(program.names.get(op.out) or f"layer {index + 1}")
        if isinstance(op, Neuron):
            neurons.append({"name": name, "register": op.out})
        if not isinstance(op, Synapse):
            continue
        signs = op.signs is not None
        array: NDArray[Any] = np.asarray(op.signs if signs else op.weight)
        weights += array.size
        zeros += int(array.size - np.count_nonzero(array))
        synapses.append(
            {
                "op": index,
                "real": program.values[op.inputs[0]].kind is Kind.F32,
                "mac": table.binary_mac if signs else table.mac,
                "ac": table.binary_ac if signs else table.ac,
            }
        )
    return {"synapses": synapses, "neurons": neurons, "weights": weights, "zeros": zeros}


def _inputs(program: Program, data: Mapping[str, Any], sample: Path | None) -> dict[str, Any]:
    config = data.get("config")
    if program.frames == 1 and not (isinstance(config, dict) and "steps" in config):
        if program.channels not in (1, 3):
            what = f"takes pictures of {program.channels} channels, which no picture file has"
            raise UserError(what, where="ticket")
        if sample is not None:
            what = "is for recordings, and this ticket classifies pictures"
            raise UserError(what, where=argument("sample"), value=str(sample))
        return {"framing": None, "sensor": None, "sample": None}
    shape = (program.frames, program.channels, program.height, program.width)
    reader = Recordings(data, shape, None, split=False)
    framing = reader.framing
    for name, value in (
        ("hot_pixel", framing.hot_pixel),
        ("denoise_us", framing.denoise_us),
        ("window_us", reader.window_us),
    ):
        if value is not None:
            what = "recordings are filtered or cut by it before they are classified, which a page"
            raise UserError(f"{what} does not do", where=f"data.config.{name}", value=value)
    return {
        "framing": {
            "steps": program.frames,
            "channels": program.channels,
            "height": program.height,
            "width": program.width,
            "height_given": framing.height is not None,
            "by": framing.by,
            "values": framing.values,
        },
        "sensor": list(reader.sensor) if reader.sensor else None,
        "sample": None if sample is None else _sample(reader, sample),
    }


def _sample(reader: Recordings, path: Path) -> dict[str, Any]:
    next(reader.read(path))  # refuses what the ticket cannot classify
    events = read_events(path, sensor=reader.sensor)
    if len(events) > _MOST_EVENTS:
        what = f"a page holds at most {_MOST_EVENTS} events"
        raise UserError(what, where=str(path), value=len(events), remedy="Cut the recording")
    records = np.empty(len(events), _RECORD)
    records["t"] = events.t - events.t[0]
    records["word"] = (
        events.x.astype(np.uint32)
        | events.y.astype(np.uint32) << 14
        | events.p.astype(np.uint32) << 28
    )
    if events.duration_us >= 1 << 32 or max(events.width, events.height) > 1 << 14:
        raise UserError("is too long, or of too large a sensor, for a page", where=str(path))
    return {
        "name": plain(path.name),
        "sensor": [events.width, events.height],
        "events": _base64(records.tobytes()),
    }
