"""Events at random for the N-MNIST ticket of the zoo."""

import numpy as np

from spiketicket.events import EVENT, EventArray

TICKET = "nmnist1k-vgg"
SENSOR = (34, 34)


def drawn(count: int, duration_us: int, seed: int = 0, start_us: int = 1000) -> EventArray:
    """Events at random, in order of time, the first and the last at the ends."""
    rng = np.random.default_rng(seed)
    data = np.zeros(count, EVENT)
    t = np.sort(rng.integers(0, duration_us, count))
    t[0], t[-1] = 0, duration_us - 1
    data["t"] = start_us + t
    for name, most in (("x", SENSOR[0]), ("y", SENSOR[1]), ("p", 2)):
        data[name] = rng.integers(0, most, count)
    return data
