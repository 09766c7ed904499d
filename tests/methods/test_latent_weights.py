"""Where fine-tuning starts the latent weights of a binary ticket."""

import numpy as np
import pytest
import torch

from spiketicket.methods.weights import attach_kept, flipped_signs, latent_weight
from spiketicket.streams import Stream
from spiketicket.ticket import TicketLayer


def layer(kept, size, alpha, seed=0):
    rng = np.random.default_rng(seed)
    mask = np.zeros(size, bool)
    mask[rng.choice(size, kept, replace=False)] = True
    signs = np.where(mask, rng.choice([-1, 1], size), 0).astype(np.int8)
    shape = (size // 4, 4)
    return TicketLayer(
        name="0",
        shape=shape,
        kind="binary",
        alpha=alpha,
        mask=mask.reshape(shape),
        signs=signs.reshape(shape),
    )


@pytest.mark.parametrize("kept", [1, 2, 7, 100, 3999])
@pytest.mark.parametrize("alpha", [1e-30, 0.04419417, 1.0, 3e4])
def test_the_net_before_its_first_step_is_the_ticket(kept, alpha):
    for seed in range(5):
        own = layer(kept, 4000, alpha, seed)
        model = torch.nn.Sequential(torch.nn.Linear(4, 1000))
        (weight, _) = attach_kept(model, {"0": own}, seed=seed)[::-1]
        assert weight.requires_grad
        assert np.array_equal(model[0].weight.detach().numpy(), own.weight())
        assert flipped_signs(model, {"0": own}) == {"signs": kept, "signs_flipped": 0}


def test_magnitudes_are_those_of_a_normal_with_the_tickets_signs():
    own = layer(3000, 4000, 0.5)
    latent = latent_weight(own.weight(), own.mask, Stream(0, "latent weight", "0"))
    assert not latent[~own.mask].any()
    assert np.array_equal(np.sign(latent), own.signs)
    sizes = np.abs(latent[own.mask])
    # of |N(0, 1)|: the mean is sqrt(2 / pi) standard deviations, 7.97 % lie below 0.1 of one
    assert sizes.mean() == pytest.approx(0.5, rel=1e-6)
    assert np.mean(sizes < 0.1 * 0.5 / np.sqrt(2 / np.pi)) == pytest.approx(0.0797, abs=0.015)
    other = latent_weight(own.weight(), own.mask, Stream(1, "latent weight", "0"))
    assert not np.array_equal(latent, other)


def test_a_flipped_sign_is_counted():
    own = layer(8, 16, 0.5)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False))
    (latent,) = attach_kept(model, {"0": own}, seed=0)
    with torch.no_grad():
        latent.neg_()
    assert flipped_signs(model, {"0": own}) == {"signs": 8, "signs_flipped": 8}


def test_without_a_seed_nothing_is_trained():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False))
    assert attach_kept(model, {"0": layer(8, 16, 0.5)}, seed=None) == []
    assert not any(p.requires_grad for p in model.parameters())
