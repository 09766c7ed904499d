"""The program's spikes are the network's, at every neuron and step.

Where the two differ, a float64 computation must be within 1e-5 of the threshold (relative to what
was added up): torch's convolution adds in an order of its own. Anything else fails.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spiketicket.engine import ops, reference
from spiketicket.engine.compile import compile_ticket, supported_networks
from spiketicket.experiment.exactness import compare, compare_models
from spiketicket.models.of_ticket import from_ticket
from spiketicket.recipe.registry import names
from spiketicket.recipe.shapes import DataShape

pytestmark = pytest.mark.slow


LIF = st.fixed_dictionaries(
    {
        "name": st.just("lif"),
        "decay": st.sampled_from([0.5, 0.99, 0.2, 0.0]),
        "decay_input": st.booleans(),
        "v_threshold": st.sampled_from([1.0, 0.5, 0.37]),
        "v_reset": st.sampled_from([0.0, "soft", -0.3, 0.25]),
    }
)
STEP = st.fixed_dictionaries({"name": st.just("step"), "v_threshold": st.sampled_from([0.0, 0.4])})
OTHER = st.sampled_from([{"name": "relu"}, {"name": "sign"}])
CNN = st.fixed_dictionaries(
    {
        "timesteps": st.integers(1, 8),
        "weights": st.sampled_from(["binary", "float"]),
        "bn_affine": st.booleans(),
    }
)
PATCHES = st.sampled_from(
    [
        "none",
        "fixed",
        "center",
        "pixel_energy",
        "firing_rate",
        "embedding_norm",
        "attention_first",
        "attention_last",
    ]
)
TRANSFORMER = st.fixed_dictionaries(
    {
        "timesteps": st.integers(1, 8),
        "weights": st.sampled_from(["binary", "float"]),
        "bn_affine": st.booleans(),
        "pool_kernel": st.sampled_from([2, 3]),
        "rpe": st.booleans(),
        "activation": st.sampled_from(["as_neuron", "step", "sign", "lif"]),
        "step": st.sampled_from(["zero", "neuron"]),
        "execution": st.sampled_from(["drop", "zero_fill"]),
        "rescale": st.booleans(),
        "qkv_bias": st.booleans(),
        "ranking": PATCHES,
        "ranker": st.sampled_from(["own", "selector"]),
        "depth": st.integers(1, 2),
        "scale": st.sampled_from([None, 0.125, 0.3]),
    }
)
CHECK = settings(max_examples=20, derandomize=True, deadline=None, database=None)


def samples(program, rng, count=3):
    shape = (count, program.frames, program.channels, program.height, program.width)
    return rng.normal(0, 1.2, shape).astype(np.float32)


def check(ticket, seed, kernel="eager"):
    program = compile_ticket(ticket)
    x = samples(program, np.random.default_rng(seed))
    found = compare_models(program, from_ticket(ticket, kernel), x)
    assert found.neuron_steps > 0
    assert found.wrong == 0, found
    # rounding decides hardly ever
    assert found.different <= max(3, found.neuron_steps // 2000), found
    assert found.logit_difference < 1e-5
    return found


@CHECK
@given(
    st.sampled_from(["convnet", "vgg9", "resconv6", "resnet19"]),
    CNN,
    st.one_of(LIF, LIF, STEP, OTHER),
    st.booleans(),
    st.sampled_from(["eager", "native"]),
    st.integers(0, 1000),
)
def test_convolutional_networks(random_ticket, name, model, neuron, events, kernel, seed):
    frames = model["timesteps"] if events else 1
    if name == "resnet19":
        model = {**model, "first_stride": 1 + seed % 2}
    if name == "resconv6":
        model = {**model, "shortcuts": seed % 2 == 1, "logit_norm": seed % 3 > 0}
    shape = DataShape(channels=1 + seed % 3, height=8, width=8, classes=5, frames=frames)
    check(random_ticket(name, shape, model, neuron, seed), seed, kernel)


@CHECK
@given(
    st.sampled_from(["spikformer", "sdt"]),
    TRANSFORMER,
    st.one_of(LIF, LIF, STEP),
    st.booleans(),
    st.sampled_from(["eager", "native"]),
    st.integers(0, 1000),
)
def test_transformers(random_ticket, name, model, neuron, events, kernel, seed):
    frames = model["timesteps"] if events else 1
    if model["ranker"] == "own" and model["ranking"] not in ("firing_rate", "embedding_norm"):
        model = {**model, "ranker": "selector"}
    if model["ranker"] == "own":
        model = {**model, "execution": "drop"}
    if model["ranking"] != "none":
        model = {**model, "keep": 0.5, "ranking_seed": seed}
    shape = DataShape(channels=1 + seed % 3, height=16, width=16, classes=5, frames=frames)
    check(random_ticket(name, shape, model, neuron, seed), seed, kernel)


@pytest.mark.parametrize("neuron", [{"name": "lif"}, {"name": "lif", "v_reset": "soft"}])
def test_ties_at_the_threshold_are_decided_alike(random_ticket, neuron):
    """All numbers are small multiples of 1/256: nothing rounds, and many membranes are at 1."""
    ticket = random_ticket(
        "convnet", model={"timesteps": 6}, neuron=neuron, alpha=0.25, density=0.8
    )
    tensors = dict(ticket.tensors)
    for key in tensors:
        if key.endswith("running_mean"):
            tensors[key] = np.zeros_like(tensors[key])
        if key.endswith("running_var"):
            tensors[key] = np.full_like(tensors[key], np.float32(1) - np.float32(1e-5))
            assert (tensors[key] + np.float32(1e-5) == 1).all()
    ticket = replace(ticket, tensors=tensors)
    program = compile_ticket(ticket)
    x = np.random.default_rng(0).integers(-6, 7, (8, 1, 2, 8, 8)).astype(np.float32) / 2
    found = compare_models(program, from_ticket(ticket, "eager"), x)
    assert found.different == 0
    u = reference.trace(program, x, [1])[1]
    assert np.count_nonzero(u == 1) > 50


def test_every_network_compiles():
    assert supported_networks() == names("models")


def test_a_wrong_threshold_is_found(random_ticket):
    """The check itself: a mistake of 1 % in one layer's threshold is not called rounding."""
    ticket = random_ticket("convnet", seed=5)
    program = compile_ticket(ticket)
    second = [op for op in program.ops if isinstance(op, ops.Neuron)][1]
    broken = [replace(op, v_threshold=1.01) if op is second else op for op in program.ops]
    x = samples(program, np.random.default_rng(1), 8)
    model = from_ticket(ticket, "eager")
    assert compare_models(program, model, x).wrong == 0
    assert compare_models(replace_ops(program, broken), model, x).wrong > 0


def test_a_wrong_choice_of_patches_is_found(random_ticket, monkeypatch):
    ticket = random_ticket("spikformer", model={"ranking": "embedding_norm", "keep": 0.5})
    program, model = compile_ticket(ticket), from_ticket(ticket, "eager")
    x = samples(program, np.random.default_rng(1), 4)
    found = compare_models(program, model, x)
    assert (found.choices, found.choices_different, found.wrong) == (4, 0, 0)
    rule = reference._APPLY[ops.TopK]
    monkeypatch.setitem(
        reference._APPLY, ops.TopK, lambda op, given, value: rule(op, [-given[0]], value)
    )
    assert compare_models(program, model, x).wrong == 4


def replace_ops(program, changed):
    return type(program)(
        **{
            name: getattr(program, name)
            for name in (
                "steps",
                "frames",
                "channels",
                "height",
                "width",
                "classes",
                "lut",
                "names",
            )
        },
        ops=tuple(changed),
    )


def test_batch_norm_is_folded_bit_for_bit():
    from torch import nn

    from spiketicket.engine.compile.net import Net
    from spiketicket.models.blocks import scale_and_shift

    rng = np.random.default_rng(3)
    norm = nn.BatchNorm1d(5000).eval()
    with torch.no_grad():
        norm.running_var.copy_(torch.from_numpy(np.exp(rng.normal(0, 6, 5000))))
        for part in (norm.running_mean, norm.weight, norm.bias):
            part.copy_(torch.from_numpy(rng.normal(0, 3, 5000)))
        a, b = scale_and_shift(norm, None, 0)
    net = object.__new__(Net)
    net._tensors = {f"n.{k}": v.numpy() for k, v in norm.state_dict().items()}
    net._unused = set(net._tensors)
    ours = net.affine("n")
    assert (ours[0] == a.detach().numpy()).all()
    assert (ours[1] == b.detach().numpy()).all()
    assert not net._unused


@pytest.mark.slow
def test_a_trained_ticket_of_the_digits(tmp_path):
    """Trained for seconds, through the whole command's code, and compared on the test set."""
    from spiketicket import Ticket, find, load_recipe
    from spiketicket.data.of_ticket import find_test_data
    from spiketicket.recipe.named import recipe_path

    recipe = load_recipe(
        recipe_path("digits-binw"),
        [
            "train.epochs=3",
            "train.tune=off",
            "controls.random_frozen=false",
            "controls.random_trained=false",
            "controls.dense=false",
            "train.timestep_ramp=[]",
        ],
    )
    find(recipe, runs_dir=tmp_path)
    (path,) = tmp_path.rglob("ticket/model.ticket")
    ticket = Ticket.load(path)
    data = find_test_data(ticket, path)
    found = compare(ticket, data.dataset.test.x)
    assert found.samples == 360
    assert found.wrong == 0, found
    assert found.logit_difference < 1e-5
