"""Broken and foreign files: a TicketError or a ticket equal to the original, never a crash."""

from __future__ import annotations

import contextlib
import json
import math
import pickle
import tracemalloc
import zlib

import numpy as np
import pytest
import safetensors.numpy
from places import FILES

from spiketicket.streams import Stream
from spiketicket.ticket import (
    Ticket,
    TicketError,
    TicketLayer,
    codec,
    container,
    describe,
    read_metadata,
)


def layer(name: str, shape: tuple[int, ...], density: float, alpha: float | None) -> TicketLayer:
    """A layer with a random mask, binary if ``alpha`` is given."""
    stream, size = Stream(0, name), math.prod(shape)
    mask = (stream.uniform(size) < density).reshape(shape)
    if alpha is None:
        values = stream.normal(size).reshape(shape) * mask
        return TicketLayer(name=name, shape=shape, kind="float", mask=mask, values=values)
    signs = stream.signs(size).reshape(shape) * mask
    return TicketLayer(name=name, shape=shape, kind="binary", mask=mask, alpha=alpha, signs=signs)


def small() -> Ticket:
    mask = np.arange(10).reshape(2, 5) % 3 == 0
    floats = TicketLayer(
        name="a.fc", shape=(2, 5), kind="float", mask=mask, values=mask.astype(np.float32)
    )
    mask = np.arange(54).reshape(3, 2, 3, 3) % 2 == 0
    conv = TicketLayer(
        name="z.conv",
        shape=(3, 2, 3, 3),
        kind="binary",
        mask=mask,
        alpha=0.1,
        signs=np.where(np.arange(54).reshape(mask.shape) % 5 == 0, -1, 1).astype(np.int8) * mask,
    )
    tensors = {"head.bias": np.array([0.5, -0.0]), "flags": np.array([[True, False]])}
    return Ticket((conv, floats), tensors, {"classes": ["a", "b"], "seed": 3, "std": [0.25]})


def tickets() -> list[Ticket]:
    return [
        small(),
        Ticket(()),
        Ticket((), {"w": np.ones(3, np.float32)}, {"x": [1, None]}),
        Ticket((layer("l", (3, 5), 1.0, 0.5), layer("m", (9,), 1.0, None))),
        Ticket((layer("l", (3, 5), 0.0, 0.5), layer("m", (9,), 0.0, None))),
        Ticket((layer("l", (1,), 1.0, 0.0),)),
    ]


def arrays_start(content: bytes) -> int:
    """Where the arrays begin. A bit that fills up compressed metadata says nothing."""
    head = 8 + int.from_bytes(content[:8], "little")
    return head + 4 + int.from_bytes(content[head : head + 4], "little")


def outcome(content: bytes, original: Ticket) -> str:
    try:
        loaded = Ticket.from_bytes(content)
    except TicketError as error:
        assert str(error)
        return "refused"
    assert loaded.to_bytes() == original.to_bytes()
    return "equal"


@pytest.mark.slow
def test_every_flipped_bit_is_noticed():
    layers = (layer("l", (3, 3), 0.6, 0.5), layer("f", (3,), 0.7, None))
    ticket = Ticket(layers, {"b": np.ones(2, np.float16)})
    content = ticket.to_bytes()
    start = arrays_start(content)
    for position in range(8 * len(content)):
        broken = bytearray(content)
        broken[position // 8] ^= 1 << position % 8
        result = outcome(bytes(broken), ticket)
        assert result == "refused" or position < 8 * start, position


def coded() -> tuple[Ticket, bytes]:
    """A ticket whose mask lies as gaps and whose signs are left to the seed."""
    mask = Stream(5, "mask").uniform(3000) < 0.1
    signs = Stream(6, "weight", "conv").signs(3000) * mask
    drawn = TicketLayer(
        name="a.conv", shape=(3000,), kind="binary", mask=mask, alpha=0.5, signs=signs
    )
    ticket = Ticket((drawn,), {"b": np.ones(2, np.float16)}, {"seed": 6})
    return ticket, ticket.to_bytes(signs="seed")


@pytest.mark.slow
def test_every_flipped_bit_of_gaps_and_draws_is_noticed():
    ticket, content = coded()
    assert {name.partition("/")[0] for name in codec.decode(content)[1]} == {
        "mask",
        "drawn",
        "alpha",
        "state",
    }
    start = arrays_start(content)
    # Every bit of the arrays, and of the header one of each byte.
    bits = [8 * i + i % 8 for i in range(start)] + list(range(8 * start, 8 * len(content)))
    for position in bits:
        broken = bytearray(content)
        broken[position // 8] ^= 1 << position % 8
        result = outcome(bytes(broken), ticket)
        assert result == "refused" or position < 8 * start, position
    for length in range(start, len(content)):
        assert outcome(content[:length], ticket) == "refused"


@pytest.mark.slow
def test_damage_to_a_file_of_format_1_is_noticed():
    path = FILES / "format-1-small.ticket"
    content, ticket = path.read_bytes(), Ticket.load(path)
    start = 8 + int.from_bytes(content[:8], "little")
    for position in [8 * i + i % 8 for i in range(start)] + [*range(8 * start, 8 * len(content))]:
        broken = bytearray(content)
        broken[position // 8] ^= 1 << position % 8
        result = outcome(bytes(broken), ticket)
        assert result == "refused" or position < 8 * start, position
    for length in range(0, len(content), 3):
        assert outcome(content[:length], ticket) == "refused"


def test_format_1_has_no_draws():
    ticket = coded()[0]
    metadata = {**parts(ticket)[0], "format_version": 1}
    plain = ticket._arrays()
    content = codec.encode({**metadata, "digest": ticket.digest()}, plain)
    assert Ticket.from_bytes(content) == ticket
    short = codec.decode(coded()[1])[1]["drawn/a.conv"]
    for without in ((), ("signs/a.conv",)):
        arrays = {k: v for k, v in plain.items() if k not in without} | {"drawn/a.conv": short}
        with pytest.raises(TicketError, match=r"belongs to no layer|signs/a.conv: is missing"):
            Ticket.from_bytes(codec.encode({**metadata, "digest": ticket.digest()}, arrays))


def test_every_truncation_is_noticed(tmp_path):
    content = small().to_bytes()
    path = tmp_path / "short.ticket"
    for length in range(len(content)):
        assert outcome(content[:length], small()) == "refused"
    for length in (0, 1, 7, 8, 9, 100, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(TicketError) as error:
            Ticket.load(path)
        assert str(error.value).startswith(f"{path}: ")


def test_thousands_of_random_mutations():
    rng = np.random.default_rng(20240607)
    cases = [(ticket, ticket.to_bytes()) for ticket in tickets()]
    refused = 0
    for _ in range(4000):
        ticket, content = cases[rng.integers(len(cases))]
        other = cases[rng.integers(len(cases))][1]
        refused += outcome(mutate(content, other, rng), ticket) == "refused"
    assert refused > 3500


def mutate(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """One to three random edits of a file, of its header as often as of its arrays."""
    broken = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        header = 8 + int.from_bytes(content[:8], "little")
        at = int(rng.integers(min(header, len(broken)) if rng.random() < 0.5 else len(broken) + 1))
        span = int(rng.integers(1, 40))
        source = int(rng.integers(len(other)))
        kind = rng.integers(7)
        if kind == 0 and at < len(broken):
            broken[at] = rng.integers(256)
        elif kind == 1:
            del broken[at : at + span]
        elif kind == 2:
            broken[at:at] = rng.bytes(span)
        elif kind == 3:
            broken[at : at + span] = other[source : source + span]
        elif kind == 4:
            broken[at:at] = broken[at : at + span]
        elif kind == 5:
            digits = [i for i in range(8, min(header, len(broken))) if 48 <= broken[i] < 58]
            broken[rng.choice(digits)] = rng.integers(48, 58)
        else:
            broken[:8] = int(rng.integers(0, 2 * len(content))).to_bytes(8, "little")
    return bytes(broken)


METADATA_EDITS = {
    "format_version": [0, -1, 1, 4, 3.0, True, "1", None, 10**30],
    "digest": [None, "", "0" * 64, 1],
    "state_bytes": [None, -1, 0, 10**30, "x", True],
    "layers": [None, {}, "x", [], [None], [[]], [{}], 3],
}
ENTRY_EDITS = {
    "name": [None, "", 3, "other", "z.conv", "\x1b[2J", "x" * 10**5],
    "shape": [
        None,
        [],
        {},
        54,
        [54.0],
        [-54],
        [0],
        [True] * 54,
        ["54"],
        [5, 12],
        [2] * 9,
        [1 << 62, 1 << 62],
        [10**4000],
        [10**9] * 8,
        [1 << 40] * 8,
    ],
    "kind": [None, 1, [], {}, "float", "binary", "ternary"],
    "kept": [None, -1, 0, 10**30, 1.5, "3", True],
    "alpha": [None, -1.0, 1e300, "0.1", 0.2, 0, [0.1]],
}


def parts(ticket: Ticket) -> tuple[dict, dict]:
    """Metadata without the digest, and arrays, as in the ticket's file."""
    metadata, arrays = codec.decode(ticket.to_bytes())
    del metadata["digest"]
    return metadata, arrays


def sealed(ticket: Ticket, metadata: dict, arrays: dict) -> bytes:
    """A file whose digest fits the metadata; the arrays are to be refused by themselves."""
    fitting = codec.digest({**metadata, "format_version": 1}, ticket._arrays())
    return codec.encode({**metadata, "digest": fitting}, arrays)


def rewritten(ticket: Ticket, edit) -> bytes:
    """A file with edited metadata or arrays and a digest that fits them."""
    metadata, arrays = parts(ticket)
    edit(metadata, arrays)
    return sealed(ticket, metadata, arrays)


@pytest.mark.parametrize("key", METADATA_EDITS)
def test_wrong_metadata_under_a_right_digest(key, tmp_path):
    for value in METADATA_EDITS[key]:
        ticket = small()
        metadata, arrays = parts(ticket)
        metadata[key] = value
        if key == "digest":
            content = with_metadata(arrays, json.dumps(metadata))
        else:
            content = sealed(ticket, metadata, arrays)
        assert outcome(content, ticket) == "refused", value
        path = tmp_path / "x.ticket"
        path.write_bytes(content)
        # The header alone may look right, but it must not crash what reads it.
        with contextlib.suppress(TicketError):
            json.dumps(describe(path).to_dict())


@pytest.mark.parametrize("key", ENTRY_EDITS)
@pytest.mark.parametrize("number", [0, 1])
def test_wrong_layer_entry_under_a_right_digest(key, number, tmp_path):
    ticket = small()
    for value in [*ENTRY_EDITS[key], "absent"]:
        metadata, arrays = parts(ticket)
        entry = metadata["layers"][number]
        if entry[key] == value and type(entry[key]) is type(value):
            continue
        entry[key] = value
        if value == "absent":
            del entry[key]
        content = sealed(ticket, metadata, arrays)
        assert outcome(content, ticket) == "refused", value
        path = tmp_path / "x.ticket"
        path.write_bytes(content)
        with contextlib.suppress(TicketError):
            json.dumps(describe(path).to_dict())


def put(name, array):
    return lambda metadata, arrays: arrays.__setitem__(name, array)


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (put("mask/z.conv", np.zeros(8, np.uint8)), "mask/z.conv: must be 7 bytes for 54 bits"),
        (put("mask/z.conv", np.zeros(10, np.uint8)), "mask/z.conv: holds more than its mask"),
        (put("mask/z.conv", np.zeros(1, np.uint8)), "must be at least 2 bytes for 54 weights"),
        (put("mask/z.conv", np.zeros(9, np.int8)), "must be at least 2 bytes"),
        (put("mask/z.conv", np.zeros((9, 1), np.uint8)), "must be at least 2 bytes"),
        (put("mask/z.conv", np.array([0, 0] + [255] * 7, np.uint8)), "padding bits are set"),
        (put("mask/z.conv", np.full(9, 255, np.uint8)), "mask/z.conv: has no known code"),
        (put("drawn/z.conv", np.zeros(4, np.uint64)), "seed 0 draws are not the ticket's"),
        (put("drawn/a.fc", np.zeros(4, np.uint64)), "an array that belongs to no layer"),
        (put("signs/z.conv", np.zeros(0, np.uint8)), "signs/z.conv: must be"),
        (put("signs/z.conv", np.full(4, 255, np.uint8)), "padding bits are set"),
        (put("alpha/z.conv", np.array(math.nan, np.float32)), "alpha must be a finite"),
        (put("alpha/z.conv", np.array(math.inf, np.float32)), "alpha must be a finite"),
        (put("alpha/z.conv", np.array(-0.1, np.float32)), "alpha must be a finite"),
        (put("alpha/z.conv", np.array(0.5, np.float32)), "the header contradicts the arrays"),
        (put("alpha/z.conv", np.array(0.1)), "alpha/z.conv: must be float32 of shape ()"),
        (put("alpha/z.conv", np.array([0.1], np.float32)), "must be float32 of shape ()"),
        (put("values/a.fc", np.full(4, math.nan, np.float32)), "values must be finite"),
        (put("values/a.fc", np.ones(3, np.float32)), "values/a.fc: must be float32 of shape (4,)"),
        (put("values/a.fc", np.ones(4)), "must be float32"),
        (put("values/z.conv", np.ones(4, np.float32)), "an array that belongs to no layer"),
        (put("stranger", np.ones(4, np.float32)), "an array that belongs to no layer"),
        (put("state/", np.ones(4, np.float32)), "a name must be"),
        (put("state/z.conv.weight", np.ones(1, np.float32)), "is the weight of a pruned layer"),
        (put("state/head.bias", np.full(2, math.nan)), "head.bias: holds NaN"),
        (put("state/more", np.ones(1)), "state_bytes contradicts the arrays"),
        (lambda m, a: a.pop("mask/z.conv"), "mask/z.conv: is missing"),
        (lambda m, a: a.pop("signs/z.conv"), "signs/z.conv: is missing"),
        (lambda m, a: a.pop("alpha/z.conv"), "alpha/z.conv: is missing"),
        (lambda m, a: a.pop("values/a.fc"), "values/a.fc: is missing"),
        (lambda m, a: a.pop("state/head.bias"), "state_bytes contradicts the arrays"),
        (lambda m, a: m["layers"].append(m["layers"][0]), "mask/z.conv: is missing"),
        (lambda m, a: m["layers"].pop(), "belongs to no layer"),
        (lambda m, a: m.update(format_version=7), "has ticket format 7, newer than 3"),
    ],
)
def test_contradictions_under_a_right_digest(edit, text, tmp_path):
    path = tmp_path / "x.ticket"
    path.write_bytes(rewritten(small(), edit))
    with pytest.raises(TicketError) as error:
        Ticket.load(path)
    assert text in str(error.value)
    assert str(error.value).startswith(f"{path}: ")


def with_metadata(arrays, text: str | None, key: str = "spiketicket") -> bytes:
    return safetensors.numpy.save(arrays, None if text is None else {key: text})


def with_header(header: bytes, body: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + body


def packed(head: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    """A file of format 3 with these bytes for its head."""
    size = len(head) if length is None else length
    whole = size.to_bytes(4, "little") + head + body
    return container.outer_header(len(whole)) + whole


def head(text: str) -> bytes:
    """A head of any text, however far it shrinks."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zdict=container._WORDS)
    return packer.compress(text.encode()) + packer.flush()


META = '{"format_version":3,"layers":[],"state_bytes":0}'
LAYER = '{"format_version":3,"layers":[{"name":"l","kept":%s,"alpha":null}],"state_bytes":0}'
PACKED = {
    "deflate bomb": (packed(head("[" + " " * (200 << 20) + "]")), "bytes that unpack to more than"),
    "not deflate": (packed(b"\xff" * 50), "is damaged"),
    "cut deflate": (packed(head(META)[:-3]), "is cut off or goes on"),
    "more deflate": (packed(head(META) + b"x"), "is cut off or goes on"),
    "no head": (packed(b""), "is truncated"),
    "long head": (packed(b"", length=1 << 31), "is truncated"),
    "head is a table": (packed(head(META)), "says not what its arrays are"),
    "head not json": (packed(head("[{],")), "its metadata is not JSON"),
    "head not ascii": (packed(head("[\u00e9]")), "is damaged"),
    "no coded layer": (packed(head(f"[{LAYER % 3},[],{{}},{{}}]")), "its layers' arrays"),
    "coded nonsense": (packed(head(f'[{LAYER % 3},["7x"],{{}},{{}}]')), "a layer's arrays"),
    "coded digits": (packed(head(f'[{LAYER % 3},["{"9" * 20}v"],{{}},{{}}]')), "a layer's arrays"),
    "no kept": (packed(head(f'[{LAYER % "[]"},["7v"],{{}},{{}}]')), "no possible length"),
    "huge kept": (packed(head(f'[{LAYER % (1 << 41)},["7v"],{{}},{{}}]')), "no possible length"),
    "kept not there": (packed(head(f'[{LAYER % (1 << 39)},["7v"],{{}},{{}}]')), ""),
    "huge norm": (packed(head(f'[{META},[],{{"n":[99999999999999]}},{{}}]')), "no possible length"),
    "norm not there": (packed(head(f'[{META},[],{{"n":1099511627776}},{{}}]')), "not as long as"),
    "two of a name": (
        packed(head(f'[{META},[],{{"n":1}},{{"state/n.running_mean":1}}]'), bytes(20)),
        "names an array twice",
    ),
    "unknown type": (
        packed(head(f'[{META},[],{{}},{{"state/a":["object",[1]]}}]')),
        "no known type",
    ),
    "negative side": (packed(head(f'[{META},[],{{}},{{"state/a":["int8",[-1]]}}]')), "no possible"),
    "arrays not there": (
        packed(head(f'[{META},[],{{}},{{"state/a":3}}]')),
        "not as long as it says",
    ),
}
ONE = {"a": np.ones(3, np.float32)}
FOREIGN = {
    "empty": (b"", "is empty"),
    "zip": (b"PK\x03\x04" + bytes(100), "is not a ticket file"),
    "pickle": (pickle.dumps({"a": [1] * 50}), "is not a ticket file"),
    "text": (b"hello, this is a text file\n" * 9, "is not a ticket file"),
    "zeros": (bytes(64), "is not a ticket file"),
    "safetensors": (with_metadata(ONE, None), "a safetensors file but not a ticket"),
    "other metadata": (with_metadata(ONE, "pt", "format"), "a safetensors file but not a ticket"),
    "not json": (with_metadata(ONE, "{'a': 1}"), "its metadata is not JSON"),
    "nan": (with_metadata(ONE, '{"format_version":1,"x":NaN}'), "its metadata is not JSON"),
    "1e999": (with_metadata(ONE, '{"format_version":1,"x":1e999}'), "too large a number"),
    "long number": (with_metadata(ONE, '{"x":' + "9" * 9999 + "}"), "a number has 9999 characters"),
    "a list": (with_metadata(ONE, "[1]"), "its metadata is not a table"),
    "no version": (with_metadata(ONE, "{}"), "its format_version must be"),
    "layout 4": (with_metadata(ONE, "4"), "Install a newer spiketicket"),
    "version 4": (with_metadata(ONE, '{"format_version":4}'), "Install a newer spiketicket"),
    "version 3 laid out as 2": (
        with_metadata(ONE, '{"format_version":3}'),
        "is not laid out as its format_version says",
    ),
    **PACKED,
    "no layers": (with_metadata(ONE, '{"format_version":2}'), "its metadata names no layers"),
    "no digest": (
        with_metadata({}, '{"format_version":2,"layers":[],"state_bytes":0}'),
        "does not match its digest",
    ),
    "no digest 1": (
        with_metadata({}, '{"format_version":1,"layers":[],"state_bytes":0}'),
        "does not match its digest",
    ),
    "deep": (
        with_metadata(ONE, '{"a":' + "[" * 10**5 + "]" * 10**5 + "}"),
        "nested more than 64 deep",
    ),
    "deep header": (with_header(b'{"a":' * 10**5), "its metadata is not JSON"),
    "deep list header": (with_header(b'{"a":' + b"[" * 10**5), "its metadata is not JSON"),
    "header is a list": (with_header(b"{}"), "not a ticket"),
    "metadata is a list": (with_header(b'{"__metadata__":[]}'), "not a ticket"),
    "metadata of a number": (with_header(b'{"__metadata__":{"spiketicket":1}}'), "not a ticket"),
    "header not utf-8": (with_header(b'{"\xff":1}'), "its header is not UTF-8"),
    "bomb": (with_header(b'{"a":[' + b"[]," * (3 << 20)), "more than 1048576 items"),
    "escaped bomb": (
        with_metadata(ONE, '{"a":[' + "0," * (1 << 20) + "0]}").replace(b"0,", b"0\\u002c"),
        "",
    ),
    "long header": ((1 << 40).to_bytes(8, "little") + b"{}", "header is larger than"),
    "header past the end": ((500).to_bytes(8, "little") + b'{"a":1}', "is truncated"),
    "negative header": (b"\xff" * 8 + b"{}", "header is larger than"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files(name, tmp_path):
    content, text = FOREIGN[name]
    path = tmp_path / "x.ticket"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(TicketError) as error:
            Ticket.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert text in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert peak < 8 * len(content) + (1 << 20)
    if name not in (*PACKED, "no digest", "no digest 1", "no layers", "1e999"):
        with pytest.raises(TicketError):
            read_metadata(path)


def test_a_foreign_dtype_or_truth_value_is_refused():
    for dtype, width in (("BF16", 2), ("C64", 8), ("F8_E4M3", 1), ("F4", 1), ("X", 1)):
        tensor = {"dtype": dtype, "shape": [1], "data_offsets": [0, width]}
        header = {"__metadata__": {"spiketicket": '{"format_version":1}'}, "state/a": tensor}
        with pytest.raises(TicketError):
            Ticket.from_bytes(with_header(json.dumps(header).encode(), bytes(width)))
    ticket = Ticket((), {"flag": np.array([True])})
    content = ticket.to_bytes()
    with pytest.raises(TicketError, match="a truth value is neither 0 nor 1"):
        Ticket.from_bytes(content[:-1] + b"\x02")


def test_huge_shapes_cost_no_memory():
    ticket = Ticket((layer("l", (4, 4), 0.5, 0.1),), {"b": np.ones(4, np.float32)})

    def huge(metadata, arrays):
        metadata["layers"][0]["shape"] = [1 << 20, 1 << 20]

    header = rewritten(ticket, huge)
    offsets = header.replace(b'"shape":[4]', b'"shape":[9]')
    tracemalloc.start()
    for content in (header, offsets, header.replace(b"[4]", b"[1152921504606846976]")):
        assert outcome(content, ticket) == "refused"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("density", [0.0, 0.01, 0.5, 1.0])
def test_memory_is_a_small_multiple_of_the_file(density, tmp_path):
    path = tmp_path / "a.ticket"
    ticket = Ticket((layer("l", (1000, 1000), density, 0.1),), {"b": np.ones(10**5, np.float32)})
    ticket.save(path)
    tracemalloc.start()
    loaded = Ticket.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert loaded == ticket
    # mask and signs at a byte each and a working copy of both; eight bytes a kept place, twice
    assert peak < (7 + 24 * density) * 10**6 + 8 * path.stat().st_size


def test_a_small_file_holds_no_large_layer(tmp_path):
    for density in (0.0, 1.0):
        one = layer("l", (1 << 20,), density, 0.5)
        assert len(Ticket((one,)).to_bytes()) > (1 << 20) // 128
    ticket = Ticket((layer("l", (4096,), 0.0, 0.5),))

    def larger(metadata, arrays):
        metadata["layers"][0]["shape"] = [4097]

    with pytest.raises(TicketError, match="mask/l: must be at least 33 bytes for 4097 weights"):
        Ticket.from_bytes(rewritten(ticket, larger))


def test_more_weights_than_memory_holds_are_refused_unread(monkeypatch):
    ticket = Ticket((layer("l", (50,), 0.5, 0.5), layer("m", (51,), 0.5, None)))
    content = ticket.to_bytes()
    for module in ("spiketicket.ticket.codec", "spiketicket.ticket"):
        monkeypatch.setattr(f"{module}.MAX_WEIGHTS", 101)
    assert Ticket.from_bytes(content) == ticket
    for module in ("spiketicket.ticket.codec", "spiketicket.ticket"):
        monkeypatch.setattr(f"{module}.MAX_WEIGHTS", 100)
    with pytest.raises(TicketError, match="m: a ticket has at most 100 weights"):
        Ticket.from_bytes(content)
    with pytest.raises(TicketError, match="a ticket has at most 100 weights"):
        Ticket(ticket.layers)


def test_a_file_over_the_limit_is_not_read(tmp_path):
    path = tmp_path / "a.ticket"
    small().save(path)
    size = path.stat().st_size
    assert Ticket.load(path, max_bytes=size) == small()
    with pytest.raises(TicketError, match=f"is larger than {size - 1} bytes"):
        Ticket.load(path, max_bytes=size - 1)
    with path.open("r+b") as file:
        file.truncate(5 << 30)  # sparse: takes no room
    with pytest.raises(TicketError, match="is larger than 4294967296 bytes"):
        Ticket.load(path)
    with pytest.raises(TicketError, match="its header is not that of its size"):
        read_metadata(path)
