"""A ticket is data: whatever its metadata holds, no command runs, opens or imports what it names.

Every known key, and every key of a real ticket, gets hostile values of every JSON type. An audit
hook sees what the interpreter does meanwhile; it can never be removed, so a flag turns it on.
"""

import copy
import json
import sys

import numpy as np
import pytest
from command import spiketicket
from PIL import Image
from places import FILES

from spiketicket.engine import Engine
from spiketicket.errors import UserError
from spiketicket.models import of_ticket
from spiketicket.ticket import Ticket, TicketError, codec
from spiketicket.ticket.schema import check_metadata, fields

pytestmark = pytest.mark.slow


TINY = FILES / "format-1-convnet.ticket"
MARK = "hostile"
"""Is in every name below that could be looked for."""
VALUES = [
    None,
    True,
    0,
    -1,
    2**63,
    10**30,
    -0.5,
    1e300,
    "",
    "x",
    MARK,
    20_000 * "x",
    "os:system",
    f"{MARK}_module:make",
    f"../../{MARK}",
    f"/{MARK}/passwd",
    "~root",
    f"\x1b]0;{MARK}\x07\nerror: forged\u202e\x9b",
    "\udcff",
    [],
    [[]],
    [":"],
    ["os:system", MARK],
    {},
    {":": 1},
    {"name": "os:system", "options": {"command": f"touch {MARK}"}},
    {"test": MARK, "name": [MARK], "mean": {}, "folder": f"../{MARK}"},
    [[[[[[[[{}]]]]]]]],
]
PROCESSES = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "pty.spawn",
    "os.startfile",
    "socket.connect",
)
COMMANDS = {
    "show": ["show", "{}"],
    "show --json": ["show", "{}", "--json"],
    "run": ["run", "{}", "IN", "--backend", "numpy"],
    "pack": ["pack", "{}", "-o", "PACKED"],
    "eval": ["eval", "{}"],
    "eval --network": ["eval", "{}", "--network", "json:loads"],
    "measure": ["measure", "{}", "--images", "2"],
    "bench": ["bench", "{}", "--rounds", "1", "--images", "2", "--peers", "nobody"],
    **{
        f"export {to}": ["export", "{}", "--to", to, "-o", "OUT"]
        for to in ("c", "hub", "torch", "nir", "pt2", "onnx")
    },
}
LONG = ("eval", "eval --network", "export torch", "export pt2", "export onnx")
seen: list[str] | None = None


def _audit(event, arguments):
    if seen is None:
        return
    named = any(MARK in _text(a) for a in arguments[:1])
    if event in PROCESSES or (named and event != "object.__getattr__"):
        seen.append(f"{event} {arguments!r:.300}")


def _text(argument):
    if isinstance(argument, bytes):
        return argument.decode(errors="replace")
    return argument if isinstance(argument, str) else ""


sys.addaudithook(_audit)


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """Every command that takes a ticket, with its files."""
    folder = tmp_path_factory.mktemp("commands")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "p.png")
    places = {
        "IN": str(folder / "p.png"),
        "OUT": str(folder / "out"),
        "PACKED": str(folder / "packed"),
    }
    return {n: [places.get(a, a) for a in arguments] for n, arguments in COMMANDS.items()}


def changed(metadata, path, value):
    """Metadata with a value at a path; tables on its way are made."""
    made = copy.deepcopy(metadata)
    table = made
    for key in path[:-1]:
        inner = table.get(key)
        table[key] = inner if isinstance(inner, dict) else {}
        table = table[key]
    table[path[-1]] = value
    return made


class Walk:
    """Runs commands on tickets with changed metadata, and fails where one does what it may not."""

    def __init__(self, commands, folder):
        self.commands, self.path = commands, folder / "t.ticket"
        self.metadata, self.arrays = codec.decode(TINY.read_bytes())
        self.path.write_bytes(TINY.read_bytes())

    def command(self, name):
        """Its exit code; anything but 0, 1 and 2, and every traceback, fails."""
        arguments = [a.replace("{}", str(self.path)) for a in self.commands[name]]
        return spiketicket(*arguments).exit_code

    def change(self, path, value):
        """Put a value into a file, with the right digest; its new metadata."""
        metadata = changed(self.metadata, path, value)
        whole = {k: v for k, v in metadata.items() if k != "digest"}
        metadata["digest"] = codec.digest(whole, self.arrays)
        self.path.write_bytes(codec.encode(metadata, self.arrays))
        return metadata

    def library(self, metadata):
        """The same in Python, of the file and of a ticket in memory, which has no header."""
        own = {k: v for k, v in metadata.items() if k not in ("digest", "layers", "state_bytes")}
        plain = Ticket.load(TINY)
        for make in (
            lambda: of_ticket.from_ticket(Ticket.load(self.path)),
            lambda: of_ticket.from_ticket(Ticket(plain.layers, plain.tensors, own)),
            lambda: Engine(self.path, backend="numpy"),
            lambda: Engine(Ticket(plain.layers, plain.tensors, own), backend="numpy"),
        ):
            own["format_version"] = 2
            try:
                make()
            except UserError as error:
                assert str(error)


def watched(work):
    """What the audit hook saw meanwhile."""
    global seen  # noqa: PLW0603
    seen = []
    try:
        work()
        return seen
    finally:
        seen = None


def keys():
    """Every key that is known, and every one of a real ticket."""
    own = json.loads(json.dumps(dict(Ticket.load(TINY).metadata)))

    def inner(table, before=()):
        for key, value in table.items():
            yield (*before, key)
            if isinstance(value, dict):
                yield from inner(value, (*before, key))

    more = [
        ("network", "args", "model", "folder"),
        ("data", "config", "folder"),
        ("anything",),
        ("layers",),
        ("state_bytes",),
        ("format_version",),
    ]
    return sorted({*fields(), *inner(own), *more})


def split(walk, path):
    """The hostile values that a key refuses, and those that it takes."""
    refused, taken = [], []
    for value in VALUES:
        try:
            check_metadata(changed(walk.metadata, path, value))
        except TicketError as error:
            assert error.where, (path, value)
            refused.append(value)
        else:
            taken.append(value)
    return refused, taken


def test_every_known_field_refuses_most_hostile_values(commands, tmp_path):
    """The first through a command, and some of those that it takes through the library."""
    walk = Walk(commands, tmp_path)
    walk.library(walk.metadata)
    assert walk.command("show") == 0
    for index, path in enumerate(fields()):
        refused, taken = split(walk, path)
        assert len(refused) >= len(VALUES) // 3, path
        walk.change(path, refused[index % len(refused)])
        assert watched(lambda: walk.command("show")) == [], path
        for value in taken[index % 3 :: 8][:2]:
            metadata = walk.change(path, value)
            assert watched(lambda metadata=metadata: walk.library(metadata)) == [], (path, value)


@pytest.mark.slow
@pytest.mark.parametrize("path", keys(), ids=".".join)
def test_every_field_with_every_hostile_value(commands, tmp_path, path):
    walk = Walk(commands, tmp_path)
    walk.library(walk.metadata)
    for value in VALUES:
        metadata = walk.change(path, value)
        assert watched(lambda: walk.command("show")) == [], value
        if path[0] in ("network", "normalisation", "classes"):  # what the library reads
            assert watched(lambda metadata=metadata: walk.library(metadata)) == [], value


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_field_through_every_command(commands, tmp_path, name):
    walk = Walk(commands, tmp_path)
    assert walk.command(name) in (0, 2)
    for index, path in enumerate(fields()):
        refused, taken = split(walk, path)
        some = [refused[index % len(refused)]]
        if name not in LONG or path[0] == "network":
            some += taken[index % 3 :: 8][:1]
        for value in some:
            walk.change(path, value)
            assert watched(lambda: walk.command(name)) == [], (path, value)
