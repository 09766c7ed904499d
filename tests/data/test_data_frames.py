"""Samples that are frames of recordings: types, batches, augmentation, counts left as they are."""

import numpy as np
import pytest
import torch

from spiketicket.data.augment import augment
from spiketicket.data.batches import TrainBatches, ordered_batches, to_tensors
from spiketicket.data.types import Dataset, Samples
from spiketicket.errors import UserError
from spiketicket.streams import Stream

COUNTS = {"mean": (0.0, 0.0), "std": (1 / 255, 1 / 255)}


def frames(count=6, steps=3, dtype=np.uint8, high=200):
    x = np.random.default_rng(0).integers(0, high, (count, steps, 2, 8, 6))
    return Samples(x.astype(dtype), np.arange(count, dtype=np.int64) % 2)


def test_a_dataset_of_frames_says_how_many_it_has():
    made = Dataset(
        name="x",
        train=frames(),
        test=frames(4),
        classes=("a", "b"),
        **COUNTS,
        licence="",
        citation="",
    )
    assert made.frames == 3
    assert made.shape == (2, 8, 6)
    images = Samples(np.ones((2, 1, 4, 4), np.uint8), np.array([0, 1]))
    assert (
        Dataset(
            name="x",
            train=images,
            test=images,
            classes=("a", "b"),
            mean=(0.5,),
            std=(0.5,),
            licence="",
            citation="",
        ).frames
        == 1
    )


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint32])
def test_frames_of_another_type_are_refused(dtype):
    with pytest.raises(UserError, match=r"frames uint8 or uint16 \[N, T, C, H, W\]"):
        frames(dtype=dtype)


def test_uint16_images_are_refused():
    with pytest.raises(UserError, match=r"images must be uint8"):
        Samples(np.ones((2, 1, 4, 4), np.uint16), np.array([0, 1]))


@pytest.mark.parametrize(("dtype", "high"), [(np.uint8, 256), (np.uint16, 65536)])
def test_batches_have_time_first_and_the_counts_themselves(dtype, high):
    samples = frames(5, dtype=dtype, high=high)
    x, y = to_tensors(samples)
    found = list(ordered_batches(x, y, COUNTS["mean"], COUNTS["std"], 2))
    assert [tuple(b.shape) for b, _ in found] == [(3, 2, 2, 8, 6), (3, 2, 2, 8, 6), (3, 1, 2, 8, 6)]
    whole = torch.cat([b for b, _ in found], dim=1).transpose(0, 1)
    assert torch.equal(whole, torch.from_numpy(samples.x.astype(np.float32)))
    assert torch.equal(torch.cat([c for _, c in found]), y)


def test_training_batches_are_the_samples_in_another_order():
    samples = frames(6)
    x, y = to_tensors(samples)
    batches = TrainBatches(x=x, y=y, **COUNTS, batch_size=3, seed=1)
    found = torch.cat([b for b, _ in batches.epoch(0)], dim=1).transpose(0, 1)
    assert sorted(f.sum().item() for f in found) == sorted(samples.x.sum((1, 2, 3, 4)).tolist())
    again = [b for b, _ in batches.epoch(0, start=1)]
    assert torch.equal(again[0], list(batches.epoch(0))[1][0])


def test_all_frames_of_a_sample_are_shifted_and_mirrored_alike():
    x = torch.zeros(20, 3, 2, 8, 6, dtype=torch.uint8)
    x[:, :, :, 3, 2] = torch.arange(1, 7, dtype=torch.uint8).view(3, 2)
    out = augment(x, 2, True, Stream(0, "x"))
    places = set()
    for sample in out:
        found = [tuple(p) for p in sample.sum((0, 1)).nonzero().tolist()]
        assert len(found) == 1
        row, column = found[0]
        assert torch.equal(sample[:, :, row, column], torch.arange(1, 7).view(3, 2).byte())
        places.add(found[0])
    assert len(places) > 8
