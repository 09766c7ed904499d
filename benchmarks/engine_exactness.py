"""Whether the engine's spikes are PyTorch's, on tickets and their test sets.

    python benchmarks/engine_exactness.py TICKET... [--random-vgg9] [--images 200]
        [--output results/engine-exactness.jsonl]

Every layer is computed on what the PyTorch network itself gave to it, and each neuron's output is
compared at each time step (spiketicket.experiment.exactness). ``rounding`` counts the differences
at which a float64 computation is within 1e-5 of the threshold; ``wrong`` is all others, and must be
0. Then the whole program runs by itself: ``same_class`` are the samples of which PyTorch, numpy
and the C library (where there is one) name one class.

``--random-vgg9`` adds a VGG-9 of full width with a random mask of density 0.5 on frozen random
binary weights, its BatchNorm statistics those of 256 training images of CIFAR-10.
Data is looked for in $SPIKETICKET_DATA. Lines are appended to the output.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tickets", nargs="*", type=Path)
    parser.add_argument("--random-vgg9", action="store_true")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--kernel", choices=("eager", "native"), default="eager")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(options.threads)
    rows = []
    for name, ticket, x in cases(options):
        rows.append(row(name, ticket, x, options.kernel, options.threads))
        print(json.dumps(rows[-1]), flush=True)
    print(table(rows))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        with options.output.open("a") as file:
            file.writelines(json.dumps(line, sort_keys=True) + "\n" for line in rows)


def cases(options: argparse.Namespace) -> Iterator[tuple[str, Any, np.ndarray]]:
    """Name, ticket and raw test samples."""
    from spiketicket.data import load_dataset, make_config
    from spiketicket.data.of_ticket import find_test_data
    from spiketicket.ticket import Ticket

    for path in options.tickets:
        ticket = Ticket.load(path)
        data = find_test_data(ticket, path)
        yield data.dataset.name, ticket, data.dataset.test.x[: options.images]
    if options.random_vgg9:
        data = load_dataset(make_config("cifar10"))
        yield "cifar10", random_vgg9(data), data.test.x[: options.images]


def row(name: str, ticket: Any, x: np.ndarray, kernel: str, threads: int) -> dict[str, Any]:
    """One ticket."""
    import torch

    import spiketicket
    from spiketicket import Engine
    from spiketicket.engine import library, reference
    from spiketicket.experiment.exactness import compare
    from spiketicket.machine import processor

    started = time.perf_counter()
    parts = [slice(at, at + BATCH) for at in range(0, len(x), BATCH)]
    found = None
    for part in parts:
        one = compare(ticket, x[part], kernel=kernel)
        found = one if found is None else found + one
    assert found is not None
    engine = Engine(ticket, backend="numpy")
    program = engine.program
    logits = np.concatenate([torch_logits(ticket, program, x[part], kernel) for part in parts])
    ours = engine.run(x)
    answers = [logits, ours]
    if library.available():
        answers.append(Engine(ticket, backend="c", threads=threads).run(x))
    best = [answer.argmax(axis=1) for answer in answers]
    same = np.all([b == best[0] for b in best], axis=0)
    spikes = spike_rate(program, x[:BATCH], reference)
    recipe = ticket.metadata.get("recipe")
    return {
        "benchmark": "engine_exactness",
        "data": name,
        "net": ticket.metadata["network"]["name"],
        "condition": ticket.metadata["condition"],
        "recipe": recipe.get("name") if isinstance(recipe, dict) else None,
        "recipe_hash": ticket.metadata.get("recipe_hash"),
        "seed": ticket.metadata.get("seed"),
        "digest": ticket.digest()[:16],
        "program_sha256": hashlib.sha256(program.to_bytes()).hexdigest()[:16],
        "samples": found.samples,
        "neuron_steps": found.neuron_steps,
        "spike_rate": spikes,
        "different": found.different,
        "rounding": found.rounding,
        "wrong": found.wrong,
        "choices": found.choices,
        "choices_different": found.choices_different,
        "choices_rounding": found.choices_rounding,
        "logit_difference": found.logit_difference,
        "same_class": int(same.sum()),
        "c_equals_numpy": bool((answers[2] == ours).all()) if len(answers) > 2 else None,
        "level": library.levels()[-1] if len(answers) > 2 else None,
        "kernel": kernel,
        "threads": threads,
        "wall_s": round(time.perf_counter() - started, 1),
        "device": processor.name() or platform.processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "torch": torch.__version__,
        "spiketicket": spiketicket.__version__,
        "cores": os.cpu_count(),
    }


def torch_logits(ticket: Any, program: Any, x: np.ndarray, kernel: Any) -> np.ndarray:
    """The network's own logits of raw samples."""
    import torch

    from spiketicket.engine import reference
    from spiketicket.models.of_ticket import from_ticket

    shape = (len(x), program.frames, program.channels, program.height, program.width)
    values = torch.from_numpy(reference.as_float(program, x.reshape(shape)))
    given = values[:, 0] if program.frames == 1 else values.transpose(0, 1).contiguous()
    with torch.no_grad():
        return from_ticket(ticket, kernel)(given).numpy()


def spike_rate(program: Any, x: np.ndarray, reference: Any) -> float:
    """Mean output of the LIF and step neurons."""
    from spiketicket.engine import ops

    registers = [
        op.out
        for op in program.ops
        if isinstance(op, ops.Neuron) and op.kind <= ops.NeuronKind.STEP
    ]
    shape = (len(x), program.frames, program.channels, program.height, program.width)
    seen = reference.trace(program, x.reshape(shape), registers).values()
    return round(sum(int(v.sum()) for v in seen) / sum(v.size for v in seen), 4)


def random_vgg9(data: Any) -> Any:
    """A ticket of a full VGG-9 that was not trained; T = 4, decay 0.5."""
    import torch
    from torch import nn

    from spiketicket.data.augment import normalise
    from spiketicket.methods.masks import kept_count, random_masks
    from spiketicket.methods.weights import WeightStart, attach_trained
    from spiketicket.models import vgg9
    from spiketicket.models.blocks import DataShape
    from spiketicket.models.of_ticket import to_ticket
    from spiketicket.models.prunable import prunable
    from spiketicket.neurons import lif
    from spiketicket.streams import Stream

    config, neuron = vgg9.Config(timesteps=4), lif.Config()
    channels, height, width = data.shape
    shape = DataShape(channels=channels, height=height, width=width, classes=len(data.classes))
    net = vgg9.build(config, neuron, shape, "eager")
    shapes = {name: tuple(layer.weight.shape) for name, layer in prunable(net).items()}
    kept = {name: kept_count(int(np.prod(s)), 0.5, name) for name, s in shapes.items()}
    masks = random_masks(shapes, kept, Stream(0, "masks"))
    start = WeightStart("signed_constant")
    attach_trained(net, binary=True, seed=0, start=start, frozen=True, masks=masks)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        net.train()(normalise(torch.from_numpy(data.train.x[:256]), data.mean, data.std))
    args = {"model": config.model_dump(mode="json"), "neuron": neuron.model_dump(mode="json")}
    metadata = {
        "network": {"name": "vgg9", "args": {**args, "shape": dict(shape.__dict__)}},
        "normalisation": {"mean": list(data.mean), "std": list(data.std)},
        "classes": list(data.classes),
        "seed": 0,
        "condition": "BinW-SNN, random mask, frozen random weights, not trained",
    }
    return to_ticket(net.eval(), metadata)


def table(rows: list[dict[str, Any]]) -> str:
    """For a terminal."""
    lines = [f"{'net':12}{'data':10}{'neuron-steps':>14}{'differ':>8}{'rounding':>10}{'wrong':>7}"]
    lines += [
        f"{r['net']:12}{r['data']:10}{r['neuron_steps']:>14,}{r['different']:>8}"
        f"{r['rounding']:>10}{r['wrong']:>7}"
        for r in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
