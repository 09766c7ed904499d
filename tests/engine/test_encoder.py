"""Tickets behind an input encoder: the program's numbers, its spikes, and what is refused."""

import numpy as np
import pytest
import torch

from spiketicket.engine import Engine, ops, reference
from spiketicket.engine.compile import compile_ticket
from spiketicket.errors import UserError
from spiketicket.experiment.exactness import compare_models
from spiketicket.models.of_ticket import from_ticket
from spiketicket.recipe.shapes import DataShape
from spiketicket.ticket import Ticket, TicketError

KEY = "input_encoder.filters"


def made(random_ticket, name, encoder, *, frames=1, steps=3, **model):
    size = 16 if name in ("spikformer", "sdt") else 8
    shape = DataShape(channels=3, height=size, width=size, classes=5, frames=frames)
    return random_ticket(name, shape, {"timesteps": steps, "encoder": encoder, **model}, seed=7)


def inputs(program, count=4):
    shape = (count, program.frames, program.channels, program.height, program.width)
    return np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize("encoder", ["whiten", "whiten-lif"])
@pytest.mark.parametrize("name", ["convnet", "vgg9", "resnet19", "spikformer", "sdt"])
def test_spikes_are_the_networks_and_the_librarys_numbers_the_references(
    random_ticket, name, encoder
):
    ticket = made(random_ticket, name, encoder)
    program = compile_ticket(ticket)
    x = inputs(program)
    found = compare_models(program, from_ticket(ticket), x)
    assert found.neuron_steps > 0
    assert found.wrong == 0, found
    assert found.different <= max(3, found.neuron_steps // 2000), found
    assert found.logit_difference < 1e-5
    expected = Engine(ticket, backend="numpy").run(x[:, 0])
    assert np.array_equal(Engine(ticket, backend="c").run(x[:, 0]), expected)


@pytest.mark.parametrize("encoder", ["whiten", "whiten-lif"])
def test_frames_of_recordings_are_encoded_one_by_one(random_ticket, encoder):
    ticket = made(random_ticket, "convnet", encoder, frames=3)
    program = compile_ticket(ticket)
    assert compare_models(program, from_ticket(ticket), inputs(program)).wrong == 0


def test_the_programs_numbers_are_torchs_up_to_rounding(random_ticket):
    ticket = made(random_ticket, "convnet", "whiten")
    program, net = compile_ticket(ticket), from_ticket(ticket)
    x = inputs(program)
    register = next(r for r, name in program.names.items() if name == "input_encoder.neuron")
    ours = reference.trace(program, x, [register])[register][:, 0]
    with torch.no_grad():
        theirs = net.input_encoder(torch.from_numpy(x[:, 0]), 3).numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_static_image_is_encoded_once(random_ticket):
    program = compile_ticket(made(random_ticket, "convnet", "whiten", steps=4))
    first = program.ops[0]
    assert isinstance(first, ops.Synapse)
    assert program.values[first.out].shape == (1, 24, 8, 8)
    assert not first.weight[:, :, 0].any()
    assert not first.weight[:, :, :, 0].any()


@pytest.mark.parametrize("changed", ["missing", "shape", "nan"])
def test_filters_that_do_not_fit_are_refused(random_ticket, changed):
    ticket = made(random_ticket, "convnet", "whiten")
    tensors = {k: v for k, v in ticket.tensors.items() if k != KEY}
    if changed == "shape":
        tensors[KEY] = ticket.tensors[KEY][:5]
    elif changed == "nan":
        tensors[KEY] = np.full_like(ticket.tensors[KEY], np.nan)
    with pytest.raises(UserError):
        compile_ticket(Ticket(ticket.layers, tensors, ticket.metadata))


def test_an_unknown_encoder_is_refused(random_ticket):
    ticket = made(random_ticket, "convnet", "whiten")
    ticket.metadata["network"]["args"]["model"]["encoder"] = "zca"
    with pytest.raises(TicketError):
        compile_ticket(ticket)


@pytest.mark.parametrize(
    "settings",
    [{"ranking": "pixel_energy"}, {"ranking": "fixed", "execution": "zero_fill"}],
    ids=["pixel energy", "zero fill"],
)
def test_what_needs_an_image_of_numbers_refuses_an_encoders_spikes(random_ticket, settings):
    settings = {"keep": 0.5, **settings}
    with pytest.raises(UserError, match='encoder = "whiten"'):
        compile_ticket(made(random_ticket, "spikformer", "whiten-lif", **settings))
    ticket = made(random_ticket, "spikformer", "whiten", **settings)
    program = compile_ticket(ticket)
    assert compare_models(program, from_ticket(ticket), inputs(program)).wrong == 0
