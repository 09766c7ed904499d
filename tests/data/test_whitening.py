"""Whitening filters against a slow reference, and what they are a function of."""

import numpy as np
import pytest

from spiketicket.data.whitening import whitening_filters, whitening_samples
from spiketicket.errors import UserError

MEAN, STD = (0.3, 0.5, 0.6), (0.2, 0.3, 0.25)


def pictures(count=150, channels=3, size=6, seed=0):
    """Smooth in space and with channels that go together, as pictures are."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(count, channels, size + 2, size + 2))
    smooth = noise[:, :, :-2, 1:-1] + 2 * noise[:, :, 1:-1, 1:-1] + noise[:, :, 2:, 1:-1]
    smooth += 2 * smooth.mean(1, keepdims=True)
    return (120 + 25 * smooth).clip(0, 255).astype(np.uint8)


def patches(images, mean, std):
    """Every 2x2 patch of normalised images, one by one: [N, C * 4]."""
    found = []
    for image in images:
        scaled = [(image[c] / 255 - mean[c]) / std[c] for c in range(len(image))]
        for top in range(image.shape[1] - 1):
            for left in range(image.shape[2] - 1):
                corner = [plane[top : top + 2, left : left + 2].ravel() for plane in scaled]
                found.append(np.concatenate(corner))
    return np.array(found)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_whitened_patches_are_white(channels):
    x = pictures(channels=channels)
    mean, std = MEAN[:channels], STD[:channels]
    filters = whitening_filters(x, mean, std)
    assert filters.shape == (min(12, 4 * channels), channels, 2, 2)
    assert filters.dtype == np.float32
    found = patches(x, mean, std)
    white = found @ filters.reshape(len(filters), -1).T.astype(np.float64)
    values = np.linalg.eigvalsh(found.T @ found / len(found))[::-1]
    # d / (d + epsilon): 1 but for what keeps small eigenvalues small
    np.testing.assert_allclose(
        white.T @ white / len(white), np.diag(values / (values + 5e-4)), atol=1e-5
    )
    assert (values > 0.01).all(), "the test's pictures vary in every direction"


def test_more_channels_than_three_have_twelve_filters():
    assert whitening_filters(pictures(channels=5), 5 * (0.4,), 5 * (0.2,)).shape == (12, 5, 2, 2)


def test_the_largest_eigenvalue_comes_first_and_signs_are_fixed():
    filters = whitening_filters(pictures(), MEAN, STD).reshape(12, -1)
    assert (np.diff(np.linalg.norm(filters, axis=1)) > 0).all()
    for row in filters:
        assert row[np.argmax(np.abs(row) >= 0.5 * np.abs(row).max())] > 0


def test_frames_are_as_so_many_images():
    images = pictures(120)
    frames = images.reshape(30, 4, *images.shape[1:]).astype(np.int32)
    assert np.array_equal(
        whitening_filters(frames, MEAN, STD), whitening_filters(images, MEAN, STD)
    )


def test_their_order_changes_nothing():
    images = pictures()
    assert np.array_equal(
        whitening_filters(images[::-1], MEAN, STD), whitening_filters(images, MEAN, STD)
    )


def test_directions_without_variation_have_no_filter():
    grey = np.repeat(pictures(channels=1), 3, axis=1)
    filters = whitening_filters(grey, 3 * (0.4,), 3 * (0.2,))
    assert (np.abs(filters[:4]).max(axis=(1, 2, 3)) > 0.01).all()
    assert not filters[4:].any()


@pytest.mark.parametrize("values", [[90], [10, 200]], ids=["all the same", "each another"])
def test_constant_images_are_refused(values):
    x = np.resize(np.array(values, np.uint8), 200)[:, None, None, None]
    with pytest.raises(UserError, match="constant"):
        whitening_filters(np.broadcast_to(x, (200, 3, 6, 6)), MEAN, STD)


def test_images_of_one_pixel_are_refused():
    with pytest.raises(UserError, match="2x2"):
        whitening_filters(np.zeros((100, 1, 1, 8), np.uint8), (0.5,), (0.1,))


def test_too_few_samples_are_refused():
    with pytest.raises(UserError, match=r"100 training samples or more, and there are 99"):
        whitening_samples(np.zeros(99, np.int64), 0)
    assert len(whitening_samples(np.zeros(100, np.int64), 0)) == 100


def test_samples_are_drawn_evenly_by_seed():
    y = np.repeat(np.arange(4), [2000, 2000, 2000, 6000])
    first, again, other = (whitening_samples(y, seed) for seed in (1, 1, 2))
    assert (np.abs(np.bincount(y[first]) - 5000 / 12 * np.array([2, 2, 2, 6])) < 1).all()
    assert len(first) == 5000
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
