"""The ticket file: exact round trips, the same bytes always, and thousands of broken files."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from places import FILES

from spiketicket.errors import UserError
from spiketicket.streams import Stream
from spiketicket.ticket import Ticket, TicketError, TicketLayer, codec, describe, read_metadata


def kept(name, shape, density):
    return Stream(1, name).uniform(int(np.prod(shape))).reshape(shape) < density


def binary(name, shape, density=0.5, alpha=0.125):
    mask = kept(name, shape, density)
    signs = Stream(2, name).signs(mask.size).reshape(shape) * mask.astype(np.int8)
    return TicketLayer(name=name, shape=shape, kind="binary", mask=mask, alpha=alpha, signs=signs)


def floating(name, shape, density=0.5):
    mask = kept(name, shape, density)
    values = Stream(3, name).normal(mask.size).reshape(shape) * mask
    return TicketLayer(name=name, shape=shape, kind="float", mask=mask, values=values)


def small(reverse=False):
    tensors = {
        "bn.running_mean": np.linspace(-1, 1, 3, dtype=np.float32),
        "bn.num_batches_tracked": np.array(7, np.int64),
        "head.bias": np.array([0.5, -0.0], np.float64),
        "flags": np.array([[True, False]]),
        "none": np.zeros((0, 4), np.float16),
    }
    metadata = {
        "network": {"name": "convnet", "args": {"classes": 10, "width": 1.0}},
        "normalisation": {"mean": [0.1], "std": [0.3]},
        "classes": ["null", "\u00e9ins", "\x1b[31m"],
        "accuracy": {"validation": 97.25, "test": None, "test_count": 360},
    }
    if reverse:
        tensors = dict(reversed(tensors.items()))
        metadata = dict(reversed(metadata.items()))
        metadata["network"] = dict(reversed(metadata["network"].items()))
    layers = (binary("z.conv", (3, 2, 3, 3), 0.5, 0.1), floating("a.fc", (2, 5), 0.4))
    return Ticket(layers, tensors, metadata)


# SHA-256 of small()'s file: must not change with machine, versions or time.
PINNED = "ca41a248caf3ba34a35c1621c5a2151fb411de64bc1e56cf7525da05747c14bd"


def run_python(code: str, **environment: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def tickets() -> dict[str, Ticket]:
    return {
        "small": small(),
        "empty": Ticket(()),
        "no_layers": Ticket((), {"w": np.ones(3, np.float32)}, {"x": [1, None]}),
        "all_kept": Ticket((binary("l", (3, 5), 1.0), floating("m", (9,), 1.0))),
        "none_kept": Ticket((binary("l", (3, 5), 0.0), floating("m", (9,), 0.0))),
        "one_weight": Ticket((binary("l", (1,), 1.0, 0.0),)),
        "few_kept": Ticket((binary("l", (50, 40), 0.05), floating("m", (30, 9), 0.02))),
        "few_dropped": Ticket((binary("l", (50, 40), 0.93), floating("m", (30, 9), 0.9))),
    }


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def same(a: Ticket, b: Ticket) -> bool:
    """Equality entry by entry, without the digest."""
    if a.metadata != b.metadata or len(a.layers) != len(b.layers):
        return False
    for x, y in zip(a.layers, b.layers, strict=True):
        if (x.name, x.shape, x.kind, x.alpha) != (y.name, y.shape, y.kind, y.alpha):
            return False
        if not np.array_equal(x.mask, y.mask):
            return False
        if x.weight().tobytes() != y.weight().tobytes():
            return False
    return a.tensors.keys() == b.tensors.keys() and all(
        x.dtype == b.tensors[key].dtype
        and x.shape == b.tensors[key].shape
        and x.tobytes() == b.tensors[key].tobytes()
        for key, x in a.tensors.items()
    )


# Round trips and bytes


@pytest.mark.parametrize("name", tickets())
def test_round_trip(name, tmp_path):
    ticket = tickets()[name]
    path = tmp_path / "a.ticket"
    ticket.save(path)
    loaded = Ticket.load(path)
    assert same(loaded, ticket)
    assert loaded == ticket
    assert hash(loaded) == hash(ticket)
    assert loaded.to_bytes() == path.read_bytes() == ticket.to_bytes()
    assert names(tmp_path) == ["a.ticket"]


@pytest.mark.slow
def test_the_same_ticket_gives_the_same_bytes_everywhere():
    expected = hashlib.sha256(small().to_bytes()).hexdigest()
    assert expected == PINNED
    assert hashlib.sha256(small(reverse=True).to_bytes()).hexdigest() == expected
    code = (
        f"import hashlib, runpy\nsmall = runpy.run_path({__file__!r})['small']\n"
        "print(hashlib.sha256(small(reverse=True).to_bytes()).hexdigest())"
    )
    for seed in ("1", "2"):
        assert run_python(code, PYTHONHASHSEED=seed) == expected


def test_reading_needs_no_torch(tmp_path):
    path = tmp_path / "a.ticket"
    small().save(path)
    code = (
        "import sys\nsys.modules['torch'] = None\n"
        "from spiketicket.ticket import Ticket, describe, read_metadata\n"
        f"path = {str(path)!r}\n"
        "t = Ticket.load(path)\nread_metadata(path)\ndescribe(path)\n"
        "print(len(t.state()), sys.modules['torch'])"
    )
    assert run_python(code) == "7 None"
    code = "import sys, spiketicket.ticket\nprint('torch' in sys.modules)"
    assert run_python(code) == "False"


def test_any_change_changes_the_digest():
    base = small()
    metadata, tensors, layers = dict(base.metadata), dict(base.tensors), base.layers
    changed = [
        Ticket(layers, tensors, {**metadata, "seed": 1}),
        Ticket(layers, {**tensors, "flags": np.array([[True, True]])}, metadata),
        Ticket(layers, {**tensors, "flags": np.array([[1, 0]], np.uint8)}, metadata),
        Ticket(layers, {**tensors, "flags": np.array([True, False])}, metadata),
        Ticket(layers, {**tensors, "head.bias": np.array([0.5, 0.0])}, metadata),
        Ticket(layers[::-1], tensors, metadata),
        Ticket(layers[:1], tensors, metadata),
        Ticket((binary("z.conv", (3, 2, 3, 3), 0.5, 0.25), layers[1]), tensors, metadata),
    ]
    assert len({ticket.digest() for ticket in [base, *changed]}) == len(changed) + 1
    assert all(ticket != base for ticket in changed)
    assert base != "ticket"


def test_the_file_is_safetensors_with_one_array(tmp_path):
    path = tmp_path / "a.ticket"
    ticket = small()
    ticket.save(path)
    (whole,) = safetensors.numpy.load_file(path).values()
    content = path.read_bytes()
    assert content.endswith(whole.tobytes())
    plain, arrays = codec.decode(content)
    assert {name.split("/")[0] for name in arrays} == {"mask", "signs", "alpha", "values", "state"}
    conv, dense = ticket.layers
    assert arrays["mask/z.conv"].nbytes == 2 + math.ceil(conv.size / 8)
    assert arrays["signs/z.conv"].nbytes == math.ceil(conv.kept / 8)
    assert arrays["alpha/z.conv"].shape == ()
    assert arrays["values/a.fc"].shape == (dense.kept,)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header["__metadata__"] == {"spiketicket": "3"}
    assert plain["format_version"] == 3
    assert plain["digest"] == ticket.digest()


def test_bits_lie_in_order_most_significant_first():
    mask = np.array([[1, 0, 1, 1], [0, 0, 0, 1], [1, 1, 0, 0]], bool)
    signs = np.array([[1, 0, -1, -1], [0, 0, 0, 1], [1, -1, 0, 0]], np.int8)
    layer = TicketLayer(name="l", shape=(3, 4), kind="binary", mask=mask, alpha=0.5, signs=signs)
    arrays = codec.decode(Ticket((layer,)).to_bytes())[1]
    assert arrays["mask/l"].tolist() == [0, 0, 0b10110001, 0b11000000]
    assert arrays["signs/l"].tolist() == [0b10011000]
    assert layer.weight().tolist() == (0.5 * signs).tolist()


def test_weights_are_rebuilt_exactly_in_float32():
    for alpha in (0.1, 1 / 3, 1e-30, float(np.float32(3.3e38))):
        layer = binary("l", (64, 9), 0.3, alpha)
        expected = np.where(layer.mask, np.float32(alpha) * layer.signs.astype(np.float32), 0)
        loaded = Ticket.from_bytes(Ticket((layer,)).to_bytes()).layers[0]
        for weight in (layer.weight(), loaded.weight()):
            assert weight.dtype == np.float32
            assert weight.shape == (64, 9)
            assert weight.tobytes() == expected.astype(np.float32).tobytes()
    floats = floating("l", (50, 9), 0.3)
    loaded = Ticket.from_bytes(Ticket((floats,)).to_bytes()).layers[0]
    assert loaded.weight().tobytes() == floats.weight().tobytes()
    assert np.array_equal(loaded.weight(), floats.values)
    assert not np.signbit(loaded.weight()[~floats.mask]).any()


def test_state_is_the_whole_state_dict_in_arrays_of_its_own():
    ticket = small()
    state = ticket.state()
    assert set(state) == {"z.conv.weight", "a.fc.weight", *ticket.tensors}
    for array in state.values():
        array[...] = 0
    assert ticket == small()


def test_density_and_counts():
    layer = binary("l", (10, 10), 0.5)
    assert (layer.size, layer.kept) == (100, int(layer.mask.sum()))
    assert layer.density == layer.kept / 100


def test_a_ticket_shares_nothing_with_its_maker():
    mask, values = np.ones(4, bool), np.ones(4, np.float32)
    tensor, classes = np.ones(2, np.float32), ["a"]
    layer = TicketLayer(name="l", shape=(4,), kind="float", mask=mask, values=values)
    ticket = Ticket((layer,), {"t": tensor}, {"classes": classes, "pair": (1, 2)})
    before = ticket.digest()
    mask[:], values[:], tensor[:] = False, 9, 9
    classes.append("b")
    assert ticket.digest() == before
    assert ticket.metadata["pair"] == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        ticket.layers[0].mask[0] = False
    with pytest.raises(ValueError, match="read-only"):
        ticket.tensors["t"][0] = 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        ticket.layers = ()


def test_replace_and_pickle_keep_the_rest():
    ticket = small()
    judged = dataclasses.replace(ticket, metadata={**ticket.metadata, "verdict": "wins"})
    assert judged.metadata["verdict"] == "wins"
    assert same(dataclasses.replace(judged, metadata=ticket.metadata), ticket)
    assert pickle.loads(pickle.dumps(ticket)) == ticket


def test_non_contiguous_and_big_endian_arrays_are_stored_plain():
    base = np.arange(12, dtype=">i4").reshape(3, 4)
    ticket = Ticket((), {"t": base.T, "s": base[::2, ::2]})
    loaded = Ticket.from_bytes(ticket.to_bytes())
    assert np.array_equal(loaded.tensors["t"], base.T)
    assert np.array_equal(loaded.tensors["s"], base[::2, ::2])
    assert loaded.tensors["t"].dtype == np.int32


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple),
    density=st.floats(0, 1),
    seed=st.integers(0, 1 << 32),
    alpha=st.floats(0, 1e30),
    kind=st.sampled_from(["binary", "float"]),
)
def test_any_layer_comes_back(shape, density, seed, alpha, kind):
    size = math.prod(shape)
    mask = (Stream(seed, "m").uniform(size) < density).reshape(shape)
    code = (
        {"alpha": alpha, "signs": Stream(seed, "s").signs(size).reshape(shape) * mask.view(np.int8)}
        if kind == "binary"
        else {"values": Stream(seed, "v").normal(size).reshape(shape) * mask}
    )
    ticket = Ticket((TicketLayer(name="l", shape=shape, kind=kind, mask=mask, **code),))
    assert same(Ticket.from_bytes(ticket.to_bytes()), ticket)


# Format 1: files in the words of the version that wrote them

FORMAT_1 = {
    "small": "1eb0e951ead9e175bb1a81f5d48ec286480b326abe5bfea2a247c5044a4e4add",
    "convnet": "2cba6db8add636f4ca597986f5eddfb49ed7eeb077c6cdbd154dc4f5eb63528d",
}


@pytest.mark.parametrize("name", FORMAT_1)
def test_a_file_of_format_1_keeps_its_digest(name, tmp_path):
    path = FILES / f"format-1-{name}.ticket"
    assert read_metadata(path)["format_version"] == 1
    assert read_metadata(path)["digest"] == FORMAT_1[name]
    ticket = Ticket.load(path)
    assert ticket.digest() == FORMAT_1[name]
    assert ticket.metadata["format_version"] == 3
    ticket.save(tmp_path / "new")
    assert read_metadata(tmp_path / "new")["digest"] == FORMAT_1[name]
    assert same(Ticket.load(tmp_path / "new"), ticket)


def test_what_is_read_of_format_1_is_what_was_written():
    assert same(Ticket.load(FILES / "format-1-small.ticket"), small())
    path = FILES / "format-1-convnet.ticket"
    for layer in Ticket.load(path).layers:
        arrays = safetensors.numpy.load_file(path)
        mask = np.unpackbits(arrays[f"mask/{layer.name}"])[: layer.size] == 1
        signs = np.unpackbits(arrays[f"signs/{layer.name}"])[: layer.kept].astype(np.float32)
        expected = np.zeros(layer.size, np.float32)
        expected[mask] = arrays[f"alpha/{layer.name}"] * (2 * signs - 1)
        assert np.array_equal(layer.weight().reshape(-1), expected)


def test_describe_counts_what_a_file_of_format_1_holds():
    summary = describe(FILES / "format-1-convnet.ticket")
    assert [row.mask_bytes for row in summary.layers] == [-(-r.size // 8) for r in summary.layers]
    assert summary.packed_bytes == sum(
        -(-row.size // 8) + -(-row.kept // 8) + 4 for row in summary.layers
    )


# describe


def test_describe_by_hand():
    mask = np.zeros((4, 5), bool)
    mask.flat[:5] = True
    layer = TicketLayer(
        name="c", shape=(4, 5), kind="binary", mask=mask, alpha=0.25, signs=mask.astype(np.int8)
    )
    dense = TicketLayer(
        name="f",
        shape=(2, 8),
        kind="float",
        mask=np.ones((2, 8), bool),
        values=np.ones((2, 8), "f4"),
    )
    summary = describe(Ticket((layer, dense), {"b": np.zeros(3, np.float32)}))
    first, second = summary.layers
    assert (first.name, first.shape, first.kind) == ("c", (4, 5), "binary")
    assert (first.size, first.kept, first.density, first.alpha) == (20, 5, 0.25, 0.25)
    # five gaps of 0: a byte of low bits, one of high parts
    assert first.mask_bytes == 2 + 1 + 1
    assert first.packed_bytes == 4 + 1 + 4
    # H(1/4) = 2 - 0.75 log2 3 bits per weight, one bit per sign, 4 bytes for alpha
    assert first.entropy_bytes == pytest.approx((20 * (2 - 0.75 * math.log2(3)) + 5) / 8 + 4)
    assert first.mask_entropy_bytes == pytest.approx(first.entropy_bytes - 5 / 8 - 4)
    # a float layer that is whole has no mask
    assert (second.mask_bytes, second.mask_entropy_bytes) == (0, 0)
    assert (second.packed_bytes, second.entropy_bytes, second.alpha) == (64, 64, None)
    assert not first.drawn
    assert (summary.size, summary.kept, summary.density) == (36, 21, 21 / 36)
    assert (summary.mask_bytes, summary.packed_bytes) == (4, 9 + 64)
    assert summary.mask_entropy_bytes == first.mask_entropy_bytes
    assert summary.entropy_bytes == first.entropy_bytes + 64
    assert summary.state_bytes == 12
    assert summary.dense_bytes == 4 * 36 + 12
    assert summary.file_bytes == len(Ticket((layer, dense), {"b": np.zeros(3, "f4")}).to_bytes())


def test_describe_reads_a_file_without_its_arrays(tmp_path):
    path = tmp_path / "a.ticket"
    small().save(path)
    assert describe(path) == describe(str(path)) == describe(small())
    assert json.loads(json.dumps(describe(path).to_dict())) == describe(path).to_dict()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert describe(path).layers == describe(small()).layers
    with pytest.raises(TicketError):
        Ticket.load(path)
    path.write_bytes(content[:-1])
    with pytest.raises(TicketError, match="is truncated"):
        describe(path)


def test_describe_of_no_layers():
    summary = describe(Ticket(()))
    assert (summary.size, summary.density, summary.dense_bytes) == (0, 1.0, 0)


def test_read_metadata_gives_what_the_search_wrote(tmp_path):
    path = tmp_path / "a.ticket"
    ticket = small()
    ticket.save(path)
    metadata = read_metadata(path)
    assert {**ticket.metadata, **metadata} == metadata
    assert metadata["digest"] == ticket.digest()
    assert [layer["kept"] for layer in metadata["layers"]] == [x.kept for x in ticket.layers]


# What cannot become a ticket


def layer_with(**changes):
    ones = np.ones((2, 2), bool)
    given = {"name": "l", "shape": (2, 2), "kind": "binary", "mask": ones, "alpha": 1.0}
    given["signs"] = np.ones((2, 2), np.int8)
    return TicketLayer(**{**given, **changes})


def float_layer(values, mask=None):
    mask = np.ones(2, bool) if mask is None else mask
    return TicketLayer(name="l", shape=(2,), kind="float", mask=mask, values=values)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: layer_with(alpha=math.nan), "l: alpha must be a finite float32, not negative"),
        (lambda: layer_with(alpha=math.inf), "alpha"),
        (lambda: layer_with(alpha=1e39), "alpha"),
        (lambda: layer_with(alpha=-1.0), "alpha must be a finite float32, not negative (got -1.0)"),
        (lambda: layer_with(alpha=None), "alpha"),
        (lambda: layer_with(alpha="x"), "alpha"),
        (lambda: layer_with(signs=np.zeros((2, 2), np.int8)), "signs must be -1 or +1"),
        (lambda: layer_with(signs=np.full((2, 2), 2, np.int8)), "signs must be -1 or +1"),
        (lambda: layer_with(signs=np.full((2, 2), -128, np.int8)), "signs must be -1 or +1"),
        (lambda: layer_with(signs=np.ones((2, 2), np.int64)), "signs must be int8"),
        (lambda: layer_with(signs=None), "signs must be int8 of shape (2, 2) (got None)"),
        (lambda: layer_with(mask=np.zeros((2, 2), bool)), "signs must be"),
        (lambda: layer_with(mask=np.ones((2, 2), np.uint8)), "mask must be bool"),
        (lambda: layer_with(mask=np.ones(4, bool)), "mask must be bool of shape (2, 2)"),
        (lambda: layer_with(mask=[True]), "mask must be bool"),
        (lambda: layer_with(values=np.ones((2, 2), np.float32)), "kind binary takes"),
        (lambda: layer_with(kind="ternary"), "kind binary takes"),
        (lambda: layer_with(kind="float"), "kind binary takes"),
        (lambda: layer_with(shape=()), "shape must be one to eight positive whole numbers"),
        (lambda: layer_with(shape=(0,)), "shape"),
        (lambda: layer_with(shape=(2.0, 2)), "shape"),
        (lambda: layer_with(shape=4), "shape"),
        (lambda: layer_with(name=""), "a name must be"),
        (lambda: layer_with(name="a\x1b[0m"), "a name must be"),
        (lambda: layer_with(name="\ud800"), "a name must be"),
        (lambda: layer_with(name=3), "a name must be"),
        (lambda: float_layer(np.array([1, math.nan], np.float32)), "values must be finite"),
        (lambda: float_layer(np.array([1, -math.inf], np.float32)), "values must be finite"),
        (lambda: float_layer(np.ones(2)), "values must be float32"),
        (lambda: float_layer(np.ones(2, "f4"), np.array([True, False])), "values must be 0"),
        (lambda: Ticket((layer_with(), layer_with())), "two layers have the same name"),
        (lambda: Ticket((layer_with(),), {"l.weight": np.ones(1)}), "l.weight: is the weight"),
        (lambda: Ticket((), {"t": [1, 2]}), "t: must be a numpy array (got 'list')"),
        (lambda: Ticket((), {"t": np.array([1, math.nan])}), "t: holds NaN"),
        (lambda: Ticket((), {"t": np.array(["x"])}), "cannot hold arrays of this type"),
        (lambda: Ticket((), {"t": np.array([None])}), "cannot hold arrays of this type"),
        (lambda: Ticket((), {"t": np.array([1j])}), "cannot hold arrays of this type"),
        (lambda: Ticket((), {3: np.ones(1)}), "a name must be"),
        (lambda: Ticket((), {}, {"x": math.nan}), "metadata must be plain JSON"),
        (lambda: Ticket((), {}, {"x": np.float32(1)}), "metadata must be plain JSON"),
        (lambda: Ticket((), {}, {"x": {1, 2}}), "metadata must be plain JSON"),
        (lambda: Ticket((), {}, {"digest": "x"}), "this metadata key is the file's own"),
        (lambda: Ticket((), {}, {"layers": []}), "this metadata key is the file's own"),
        (lambda: Ticket((), {}, {"format_version": 4}), "format_version must be 3 (got 4)"),
        (lambda: Ticket((), {}, {"x": "y" * (17 << 20)}).to_bytes(), "metadata must fit"),
    ],
)
def test_refused(make, text):
    with pytest.raises(TicketError) as error:
        make()
    assert text in str(error.value)
    assert isinstance(error.value, UserError)


def test_infinity_in_a_buffer_is_kept():
    ticket = Ticket((), {"bias": np.array([-math.inf, 0], np.float32)})
    assert same(Ticket.from_bytes(ticket.to_bytes()), ticket)


# The file system


@pytest.mark.parametrize("read", [Ticket.load, read_metadata, describe])
def test_what_is_no_file_is_named(read, tmp_path):
    with pytest.raises(TicketError, match="No such file or directory"):
        read(tmp_path / "absent.ticket")
    with pytest.raises(TicketError, match="is not a file"):
        read(tmp_path)
    with pytest.raises(TicketError, match="is not a path"):
        read("a\0b")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TicketError, match="is not a file"):
        Ticket.load(tmp_path / "pipe")


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.ticket"
    small().save(path)
    before = path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TicketError, match=r"a\.ticket: No space left on device"):
        Ticket(()).save(path)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["a.ticket"]


def test_save_replaces_and_names_a_missing_folder(tmp_path):
    path = tmp_path / "a.ticket"
    path.write_text("old")
    small().save(str(path))
    assert Ticket.load(path) == small()
    with pytest.raises(TicketError, match="No such file or directory"):
        small().save(tmp_path / "absent" / "a.ticket")
    with pytest.raises(TicketError):
        small().save(tmp_path)
    assert names(tmp_path) == ["a.ticket"]


def test_a_ticket_is_shown_in_a_few_lines():
    kept = sum(layer.kept for layer in small().layers)
    assert repr(small()).split("\n") == [
        f"<Ticket: {kept} of 64 weights ({100 * kept / 64:.3g} %) kept in 2 layers",
        "  network: convnet",
        "  accuracy: validation 97.25 %>",
    ]
    assert repr(small().layers[0]) == "<TicketLayer z.conv: 3x2x3x3 binary, 20 of 54 kept>"
