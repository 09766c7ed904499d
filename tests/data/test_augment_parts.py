"""Reflected padding, alternating flip and cutout, each against a slow reference."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spiketicket.data.augment import alternating, augment, cutout
from spiketicket.data.batches import TrainBatches
from spiketicket.errors import UserError
from spiketicket.recipe import parse_data
from spiketicket.streams import Stream


def pictures(count: int, *shape: int) -> torch.Tensor:
    values = np.random.default_rng(0).integers(1, 256, (count, *shape), dtype=np.uint8)
    return torch.from_numpy(values)


@pytest.mark.parametrize("mode", ["zeros", "reflect"])
@pytest.mark.parametrize("shift", [1, 2, 4])
def test_a_crop_is_the_drawn_window_of_the_padded_image(mode: str, shift: int) -> None:
    x, stream = pictures(60, 2, 5, 7), Stream(3, "here")
    found = augment(x, shift, True, stream, pad_mode=mode).numpy()  # type: ignore[arg-type]
    top, left = (stream.child(axis).integers(60, 2 * shift + 1) for axis in ("top", "left"))
    mirrored = stream.child("flip").signs(60) > 0
    sides = ((0, 0), (shift, shift), (shift, shift))
    kind = "constant" if mode == "zeros" else "reflect"
    for i, image in enumerate(x.numpy()):
        padded = np.pad(image, sides, mode=kind)  # type: ignore[call-overload]
        window = padded[:, top[i] : top[i] + 5, left[i] : left[i] + 7]
        np.testing.assert_array_equal(found[i], window[:, :, ::-1] if mirrored[i] else window)
    assert len(set(zip(top.tolist(), left.tolist(), strict=True))) > 5


def test_every_frame_of_a_sample_is_reflected_and_cut_alike() -> None:
    x = pictures(1, 1, 6, 6).expand(20, 3, 1, 6, 6).contiguous()
    shifted = augment(x, 2, True, Stream(0, "x"), pad_mode="reflect")
    assert all(torch.equal(shifted[:, 0], shifted[:, t]) for t in range(3))
    assert not torch.equal(shifted[0], shifted[1])
    cut = cutout(torch.ones(20, 3, 2, 6, 6), 3, Stream(0, "x"))
    assert all(torch.equal(cut[:, 0, 0], cut[:, t, c]) for t in range(3) for c in range(2))


def test_each_image_is_mirrored_in_every_second_epoch() -> None:
    epochs = [alternating(1000, 5, epoch) for epoch in range(4)]
    np.testing.assert_array_equal(epochs[0], ~epochs[1])
    np.testing.assert_array_equal(epochs[0], epochs[2])
    np.testing.assert_array_equal(epochs[1], epochs[3])
    assert 400 < epochs[0].sum() < 600
    assert not np.array_equal(epochs[0], alternating(1000, 6, 0))


def test_batches_alternate_by_the_image_and_not_by_its_place() -> None:
    x = pictures(50, 1, 4, 4)
    batches = TrainBatches(
        x=x,
        y=torch.arange(50),
        mean=(0.0,),
        std=(1 / 255,),
        batch_size=8,
        seed=2,
        flip="alternate",
    )
    seen = []
    for epoch in range(3):
        turned = {}
        for images, labels in batches.epoch(epoch):
            for image, label in zip(images.round().byte(), labels.tolist(), strict=True):
                turned[label] = not torch.equal(image, x[label])
                assert torch.equal(image.flip(2) if turned[label] else image, x[label])
        seen.append(turned)
    assert len(seen[0]) == 50
    assert seen[0] == seen[2]
    assert all(seen[1][label] != turned for label, turned in seen[0].items())
    # A training that goes on in the middle of an epoch gets the same.
    rest = [y.tolist() for _, y in batches.epoch(1, start=3)]
    assert rest == [y.tolist() for _, y in batches.epoch(1)][3:]


@pytest.mark.parametrize("side", [1, 4, 5])
def test_cutout_hides_a_square_around_the_drawn_pixel(side: int) -> None:
    x, stream = torch.rand(80, 3, 8, 6) + 1, Stream(1, "cut")
    found = cutout(x.clone(), side, stream).numpy()
    rows, columns = stream.child("row").integers(80, 8), stream.child("column").integers(80, 6)
    for i, image in enumerate(x.numpy()):
        expected = image.copy()
        top, left = int(rows[i]) - side // 2, int(columns[i]) - side // 2
        expected[:, max(top, 0) : top + side, max(left, 0) : left + side] = 0
        np.testing.assert_array_equal(found[i], expected)
    assert set(rows.tolist()) == set(range(8))
    assert set(columns.tolist()) == set(range(6))


def test_cutout_in_a_batch_is_the_mean() -> None:
    same = {"x": pictures(30, 1, 6, 6), "y": torch.zeros(30, dtype=torch.int64), "seed": 0}
    shown = {"mean": (0.4,), "std": (0.2,), "batch_size": 10}
    plain = torch.cat([x for x, _ in TrainBatches(**same, **shown).epoch(0)])  # type: ignore[arg-type]
    cut = torch.cat([x for x, _ in TrainBatches(**same, **shown, cutout=3).epoch(0)])  # type: ignore[arg-type]
    hidden = cut != plain
    assert (cut[hidden] == 0).all()
    assert set(hidden.flatten(1).sum(1).tolist()) <= {4, 6, 9}


def test_bad_values_name_the_field() -> None:
    x, y = pictures(4, 1, 4, 4), torch.zeros(4, dtype=torch.int64)
    with pytest.raises(UserError, match=r"data\.cutout: must be less than the images' 4 pixels"):
        TrainBatches(x=x, y=y, mean=(0.0,), std=(1.0,), batch_size=2, seed=0, cutout=4)
    for text, said in (
        ("flip=often", "data.flip: must be true, false or 'alternate'"),
        ("pad_mode=wrap", "data.pad_mode: must be 'zeros' or 'reflect'"),
        ("pad_mode=reflect", 'pad_mode="reflect" pads nothing without pad_crop'),
        ("cutout=-1", "data.cutout: must be >= 0"),
        ("test_flip=3", "data.test_flip: must be true or false"),
    ):
        with pytest.raises(UserError) as caught:
            parse_data("digits", "", [f"data.{text}"])
        assert said in str(caught.value)
