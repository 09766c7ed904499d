"""What each part of a recipe does to validation accuracy: one change at a time, one stage alone.

    python benchmarks/recipe_parts.py [--network vgg9] [--set section.key=value ...]
                                      [--stage ticket] [--rows NAME ...] [--seeds 1] [--threads 1]
                                      [--images 15000] [--epochs 6] [--runs runs/recipe-parts]
                                      [--output results/recipe_parts.jsonl]

The base: CIFAR-10, so many training images and epochs, T = 1, half width, density 0.5, batch 64,
Adam (0.9, 0.99) at 0.02, 10 % warm-up and a cosine, reflected shifts of 4, random flip, rates not
tuned. ``--set`` changes the base of all rows, ``--network`` its network, and ``--set name=...`` is
for settings whose rows are to stand apart. Every row is the base with the changes that ROWS names.
The ticket is trained, or with ``--stage dense`` the dense net; a random mask is the ticket of
``--set ticket.name=random_mask``. Rows of a learning rate that a stage does not have are left out.

Only validation samples are judged: the best epoch's accuracy, and the same net's with test-time
flip. No test sample is looked at. A line is added to the output for every row and seed that it
does not have yet, by recipe hash, seed and version; a training that was stopped goes on from its
checkpoint in ``--runs``.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scipy.optimize import brentq

from searches_tried import SEARCHES, searching
from spiketicket.errors import UserError
from spiketicket.experiment.folder import SeedFolder
from spiketicket.experiment.provenance import machine
from spiketicket.experiment.setup import Context, prepare_experiment
from spiketicket.experiment.train import evaluated, trained
from spiketicket.machine.parallel import fixed
from spiketicket.methods.stages import stage_of
from spiketicket.progress import NullReporter
from spiketicket.recipe import Recipe, parse_recipe, to_dict

BASE: dict[str, Any] = {
    "name": "recipe-parts",
    "data": {
        "name": "cifar10",
        "validation": 0.1,
        "pad_crop": 4,
        "pad_mode": "reflect",
        "flip": True,
    },
    "model": {"timesteps": 1, "width": 0.5},
    "neuron": {"name": "lif", "decay": 0.5},
    "ticket": {"name": "edge_popup", "density": 0.5},
    "train": {
        "batch_size": 64,
        "tune": "off",
        "scores": {"name": "adam", "lr": 0.02, "betas": [0.9, 0.99]},
    },
    "controls": {"dense": False, "random_trained": False, "random_frozen": False},
}
ROWS: dict[str, tuple[str, ...]] = {
    "base": (),
    "label smoothing 0.1": ("train.label_smoothing=0.1",),
    "label smoothing 0.2": ("train.label_smoothing=0.2",),
    "alternating flip": ("data.flip=alternate",),
    "no flip": ("data.flip=false",),
    "shifts of 2": ("data.pad_crop=2",),
    "shifts of 4, padded with zeros": ("data.pad_mode=zeros",),
    "no shifts": ("data.pad_crop=0", "data.pad_mode=zeros"),
    "cutout 8": ("data.cutout=8",),
    "batch 32": ("train.batch_size=32",),
    "batch 128": ("train.batch_size=128",),
    "batch 256": ("train.batch_size=256",),
    "score rate 0.005": ("train.scores.lr=0.005",),
    "score rate 0.06": ("train.scores.lr=0.06",),
    "weight rate 0.0025": ("train.weights.lr=0.0025",),
    "weight rate 0.01": ("train.weights.lr=0.01",),
    "weight rate 0.04": ("train.weights.lr=0.04",),
    "weight rate 0.16": ("train.weights.lr=0.16",),
    "linear schedule": ("train.schedule=linear",),
    "constant rate": ("train.schedule=constant",),
    "betas 0.9, 0.999": ("train.scores.betas=[0.9, 0.999]",),
    "average 0.99": ("train.average=0.99",),
    "average 0.999": ("train.average=0.999",),
    "constant rate, average 0.99": ("train.schedule=constant", "train.average=0.99"),
    "BatchNorm momentum 0.4": ("train.bn_momentum=0.4",),
    "fresh BatchNorm statistics": ("train.bn_statistics=fresh",),
    "last two epochs at T = 2": ("model.timesteps=2", "train.timestep_ramp=[[{most}, 1]]"),
    "last two epochs at T = 4": ("model.timesteps=4", "train.timestep_ramp=[[{most}, 1]]"),
    "a third of the epochs at 16 pixels, a third at 24": (
        "train.size_ramp=[[{third}, 16], [{third}, 24]]",
    ),
    "no encoder": ("model.encoder=none",),
    "whitening": ("model.encoder=whiten",),
    "whitening, then LIF": ("model.encoder=whiten-lif",),
    "VGG-9": ("model.name=vgg9",),
    "shortcuts": ("model.shortcuts=true",),
    "signed supermask": ("ticket.name=signed_supermask",),
    "signed supermask of as many bits": ("ticket.name=signed_supermask", "ticket.density={bits}"),
    "densities by ERK": ("ticket.distribution=erk",),
    **dict.fromkeys(SEARCHES, ("ticket.name=edge_popup",)),
    "float32": ("train.precision=fp32",),
    "bfloat16": ("train.precision=bf16",),
}
"""Changes by row; ``{most}`` is all epochs but two, ``{third}`` a third of them, ``{bits}`` the
density whose signed ticket has as many bits as an unsigned one of the base's."""


def main() -> None:
    options = parsed()
    known = read(options.output)
    for name in options.rows or ROWS:
        try:
            recipe = recipe_of(name, options)
            if concerns(name, recipe, options):
                known += measured(name, recipe, known, options)
        except UserError as error:
            print(f"{name}: left out, {error}", flush=True)
    print(table(known))


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--network", default="vgg9")
    parser.add_argument("--set", dest="changes", action="append", default=[])
    parser.add_argument("--stage", default="ticket", choices=("ticket", "dense"))
    parser.add_argument("--rows", nargs="*", choices=ROWS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--images", type=int, default=15_000)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--runs", type=Path, default=Path("runs/recipe-parts"))
    parser.add_argument("--output", type=Path, default=Path("results/recipe_parts.jsonl"))
    return parser.parse_args(arguments)


def recipe_of(name: str, options: argparse.Namespace) -> Recipe:
    """The recipe of a row.

    Raises:
        UserError: the base and its changes are no recipe.
    """
    base = {
        **BASE,
        "data": {**BASE["data"], "train_limit": options.images},
        "model": {**BASE["model"], "name": options.network},
        "train": {**BASE["train"], "epochs": options.epochs},
    }
    known = parse_recipe(base, overrides=options.changes)
    ramp = {
        "bits": f"{density_of_bits(known.ticket.density):.3f}",
        "most": max(options.epochs - 2, 1),
        "third": max(options.epochs // 3, 1),
    }
    changes = [change.format(**ramp) for change in ROWS[name]]
    asked = {change.partition("=")[0] for change in changes}
    kept = [change for change in options.changes if change.partition("=")[0] not in asked]
    return parse_recipe(base, overrides=[*kept, *changes])


def density_of_bits(density: float) -> float:
    """The density d at which mask and signs, H(d) + d bits per weight, are the H(density) of a mask
    whose signs the seed draws.
    """

    def more(kept: float) -> float:
        return entropy(kept) + kept - entropy(density)

    return float(brentq(more, 1e-9, min(density, 0.5)))


def entropy(share: float) -> float:
    """Bits a coin of this share."""
    return -sum(p * math.log2(p) for p in (share, 1 - share) if p)


def concerns(name: str, recipe: Recipe, options: argparse.Namespace) -> bool:
    """Whether a row changes the base: not where that has it already, nor the learning rate of
    scores, or of weights, in a stage that does not train them.
    """
    if name == "base" or name in SEARCHES:
        return True
    kind, _, rate = name.partition(" rate ")
    trained = not rate or f"{kind}s" in stage_of(recipe, options.stage).trains
    return trained and recipe.hash != recipe_of("base", options).hash


def measured(
    name: str, recipe: Recipe, known: Sequence[Mapping[str, Any]], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Train a row's ticket for every seed that is not known; the new lines, which are written."""
    made = []
    with fixed():
        experiment = prepare_experiment(recipe, Context(threads=options.threads))
        facts = machine(experiment.device)
        done = {
            (r["hash"], r["seed"], r["stage"], r.get("search", ""), r["spiketicket"]) for r in known
        }
        search = name if name in SEARCHES else ""
        for seed in recipe.repetitions(options.seeds):
            if (recipe.hash, seed, options.stage, search, facts["spiketicket"]) in done:
                continue
            place = SeedFolder(options.runs / f"{recipe.folder_name}-{seed}" / search)
            own = place.stage(options.stage)
            own.path.mkdir(parents=True, exist_ok=True)
            started = time.perf_counter()
            with searching(name):
                result = trained(
                    experiment,
                    stage_of(recipe, options.stage),
                    seed,
                    place,
                    own=own,
                    reporter=NullReporter(),
                )
            assert result.fitted is not None
            model = result.prepared.trainee.model
            _, validation = experiment.split(seed)
            row = {
                "benchmark": "recipe_parts",
                "row": name,
                "stage": options.stage,
                **({"search": search} if search else {}),
                "network": options.network,
                "changes": options.changes,
                "hash": recipe.hash,
                "seed": seed,
                "validation_accuracy": round(100 * result.fitted.validation, 3),
                "validation_accuracy_flip": round(
                    100 * evaluated(model, validation, experiment, flip=True).accuracy, 3
                ),
                "validation_count": len(validation[1]),
                "best_epoch": result.fitted.best_epoch,
                "precision": experiment.precision,
                "wall_s": round(result.fitted.wall_s, 1),
                "whole_s": round(time.perf_counter() - started, 1),
                **facts,
                "recipe": to_dict(recipe),
            }
            append(options.output, row)
            own.checkpoint.unlink(missing_ok=True)
            made.append(row)
            print(f"{name}, seed {seed}: {row['validation_accuracy']:.2f} %", flush=True)
    return made


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, sort_keys=True) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """The lines there are."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Each row's mean over its seeds, and the points by which it differs from its base."""
    groups: dict[tuple[str, ...], dict[str, dict[int, Mapping[str, Any]]]] = {}
    for row in rows:
        epochs = f"{row['recipe']['train']['epochs']} epochs"
        about = row["network"], row["stage"], " ".join(row["changes"]), epochs
        group = groups.setdefault(about, {})
        group.setdefault(row["row"], {})[row["seed"]] = row
    lines = []
    for about, found in groups.items():
        lines.append(", ".join(filter(None, about)))
        base = found.get("base", {})
        for name, seeds in found.items():
            mean = statistics.fmean(r["validation_accuracy"] for r in seeds.values())
            flip = statistics.fmean(r["validation_accuracy_flip"] for r in seeds.values())
            both = [
                r["validation_accuracy"] - base[s]["validation_accuracy"]
                for s, r in seeds.items()
                if s in base
            ]
            differs = f"{statistics.fmean(both):+6.2f}" if both and name != "base" else " " * 6
            wall = statistics.fmean(r["wall_s"] for r in seeds.values())
            lines.append(
                f"  {name:50} {mean:6.2f} {differs}  flip {flip:6.2f}  {wall:7.1f} s"
                f"  seeds {len(seeds)}"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
