"""Where a net comes from: what its ticket says of the recipe, the data, the versions."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from spiketicket.experiment.setup import Experiment
from spiketicket.machine import parallel, processor
from spiketicket.methods.scene import Prepared
from spiketicket.methods.stages import Stage, condition
from spiketicket.models.transformer import SpikingTransformer
from spiketicket.recipe import to_dict


def metadata(experiment: Experiment, stage: Stage, prepared: Prepared, seed: int) -> dict[str, Any]:
    """All that a stage's ticket says beside what was measured."""
    recipe, data = experiment.recipe, experiment.dataset
    model = prepared.model or stage.network(recipe)
    network = {
        "model": model.model_dump(mode="json"),
        "neuron": stage.neurons(recipe).model_dump(mode="json"),
        "shape": experiment.shape.__dict__,
    }
    return {
        "network": {"name": recipe.model.name, "args": network},
        "normalisation": {"mean": list(data.mean), "std": list(data.std)},
        "classes": list(data.classes),
        "stage": stage.name,
        "seed": seed,
        **_tokens(prepared),
        **provenance(experiment),
        **precision(experiment),
        "condition": condition(recipe, stage),
        "eval_batch_size": recipe.train.batch_size,
        "licence": data.licence,
        "versions": versions(),
    }


def _tokens(prepared: Prepared) -> dict[str, Any]:
    model = prepared.trainee.model
    if prepared.model is None or not isinstance(model, SpikingTransformer):
        return {}
    return {"tokens": {"of": int(model.tokens)}}


def provenance(experiment: Experiment) -> dict[str, Any]:
    """What a stage's ticket says of the recipe and the data it is for, whatever the stage."""
    recipe, data = experiment.recipe, experiment.dataset
    settings = to_dict(recipe)
    settings["data"].pop("root")
    return {
        "recipe": settings,
        "recipe_hash": recipe.hash,
        "data": {
            "name": data.name,
            "checksum": data.checksum,
            "config": settings["data"],
            **({"notes": list(data.notes)} if data.notes else {}),
        },
        "condition": condition(recipe),
    }


def precision(experiment: Experiment) -> dict[str, str]:
    """What a net was trained in, where the recipe leaves that to the processor."""
    return {"precision": experiment.precision} if _chosen(experiment) else {}


def _chosen(experiment: Experiment) -> bool:
    return experiment.recipe.train.precision == "auto"


def versions() -> dict[str, str]:
    """Versions that a result depends on."""
    return {
        "spiketicket": version("spiketicket"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }


def machine(device: torch.device) -> dict[str, Any]:
    """What a wall time depends on; ``isa`` is the instruction set that PyTorch computes with."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor.name()
    return {
        "device": name,
        "threads": parallel.threads(),
        "isa": torch.backends.cpu.get_cpu_capability(),
        **versions(),
    }
