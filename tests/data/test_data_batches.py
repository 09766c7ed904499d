"""Batches, augmentation and normalisation against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from spiketicket.data import load_dataset, make_config  # noqa: E402
from spiketicket.data.augment import augment, jitter, normalise, thin  # noqa: E402
from spiketicket.data.batches import (  # noqa: E402
    TrainBatches,
    batch_sizes,
    epoch_batches,
    ordered_batches,
    to_tensors,
)
from spiketicket.errors import UserError  # noqa: E402
from spiketicket.streams import Stream  # noqa: E402


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [
        (8, 4, (4, 4)),
        (10, 4, (4, 4, 2)),
        (9, 4, (4, 5)),
        (7, 4, (4, 3)),
        (5, 4, (5,)),
        (4, 4, (4,)),
        (3, 2, (3,)),
        (3, 1, (1, 1, 1)),
        (45000, 64, (*(64,) * 702, 72)),
    ],
)
def test_batch_sizes(count: int, batch_size: int, sizes: tuple[int, ...]) -> None:
    assert batch_sizes(count, batch_size) == sizes


@pytest.mark.parametrize("batch_size", [0, -1, 11])
def test_batch_larger_than_the_set(batch_size: int) -> None:
    message = rf"train.batch_size: must be from 1 to 10, .*\(got {batch_size}\)"
    with pytest.raises(UserError, match=message):
        epoch_batches(10, batch_size, 0, 0)


def test_an_epoch_has_every_sample_once() -> None:
    batches = list(epoch_batches(1000, 64, 3, 2))
    assert [len(batch) for batch in batches] == list(batch_sizes(1000, 64))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))


def test_epochs_are_functions_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(list(epoch_batches(100, 10, seed, epoch))).tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (1, 2)}) == 4


def numbered(count: int, channels: int, height: int, width: int) -> torch.Tensor:
    generator = np.random.default_rng(0)
    return torch.from_numpy(
        generator.integers(1, 256, (count, channels, height, width), dtype=np.uint8)
    )


def test_crop_is_a_window_of_the_padded_image() -> None:
    x = numbered(300, 2, 5, 7)
    result = augment(x, 2, False, Stream(1))
    places = set()
    for before, after in zip(x.numpy(), result.numpy(), strict=True):
        padded = np.zeros((2, 9, 11), np.uint8)
        padded[:, 2:7, 2:9] = before
        found = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if np.array_equal(padded[:, top : top + 5, left : left + 7], after)
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) == 25, "every place occurs"


def test_flip_mirrors_about_half() -> None:
    x = numbered(400, 3, 4, 4)
    result = augment(x, 0, True, Stream(1))
    mirrored = 0
    for before, after in zip(x.numpy(), result.numpy(), strict=True):
        if np.array_equal(before[:, :, ::-1], after):
            mirrored += 1
        else:
            assert np.array_equal(before, after)
    assert 150 < mirrored < 250


def test_augment_is_a_function_of_the_stream_and_leaves_its_input() -> None:
    x = numbered(50, 3, 8, 8)
    before = x.clone()
    first, again = (augment(x, 4, True, Stream(1, 2)) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(x, 4, True, Stream(1, 3)))
    assert torch.equal(x, before)
    assert augment(x, 0, False, Stream(1)) is x
    assert first.dtype == torch.uint8
    assert first.is_contiguous()


def test_normalise() -> None:
    x = numbered(20, 3, 6, 6)
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    result = normalise(x, mean, std)
    exact = (x.numpy() / 255 - np.reshape(mean, (3, 1, 1))) / np.reshape(std, (3, 1, 1))
    assert result.dtype == torch.float32
    assert np.abs(result.numpy() - exact).max() < 1e-6
    scale = (1 / (255 * np.array(std))).astype(np.float32).reshape(3, 1, 1)
    shift = (-np.array(mean) / np.array(std)).astype(np.float32).reshape(3, 1, 1)
    assert np.array_equal(result.numpy(), x.numpy().astype(np.float32) * scale + shift)


@pytest.fixture(scope="module")
def batches() -> TrainBatches:
    dataset = load_dataset(make_config("digits"))
    x, y = to_tensors(dataset.train)
    return TrainBatches(
        x=x, y=y, mean=dataset.mean, std=dataset.std, batch_size=100, seed=4, pad_crop=1, flip=True
    )


def test_continuing_at_a_step_gives_the_same_batches(batches: TrainBatches) -> None:
    whole = list(batches.epoch(3))
    assert len(whole) == batches.steps == 14
    assert [len(y) for _, y in whole] == [*(100,) * 13, 137]
    rest = list(batches.epoch(3, start=9))
    assert len(rest) == 5
    for (x, y), (x_again, y_again) in zip(whole[9:], rest, strict=True):
        assert torch.equal(x, x_again)
        assert torch.equal(y, y_again)


def test_each_epoch_augments_anew(batches: TrainBatches) -> None:
    (x, y), (other, _) = (next(batches.epoch(epoch)) for epoch in (0, 1))
    assert (x.shape, x.dtype, y.dtype) == ((100, 1, 8, 8), torch.float32, torch.int64)
    assert not torch.equal(x, other)


def test_each_step_augments_anew() -> None:
    same = numbered(1, 1, 8, 8).expand(100, 1, 8, 8).contiguous()
    labels = torch.zeros(100, dtype=torch.int64)
    first, second = TrainBatches(
        x=same, y=labels, mean=(0.0,), std=(1.0,), batch_size=50, seed=0, pad_crop=3
    ).epoch(0)
    assert not torch.equal(first[0], second[0])


def test_classes_stay_with_their_images() -> None:
    number = torch.arange(200, dtype=torch.uint8)
    plain = TrainBatches(
        x=number.view(-1, 1, 1, 1),
        y=number.long(),
        mean=(0.0,),
        std=(1 / 255,),
        batch_size=32,
        seed=0,
    )
    for x, y in plain.epoch(0):
        assert torch.equal(x.view(-1).round().long(), y)


def test_a_batch_larger_than_the_set_is_told_before_training() -> None:
    x, y = torch.zeros(5, 1, 4, 4, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64)
    with pytest.raises(UserError, match=r"train\.batch_size"):
        TrainBatches(x=x, y=y, mean=(0.0,), std=(1.0,), batch_size=6, seed=0)
    with pytest.raises(UserError, match=r"data.pad_crop: must be less than .* 4 pixels \(got 4\)"):
        TrainBatches(x=x, y=y, mean=(0.0,), std=(1.0,), batch_size=5, seed=0, pad_crop=4)


def test_ordered_batches_keep_order_and_all_samples() -> None:
    x, y = numbered(10, 1, 2, 2), torch.arange(10)
    parts = list(ordered_batches(x, y, (0.5,), (0.25,), 4))
    assert [len(part) for _, part in parts] == [4, 4, 2]
    assert torch.equal(torch.cat([part for _, part in parts]), y)
    assert torch.equal(torch.cat([part for part, _ in parts]), normalise(x, (0.5,), (0.25,)))


def test_to_tensors_shares_memory() -> None:
    samples = load_dataset(make_config("digits")).test
    x, y = to_tensors(samples)
    assert (x.dtype, y.dtype) == (torch.uint8, torch.int64)
    assert x.data_ptr() == samples.x.ctypes.data


def test_jittered_frames_are_those_of_jittered_events() -> None:
    """The library's jitter of event times, framed, moves as many events from frame to frame."""
    from spiketicket.events import Events
    from spiketicket.events import augment as events_augment
    from spiketicket.events.frames import FrameConfig, to_frames
    from spiketicket.events.types import EVENT

    share, width, steps, count = 0.6, 1000, 4, 40_000
    data = np.zeros(count, EVENT)
    data["t"] = np.sort(Stream(0, "times").integers(count, steps * width))
    events = Events(data, 1, 1)
    config, span = FrameConfig(steps=steps), (0, steps * width)
    counts = to_frames(events, config, span_us=span)
    moved = events_augment.jitter(events, int(share * width), Stream(1, "jitter"))
    moved.data["t"] = np.clip(moved.t, 0, steps * width - 1)
    expected = to_frames(moved, config, span_us=span).sum((1, 2, 3)).astype(np.int64)
    # One event a pixel and sample, so that the frames it may go to are known.
    frames = torch.zeros(count, steps, 1, 1, 1, dtype=torch.int16)
    frames[torch.arange(count), torch.from_numpy(data["t"] // width).long()] = 1
    found = jitter(frames, share, Stream(2, "jitter"))
    assert found.sum((1, 2, 3, 4)).eq(1).all()
    step = found.flatten(1).argmax(1) - frames.flatten(1).argmax(1)
    assert step.abs().max() == 1
    assert step.ne(0).float().mean() == pytest.approx(0.75 * share / 2, abs=0.01)
    assert counts.sum() == count
    assert found.sum((0, 2, 3, 4)).numpy() == pytest.approx(expected, abs=6 * 100)


def test_dropping_and_jittering_keep_what_they_should() -> None:
    frames = torch.from_numpy(Stream(3, "x").integers(2 * 3 * 2 * 5 * 4, 6)).to(torch.uint8)
    frames = frames.view(2, 3, 2, 5, 4)
    moved = jitter(frames, 1.0, Stream(4, "j"))
    assert moved.sum(1).equal(frames.sum(1))
    assert not moved.equal(frames)
    assert thin(frames, 0.5, Stream(5, "d")).le(frames).all()


def test_training_draws_the_jitter_anew_each_epoch() -> None:
    x = torch.full((4, 3, 1, 8, 8), 2, dtype=torch.uint8)
    batches = TrainBatches(
        x=x,
        y=torch.zeros(4, dtype=torch.int64),
        mean=(0.0,),
        std=(1 / 255,),
        batch_size=4,
        seed=0,
        jitter_events=0.5,
    )
    first, again, second = (next(batches.epoch(e))[0] for e in (0, 0, 1))
    assert first.equal(again)
    assert not first.equal(second)
    assert first.sum() == x.sum()
