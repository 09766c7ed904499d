"""Tiny recipes that touch every kind of stage, and what their bytes are: run by the golden test.

``python tests/golden/scenarios.py`` prints the digests as JSON; with ``--write`` it puts them
into ``golden.json``. Ticket and result must not depend on the machine, so PyTorch is held to
instructions that every x86-64 and ARM processor has, to one thread, and the neurons are computed
without our own kernels (whose equality has tests of its own).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GOLDEN = HERE / "golden.json"
PORTABLE = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
"""Set before PyTorch is imported."""

NET = {"name": "convnet", "width": 0.125, "timesteps": 2, "weights": "binary"}
SMALL: dict[str, Any] = {
    "name": "golden",
    "data": {"name": "digits", "train_limit": 80},
    "model": NET,
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.5},
    "train": {
        "epochs": 2,
        "batch_size": 20,
        "precision": "fp32",
        "tune": "off",
        "kernel": "eager",
        "checkpoint_steps": 2,
    },
}
LADDER = {
    "model": {
        "name": "spikformer",
        "dim": 16,
        "depth": 1,
        "heads": 2,
        "pools": 1,
        "timesteps": 2,
        "weights": "binary",
    },
    "ticket": {"name": "multisp", "density": 0.5, "keep": 0.5, "fine_tune_epochs": 1},
    "train": {
        "epochs": 1,
        "batch_size": 20,
        "precision": "fp32",
        "tune": "off",
        "kernel": "eager",
    },
}
NETWORK = """
from torch import nn

def make(shape, width):
    return nn.Sequential(
        nn.Conv2d(shape.channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
        nn.Linear(width * 36, shape.classes),
    )
"""


def _recipe(**changes: Any) -> dict[str, Any]:
    tables = {
        key: dict(value) if isinstance(value, dict) else value for key, value in SMALL.items()
    }
    for section, values in changes.items():
        fresh = "name" in values if isinstance(values, dict) else True
        tables[section] = dict(values) if fresh else {**tables[section], **values}
    return tables


RECIPES: dict[str, dict[str, Any]] = {
    "edge-popup float": _recipe(model={**NET, "weights": "float"}),
    "edge-popup binary, global, ramp": _recipe(
        ticket={"name": "edge_popup", "density": 0.3, "scope": "global", "ramp_epochs": 1}
    ),
    "ratchet, fine-tuned": _recipe(
        ticket={
            "name": "edge_popup",
            "density": 0.5,
            "regrow": False,
            "ramp_epochs": 1,
            "fine_tune_epochs": 1,
            "fine_tune_bn_affine": True,
        },
        train={"timestep_ramp": [[1, 1]]},
    ),
    "event frames": _recipe(
        data={"name": "digits_events", "steps": 2, "train_limit": 60, "drop_events": 0.2}
    ),
    "imp": _recipe(ticket={"name": "imp", "density": 0.4, "rounds": 2}),
    "gradual": _recipe(ticket={"name": "gradual", "density": 0.4}),
    "channels": _recipe(ticket={"name": "channels", "density": 0.5}),
    "early bird": _recipe(ticket={"name": "early_bird", "density": 0.5}),
    "snip": _recipe(ticket={"name": "snip", "density": 0.5, "samples": 40}),
    "ladder": _recipe(**LADDER),
    "ladder, two stages": _recipe(
        **{
            **LADDER,
            "ticket": {
                "name": "multisp",
                "density": 0.5,
                "keep": 0.5,
                "rungs": ["pepsp"],
                "search": "two_stage",
                "activation": "step",
                "ranker": "selector",
            },
        }
    ),
    "patches, score found": _recipe(
        **{
            **LADDER,
            "ticket": {"name": "patches", "keep": 0.5, "score": "auto", "ranker": "selector"},
        }
    ),
}
CUSTOM = _recipe(
    model={"name": "golden_net:make", "timesteps": 1, "options": {"width": 4}},
    neuron={"name": "custom"},
    ticket={"name": "edge_popup", "density": 0.5, "fine_tune_epochs": 1},
)


def digests(folder: Path) -> dict[str, str]:
    """What every scenario's tickets and results are, by a name."""
    found: dict[str, str] = {}
    for name, tables in RECIPES.items():
        found |= _run(name, tables, folder / name.replace(" ", "-").replace(",", ""))
    (folder / "golden_net.py").write_text(NETWORK)
    sys.path.insert(0, str(folder))
    found |= _run("custom network", CUSTOM, folder / "custom")
    found |= _killed(folder / "killed", found)
    found |= _sweep(folder / "sweep")
    found |= _exports(folder)
    return found


def _run(name: str, tables: dict[str, Any], runs: Path, **more: Any) -> dict[str, str]:
    from spiketicket import find
    from spiketicket.recipe import parse_recipe

    own = ":" in tables["model"]["name"]
    network = {"network": "golden_net:make", "options": {"width": 4}} if own else {}
    result = find(parse_recipe(tables), seeds=1, runs_dir=runs, threads=1, **network, **more)
    return dict(_folder(name, result.folder))


def _folder(name: str, folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*.ticket")):
        place = path.relative_to(folder).as_posix()
        yield f"{name}: {place}", _ticket(path)
    for path in sorted(folder.rglob("result.json")):
        place = path.relative_to(folder).as_posix()
        yield f"{name}: {place}", _hash(json.loads(path.read_bytes()))


def _ticket(path: Path) -> str:
    """The digest of a ticket's arrays and of its metadata, the versions of libraries left out."""
    from spiketicket import Ticket

    ticket = Ticket.load(path)
    metadata = {key: value for key, value in ticket.metadata.items() if key != "versions"}
    return Ticket(ticket.layers, ticket.tensors, metadata).digest()


_LEFT_OUT = ("digest", "file_bytes", "device")
"""Keys of a result that depend on the machine, or on the versions that its files name."""


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(_experiment(value), sort_keys=True).encode()).hexdigest()


def _experiment(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _experiment(v) for k, v in value.items() if k not in _LEFT_OUT}
    return [_experiment(item) for item in value] if isinstance(value, list) else value


def _killed(runs: Path, known: dict[str, str]) -> dict[str, str]:
    """A run whose process dies in its third step and is run again."""
    command = [sys.executable, __file__, "--die", str(runs)]
    ended = subprocess.run(command, env={**os.environ}, check=False)
    if ended.returncode != 9:
        raise RuntimeError(f"the run was to be killed, and ended with {ended.returncode}")
    found = _run("killed", RECIPES["edge-popup float"], runs)
    whole = {k.partition(": ")[2]: v for k, v in known.items() if k.startswith("edge-popup float:")}
    again = {k.partition(": ")[2]: v for k, v in found.items()}
    if whole != again:
        raise RuntimeError("a run that was killed ends otherwise than one that was not")
    return found


def _die(runs: Path) -> None:
    from spiketicket.progress import NullReporter

    class Deadly(NullReporter):
        count = 0

        def step(self, *args: Any) -> None:
            self.count += 1
            if self.count == 7:
                os._exit(9)

    _run("killed", RECIPES["edge-popup float"], runs, reporter=Deadly())


def _sweep(runs: Path) -> dict[str, str]:
    from spiketicket.sweep import Local, run_runs
    from spiketicket.sweep.axes import make_runs, parse_axes

    axes = parse_axes(["ticket.density=0.3,0.6", "neuron.decay=0.5,0.75"])
    run_runs(make_runs(_recipe(), axes), runs, Local(1))
    found: dict[str, str] = {}
    folders = sorted(path.parent for path in runs.glob("golden-*/recipe.toml"))
    for number, folder in enumerate(folders):
        found |= _folder(f"sweep {number}", folder)
    return found


def _exports(folder: Path) -> dict[str, str]:
    from spiketicket import Ticket

    binary = "edge-popup binary, global, ramp"
    place = folder / binary.replace(" ", "-").replace(",", "")
    path = next(place.glob("golden-*/golden-seed0.ticket"))
    ticket = Ticket.load(path)
    bare = Ticket(ticket.layers, ticket.tensors, {"seed": ticket.metadata["seed"]})
    return {
        "pack": hashlib.sha256(bare.to_bytes(signs="seed")).hexdigest(),
        **{f"export {to}": text for to, text in _exported(path, folder).items()},
    }


def _exported(path: Path, folder: Path) -> dict[str, str]:
    """C as it is written; of ONNX the graph's numbers, as its text has the exporter's version."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    _command("export", str(path), "--to", "c", "-o", str(folder / "c"), "--name", "net")
    source = hashlib.sha256((folder / "c" / "net.c").read_bytes()).hexdigest()
    _command("export", str(path), "--to", "onnx", "-o", str(folder / "onnx"), "--name", "net")
    graph = onnx.load(folder / "onnx" / "net.onnx").graph
    arrays = [numpy_helper.to_array(tensor) for tensor in graph.initializer]
    parts = sorted(np.asarray(a).dtype.name.encode() + np.asarray(a).tobytes() for a in arrays)
    return {"c": source, "onnx": hashlib.sha256(b"".join(parts)).hexdigest()}


def _command(*arguments: str) -> None:
    command = [sys.executable, "-c", "from spiketicket.cli import main; main()", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _key() -> str:
    """What the numbers may depend on beside this package: numpy and the C library, too, choose
    their code by the processor, and cannot all be held to one.
    """
    import platform

    import torch

    from spiketicket.machine import processor

    vectors = "AVX-512" if "avx512f" in processor.features() else "no AVX-512"
    return f"torch {torch.__version__.split('+')[0]}, {platform.machine()}, {vectors}"


def main(run: Callable[[Path], dict[str, str]] = digests) -> None:
    if sys.argv[1:2] == ["--die"]:
        _die(Path(sys.argv[2]))
        return
    if any(os.environ.get(key) != value for key, value in PORTABLE.items()):
        again = subprocess.run(
            [sys.executable, *sys.argv], env={**os.environ, **PORTABLE}, check=False
        )
        sys.exit(again.returncode)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = run(Path(folder))
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if "--write" in sys.argv:
        known[_key()] = found
        GOLDEN.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    print(json.dumps({"key": _key(), "found": found}))


if __name__ == "__main__":
    main()
