"""What is refused, what is written, and that a reader's own main() compiles."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import spiketicket as run
from places import DOCS
from plain_c import run_c

from spiketicket.engine import reference
from spiketicket.engine.ops import Add, MaxPool, Mean, Neuron, NeuronKind, Synapse, TokenSum
from spiketicket.engine.program import Builder
from spiketicket.export.c import ExportError, export_c
from spiketicket.export.c.chain import read_chain
from spiketicket.export.c.coding import encode_layer, encode_rows
from spiketicket.ticket import Ticket, TicketLayer

Make = Callable[..., Any]
DOCS = DOCS / "embedded.md"


def builder(steps: int = 4) -> Builder:
    lut = np.tile(np.arange(256, dtype=np.float32), (2, 1))
    return Builder(steps=steps, frames=1, channels=2, height=8, width=8, classes=3, lut=lut)


def signs(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).choice([-1, 0, 1], shape).astype(np.int8)


def conv(b: Builder, x: int, name: str, **parameters: Any) -> int:
    given = {"signs": signs(4, b.value(x).channels, 3, 3), "alpha": 0.1, "pad": 1, **parameters}
    return b.add(Synapse, x, name=name, **given)


def lif(b: Builder, x: int, *more: int, **parameters: Any) -> int:
    given = {"kind": NeuronKind.LIF, "decay": 0.5, "v_threshold": 1.0, **parameters}
    return b.add(Neuron, x, *more, **given)


def finish(b: Builder, x: int) -> Any:
    x = b.add(Mean, x, time=True, positions=True)
    b.add(Synapse, x, signs=signs(3, 4, 1, 1), alpha=0.1, name="classifier")
    return b.program()


def float_weights(b: Builder) -> int:
    weight = np.ones((4, 2, 3, 3), np.float32)
    return lif(b, conv(b, 0, "stem", signs=None, weight=weight))


def decay(b: Builder) -> int:
    return lif(b, conv(b, 0, "stem"), decay=0.25)


def soft(b: Builder) -> int:
    return lif(b, conv(b, 0, "stem"), soft=True)


def decay_input(b: Builder) -> int:
    return lif(b, conv(b, 0, "stem"), charge=2, tau=2.0)


def relu(b: Builder) -> int:
    x = b.add(Neuron, conv(b, 0, "stem"), kind=NeuronKind.RELU)
    return lif(b, conv(b, x, "second"))


def residual(b: Builder) -> int:
    x = lif(b, conv(b, 0, "stem"))
    y = lif(b, conv(b, x, "block"))
    return lif(b, conv(b, b.add(Add, x, y), "after"))


def shortcut(b: Builder) -> int:
    x = lif(b, conv(b, 0, "stem"))
    return lif(b, conv(b, x, "block"), x)


def wide_pool_of_sums(b: Builder) -> int:
    return lif(b, conv(b, 0, "stem", pool=3))


def pool_of_sums_behind_stride(b: Builder) -> int:
    return lif(b, conv(b, lif(b, conv(b, 0, "stem")), "second", pool=2, stride=2))


def wide_pool(b: Builder) -> int:
    return b.add(MaxPool, lif(b, conv(b, 0, "stem")), k=3, stride=2, pad=1)


def much_padding(b: Builder) -> int:
    x = lif(b, conv(b, 0, "stem"))
    return lif(b, conv(b, x, "second", pad=2))


@pytest.mark.parametrize(
    ("make", "where", "what"),
    [
        (float_weights, "stem", "floats"),
        (decay, "stem", "decay must be 0.5"),
        (soft, "stem", "reset to 0"),
        (decay_input, "stem", "add its input"),
        (relu, "stem", "LIF or step"),
        (residual, "block|Add", "Add is nothing|residual sums"),
        (shortcut, "block", "residual sums"),
        (wide_pool_of_sums, "stem", "sums must be pooled 2x2"),
        (pool_of_sums_behind_stride, "second", "pooled behind a stride"),
        (wide_pool, "stem", "2x2"),
        (much_padding, "second", "half its kernel"),
    ],
)
def test_no_chain_by_name_and_plain_instead(
    make: Callable[[Builder], int], where: str, what: str, tmp_path: Path
) -> None:
    b = builder()
    program = finish(b, make(b))
    with pytest.raises(ExportError, match=what) as caught:
        read_chain(program)
    assert re.search(where, caught.value.where)
    assert caught.value.remedy
    made = export_c(program, tmp_path / "out", "net")
    assert re.search(what, made.plain)
    shape = (4, program.frames, program.channels, program.height, program.width)
    x = np.random.default_rng(0).integers(0, 16, shape, dtype=np.uint8)
    assert (run_c(tmp_path / "out", program, x) == reference.run(program, x)).all()


def test_an_op_without_c_is_refused_by_name(tmp_path: Path) -> None:
    b = builder()
    x = lif(b, conv(b, 0, "stem"))
    program = finish(b, b.add(TokenSum, x, x, name="product", scale=1.0))
    with pytest.raises(ExportError, match="TokenSum is nothing") as caught:
        export_c(program, tmp_path / "out", "net")
    assert caught.value.where == "product"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["", "7seg", "a-b", "int", "x" * 41, "é", "_x", "string"])
def test_names_that_are_no_c(name: str, tmp_path: Path) -> None:
    b = builder()
    with pytest.raises(ExportError, match="C name"):
        export_c(finish(b, lif(b, conv(b, 0, "stem"))), tmp_path, name)
    assert not list(tmp_path.iterdir())


def decode_layer(content: bytes, shape: tuple[int, ...], pad: int, narrow: bool) -> np.ndarray:
    """By the description in the C file, byte by byte."""
    cout, cin, _, kw = shape
    out, at = np.zeros(shape, np.int8), 0
    most = 15 if narrow else 255
    for o in range(cout):
        for kx in [pad, *(k for k in range(kw) if k != pad)]:
            for sign in (-1, 1):
                count, at = content[at], at + 1
                if count == 255:
                    count, at = content[at] | content[at + 1] << 8, at + 2
                index, read = -1, 0
                while count:
                    gap = (
                        content[at + read // 2] >> 4 * (read % 2) & 15
                        if narrow
                        else content[at + read]
                    )
                    read += 1
                    index += gap or most
                    if gap:
                        out[o, index % cin, index // cin, kx] = sign
                        count -= 1
                at += (read + 1) // 2 if narrow else read
    assert at == len(content)
    return out


@pytest.mark.parametrize(
    ("density", "narrow"), [(0.0, False), (0.002, False), (0.1, False), (0.2, True), (1.0, True)]
)
def test_weights_are_coded_without_loss(density: float, narrow: bool) -> None:
    rng = np.random.default_rng(1)
    shape = (5, 700, 3, 3)
    given = (rng.choice([-1, 1], shape) * (rng.random(shape) < density)).astype(np.int8)
    coded, halves = encode_layer(given, 1)
    assert halves == narrow
    assert np.array_equal(decode_layer(coded, shape, 1, halves), given)
    rows, row, index = np.zeros((5, 6300), np.int8), 0, -1
    for byte in encode_rows(given):
        if byte == 128:
            row, index = row + 1, -1
        else:
            index += byte & 127 or 127
            if byte:
                rows[row, index] = -1 if byte > 128 else 1
    assert np.array_equal(rows.reshape(shape), given)


def test_sizes_are_those_of_the_object_file(trial: Make, network: Make, conv: Make) -> None:
    net = network(convs=(conv(channels=20), conv(channels=20, pool=True), conv(channels=20)))
    _compare_sizes(trial(net.program()))
    pooled = conv(channels=20, pool_sums=True)
    for lut in ("normal", "none"):
        _compare_sizes(trial(network(lut=lut, convs=(pooled, pooled)).program()))


def _compare_sizes(made: Any) -> None:
    command = ["gcc", "-std=c99", "-O1", "-fno-pie", "-c", "net.c"]
    subprocess.run(command, cwd=made.folder, check=True)
    listed = subprocess.run(
        ["nm", "-S", "net.o"], cwd=made.folder, check=True, capture_output=True, text=True
    ).stdout
    rows = [line.split() for line in listed.splitlines() if len(line.split()) == 4]
    ram = sum(int(size, 16) for _, size, kind, _ in rows if kind in "bBdD")
    tables = sum(int(size, 16) for _, size, kind, name in rows if kind in "rR" and "_" in name)
    assert ram == made.exported.sizes.ram_bytes
    assert tables == made.exported.sizes.flash_bytes


def ticket_file(folder: Path, **neuron: Any) -> Path:
    """A ticket of the package's small network, its signs drawn at random."""
    rng = np.random.default_rng(0)
    shapes = {
        "features.0.synapse": (32, 1, 3, 3),
        "features.1.synapse": (64, 32, 3, 3),
        "features.2.synapse": (128, 64, 3, 3),
        "classifier": (10, 512),
    }
    layers, tensors = [], {}
    for i, (name, shape) in enumerate(shapes.items()):
        s = rng.choice(np.array([-1, 0, 1], np.int8), shape)
        layers.append(
            TicketLayer(name=name, shape=shape, kind="binary", mask=s != 0, signs=s, alpha=0.1)
        )
        if name != "classifier":
            norm = f"features.{i}.norm"
            tensors[f"{norm}.num_batches_tracked"] = np.array(1, np.int64)
            tensors[f"{norm}.running_mean"] = rng.normal(0, 0.1, shape[0]).astype(np.float32)
            tensors[f"{norm}.running_var"] = rng.uniform(0.3, 2, shape[0]).astype(np.float32)
    args = {
        "model": {"timesteps": 4, "weights": "binary"},
        "neuron": {"name": "lif", "decay": 0.5, "v_threshold": 1.0, "v_reset": 0.0, **neuron},
        "shape": {"channels": 1, "height": 8, "width": 8, "classes": 10, "frames": 1},
    }
    metadata = {
        "network": {"name": "convnet", "args": args},
        "normalisation": {"mean": [0.3049], "std": [0.3759]},
    }
    path = folder / "my digits.ticket"
    Ticket(tuple(layers), tensors, metadata).save(path)
    return path


def test_command(tmp_path: Path) -> None:
    ticket, out = ticket_file(tmp_path), tmp_path / "deep" / "out"
    result = run("export", str(ticket), "--to", "c", "-o", str(out), "--json")
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    assert [Path(path).name for path in facts["files"]] == ["my_digits.h", "my_digits.c", "main.c"]
    assert sorted(path.name for path in out.iterdir()) == ["main.c", "my_digits.c", "my_digits.h"]
    first = [path.read_bytes() for path in sorted(out.iterdir())]
    shown = run("export", str(ticket), "--to", "c", "-o", str(out))
    assert "flash" in shown.stdout
    assert "RAM" in shown.stdout
    assert [path.read_bytes() for path in sorted(out.iterdir())] == first


def test_command_refuses(tmp_path: Path) -> None:
    ticket, out = ticket_file(tmp_path, decay=0.25), tmp_path / "out"
    result = run("export", str(ticket), "--to", "c", "-o", str(tmp_path / "plain"))
    assert result.exit_code == 0
    assert "decay must be 0.5" in " ".join(result.stdout.split())
    for more, text in ((["--name", "no-name"], "C name"),):
        result = run("export", str(ticket), "--to", "c", "-o", str(out), *more)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")
        assert text in result.stderr
        assert "Traceback" not in result.stderr
        assert not out.exists()


@pytest.mark.slow
def test_main_in_the_docs_compiles(tmp_path: Path) -> None:
    ticket = ticket_file(tmp_path)
    run("export", str(ticket), "--to", "c", "-o", str(tmp_path), "--name", "digits")
    (code,) = re.findall(r"```c\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "main.c").write_text(code)
    for compiler in (["gcc", "-std=c99"], ["g++", "-x", "c++", "-std=c++11"]):
        flags = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]
        command = [*compiler, *flags, "main.c", "digits.c", "-o", "main"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        shown = subprocess.run(
            [tmp_path / "main"], input=bytes(64), capture_output=True, check=True
        )
        assert re.fullmatch(rb"\d\n", shown.stdout)
