"""Kernels chosen by timing: the fastest one, and the same answer."""

import numpy as np
import pytest

from spiketicket import Engine
from spiketicket.engine import library, ops
from spiketicket.engine.program import Builder
from spiketicket.errors import UserError
from spiketicket.recipe.shapes import DataShape

needs_library = pytest.mark.skipif(not library.available(), reason="no C library was built")


def kernels(net):
    return [step["kernel"] for step in net.plan()["steps"] if "density" in step]


@needs_library
@pytest.mark.parametrize("latency", [False, True])
def test_what_is_fastest_depends_on_the_firing_rate(latency):
    # a float layer: additions for every spike, or for every weight; times differ fourfold and more
    r = np.random.default_rng(0)
    b = Builder(steps=4, frames=1, channels=4, height=24, width=24, classes=4)
    h = b.add(ops.Neuron, 0, kind=ops.NeuronKind.STEP, v_threshold=0.0)
    weight = r.normal(size=(16, 4, 3, 3)).astype(np.float32)
    h = b.add(ops.Mean, b.add(ops.Synapse, h, weight=weight, pad=1), time=True, positions=True)
    b.add(ops.Synapse, h, weight=r.normal(size=(4, 16, 1, 1)).astype(np.float32))
    content, x = b.program().to_bytes(), np.abs(r.normal(size=(10, 1, 4, 24, 24)), dtype="f4")
    mixed = x * r.choice(np.float32([-1, 1]), x.shape)
    for level in library.levels():
        with library.Net(content, level, latency=latency) as net:
            want = net.run(mixed, threads=2)
            net.tune(-x)
            assert kernels(net) == ["events", "rows"]
            net.tune(x)
            assert kernels(net) == ["rows", "rows"]
            assert (net.run(mixed, threads=2) == want).all()
            net.tune(-x)
            assert kernels(net) == ["events", "rows"]
            assert (net.run(mixed, threads=2) == want).all()


@needs_library
@pytest.mark.parametrize("name", ["vgg9", "resconv6", "resnet19", "spikformer", "sdt"])
def test_the_answer_stays_the_same(random_ticket, name):
    ticket = random_ticket(name, seed=3)
    plain = Engine(ticket)
    x = np.random.default_rng(1).integers(0, 256, (4, *plain.input_shape)).astype(np.uint8)
    for tune in (True, x):
        engine = Engine(ticket, tune=tune)
        assert (engine.run(x) == plain.run(x)).all()
        assert len(engine.plan(x)) == len(plain.plan(x))


@needs_library
@pytest.mark.parametrize("frames", [1, 3])
def test_drawn_inputs_fit_and_are_the_same_every_time(random_ticket, frames):
    from spiketicket.engine.tuning import drawn_inputs

    engine = Engine(
        random_ticket("convnet", DataShape(channels=2, height=8, width=8, classes=5, frames=frames))
    )
    scale, shift = engine._constants
    x = drawn_inputs(engine.program, engine._constants)
    assert (x == drawn_inputs(engine.program, engine._constants)).all()
    assert x.dtype == np.float32
    assert x.shape == (4, frames, 2, 8, 8)
    if frames > 1:  # counts of events
        counts = (x - shift[:, None, None]) / scale[:, None, None]
        np.testing.assert_allclose(counts, counts.round(), atol=1e-3)
        assert 0.05 < counts.mean() < 0.2
    else:
        assert abs(x.mean()) < 0.5
        assert 0.5 < x.std() < 1.5
        assert (x[..., :4, :4] == x[..., :1, :1]).all()


@needs_library
@pytest.mark.parametrize(
    ("tune", "says"),
    [
        (np.zeros((0, 2, 8, 8), np.uint8), "tune: needs at least one input"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"x: must have the shape \[N, 2, 8, 8\]"),
        (np.full((1, 2, 8, 8), np.nan, np.float32), "x: must be finite numbers"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(random_ticket, tune, says):
    with pytest.raises(UserError, match=says):
        Engine(random_ticket("convnet"), tune=tune)


def test_numpy_has_nothing_to_choose_from(random_ticket):
    with pytest.raises(UserError, match="tune: numpy has no kernels to choose from"):
        Engine(random_ticket("convnet"), tune=True, backend="numpy")


@needs_library
def test_a_net_is_tuned_on_floats(random_ticket):
    engine = Engine(random_ticket("convnet"))
    with library.Net(engine.program.to_bytes()) as net:
        with pytest.raises(UserError, match="must be float32"):
            net.tune(np.zeros((1, 1, 2, 8, 8), np.uint8))
        with pytest.raises(UserError, match="needs a net and inputs"):
            net.tune(np.zeros((0, 1, 2, 8, 8), np.float32))
