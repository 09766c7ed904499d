"""Run folders made by hand: the files a finished run leaves, with numbers of our own."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from judged import judged, judged_ladder

from spiketicket.verdict.rules import StageScores

SAMPLES, CLASSES = 100, 4
LEVEL = {
    "ticket": 92,
    "dense": 93,
    "random_trained": 84,
    "random_frozen": 25,
    "selector": 80,
    "patch": 90,
    "patch_random": 82,
    "patch_center": 91,
    "pepsp": 89,
    "pepsp_random_trained": 83,
    "pepsp_random_frozen": 45,
}
LADDER = (
    "selector",
    "dense",
    "patch",
    "patch_random",
    "patch_center",
    "pepsp",
    "pepsp_random_trained",
    "pepsp_random_frozen",
)
PLAIN = ("ticket", "dense", "random_trained", "random_frozen")


@dataclass(kw_only=True)
class Made:
    """What a test asks for; ``change`` are dotted keys of the recipe."""

    name: str = "made"
    ladder: bool = False
    seeds: int = 2
    change: dict[str, Any] = field(default_factory=dict)
    measured: bool = True
    finished: bool = True
    shift: float = 0.0
    epochs: int = 4
    events: bool = False
    folder_name: str = ""


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Make a run folder and return it."""

    return maker(tmp_path)


@pytest.fixture(scope="module")
def make_lasting_run(tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """The same for runs that several tests look at."""
    return maker(tmp_path_factory.mktemp("runs"))


def maker(where: Path) -> MakeRun:
    return lambda **given: write_run(where, Made(**given))


def write_run(where: Path, made: Made) -> Path:
    recipe = recipe_of(made)
    folder = where / (made.folder_name or f"{made.name}-0123456789")
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(tomli_w.dumps(recipe))
    write(folder / "data.json", {"name": recipe["data"]["name"], "checksum": "ab" * 32})
    names = LADDER if made.ladder else PLAIN
    truth = np.arange(SAMPLES) % CLASSES
    rows = {}
    for seed in range(made.seeds):
        for name in names:
            rows[name, seed] = write_stage(folder, name, seed, made, recipe, truth)
    if made.finished:
        write(folder / "result.json", result_of(made, recipe, names, rows, truth))
        main = "pepsp" if made.ladder else "ticket"
        write_answers(folder, predictions_of(main, 0, made.shift, truth), truth)
        for seed in range(made.seeds):
            ticket = (folder / f"seed-{seed}" / main / "model.ticket").read_bytes()
            (folder / f"{made.name}-seed{seed}.ticket").write_bytes(ticket)
    return folder


def write_answers(folder: Path, given: Any, truth: Any) -> None:
    wrong = np.flatnonzero(given != truth)[:5]
    ids = np.array(sorted({*range(CLASSES), *wrong.tolist()}))
    images = np.arange(len(ids) * 64, dtype=np.uint8).reshape(len(ids), 1, 8, 8)
    np.savez_compressed(
        folder / "answers.npz",
        labels=truth,
        classes=np.array(["zero", "one", "two", "<three>"]),
        ids=ids,
        images=images,
        examples=np.arange(CLASSES),
        wrong=wrong,
        seed=np.array(0),
    )


def recipe_of(made: Made) -> dict[str, Any]:
    ticket: dict[str, Any] = {"name": "edge_popup", "density": 0.5}
    if made.ladder:
        ticket = {
            "name": "multisp",
            "density": 0.5,
            "keep": 0.5,
            "score": "firing_rate",
            "patch_controls": ["random", "center"],
            "fine_tune_epochs": 0,
            "search": "joint",
            "activation": "step",
            "rungs": ["patch", "pepsp"],
        }
    recipe: dict[str, Any] = {
        "name": made.name,
        "seed": 0,
        "data": {"name": "digits", "root": "/home/someone/data", "validation": 0.1},
        "model": {
            "name": "spikformer" if made.ladder else "convnet",
            "timesteps": 4,
            "weights": "binary",
        },
        "neuron": {"name": "lif", "decay": 0.5},
        "ticket": ticket,
        "train": {"epochs": made.epochs, "batch_size": 16, "tune": "off", "kernel": "auto"},
        "controls": {"dense": True, "random_trained": True, "random_frozen": True},
        "verdict": {"margin": 2.0, "confidence": 0.95},
    }
    for key, value in made.change.items():
        section, _, name = key.partition(".")
        recipe[section][name] = value
    return recipe


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def predictions_of(name: str, seed: int, shift: float, truth: Any) -> Any:
    right = int(LEVEL[name] + seed + shift)
    found = truth.copy()
    found[right:] = (truth[right:] + 1) % CLASSES
    return found


def write_stage(
    folder: Path, name: str, seed: int, made: Made, recipe: dict[str, Any], truth: Any
) -> dict[str, Any]:
    place = folder / f"seed-{seed}" / name
    place.mkdir(parents=True)
    predictions = predictions_of(name, seed, made.shift, truth)
    np.save(place / "predictions.npy", predictions)
    (place / "model.ticket").write_bytes(b"ticket")
    accuracy = 100 * float((predictions == truth).mean())
    history = history_of(made.epochs, accuracy)
    (place / "log.jsonl").write_text("".join(json.dumps(h) + "\n" for h in history))
    sparse = name in ("ticket", "random_trained", "random_frozen") or "pepsp" in name
    facts: dict[str, Any] = {
        "stage": name,
        "density": recipe["ticket"]["density"] if sparse else 1.0,
        "binary": sparse,
        "bn_affine": False,
        "kept": 600,
        "parameters": 1000,
        "file_bytes": 4321,
        "trained_epochs": made.epochs,
    }
    if made.ladder:
        keeps = name.startswith(("patch", "pepsp"))
        facts |= {
            "tokens": {"kept": 8 if keeps else 16, "of": 16},
            "conv_pep_density": 0.5 if "pepsp" in name else 1.0,
            "net_density": 0.8,
            "ranking": "none",
            "activation": "as_neuron",
            "operations": {"images": 64, "conv_pep": {"acs": 2e6, "macs": 1e4, "dense": 9e6}},
        }
    stage = {
        **facts,
        "test_accuracy": accuracy,
        "validation_accuracy": accuracy - 1,
        "kept_by_layer": {},
        "history": history,
        "best_epoch": 1,
    }
    write(place / "result.json", stage)
    write(
        place / "timing.json",
        {
            "wall_s": 12.5,
            "device": "a CPU",
            "threads": 1,
            "spiketicket": "0.3.0",
            "torch": "2.13.0",
            "python": "3.11.7",
            "numpy": "2.4.6",
        },
    )
    if made.measured:
        write(place / "measure.json", measure_of(made, facts, accuracy))
        if seed == 0 and name in ("ticket", "dense", "patch", "pepsp"):
            np.savez_compressed(place / "sample.npz", **sample_of(made, facts))
    return {
        **facts,
        "title": name.replace("_", " "),
        "test_accuracy": accuracy,
        "validation_accuracy": accuracy - 1,
        "predictions": predictions,
    }


def history_of(epochs: int, accuracy: float) -> list[dict[str, Any]]:
    return [
        {
            "epoch": e,
            "loss": 2.5 * 0.5**e,
            "accuracy": 0.5,
            "validation_loss": 2.0 * 0.6**e,
            "validation_accuracy": accuracy / 100 * (e + 1) / epochs,
        }
        for e in range(epochs)
    ]


def result_of(
    made: Made, recipe: dict[str, Any], names: tuple[str, ...], rows: Any, truth: Any
) -> dict[str, Any]:
    seeds = range(made.seeds)
    scores = {
        n: StageScores(
            [rows[n, s]["test_accuracy"] for s in seeds],
            [rows[n, s]["predictions"] == truth for s in seeds],
        )
        for n in names
    }
    rules = recipe["verdict"]
    if made.ladder:
        scores["constant"] = StageScores([25.0] * made.seeds, [truth == 0] * made.seeds)
        rungs = [n for n in names if n in ("patch", "pepsp", "multisp")]
        verdict = judged_ladder(scores, rungs, **rules)
    else:
        verdict = judged({n: s for n, s in scores.items() if n != "selector"}, **rules).to_dict()
    stages = [
        {k: v for k, v in rows[n, 0].items() if k != "predictions"}
        | {k: [rows[n, s][k] for s in seeds] for k in ("test_accuracy", "validation_accuracy")}
        for n in names
    ]
    return {
        "name": made.name,
        "hash": "0123456789",
        "condition": "BinW-SNN",
        "notes": [],
        "seeds": list(seeds),
        "device": "a CPU",
        "threads": 1,
        "verdict": verdict,
        "stages": stages,
        "tickets": [f"{made.name}-seed{s}.ticket" for s in seeds],
    }


def measure_of(made: Made, facts: dict[str, Any], accuracy: float) -> dict[str, Any]:
    layers, neurons = net_of(made, facts["density"])
    keys = ("dense", "macs", "acs", "ac_units")
    groups: dict[str, dict[str, float]] = {}
    for layer in layers:
        group = groups.setdefault(layer["group"], dict.fromkeys((*keys, "updates"), 0.0))
        for key in keys:
            group[key] += layer[key]
    total = {k: sum(g[k] for g in groups.values()) for k in (*keys, "updates")}
    energy = [
        {
            "table": table,
            "macs_pj": total["macs"] * mac,
            "acs_pj": total["ac_units"] * ac,
            "updates_pj": 5e3 * ac,
            "total_pj": total["macs"] * mac + total["ac_units"] * ac,
            "dense_pj": total["dense"] * mac,
            "source": "a paper",
            "formula": f"{mac} pJ a MAC + {ac} pJ an AC",
        }
        for table, mac, ac in (("45nm-fp32", 4.6, 0.9), ("45nm-int8", 0.23, 0.03))
    ]
    return {
        "format": 1,
        "ticket_digest": "0" * 64,
        "set": {"name": "digits", "part": "test", "checksum": "ab" * 32, "images": 64, "of": 100},
        "timesteps": 4,
        "static": not made.events,
        "accuracy": accuracy,
        "layers": layers,
        "neurons": neurons,
        "groups": groups,
        "total": total,
        "energy": energy,
        "sparsity": {
            "mask_density": facts["density"],
            "zero_weights": 1 - facts["density"],
            "activation_sparsity": 0.87,
            "zero_filters": 3,
            "filters": 96,
            "zero_channels": 1,
            "channels": 50,
            "file_bytes": 4321,
            "fp32_bytes": 40000,
            "entropy_bytes": 4000,
        },
        "versions": {"spiketicket": "0.3.0"},
    }


def net_of(made: Made, density: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    shapes: list[tuple[str, str, str, list[int] | None]] = [
        ("features.0", "conv", "conv", [8, 1, 3, 3]),
        ("features.1", "conv", "conv", [16, 8, 3, 3]),
        ("fc.0", "linear", "linear", [32, 64]),
        ("classifier", "classifier", "linear", [4, 32]),
    ]
    if made.ladder:
        shapes = [("conv_pep.blocks.0.block", "conv_pep", "conv", [8, 1, 3, 3])]
        shapes += [
            ("encoder.blocks.0.attention.qkv", "encoder_linear", "linear", [48, 16]),
            ("encoder.blocks.0.attention.scores", "attention", "attention", None),
            ("encoder.blocks.0.mlp.0", "encoder_linear", "linear", [64, 16]),
            ("head", "head", "linear", [4, 16]),
        ]
    layers, neurons = [], []
    for index, (name, group, kind, shape) in enumerate(shapes):
        weights = int(np.prod(shape)) if shape else 0
        masked = group in (("conv_pep",) if made.ladder else ("conv", "linear"))
        kept = round(weights * (density if masked else 1))
        analog = index == 0
        layers.append(
            {
                "name": f"{name}.synapse",
                "group": group,
                "kind": kind,
                "shape": shape,
                "weights": weights,
                "kept": kept,
                "nonzero": kept,
                "calls": 1.0 if analog else 4.0,
                "input": "analog" if analog else "spikes",
                "input_density": 0.9 if analog else 0.15,
                "dense": 64.0 * max(weights, 100),
                "macs": 40.0 * kept if analog else 0.0,
                "acs": 0.0 if analog else 8.0 * max(kept, 100),
                "ac_units": 0.0 if analog else 9.0 * max(kept, 100),
            }
        )
        if "classifier" not in name and name != "head" and kind != "attention":
            rate = [round(0.05 + 0.1 * index + 0.05 * t, 3) for t in range(4)]
            neurons.append(
                {
                    "name": f"{name}.neuron",
                    "kind": "lif",
                    "size": 128,
                    "rate": rate,
                    "updates": 512.0,
                }
            )
    return layers, neurons


def sample_of(made: Made, facts: dict[str, Any]) -> dict[str, Any]:
    random = np.random.default_rng(3)
    frames, channels = (4, 2) if made.events else (1, 3)
    images = random.integers(0, 4 if made.events else 255, (8, frames, channels, 16, 16))
    values: dict[str, Any] = {
        "index": 2,
        "label": 2,
        "prediction": 1,
        "classes": np.array(["a", "b", "c", "d"]),
        "images": images.astype(np.uint8),
        "labels": np.arange(8) % CLASSES,
        "raster_names": np.array(["features.0.neuron", "fc.0.neuron"]),
        "raster_0": random.random((4, 100)) < 0.2,
        "raster_1": random.random((4, 32)) < 0.1,
        "membrane_name": "features.0.neuron",
        "membrane": random.random((4, 5)) * 1.4,
        "threshold": 1.0,
        "logits": np.array([0.1, 2.0, 1.5, -0.4], np.float32),
    }
    values["membrane_spikes"] = values["membrane"] > 1
    tokens = facts.get("tokens", {"kept": 1, "of": 1})
    if tokens["kept"] < tokens["of"]:
        values["kept"] = np.array([random.permutation(16)[:8] for _ in range(8)])
        values["grid"] = np.array([4, 4])
    return values
