"""Answers before the last time step: when they come, by whom they are computed, what is refused."""

import numpy as np
import pytest

from spiketicket import Engine
from spiketicket.engine import library
from spiketicket.engine.steps import decided, margins
from spiketicket.errors import UserError
from spiketicket.recipe.shapes import DataShape

BACKENDS = ["numpy", *(["c"] if library.available() else [])]
SHAPES = {
    "pictures": DataShape(channels=2, height=8, width=8, classes=5),
    "recordings": DataShape(channels=2, height=8, width=8, classes=5, frames=4),
}


@pytest.fixture(scope="module", params=SHAPES)
def made(request, random_ticket):
    shape = SHAPES[request.param]
    size = (40, *((4,) if shape.frames > 1 else ()), 2, 8, 8)
    x = np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)
    return random_ticket("convnet", shape, {"timesteps": 4}), x


def by_hand(engine, x, margin):
    """Each sample alone, and every logit written out."""
    logits, steps = [], []
    for sample in x:
        state, t, lead = engine.state(), 0, -1.0
        while t < 4 and lead < np.float32(margin):
            frame = sample[None, t] if sample.ndim == 4 else None if t else sample[None]
            (found,) = engine.step(state, frame)
            t += 1
            best, second = sorted(found.tolist())[:-3:-1]
            lead = (np.float32(best) - np.float32(second)) * np.float32(t)
        logits.append(found)
        steps.append(t)
    return np.stack(logits), np.array(steps)


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_sample_stops_when_its_best_class_leads(made, backend):
    ticket, x = made
    engine = Engine(ticket, backend=backend, threads=2)
    margin = float(
        np.median(margins(engine.step(engine.state(40), x if x.ndim == 4 else x[:, 0]), 1))
    )
    want, steps = by_hand(engine, x, margin)
    found = engine.run_early(x, margin)
    assert len(set(steps.tolist())) > 1
    assert (found.steps == steps).all()
    assert (found.logits == want).all()
    normal = engine.run_early(np.zeros_like(x, np.float32), margin)
    assert len(set(normal.steps.tolist())) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_margin_is_one_step_and_an_endless_one_is_all(made, backend):
    ticket, x = made
    engine = Engine(ticket, backend=backend)
    assert (engine.run_early(x, 0).steps == 1).all()
    every = engine.run_early(x, float("inf"))
    assert (every.steps == 4).all()
    assert (every.logits == engine.run(x)).all()
    assert engine.run_early(x[:0], 1).logits.shape == (0, 5)


def test_the_lead_is_of_the_sums():
    logits = np.array([[0.5, 0.25, -1], [1, 1, 0]], np.float32)
    assert margins(logits, 3).tolist() == [0.75, 0]
    assert decided(logits, 3, 0.75).tolist() == [True, False]
    assert decided(logits[:, :1], 1, 1e9).all()  # of one class alone


def test_classify_tells_the_steps():
    engine, x = Engine("digits-binw"), np.zeros((1, 8, 8), np.uint8)
    found = engine.classify(x, margin=0.0)
    assert found.steps == found.to_dict()["steps"] == 1
    assert str(found).endswith("after 1 step")
    assert engine.classify(x).steps is None
    assert "step" not in str(engine.classify(x))


def test_what_is_refused(made, random_ticket):
    ticket, x = made
    engine = Engine(ticket)
    with pytest.raises(UserError, match=r"no margin for early answers.*spiketicket exit"):
        engine.run_early(x)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(UserError, match="number from 0 on"):
            engine.run_early(x, wrong)
    shape = DataShape(channels=2, height=16, width=16, classes=5)
    ranked = random_ticket("sdt", shape, {"ranking": "embedding_norm", "keep": 0.5})
    with pytest.raises(UserError, match="embedding norm over all 3 time steps"):
        Engine(ranked).early_margin(1.0)
