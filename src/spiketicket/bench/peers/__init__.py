"""The peers: one file each, with ``prepare(job)``; imported only in the peer's own process."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spiketicket.bench.job import Prepare
from spiketicket.errors import UserError, argument, did_you_mean

Arithmetic = Literal["exact", "float32", "reduced"]


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A contender; ``module`` is its file, ``needs`` its packages by import name."""

    name: str
    module: str
    title: str
    arithmetic: Arithmetic
    """``exact``: the spikes of the PyTorch model; ``float32``: rounds in another order, so that a
    spike at the threshold may fall either way; ``reduced``: fewer bits."""
    needs: tuple[str, ...] = ()
    limit_s: float = 600.0
    """Time to get ready."""


_INSTALL = {
    "torch": "pip install 'spiketicket[train]'",
    "spikingjelly": "pip install --no-deps spikingjelly loguru",
    "onnx": "pip install 'spiketicket[bench]'",
    "onnxruntime": "pip install 'spiketicket[bench]'",
    "openvino": "pip install 'spiketicket[bench]'",
}
_ORT = ("onnx", "onnxruntime")
_OPENVINO = ("onnx", "onnxruntime", "openvino")

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(name="engine-avx512", module="engine", title="engine, AVX-512", arithmetic="exact"),
        Peer(name="engine-avx2", module="engine", title="engine, AVX2", arithmetic="exact"),
        Peer(
            name="engine-generic", module="engine", title="engine, portable C", arithmetic="exact"
        ),
        Peer(
            name="torch-fp32",
            module="torch_fp32",
            title="PyTorch float32",
            arithmetic="exact",
            needs=("torch",),
        ),
        Peer(
            name="torch-bf16",
            module="torch_bf16",
            title="PyTorch bfloat16",
            arithmetic="reduced",
            needs=("torch",),
        ),
        Peer(
            name="torch-compiled",
            module="torch_compiled",
            title="PyTorch compiled",
            arithmetic="float32",
            needs=("torch",),
            limit_s=120.0,
        ),
        Peer(
            name="spikingjelly",
            module="spikingjelly",
            title="SpikingJelly",
            arithmetic="float32",
            needs=("torch", "spikingjelly", "loguru"),
        ),
        Peer(
            name="onnxruntime-fp32",
            module="onnxruntime_fp32",
            title="ONNX Runtime float32",
            arithmetic="float32",
            needs=_ORT,
        ),
        Peer(
            name="onnxruntime-int8",
            module="onnxruntime_int8",
            title="ONNX Runtime int8",
            arithmetic="reduced",
            needs=_ORT,
        ),
        Peer(
            name="openvino-fp32",
            module="openvino_fp32",
            title="OpenVINO float32",
            arithmetic="float32",
            needs=_OPENVINO,
        ),
        Peer(
            name="openvino-int8",
            module="openvino_int8",
            title="OpenVINO int8",
            arithmetic="reduced",
            needs=_OPENVINO,
        ),
    )
}
GROUPS = {"engine": tuple(name for name in PEERS if name.startswith("engine-"))}
"""Names for several peers."""


def chosen(names: Sequence[str]) -> tuple[Peer, ...]:
    """The peers named, in the order of the table; all where none is named.

    Raises:
        UserError: an unknown name.
    """
    wanted: set[str] = set()
    for name in names:
        if name not in PEERS and name not in GROUPS:
            remedy = did_you_mean(name, (*GROUPS, *PEERS))
            raise UserError("no such peer", where=argument("peers"), value=name, remedy=remedy)
        wanted.update(GROUPS.get(name, (name,)))
    return tuple(peer for peer in PEERS.values() if not names or peer.name in wanted)


def missing(peer: Peer) -> str:
    """What to install before the peer can run; "" where it can."""
    absent = [name for name in peer.needs if importlib.util.find_spec(name) is None]
    if not absent:
        return ""
    commands = dict.fromkeys(_INSTALL.get(name, f"pip install {name}") for name in absent)
    return f"needs {', '.join(absent)}: {' && '.join(commands)}"


def preparer(peer: Peer) -> Prepare:
    """The peer's ``prepare``, imported now."""
    prepare: Prepare = importlib.import_module(f"{__name__}.{peer.module}").prepare
    return prepare
