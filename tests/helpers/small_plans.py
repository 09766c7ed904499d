"""The tables of small recipes that a time is planned for."""

from typing import Any

BASE: dict[str, Any] = {
    "name": "tiny",
    "data": {"name": "digits", "train_limit": 200},
    "model": {"name": "convnet", "width": 0.25, "timesteps": 4},
    "neuron": {"name": "lif"},
    "ticket": {"name": "edge_popup", "density": 0.3},
    "train": {"epochs": 2, "batch_size": 20, "tune": "off", "checkpoint_steps": 1},
    "controls": {"random_frozen": False},
}
LADDER: dict[str, Any] = {
    "model": {"name": "spikformer", "dim": 16, "depth": 1, "heads": 2, "pools": 1, "width": 1.0},
    "ticket": {
        "name": "multisp",
        "density": 0.5,
        "keep": 0.5,
        "ranker": "selector",
        "selector_share": 0.1,
    },
}
