"""Data sets of recordings: nmnist, event_folder and digits_events, and what they share."""

import struct

import numpy as np
import pytest
import torch

from spiketicket.data import carve, check_dataset, load_dataset, make_config, training_split
from spiketicket.data.augment import thin
from spiketicket.data.types import Samples
from spiketicket.data.view import recordings_of
from spiketicket.errors import RecipeError, UserError
from spiketicket.events import read_events
from spiketicket.recipe import parse_data, parse_recipe, to_dict
from spiketicket.streams import Stream

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("SPIKETICKET_CACHE", str(folder))
    return folder


def write(path, events):
    """A 5-byte recording of (t, x, y, p), as the format's description says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = (bytes([x, y]) + struct.pack(">I", p << 23 | t)[1:] for t, x, y, p in events)
    path.write_bytes(b"".join(rows))


def events(seed, count=40, side=34, last=4000):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, last, count))
    return [(int(a), *(int(v) for v in rng.integers(0, side, 2)), int(rng.integers(2))) for a in t]


@pytest.fixture
def nmnist(tmp_path):
    root = tmp_path / "data"
    for part, count in (("Train", 3), ("Test", 1)):
        for digit in range(10):
            for i in range(count):
                name = f"{digit * 10 + i:05}.bin"
                write(root / "N-MNIST" / part / str(digit) / name, events(digit * 10 + i))
    return root


def test_nmnist_frames_are_counts_of_the_files_events(nmnist):
    config = parse_data("nmnist", str(nmnist))
    found = load_dataset(config)
    assert found.shape == (2, 34, 34)
    assert found.frames == 4
    assert len(found.train) == 30
    assert len(found.test) == 10
    assert found.train.x.dtype == np.uint8
    wanted = np.zeros((4, 2, 34, 34), np.int64)
    rows = events(20)
    first, last = rows[0][0], rows[-1][0]
    for t, x, y, p in rows:
        wanted[(t - first) * 4 // (last - first + 1), p, y, x] += 1
    assert np.array_equal(found.train.x[6], wanted)
    assert found.train.y[6] == 2
    assert (found.mean, found.std) == ((0.0, 0.0), (1 / 255, 1 / 255))


def test_framing_is_the_recipes_and_other_framing_is_another_cache_entry(nmnist, cache):
    plain = load_dataset(parse_data("nmnist", str(nmnist)))
    entries = {p.name for p in cache.iterdir() if not p.name.startswith(".")}
    again = load_dataset(parse_data("nmnist", str(nmnist)))
    assert again.checksum == plain.checksum
    assert {p.name for p in cache.iterdir() if not p.name.startswith(".")} == entries
    settings = ["data.steps=6", "data.height=17", "data.width=17", "data.merge_polarity=true"]
    small = load_dataset(parse_data("nmnist", str(nmnist), settings))
    assert small.train.x.shape == (30, 6, 1, 17, 17)
    assert np.array_equal(small.train.x.sum((1, 2, 3, 4)), plain.train.x.sum((1, 2, 3, 4)))
    assert small.mean == (0.0,)
    assert len({p.name for p in cache.iterdir() if not p.name.startswith(".")}) == 2


def test_a_changed_file_is_not_read_from_the_cache(nmnist):
    before = load_dataset(parse_data("nmnist", str(nmnist)))
    write(nmnist / "N-MNIST" / "Train" / "3" / "00030.bin", events(999))
    after = load_dataset(parse_data("nmnist", str(nmnist)))
    changed = (before.train.x != after.train.x).any((1, 2, 3, 4))
    assert np.flatnonzero(changed).tolist() == [9]


def test_what_is_missing_of_nmnist_is_named(nmnist, tmp_path):
    with pytest.raises(UserError, match=r"no recordings found; looked in .*N-MNIST.*Unpack"):
        load_dataset(parse_data("nmnist", str(tmp_path / "nowhere")))
    with pytest.raises(UserError, match="no recordings found; looked in"):
        load_dataset(parse_data("nmnist", str(nmnist), ["data.folder=other"]))
    for path in (nmnist / "N-MNIST" / "Train" / "7").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="has no training recording of 7, but one for test"):
        load_dataset(parse_data("nmnist", str(nmnist)))
    for path in (nmnist / "N-MNIST" / "Test" / "7").iterdir():
        path.unlink()
    rest = load_dataset(parse_data("nmnist", str(nmnist)))
    assert rest.classes == tuple("012345689")
    assert "left out: 7" in rest.notes[0]


def test_a_broken_recording_is_named_and_told_apart(nmnist):
    bad = nmnist / "N-MNIST" / "Train" / "5" / "00051.bin"
    bad.write_bytes(b"\x01\x02")
    with pytest.raises(UserError, match=r"00051\.bin"):
        load_dataset(parse_data("nmnist", str(nmnist)))
    report = check_dataset(parse_data("nmnist", str(nmnist)))
    assert not report.ok
    assert len(report.survey.broken) == 1
    assert "00051.bin" in report.survey.broken[0]
    assert set(report.survey.counts) == {40}


def test_a_check_tells_durations_and_numbers_of_events(nmnist):
    report = check_dataset(parse_data("nmnist", str(nmnist)))
    assert report.ok
    assert report.survey.counts == (40,) * 40
    rows = events(0)
    assert rows[-1][0] - rows[0][0] in report.survey.durations_us
    assert report.survey.broken == ()


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "mine"
    for label, name in enumerate(("left", "right")):
        for i in range(5):
            write(root / name / f"{i}.bin", events(label * 10 + i, count=200, side=20))
    return root


SENSOR = "data.sensor=[20, 20]"


def test_windows_of_a_recording_are_never_on_both_sides(folder):
    found = load_dataset(parse_data("event_folder", str(folder), [SENSOR, "data.window_us=900"]))
    assert found.classes == ("left", "right")
    assert len(found.test) == 2 * 4
    assert len(found.train) == 8 * 4
    assert not set(found.train.groups.tolist()) & set(found.test.groups.tolist())
    config = parse_data("event_folder", str(folder), [SENSOR, "data.window_us=900"])
    for seed in range(4):
        train, validation = training_split(
            found, config.model_copy(update={"validation": 0.25}), seed
        )
        assert len(validation) == 2 * 4
        assert not set(train.groups.tolist()) & set(validation.groups.tolist())
    whole = load_dataset(parse_data("event_folder", str(folder), [SENSOR]))
    assert (len(whole.train), len(whole.test)) == (8, 2)


def test_windows_have_the_events_of_their_time(folder):
    found = load_dataset(
        parse_data("event_folder", str(folder), [SENSOR, "data.window_us=900", "data.steps=3"])
    )
    rows = events(0, count=200, side=20)
    begin = rows[0][0]
    counts = [
        [
            sum(1 for t, *_ in rows if lo + w * 900 <= t - begin < lo + w * 900 + 300)
            for lo in (0, 300, 600)
        ]
        for w in range(4)
    ]
    every = np.concatenate([found.train.x, found.test.x])
    groups = np.concatenate([found.train.groups, found.test.groups])
    assert every[groups == 0].sum((2, 3, 4)).tolist() == counts


def test_a_train_and_a_test_folder_are_used_as_they_are(tmp_path):
    for part, seeds in (("train", (0, 1)), ("test", (2,))):
        for name in ("a", "b"):
            for i in seeds:
                write(tmp_path / "x" / part / name / f"{i}.bin", events(i, side=20))
    found = load_dataset(parse_data("event_folder", str(tmp_path), ["data.folder=x", SENSOR]))
    assert (len(found.train), len(found.test)) == (4, 2)
    assert found.name == "x"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (["data.window_us=5000"], r"shorter than one window of 5000 us"),
        (["data.height=64"], r"at most"),
        (["data.test_fraction=0.01"], r"leaves class left \(5 samples\) no sample for test"),
        (["data.folder=nowhere"], "is not a folder"),
    ],
)
def test_what_does_not_fit_an_event_folder_is_named(folder, settings, text):
    with pytest.raises(UserError, match=text):
        load_dataset(parse_data("event_folder", str(folder), [SENSOR, *settings]))


def test_one_class_is_none(tmp_path):
    write(tmp_path / "only" / "1.bin", events(0))
    with pytest.raises(UserError, match="only the class only; at least two classes"):
        load_dataset(parse_data("event_folder", str(tmp_path)))


def test_recordings_of_different_sensors_are_not_mixed(tmp_path):
    for name, side in (("a", 20), ("b", 30)):
        for i in range(4):
            corner = (4001, side - 1, side - 1, 1)
            write(tmp_path / name / f"{i}.bin", [*events(i, side=side), corner])
    settings = ["data.test_fraction=0.25", "data.height=10", "data.width=10"]
    with pytest.raises(UserError, match=r"of another sensor than .*Set data\.sensor"):
        load_dataset(parse_data("event_folder", str(tmp_path), settings))
    known = parse_data("event_folder", str(tmp_path), [*settings, "data.sensor=[30, 30]"])
    assert load_dataset(known).shape == (2, 10, 10)


def test_groups_with_samples_of_many_classes_are_drawn_whole():
    y = np.tile(np.arange(3), 10)
    groups = np.repeat(np.arange(10), 3)
    rest, part = carve(Samples(np.ones((30, 1, 1, 1), np.uint8), y, groups), 0.2, seed=1)
    assert (len(rest), len(part)) == (24, 6)
    assert not set(rest.groups.tolist()) & set(part.groups.tolist())
    lone = Samples(np.ones((30, 1, 1, 1), np.uint8), np.where(groups == 0, 3, y), groups)
    with pytest.raises(UserError, match="recordings stay whole"):
        carve(lone, 0.2, seed=1)


def test_thinning_drops_single_events_evenly():
    x = torch.randint(0, 5, (8, 3, 2, 20, 20), dtype=torch.uint8)
    out = thin(x, 0.25, Stream(0, "x"))
    assert out.dtype == x.dtype
    assert (out <= x).all()
    assert abs(out.sum() / x.sum() - 0.75) < 0.02
    assert torch.equal(out, thin(x, 0.25, Stream(0, "x")))
    single = x == 1
    assert set(out[single].tolist()) == {0, 1}


def test_simulated_digits_have_the_digits_classes_and_say_that_they_are_simulated():
    settings = ["data.noise_hz=0.0", "data.steps=2"]
    found = load_dataset(parse_data("digits_events", "", settings))
    plain = load_dataset(parse_data("digits"))
    assert np.array_equal(found.train.y, plain.train.y)
    assert np.array_equal(found.test.y, plain.test.y)
    assert found.train.x.shape == (1437, 2, 2, 32, 32)
    assert "simulated" in found.notes[0]
    title, frames, recorded = recordings_of("digits_events:7", "test", "", settings)[0]
    assert np.array_equal(frames, found.test.x[7])
    assert len(recorded) == frames.sum()
    assert "simulated" in title


def test_view_takes_a_file_or_a_sample(nmnist):
    path = nmnist / "N-MNIST" / "Test" / "4" / "00040.bin"
    settings = ["data.sensor=[34, 34]", "data.steps=5"]
    title, frames, recorded = recordings_of(str(path), "train", "", settings)[0]
    assert title.startswith("00040.bin: 40 events")
    assert frames.shape == (5, 2, 34, 34)
    assert np.array_equal(recorded.data, read_events(path, sensor=(34, 34)).data)
    _, _, sample = recordings_of("nmnist:4", "test", str(nmnist))[0]
    assert np.array_equal(sample.data, recorded.data)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nowhere.bin", "is no file and no sample of a dataset"),
        ("digits:3", "has no recordings of events"),
        ("nmnist:99", "must be from 0 to 9, the test samples"),
        ("nmnist:x", "must be a whole number"),
    ],
)
def test_what_cannot_be_viewed_is_named(target, text, nmnist):
    with pytest.raises(UserError, match=text):
        recordings_of(target, "test", str(nmnist))


@pytest.mark.parametrize(
    ("settings", "part", "root", "text"),
    [
        (["data.window_us=5"], "train", "", "a file is shown whole"),
        ([], "test", "", "`part`: is for samples of a dataset"),
        ([], "train", "somewhere", "`root`: is for samples of a dataset"),
    ],
)
def test_options_that_a_file_has_no_use_for_are_refused(nmnist, settings, part, root, text):
    path = nmnist / "N-MNIST" / "Test" / "4" / "00040.bin"
    with pytest.raises(UserError, match=text):
        recordings_of(str(path), part, root, settings)


@pytest.mark.parametrize("option", ["drop_events", "jitter_events"])
def test_events_are_dropped_and_jittered_of_counts_only(option):
    with pytest.raises(RecipeError, match=f"{option} needs values=sum"):
        parse_data("nmnist", "", [f"data.{option}=0.1", "data.values=binary"])


def test_settings_of_a_dataset_are_checked_as_those_of_a_recipe():
    with pytest.raises(RecipeError, match=r"data\.steps: must be a whole number"):
        parse_data("nmnist", "", ["data.steps=many"])
    with pytest.raises(RecipeError, match="is of another section"):
        parse_data("nmnist", "", ["model.width=2"])
    with pytest.raises(UserError, match="unknown dataset"):
        parse_data("nmnits")
    with pytest.raises(UserError, match="the dataset is nmnist"):
        parse_data("nmnist", "", ["data.name=digits"])


@pytest.fixture
def plain(tmp_path):
    """Two classes of five .npz recordings each, 100 ms, whose times are seconds."""
    root = tmp_path / "plain"
    for label, name in enumerate(("left", "right")):
        (root / name).mkdir(parents=True)
        for i in range(5):
            rows = np.array(events(label * 10 + i, count=200, side=20, last=100_000))
            t, x, y, p = rows.T
            np.savez(root / name / f"{i}.npz", t=t / 1e6, x=x, y=y, p=p)
    return root


def test_the_unit_of_times_is_a_setting_that_is_hashed_only_where_it_is_set(plain, tmp_path):
    report = check_dataset(parse_data("event_folder", str(plain), [SENSOR]))
    assert "look like seconds" in report.problem
    assert "data.time_unit" in report.problem
    config = parse_data("event_folder", str(plain), [SENSOR, "data.time_unit=s"])
    found = load_dataset(config)
    assert any("times are read in s" in note for note in found.notes)
    for path in plain.rglob("*.npz"):
        arrays = dict(np.load(path))
        np.savez(path, **{**arrays, "t": np.rint(arrays["t"] * 1e6).astype(np.int64)})
    whole = load_dataset(parse_data("event_folder", str(plain), [SENSOR]))
    assert found.checksum == whole.checksum
    # What is cached of one unit is not read for another.
    other = load_dataset(parse_data("event_folder", str(plain), [SENSOR, "data.time_unit=ms"]))
    assert any("times are read in ms" in note for note in other.notes)


@pytest.mark.parametrize("name", ["event_folder", "dvs_gesture", "cifar10_dvs"])
def test_settings_at_their_defaults_leave_recipes_and_tickets_as_they_were(name):
    sections = {
        "name": "a",
        "model": {"name": "convnet", "timesteps": make_config(name).steps},
        "neuron": {"name": "lif"},
        "ticket": {"name": "edge_popup", "density": 0.5},
        "train": {"epochs": 1, "batch_size": 8, "tune": "off"},
    }
    made = parse_recipe({**sections, "data": {"name": name}})
    assert not {"time_unit", "split_at_reset"} & set(to_dict(made)["data"])
    unit = parse_recipe({**sections, "data": {"name": name, "time_unit": "ms"}})
    assert to_dict(unit)["data"]["time_unit"] == "ms"
    assert made.hash != unit.hash
    assert parse_recipe(to_dict(unit)) == unit


def test_a_recording_whose_clock_was_reset_is_cut_into_samples(folder):
    path = folder / "left" / "0.bin"
    rows = events(0, count=200, side=20)
    write(path, [*rows, *rows])
    report = check_dataset(parse_data("event_folder", str(folder), [SENSOR]))
    assert "0.bin: its clock is reset once" in report.problem
    assert "data.split_at_reset" in report.problem
    split = [SENSOR, "data.split_at_reset=true"]
    found = load_dataset(parse_data("event_folder", str(folder), split))
    assert len(found.train) + len(found.test) == 11
    groups = np.concatenate([found.train.groups, found.test.groups])
    x = np.concatenate([found.train.x, found.test.x])
    twice = groups == np.bincount(groups).argmax()
    first, second = x[twice]
    assert (first == second).all()
    windows = load_dataset(parse_data("event_folder", str(folder), [*split, "data.window_us=900"]))
    assert len(windows.train) + len(windows.test) == 11 * 4
    report = check_dataset(parse_data("event_folder", str(folder), split))
    assert report.ok
    assert len(report.survey.counts) == 10
    shown = recordings_of(str(path), "train", "", split)
    assert [title.splitlines()[0].split(":")[0] for title, _, _ in shown] == [
        "0.bin, part 1 of 2",
        "0.bin, part 2 of 2",
    ]
