"""Masks are exact, and random starts are functions of the seed."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spiketicket.errors import UserError
from spiketicket.methods.masks import (
    inverted_masks,
    kept_count,
    random_masks,
    shuffled_masks,
    top_by_order,
    top_mask,
)
from spiketicket.methods.weights import WeightStart, initial_weight
from spiketicket.models.prunable import prunable
from spiketicket.streams import Stream


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 3.5]), min_size=1, max_size=60),
    share=st.floats(0, 1),
)
def test_top_mask_is_a_stable_sort(values, share):
    kept = max(1, round(share * len(values)))
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:kept]
    mask = top_mask(torch.tensor(values), kept)
    assert sorted(expected) == torch.nonzero(mask).flatten().tolist()
    # As a device that is not to be waited for finds it.
    assert torch.equal(mask, top_by_order(torch.tensor(values), kept))


def test_top_mask_does_not_depend_on_the_memory_layout():
    scores = torch.rand(8, 6, 3, 3, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    other = scores.to(memory_format=torch.channels_last)
    assert torch.equal(top_mask(scores, 100), top_mask(other, 100))
    assert int(top_mask(other, 100).sum()) == 100


@given(size=st.integers(1, 10**7), percent=st.integers(1, 100))
def test_kept_count_rounds_half_up(size, percent):
    exact = percent * size / 100
    if exact < 0.5:
        with pytest.raises(UserError, match="smallest feasible density"):
            kept_count(size, percent / 100, "x")
    else:
        assert abs(kept_count(size, percent / 100, "x") - exact) <= 0.5
    assert kept_count(2, 0.25, "x") == 1
    assert kept_count(50, 0.29, "x") == 15  # 0.29 * 50 in floats is less than 14.5
    assert kept_count(6, 0.25, "x") == 2


@pytest.mark.parametrize("size", [144, 1152, 7, 999_983])
def test_kept_count_names_a_density_that_works(size):
    with pytest.raises(UserError) as caught:
        kept_count(size, 1e-9, "layer features.0.synapse")
    assert "layer features.0.synapse" in str(caught.value)
    feasible = float(str(caught.value).rsplit(" ", 1)[1])
    assert kept_count(size, feasible, "x") == 1


def test_random_masks_are_exact_and_of_the_seed():
    shapes, kept = {"a": (4, 5, 3, 3), "b": (10, 7)}, {"a": 91, "b": 1}
    one = random_masks(shapes, kept, Stream(0, "m"))
    again = random_masks(shapes, kept, Stream(0, "m"))
    other = random_masks(shapes, kept, Stream(1, "m"))
    for name in shapes:
        assert int(one[name].sum()) == kept[name]
        assert torch.equal(one[name], again[name])
    assert not torch.equal(one["a"], other["a"])


def test_initial_weights():
    constant = initial_weight(WeightStart("signed_constant"), (64, 32, 3, 3), Stream(0, "w"))
    assert constant.abs().unique().tolist() == [np.float32(np.sqrt(2 / 288))]
    assert abs(float(constant.sign().mean())) < 0.02
    normal = initial_weight(WeightStart("kaiming_normal"), (64, 32, 3, 3), Stream(0, "w"))
    assert abs(float(normal.std()) / np.sqrt(2 / 288) - 1) < 0.02


def test_shared_and_missing_layers_are_named():
    shared = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    shared[1].weight = shared[0].weight
    with pytest.raises(UserError, match="1: shares its weight with 0"):
        prunable(shared)
    with pytest.raises(UserError, match="no convolution and no linear layer"):
        prunable(nn.Sequential(nn.ReLU()))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 6),
    fan_in=st.integers(1, 40),
    density=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_a_shuffled_mask_keeps_what_every_output_has(rows, fan_in, density, seed):
    mask = torch.rand(rows, fan_in, generator=torch.Generator().manual_seed(seed)) < density
    (shuffled,) = shuffled_masks({"a": mask}, Stream(seed, "shuffled mask")).values()
    assert shuffled.shape == mask.shape
    assert torch.equal(shuffled.sum(1), mask.sum(1))
    (again,) = shuffled_masks({"a": mask}, Stream(seed, "shuffled mask")).values()
    assert torch.equal(shuffled, again)


def test_a_shuffled_mask_is_another_one_in_every_row_and_layer():
    mask = torch.zeros(8, 4, 5, 5, dtype=torch.bool)
    mask[:, :2] = True
    found = shuffled_masks({"a": mask, "b": mask}, Stream(0, "shuffled mask"))
    rows = torch.cat([found["a"].flatten(1), found["b"].flatten(1)])
    assert len({tuple(row.tolist()) for row in rows}) == 16
    # half of what was kept is kept again, by chance
    assert 0.4 < float((found["a"] & mask).sum() / mask.sum()) < 0.6


@settings(max_examples=100, deadline=None)
@given(
    scores=st.lists(
        st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0]), min_size=2, max_size=60
    ),
    share=st.floats(0.01, 1),
)
def test_an_inverted_mask_is_of_the_smallest_scores(scores, share):
    values = torch.tensor(scores)
    kept = max(1, round(share * len(scores)))
    mask = top_mask(values.abs(), kept)
    (inverted,) = inverted_masks({"a": mask}, {"a": values}).values()
    assert int(inverted.sum()) == kept
    if 2 * kept <= len(scores):
        assert not bool((inverted & mask).any())
        # an oracle: no weight that is left out of both is smaller than one taken
        left = values.abs()[~mask & ~inverted]
        assert not len(left) or float(values.abs()[inverted].max()) <= float(left.min())
    else:
        assert bool((inverted | mask).all())
