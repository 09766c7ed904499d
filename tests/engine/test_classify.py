"""Classes of whatever a person has: files, pictures, arrays, tensors, recordings, lists of them."""

import json

import numpy as np
import pytest
import torch
from command import spiketicket
from PIL import Image
from small_tickets import FRAMING, SIDE, make_ticket, recording

from spiketicket import Engine
from spiketicket.data import load_dataset, make_config
from spiketicket.errors import UserError
from spiketicket.events.frames import FrameConfig, to_frames


@pytest.fixture(scope="module")
def digits():
    return load_dataset(make_config("digits")).test


@pytest.fixture(scope="module")
def engine():
    return Engine("digits-binw", backend="numpy")


@pytest.fixture(scope="module")
def colours():
    """An engine of coloured pictures that no two channels of are alike."""
    return Engine(make_ticket(3, 1, {"name": "cifar10", "config": {}}), backend="numpy")


def softmax(logits):
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(-1, keepdims=True)


def test_a_picture_in_every_form_has_the_classes_of_its_pixels(engine, digits, tmp_path):
    x = digits.x[3]
    pixels = x[0]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (logits,) = engine.run(x[None])
    order = np.argsort(-logits)
    forms = {
        "path": tmp_path / "a.png",
        "text": str(tmp_path / "a.png"),
        "picture": Image.fromarray(pixels),
        "coloured picture": Image.fromarray(pixels).convert("RGB"),
        "HW": pixels,
        "HW1": pixels[..., None],
        "1HW": x,
        "HW3": np.repeat(pixels[..., None], 3, -1),
        "3HW": np.repeat(x, 3, 0),
        "floats": pixels.astype(np.float32) / 255,
        "tensor": torch.from_numpy(x),
        "tensor that is trained": (torch.from_numpy(x).float() / 255).requires_grad_(),
    }
    for form, given in forms.items():
        found = engine.classify(given, top=4)
        assert [score.index for score in found] == order[:4].tolist(), form
        assert [score.logit for score in found] == logits[order[:4]].tolist(), form
        assert np.allclose([s.probability for s in found], softmax(logits)[order[:4]]), form
        assert found.name == engine.classes[order[0]]
    assert len(engine.classify(x)) == 3
    assert len(engine.classify(x, top=99)) == 10


def test_channels_are_not_mixed_up(colours):
    x = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE), np.uint8)
    (logits,) = colours.run(x[None])
    last = np.ascontiguousarray(x.transpose(1, 2, 0))
    clear = np.dstack([last, np.full((SIDE, SIDE), 255, np.uint8)])
    for given in (x, last, clear, Image.fromarray(last), torch.from_numpy(last)):
        assert colours.classify(given, top=1)[0].logit == logits.max()
    (swapped,) = colours.run(x[None, ::-1])
    assert colours.classify(last[..., ::-1], top=1)[0].logit == swapped.max()


def test_lists_batches_and_folders_are_lists(engine, digits, tmp_path):
    some = digits.x[:5]
    wanted = engine.predict(some).tolist()
    for index, pixels in enumerate(some):
        Image.fromarray(pixels[0]).save(tmp_path / f"{index}.png")
    mixed = [tmp_path / "0.png", some[1], Image.fromarray(some[2, 0]), some[3] / 255, some[4, 0]]
    for given in (some, list(some), torch.from_numpy(some), tmp_path, mixed):
        found = engine.classify(given)
        assert [one.index for one in found] == wanted
    assert engine.classify([]) == []
    assert len(engine.classify([some[0]])) == 1


def test_the_command_says_the_same(engine, digits, tmp_path):
    Image.fromarray(digits.x[0, 0]).save(tmp_path / "a.png")
    done = spiketicket("run", "digits-binw", str(tmp_path), "--top", "3", "--json")
    (entry,) = json.loads(done.stdout)["results"]
    assert engine.classify(tmp_path)[0].to_dict() == entry


def test_another_size_is_refused_or_brought_to_it(engine):
    large = Image.new("L", (20, 16), 200)
    with pytest.raises(UserError, match=r"8 pixels wide and 8 high.*resize=True"):
        engine.classify(large)
    flat = engine.classify(np.full((8, 8), 200, np.uint8))
    for given in (large, np.asarray(large), np.asarray(large) / 255):
        found = engine.classify(given, resize=True)
        assert [s.logit for s in found] == [s.logit for s in flat]


@pytest.mark.parametrize(
    ("given", "options", "kind", "said"),
    [
        (np.zeros((8, 8), np.int64), {}, UserError, "uint8, or floats from 0 to 1"),
        (np.full((8, 8), 1.5), {}, UserError, "Engine.run"),
        (np.full((8, 8), np.nan), {}, UserError, "from 0 to 1"),
        (np.zeros((2, 8, 8), np.uint8), {}, UserError, "[H, W, C]"),
        (np.zeros(8, np.uint8), {}, UserError, "[H, W, C]"),
        ("nothing.png", {}, UserError, "nothing.png: no such file"),
        (np.zeros((8, 8), np.uint8), {"top": 0}, UserError, "`top`"),
        (np.zeros((8, 8), np.uint8), {"time_unit": "ms"}, UserError, "`time_unit`"),
        (None, {}, TypeError, "must be a picture, as a path"),
        ([[0, 1]], {}, TypeError, "x[0][0]"),
        (np.zeros((8, 8), np.uint8), {"top": "3"}, TypeError, "`top`: must be a whole number"),
    ],
)
def test_what_is_none_is_named(engine, given, options, kind, said):
    with pytest.raises(kind) as error:
        engine.classify(given, **options)
    assert said in str(error.value)


def test_recordings_are_framed_as_the_ticket_says(tmp_path):
    ticket = make_ticket(2, 3, {"name": "nmnist", "config": FRAMING})
    engine = Engine(ticket, backend="numpy")
    events = recording(tmp_path / "one.npy")
    frames = to_frames(events, FrameConfig(**FRAMING))
    (logits,) = engine.run(frames[None])
    for given in (tmp_path / "one.npy", events, frames, torch.from_numpy(frames.astype("f4"))):
        assert engine.classify(given, top=1).index == logits.argmax()
    assert engine.classify(events, top=1)[0].logit == logits.max()
    found = engine.classify(np.stack([frames, frames[::-1]]))
    assert [one.index for one in found] == engine.predict(np.stack([frames, frames[::-1]])).tolist()
    with pytest.raises(UserError, match="frames must have the shape"):
        engine.classify(frames[:2])
    with pytest.raises(TypeError, match="must be a recording or its frames"):
        engine.classify(Image.new("L", (SIDE, SIDE)))
    with pytest.raises(UserError, match="`resize`"):
        engine.classify(events, resize=True)


def test_windows_of_a_recording_are_a_list(tmp_path):
    config = {**FRAMING, "window_us": 30_000, "sensor": [34, 34]}
    engine = Engine(make_ticket(2, 3, {"name": "event_folder", "config": config}), backend="numpy")
    found = engine.classify(recording(tmp_path / "x.npy", seed=1))
    assert len(found) == 2
    assert isinstance(engine.classify(recording(tmp_path / "x.npy"), top=1), list)


def test_names_of_a_file_are_safe_to_show(digits):
    ticket = make_ticket(1, 1, {"name": "digits", "config": {}})
    engine = Engine(ticket, backend="numpy")
    found = engine.classify(np.zeros((SIDE, SIDE), np.uint8), top=4)
    assert any("\x1b" in score.name for score in found)
    assert "\x1b" not in str(found) + repr(found) + found._repr_html_()
