"""Step by step: what is carried on, what is not, and which networks cannot be run so."""

import numpy as np
import pytest

from spiketicket import Engine
from spiketicket.engine import library, ops
from spiketicket.engine.program import Builder
from spiketicket.engine.stepwise import Role, roles
from spiketicket.errors import UserError
from spiketicket.recipe.shapes import DataShape

BACKENDS = ["numpy", *(["c"] if library.available() else [])]
EVENTS = DataShape(channels=2, height=8, width=8, classes=5, frames=3)


@pytest.fixture(scope="module")
def pictures(random_ticket):
    return random_ticket("convnet")


@pytest.fixture(scope="module")
def recordings(random_ticket):
    return random_ticket("vgg9", shape=EVENTS)


def drawn(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_picture_is_shown_once(pictures, backend):
    engine, x = Engine(pictures, backend=backend), drawn((4, 2, 8, 8))
    state = engine.state(4)
    first = engine.step(state, x)
    for _ in range(2):
        last = engine.step(state)
    assert (last == engine.run(x)).all()
    assert (first != last).any()
    assert state.steps == state.averaged == 3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
def test_frames_of_a_recording_come_one_by_one(recordings, backend, kind):
    engine, x = Engine(recordings, backend=backend), drawn((3, 3, 2, 8, 8)).astype(kind)
    x = x / 255 if kind == "float32" else x
    state = engine.state(3)
    for again in range(2):
        for t in range(3):
            logits = engine.step(state, x[:, t])
        assert (logits == engine.run(x)).all(), again
        state.reset()


@pytest.mark.parametrize("backend", BACKENDS)
def test_membranes_go_on_where_only_the_mean_is_restarted(recordings, backend):
    engine, x = Engine(recordings, backend=backend), drawn((1, 8, 2, 8, 8))
    carried, single = engine.state(), []
    for t in range(8):
        carried.restart_mean()
        single.append(engine.step(carried, x[:, t]))
    whole = engine.state()
    for t in range(8):
        logits = engine.step(whole, x[:, t])
    assert (carried.steps, carried.averaged, whole.averaged) == (8, 1, 8)
    np.testing.assert_allclose(np.mean(single, axis=0), logits, rtol=1e-4, atol=1e-5)
    fresh = [engine.step(engine.state(), x[:, t]) for t in range(8)]
    assert (np.stack(fresh) != np.stack(single)).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_samples_that_are_left_out_do_not_change_the_others(pictures, backend):
    engine, x = Engine(pictures, backend=backend, threads=2), drawn((5, 2, 8, 8))
    state = engine.state(5)
    engine.step(state, x)
    state.select([4, 0, 2])
    engine.step(state)
    assert len(state) == 3
    assert (engine.step(state) == engine.run(x)[[4, 0, 2]]).all()


@pytest.mark.skipif(not library.available(), reason="the C library is not installed")
def test_tuned_and_together_it_is_the_same(recordings):
    x = drawn((2, 3, 2, 8, 8))
    want = Engine(recordings).run(x)
    engine = Engine(recordings, tune=x, mode="latency", threads=2)
    state = engine.state(2)
    for t in range(3):
        logits = engine.step(state, x[:, t])
    assert (logits == want).all()


def test_a_ranking_by_all_steps_is_refused_by_name(random_ticket):
    shape = DataShape(channels=2, height=16, width=16, classes=5)
    model = {"ranking": "firing_rate", "keep": 0.5}
    engine = Engine(random_ticket("spikformer", shape, model))
    with pytest.raises(UserError, match="firing rate over all 3 time steps"):
        engine.state()
    fixed = Engine(random_ticket("spikformer", shape, {**model, "ranking": "fixed"}))
    x, state = drawn((2, 2, 16, 16)), fixed.state(2)
    fixed.step(state, x)
    fixed.step(state)
    assert (fixed.step(state) == fixed.run(x)).all()


def test_a_membrane_behind_the_mean_is_refused_by_name():
    b = Builder(steps=4, frames=1, channels=1, height=2, width=2, classes=1)
    lif = {"kind": ops.NeuronKind.LIF, "decay": 0.5, "v_threshold": 1.0}
    h = b.add(ops.Mean, b.add(ops.Neuron, 0, **lif), time=True, positions=True)
    h = b.add(ops.Neuron, h, name="late", **lif)
    b.add(ops.Mean, h, time=True, positions=False)
    with pytest.raises(UserError, match=r"late.*membrane that reads a mean"):
        roles(b.program())


def test_what_stands_before_the_first_membrane_stands_still(pictures):
    found = roles(Engine(pictures).program)
    assert found[:3] == (Role.STILL, Role.STILL, Role.MOVING)
    assert found[-1] is Role.TOTAL


@pytest.mark.parametrize("backend", BACKENDS)
def test_bad_input_says_what_is_wrong(pictures, recordings, backend):
    engine, other = Engine(pictures, backend=backend), Engine(recordings, backend=backend)
    state = engine.state(2)
    with pytest.raises(UserError, match="first step needs an input"):
        engine.step(state)
    with pytest.raises(UserError, match="2 frames, one of each sample"):
        engine.step(state, drawn((3, 2, 8, 8)))
    with pytest.raises(UserError, match=r"\[N, 2, 8, 8\].*single frames"):
        other.step(other.state(), drawn((1, 3, 2, 8, 8)))
    with pytest.raises(UserError, match="different places from 0 to 1"):
        state.select([0, 2])
    with pytest.raises(UserError, match="whole number from 0"):
        engine.state(-1)
    engine.step(state, drawn((2, 2, 8, 8)))
    if backend == "c":
        with pytest.raises(UserError, match="not of this net"):
            other.step(state, drawn((2, 2, 8, 8)))
        with pytest.raises(UserError, match="another engine"):
            Engine(pictures, backend="numpy").step(state)
