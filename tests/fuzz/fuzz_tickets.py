"""Fuzz targets: ticket files and folders of the Hub, damaged in any way, under a right digest."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from fuzz_edits import Draw, edited_bytes, edited_tree, json_text
from fuzz_guard import MEMORY, expect, limited
from hypothesis import strategies as st

from spiketicket.cli.show import show
from spiketicket.engine import Engine
from spiketicket.export import hub
from spiketicket.ticket import Ticket, codec, container, describe, read_metadata, zoo

TESTS = Path(__file__).parents[1]


def helper(path: str) -> ModuleType:
    """Another folder's helpers, which are no module of a package."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{Path(path).parent.name}", TESTS / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Parts:
    """A ticket file taken apart; ``places`` are the header's entries of its arrays."""

    metadata: dict[str, Any]
    places: dict[str, Any]
    body: bytes

    @classmethod
    def of(cls, content: bytes) -> Parts:
        if codec.decode(content)[0]["format_version"] == codec.FORMAT_VERSION:
            # laid open: what is in the head of format 3 is edited in ``edited_head``
            ticket = Ticket.from_bytes(content)
            metadata = {**codec.decode(content)[0], "format_version": 1}
            content = codec.encode(metadata, ticket._arrays())
        length = int.from_bytes(content[:8], "little")
        places = json.loads(content[8 : 8 + length])
        metadata = json.loads(places.pop("__metadata__")["spiketicket"])
        return cls(metadata, places, content[8 + length :])

    def content(self, digest: str = "") -> bytes:
        """The file; the metadata is a table unless an edit made it something else."""
        metadata = {**self.metadata, "digest": digest} if digest else self.metadata
        outer = {"__metadata__": {"spiketicket": json_text(metadata)}, **self.places}
        header = json_text(outer).encode()
        return len(header).to_bytes(8, "little") + header + self.body

    def sealed(self) -> bytes:
        """The file with the digest that a reader computes, if a reader comes that far."""
        made: list[str] = []

        def noted(*given: Any) -> str:
            made.append(whole(*given))
            return made[-1]

        whole = codec.digest
        with mock.patch.object(codec, "digest", noted), limited("Ticket.from_bytes", room(self)):
            Ticket.from_bytes(self.content("0" * 64))
        return self.content(made[-1] if made else "0" * 64)


def room(parts: Parts) -> int:
    """Bytes that loading may take: 40 a weight, and a mask of n bytes has at most 128 n."""
    return MEMORY + 40 * 128 * len(parts.body)


@functools.cache
def bases() -> tuple[Parts, ...]:
    """Small tickets of every kind of network, layer and format."""
    shipped = [zoo.find_ticket(name).path for name in ("digits-binw", "digits-events")]
    contents = [path.read_bytes() for path in shipped]
    contents += [(TESTS / "files" / "format-1-small.ticket").read_bytes()]
    told = {k: v for k, v in Ticket.load(shipped[0]).metadata.items() if k != "network"}
    random_ticket = helper("engine/conftest.py").random_ticket
    for name, model in (("spikformer", {}), ("sdt", {}), ("convnet", {"weights": "float"})):
        plain = random_ticket(name, model={"weights": "binary", **model})
        metadata = {**told, **{k: v for k, v in plain.metadata.items() if k != "format_version"}}
        contents.append(Ticket(plain.layers, plain.tensors, metadata).to_bytes())
    drawn = helper("ticket/test_ticket_damage.py").coded()[1]
    return tuple(map(Parts.of, [*contents, drawn]))


OWN = ("layers", "state_bytes", "format_version")
"""What a reader compares with the arrays: most damage to it ends the reading early."""


@functools.cache
def heads() -> tuple[tuple[list[Any], bytes], ...]:
    """The heads of tickets of format 3, and their arrays."""
    found = []
    for name in ("digits-binw", "digits-events"):
        content = zoo.find_ticket(name).path.read_bytes()
        metadata, arrays = codec.decode(content)
        start = 8 + int.from_bytes(content[:8], "little")
        start += 4 + int.from_bytes(content[start : start + 4], "little")
        found.append((container.head_of(metadata, arrays), content[start:]))
    return tuple(found)


def edited_head(draw: Draw) -> bytes:
    """A file of format 3 whose metadata or list of arrays is another."""
    head, body = draw(st.sampled_from(heads()))
    parts = list(head)
    place = draw(st.sampled_from(range(len(parts))))
    parts[place] = edited_tree(draw, parts[place])
    text = json_text(parts).encode("ascii", "backslashreplace").decode()
    whole = container.pack_head(text) + body
    return container.outer_header(len(whole)) + whole


def edited(draw: Draw) -> bytes:
    """A damaged ticket file, its digest right wherever the damage lets a reader compute one."""
    if draw(st.sampled_from([True, False, False])):
        return edited_head(draw)
    parts = draw(st.sampled_from(bases()))
    metadata, places, body = parts.metadata, parts.places, parts.body
    kinds = ["said", "network", "recipe", "metadata", "places", "body", "file"]
    kind = draw(st.sampled_from([*kinds[:3] * 2, *kinds]))
    if kind == "said":
        own = {key: metadata[key] for key in OWN}
        said = {key: value for key, value in metadata.items() if key not in OWN}
        metadata = {**edited_tree(draw, said), **own}
    elif kind in metadata:
        metadata = {**metadata, kind: edited_tree(draw, metadata[kind])}
    elif kind == "metadata":
        metadata = edited_tree(draw, metadata)
    elif kind == "places":
        places = edited_tree(draw, places)
    elif kind == "body":
        body = edited_bytes(draw, body)
    content = Parts(metadata, places, body).sealed()
    return edited_bytes(draw, content) if kind == "file" else content


def ticket_files(draw: Draw, folder: Path) -> None:
    """Reading, describing and showing a ticket, and the two ways to make a network of it."""
    from spiketicket.models.of_ticket import from_ticket

    content = edited(draw)
    memory = MEMORY + 40 * 128 * len(content)
    path = folder / "a.ticket"
    path.write_bytes(content)
    ticket = None
    with limited("Ticket.from_bytes", memory):
        ticket = Ticket.from_bytes(content)
    for read in (read_metadata, describe):
        with limited(read.__name__, memory):
            read(path)
    printed(path, memory)
    if ticket is not None:
        with limited("Engine", memory):
            Engine(ticket)
        with limited("from_ticket", None):
            from_ticket(ticket)


def printed(path: Path, memory: int | None) -> None:
    """``show``, in both forms: what it prints cannot steer a terminal."""
    for as_json in (False, True):
        out = io.StringIO()
        with contextlib.redirect_stdout(out), limited("show", memory):
            show([path], as_json=as_json)
        raw = {c for c in out.getvalue() if not c.isprintable() and c != "\n"}
        expect(not raw, "show: prints control characters", raw)


def hub_folders(draw: Draw, folder: Path) -> None:
    """A ticket's folder for the Hub: written from a damaged ticket, and read with damage."""
    path = folder / "a.ticket"
    path.write_bytes(edited(draw) if draw(st.booleans()) else bases()[0].sealed())
    made = folder / "hub"
    with limited("hub.write_folder") as refused:
        hub.write_folder(path, made, "a")
    if refused or not (made / hub.CONFIG).exists():
        return
    name = draw(st.sampled_from([hub.CONFIG, hub.CONFIG, hub.RECIPE, hub.TICKET]))
    if (made / name).exists():
        content = (made / name).read_bytes()
        if name == hub.CONFIG and draw(st.booleans()):
            content = json_text(edited_tree(draw, json.loads(content))).encode()
        else:
            content = edited_bytes(draw, content)
        (made / name).write_bytes(content)
    with limited("hub.check_folder"):
        hub.check_folder(made)
