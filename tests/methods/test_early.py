"""Early-Bird and Early-Time tickets: when the search stops, and at how many time steps it runs."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spiketicket.experiment.find import find
from spiketicket.methods.early_bird import mask_distance
from spiketicket.methods.early_time import chosen_timesteps, kl_by_timesteps
from spiketicket.ticket import Ticket

from .conftest import made

pytestmark = pytest.mark.slow


@given(seed=st.integers(0, 999), count=st.integers(2, 6))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_distance_is_the_worst_share_of_changed_connections(seed, count):
    random = np.random.default_rng(seed)
    masks = {n: random.random((count, *shape)) < 0.4 for n, shape in (("a", (3, 5)), ("b", (7,)))}
    rows = [np.concatenate([m[i].ravel() for m in masks.values()]) for i in range(count)]
    expected = max(np.mean(row != rows[-1]) for row in rows[:-1])
    found = mask_distance({n: torch.from_numpy(m) for n, m in masks.items()})
    assert found == pytest.approx(expected)


def early_bird(**options):
    none = {"dense": False, "random_trained": False, "random_frozen": False}
    return made(
        "early_bird", 0.4, options={"masks": 2, **options}, train={"epochs": 4}, controls=none
    )


def log(found, stage):
    path = found.folder / "seed-0" / stage / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def masks_of(found, stage):
    return [
        layer.mask for layer in Ticket.load(found.folder / f"seed-0/{stage}/model.ticket").layers
    ]


def test_the_search_ends_when_the_mask_no_longer_changes(tmp_path):
    found = find(early_bird(distance=1.0), runs_dir=tmp_path, threads=1)
    (search,) = found.stages["search"]
    assert search.facts["best_epoch"] == 1
    assert search.facts["trained_epochs"] == 2
    assert search.facts["search"]["converged"] is True
    assert len(log(found, "search")) == 2
    assert len(log(found, "ticket")) == 4
    # the ticket's mask is the largest weights of that epoch
    weights = [
        layer.values for layer in Ticket.load(found.folder / "seed-0/search/model.ticket").layers
    ]
    flat = np.sort(np.abs(np.concatenate([w.ravel() for w in weights])))
    kept = sum(int(m.sum()) for m in masks_of(found, "ticket"))
    for weight, mask in zip(weights, masks_of(found, "ticket"), strict=True):
        assert np.array_equal(mask, np.abs(weight) >= flat[-kept])


def test_a_search_that_never_settles_takes_the_last_mask_and_says_so(tmp_path):
    found = find(early_bird(distance=1e-9), runs_dir=tmp_path, threads=1)
    (search,) = found.stages["search"]
    assert search.facts["search"]["converged"] is False
    assert search.facts["search"]["distance"] > 0
    assert search.facts["best_epoch"] == 3
    few = find(early_bird(masks=9), runs_dir=tmp_path, threads=1)
    assert few.stages["search"][0].facts["search"]["distance"] is None


@pytest.mark.parametrize("when", [2, 5])
def test_a_killed_search_stops_at_the_same_epoch_with_the_same_bytes(tmp_path, monkeypatch, when):
    from spiketicket.training import loop

    recipe = early_bird(distance=0.4)
    recipe = recipe.model_copy(
        update={"train": recipe.train.model_copy(update={"checkpoint_steps": 1})}
    )
    whole = find(recipe, runs_dir=tmp_path / "whole", threads=1)
    save, saves = loop.checkpoint.save, []

    class Stop(Exception):
        pass

    def stop(*args, **named):
        save(*args, **named)
        saves.append(1)
        if len(saves) == when:
            raise Stop

    monkeypatch.setattr(loop.checkpoint, "save", stop)
    with pytest.raises(Stop):
        find(recipe, runs_dir=tmp_path / "cut", threads=1)
    monkeypatch.undo()
    again = find(recipe, runs_dir=tmp_path / "cut", threads=1)
    for name in (
        "search/model.ticket",
        "search/weights.safetensors",
        "search/result.json",
        "ticket/model.ticket",
    ):
        one, other = (f.folder / "seed-0" / name for f in (whole, again))
        assert one.read_bytes() == other.read_bytes(), name


class Drifting(nn.Module):
    """Logits that come nearer to their last value with every step."""

    def __init__(self):
        super().__init__()
        self.timesteps = 5
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x * self.scale * (1 - 0.5**self.timesteps)


def test_the_divergence_is_that_of_the_class_probabilities():
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    model = Drifting().train()

    def probabilities(t):
        z = x.double().numpy() * (1 - 0.5**t)
        e = np.exp(z)
        return e / e.sum(1, keepdims=True)

    last = probabilities(5)
    expected = {
        t: float((probabilities(t) * np.log(probabilities(t) / last)).sum(1).mean())
        for t in (2, 3, 4)
    }
    found = kl_by_timesteps(model, iter([x[:4], x[4:]]), 5)
    assert found == pytest.approx(expected)
    assert model.timesteps == 5
    assert model.training


def test_the_smallest_number_of_steps_that_is_near_enough():
    kl = {2: 1.0, 3: 0.7, 4: 0.5, 5: 0.1}
    assert chosen_timesteps(kl, 6, 0.6) == 4
    assert chosen_timesteps(kl, 6, 0.71) == 3
    assert chosen_timesteps(kl, 6, 0.05) == 6
    assert chosen_timesteps({2: 0.0, 3: 0.0}, 4, 0.6) == 4


@pytest.mark.parametrize("search", ["imp", "early_bird"])
def test_the_search_runs_at_fewer_steps_and_the_ticket_at_all(tmp_path, search):
    recipe = made(
        "early_time",
        0.7,
        options={"search": search, "threshold": 1.0, "probe_epochs": 1},
        model={"timesteps": 4},
        train={"epochs": 2, "weights": {"lr": 0.02}},
    )
    found = find(recipe, runs_dir=tmp_path, threads=1)
    chosen = found.stages["probe"][0].facts["search"]
    kl = {int(t): value for t, value in chosen["kl"].items()}
    assert chosen["timesteps"] == chosen_timesteps(kl, 4, 1.0)
    steps = {}
    for name in found.stages:
        meta = Ticket.load(found.folder / f"seed-0/{name}/model.ticket").metadata
        steps[name] = meta["network"]["args"]["model"]["timesteps"]
    searched = {"imp": ["pretrained", "round_1"], "early_bird": ["search"]}[search]
    assert {steps[name] for name in searched} == {chosen["timesteps"]}
    assert {steps[n] for n in ("probe", "ticket", "dense", "random_trained")} == {4}
    assert found.stages["probe"][0].facts["trained_epochs"] == 1
    assert found.verdict["outcome"] == "too_small"


def test_recordings_are_refused(search):
    s = search(
        made(
            "early_time",
            data={"name": "digits_events", "steps": 4, "train_limit": 40},
            model={"timesteps": 4},
        )
    )
    from spiketicket.errors import UserError

    with pytest.raises(UserError, match="needs static images"):
        s.prepare("probe")
