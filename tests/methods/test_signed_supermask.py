"""The signed supermask: exact counts, searched signs, and the file that stores them."""

import json
import math

import numpy as np
import pytest
import torch
from command import spiketicket
from pydantic import ValidationError
from recipes import varied
from safetensors.numpy import load_file
from torch import nn

from spiketicket.engine.compile import compile_ticket
from spiketicket.errors import UserError
from spiketicket.experiment.exactness import compare
from spiketicket.experiment.find import find
from spiketicket.experiment.stated import density_check, weights_check
from spiketicket.export.card import model_card
from spiketicket.methods.score_search import weight_start
from spiketicket.methods.signed_supermask import Config, SignedSupermask
from spiketicket.methods.stages import stages_of
from spiketicket.methods.weights import initial_weight
from spiketicket.models.of_ticket import to_ticket
from spiketicket.progress import NullReporter
from spiketicket.recipe import registry
from spiketicket.streams import Stream
from spiketicket.ticket import Ticket, describe
from spiketicket.ticket.drawn_signs import SEARCHED

BASE = {
    "name": "tiny",
    "data": {"name": "digits", "train_limit": 200},
    "model": {"name": "convnet", "width": 0.25, "timesteps": 2, "weights": "binary"},
    "neuron": {"name": "lif"},
    "ticket": {"name": "signed_supermask", "density": 0.3},
    "train": {"epochs": 2, "batch_size": 50, "tune": "off", "kernel": "eager"},
    "controls": {"dense": False, "random_trained": False, "random_frozen": False},
}


def net():
    return nn.Sequential(nn.Conv2d(2, 6, 3, bias=False), nn.Flatten(), nn.Linear(96, 5))


def search(binary=True, model=None, **options):
    model = net() if model is None else model
    config = Config(**{"density": 0.3, **options})
    return model, SignedSupermask(model, config, binary=binary, seed=7, epochs=4)


def steps(model, search, count, lr=0.1):
    optimizer = torch.optim.Adam(search.parameters(), lr=lr)
    x = torch.randn(8, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    for step in range(count):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), torch.arange(8) % 5).backward()
        optimizer.step()
        search.on_step_end((step + 1) / count * 4)
        yield


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("scope", ["layer", "global"])
@pytest.mark.parametrize("density", [0.23, 0.5, 0.999])
def test_after_every_step_the_largest_scores_count_with_their_signs(binary, scope, density):
    model, found = search(binary, density=density, scope=scope, ramp_epochs=0)
    drawn = [m.parametrizations.weight.original.clone() for m in found.layers.values()]
    for _ in steps(model, found, 3):
        popups = list(found.popups().values())
        kept, sizes = zip(*((int(p.mask.sum()), p.mask.numel()) for p in popups), strict=True)
        if scope == "global":
            assert sum(kept) == math.floor(density * sum(sizes) + 0.5)
        else:
            assert list(kept) == [math.floor(density * n + 0.5) for n in sizes]
        for layer, popup, w in zip(found.layers.values(), popups, drawn, strict=True):
            assert torch.equal(layer.parametrizations.weight.original, w)
            s, mask = popup.scores.detach(), popup.mask
            if scope == "layer":
                assert s[mask].abs().min() >= (s * ~mask).abs().max()
            size = (w.abs() * mask).sum() / mask.sum() if binary else w.abs()
            sign = torch.where(w < 0, -1.0, 1.0) * torch.where(s < 0, -1.0, 1.0)
            torch.testing.assert_close(layer.weight, size * sign * mask, rtol=1e-6, atol=0)


def test_scores_start_around_zero_as_wide_as_asked():
    _, found = search(model=nn.Sequential(nn.Linear(100, 100)), score_std=0.2)
    (scores,) = found.scores().values()
    assert scores.std() == pytest.approx(0.2, rel=0.05)
    assert abs(scores.mean()) < 0.01
    _, other = search(model=nn.Sequential(nn.Linear(100, 100)), score_std=0.2)
    assert torch.equal(scores, *other.scores().values())


def test_a_loaded_state_computes_with_its_own_signs():
    model, found = search()
    for _ in steps(model, found, 3):
        pass
    other, again = search()
    other.load_state_dict(model.state_dict())
    x = torch.randn(4, 2, 6, 6, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(other(x), model(x))
    again.on_state_loaded()
    assert torch.equal(other(x), model(x))


def test_what_cannot_be_is_refused():
    with pytest.raises(ValidationError, match="nothing to search"):
        Config(density=1)
    for wrong in (0, -1, float("nan"), float("inf"), 1e4):
        with pytest.raises(ValidationError):
            Config(density=0.5, score_std=wrong)
    with pytest.raises(UserError, match="keeps no weight of the 108 of layer 0"):
        search(density=0.001)


@pytest.mark.parametrize("density", [0.5, 0.2, 0.1, 0.05])
def test_the_file_costs_the_masks_entropy_and_one_bit_per_kept_weight(density):
    size = 600
    model, _ = search(model=nn.Sequential(nn.Linear(size, size, bias=False)), density=density)
    ticket = to_ticket(model, {"seed": 7})
    data = ticket.to_bytes()
    entropy = -sum(q * math.log2(q) for q in (density, 1 - density)) * size * size
    assert len(data) <= 1.03 * (entropy + ticket.layers[0].kept) / 8 + 1000
    assert Ticket.from_bytes(data).to_bytes() == data


def test_methods_that_search_signs_are_known_without_pytorch():
    methods = {name: registry.load("methods", name).Config for name in registry.names("methods")}
    assert {name for name, config in methods.items() if config.signs_searched} == {*SEARCHED}


def contents(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.suffix in (".ticket", ".safetensors")
    }


@pytest.fixture(scope="module", params=["binary", "float"])
def run(request, tmp_path_factory):
    recipe = varied(
        BASE,
        model={"weights": request.param},
        ticket={"fine_tune_epochs": 1},
        controls={"inverted": True},
    )
    return recipe, find(recipe, runs_dir=tmp_path_factory.mktemp("runs"), threads=1)


@pytest.mark.slow
def test_the_ticket_is_the_seeds_weights_with_the_signs_of_the_scores(run):
    recipe, found = run
    binary = recipe.model.weights == "binary"
    place = found.folder / "seed-0"
    ticket = Ticket.load(place / "ticket" / "model.ticket")
    inverted = Ticket.load(place / "inverted" / "model.ticket")
    scores = load_file(place / "ticket" / "scores.safetensors")
    for layer, other in zip(ticket.layers, inverted.layers, strict=True):
        start = weight_start(recipe.ticket, binary)
        drawn = initial_weight(start, layer.shape, Stream(0, "weight", layer.name)).numpy()
        signed = np.where(scores[layer.name] < 0, -drawn, drawn)
        assert layer.kept == math.floor(0.3 * layer.size + 0.5)
        for net in (layer, other):
            expected = signed * net.mask
            if binary:
                expected = np.sign(expected) * np.float32(net.alpha)
            assert np.array_equal(net.weight(), expected)
        assert (layer.weight() * drawn < 0).any()
        assert (layer.weight() * drawn > 0).any()
    assert density_check(ticket).state == "fits"
    check = weights_check(ticket)
    assert check.state == "fits"
    assert "their signs are searched" in check.text
    other = weights_check(Ticket(ticket.layers, ticket.tensors, {**meta(ticket), "seed": 1}))
    # all sizes of a binary layer are one
    assert other.state == ("fits" if binary else "does not fit")


def meta(ticket):
    return {k: v for k, v in ticket.metadata.items() if k != "format_version"}


@pytest.mark.slow
def test_fine_tuning_keeps_the_mask(run):
    nets = {s: Ticket.load(run[1].folder / "seed-0" / s / "model.ticket") for s in run[1].stages}
    assert "ticket_finetuned" in nets
    for a, b in zip(nets["ticket"].layers, nets["ticket_finetuned"].layers, strict=True):
        assert np.array_equal(a.mask, b.mask)
        assert not np.array_equal(a.weight(), b.weight())


@pytest.mark.slow
def test_show_and_card_say_that_signs_are_searched_and_stored(run):
    place = run[1].folder / "seed-0"
    for stage, searched in (("ticket", True), ("ticket_finetuned", False)):
        path = place / stage / "model.ticket"
        shown = " ".join(spiketicket("show", path).stdout.split())
        assert ("searched with the mask" in shown) == searched
        metadata = Ticket.load(path).metadata
        card = model_card("x", metadata, describe(path), recipe_hash=None, accuracy=None)
        assert ("the search chose the signs" in card) == searched


@pytest.mark.slow
def test_the_engine_computes_what_was_searched(run):
    ticket = Ticket.load(run[1].tickets[0])
    x = np.random.default_rng(0).normal(0, 1.2, (20, 1, 1, 8, 8)).astype(np.float32)
    agreement = compare(ticket, x)
    assert agreement.samples == 20
    assert agreement.wrong == 0
    assert compile_ticket(ticket).classes == 10


@pytest.mark.slow
def test_a_stopped_search_goes_on_to_the_same_bytes(tmp_path):
    class Stop(Exception):
        pass

    class Interrupter(NullReporter):
        def __getattribute__(self, name):
            def call(*args):
                if name == "step" and args[:2] == (1, 2):
                    raise Stop

            return call

    recipe = varied(BASE, controls={"inverted": True})
    with pytest.raises(Stop):
        find(recipe, runs_dir=tmp_path / "a", reporter=Interrupter(), threads=1)
    assert list((tmp_path / "a").rglob("checkpoint.pt"))
    again = find(recipe, runs_dir=tmp_path / "a", threads=1)
    plain = find(recipe, runs_dir=tmp_path / "b", threads=1)
    assert contents(again.folder) == contents(plain.folder)
    trained = json.loads((plain.folder / "seed-0" / "ticket" / "result.json").read_text())
    assert trained["trained_epochs"] == 2


def test_it_has_every_control_that_edge_popup_has():
    controls = dict.fromkeys(registry.controls(), True)
    names = [
        [s.name for s in stages_of(varied(BASE, ticket={"name": name}, controls=controls))]
        for name in ("edge_popup", "signed_supermask")
    ]
    assert names[0] == names[1]
