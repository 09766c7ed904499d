"""Small tickets of pictures and of recordings, and recordings for them."""

import numpy as np

from spiketicket.events import EVENT, Events
from spiketicket.models import convnet
from spiketicket.neurons import lif
from spiketicket.recipe.shapes import DataShape
from spiketicket.ticket import Ticket

SIDE = 16
FRAMING = {
    "steps": 3,
    "by": "time",
    "values": "sum",
    "height": SIDE,
    "width": SIDE,
    "merge_polarity": False,
    "hot_pixel": None,
    "denoise_us": None,
}


def make_ticket(channels, frames, data):
    """A small network's own initial weights, all of them float."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = convnet.Config(width=0.1, timesteps=3)
        net = convnet.build(
            config,
            lif.Config(),
            DataShape(channels=channels, height=SIDE, width=SIDE, classes=4, frames=frames),
        )
        net.train()(torch.randn(3, 3, channels, SIDE, SIDE))
    shape = {"channels": channels, "height": SIDE, "width": SIDE, "classes": 4, "frames": frames}
    args = {"model": config.model_dump(mode="json"), "neuron": lif.Config().model_dump(mode="json")}
    metadata = {
        "network": {"name": "convnet", "args": {**args, "shape": shape}},
        "normalisation": {"mean": [0.3] * channels, "std": [0.4] * channels},
        "classes": ["cat", "dog", "owl", "bad\x1b[2Jname"],
        "data": data,
    }
    return Ticket((), {k: v.numpy() for k, v in net.state_dict().items()}, metadata)


def recording(path, seed=0):
    rng = np.random.default_rng(seed)
    data = np.zeros(400, EVENT)
    data["t"] = np.sort(rng.integers(0, 90_000, 400))
    for name, high in (("x", 34), ("y", 34), ("p", 2)):
        data[name] = rng.integers(0, high, 400)
    np.save(path, data)
    return Events(data, 34, 34)
