"""The page about the ticket file, proven by a reader that was written from it alone."""

import ast
import importlib.util
import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from spiketicket.streams import Stream
from spiketicket.ticket import Ticket, TicketError, TicketLayer, codec, zoo
from spiketicket.ticket.mask_code import encode_mask

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ticket-format.md").read_text()
READER = ROOT / "examples" / "read_ticket.py"
SHIPPED = [ticket.path for ticket in zoo.list_tickets()]
FORMAT_1 = sorted((ROOT / "tests" / "files").glob("format-1-*.ticket"))


def _reader():
    spec = importlib.util.spec_from_file_location("read_ticket", READER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reader = _reader()


def test_the_reader_needs_nothing_but_python():
    nodes = [*ast.walk(ast.parse(READER.read_text()))]
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names


def assert_same(content, ticket):
    metadata, state = reader.read_ticket(content)
    assert metadata["digest"] == ticket.digest()
    expected = ticket.state()
    assert state.keys() == expected.keys()
    for key, array in expected.items():
        if key in ticket.tensors:
            found, shape = state[key].content, tuple(state[key].shape)
        else:
            layer = next(e for e in metadata["layers"] if f"{e['name']}.weight" == key)
            found, shape = np.array(state[key], np.float32).tobytes(), tuple(layer["shape"])
        assert (shape, found) == (array.shape, array.tobytes()), key


@pytest.mark.slow
@pytest.mark.parametrize("path", [*SHIPPED, *FORMAT_1], ids=lambda path: path.stem)
def test_every_weight_of_a_file_is_read(path):
    ticket = Ticket.load(path)
    assert_same(path.read_bytes(), ticket)
    assert_same(ticket.to_bytes(), ticket)


def random_layer(name, shape, kept, kind, drawn_as):
    size = int(np.prod(shape))
    mask = np.zeros(size, bool)
    mask[Stream(8, name).permutation(size)[:kept]] = True
    numbers = Stream(5, "weight", drawn_as)
    values = np.where(mask, numbers.normal(size), np.float32(0)).reshape(shape)
    mask = mask.reshape(shape)
    if kind == "float":
        return TicketLayer(name=name, shape=shape, kind=kind, mask=mask, values=values)
    signs = numbers.signs(size).reshape(shape) if kind == "signs" else np.sign(values)
    signs = (signs * mask).astype(np.int8)
    return TicketLayer(name=name, shape=shape, kind="binary", mask=mask, alpha=0.1, signs=signs)


@pytest.mark.parametrize("signs", ["raw", "seed"])
@pytest.mark.parametrize("kept", [0, 1, 7, 60, 700, 3000, 5700, 5999, 6000])
def test_masks_of_any_density_and_signs_of_any_draw(kept, signs):
    layers = (
        random_layer("a.b.first", (6000,), kept, "signs", "b.first"),
        random_layer("a.second", (20, 300), kept, "normal", "a.second"),
        random_layer("third", (3, 20, 10, 10), kept, "float", "any"),
    )
    tensors = {"bn.bias": np.arange(3.0), "none": np.zeros((0, 2), np.float16)}
    ticket = Ticket(layers, tensors, {"seed": 5, "caf\u00e9\U0001f600": [1e-7, 2.0, 1e16, "\x7f"]})
    content = ticket.to_bytes(signs=signs)
    drawn = any(name.startswith("drawn/") for name in codec.decode(content)[1])
    assert drawn == (signs == "seed" and kept > 16)
    assert_same(content, ticket)


@pytest.mark.parametrize("signs", ["raw", "seed"])
def test_whatever_the_package_refuses_the_reader_refuses(signs):
    layer = random_layer("a.b.first", (6000,), 700, "signs", "b.first")
    content = Ticket((layer,), {"x": np.ones(2, np.float32)}, {"seed": 5}).to_bytes(signs=signs)
    start = 8 + int.from_bytes(content[:8], "little")
    for place in random.Random(1).sample(range(start, len(content)), 60):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(TicketError):
            Ticket.from_bytes(bytes(damaged))
        with pytest.raises((ValueError, KeyError)):
            reader.read_ticket(bytes(damaged))


def test_the_examples_of_the_page():
    mask_code, first_words = re.findall(r"^```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    mask = np.zeros(40, bool)
    mask[[3, 12, 37]] = True
    assert encode_mask(mask).tobytes() == bytes.fromhex(mask_code)
    assert reader.read_mask(bytes.fromhex(mask_code), 40, 3) == mask.astype(int).tolist()
    told = dict(line.split("=") for line in first_words.splitlines())
    told = {key.strip(): value.split() for key, value in told.items()}
    words = reader.Words(0, ["weight", "features.0.conv", "signs"])
    assert told["h"] == [f"{words.hash:016X}"]
    assert told["words"] == [f"{words[i]:08X}" for i in range(4)]
    drawn = Stream(0, "weight", "features.0.conv").signs(8)
    assert told["signs"] == ["+" if sign > 0 else "-" for sign in drawn]


def test_it_prints_what_is_in_a_file(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["read_ticket.py", str(FORMAT_1[0])])
    reader.main()
    printed = capsys.readouterr().out
    assert printed.startswith("format 1, digest ")
    assert "features.0.synapse: 4x1x3x3, 18 of 36 kept, binary\n" in printed
