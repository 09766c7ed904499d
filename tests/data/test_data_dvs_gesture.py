"""DVS128 Gesture in its three layouts, and labels and lists that are not right."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiketicket.data import Dataset, carve, check_dataset, dvs_gesture, load_dataset, make_config
from spiketicket.errors import UserError
from spiketicket.events import read_events
from spiketicket.events.frames import FrameConfig, to_frames

Event = tuple[int, int, int, int]
Gesture = tuple[int, list[Event]]
"""Class from 1, and events."""
Trials = Mapping[str, Mapping[str, Sequence[Gesture]]]
"""Part -> recording -> gestures."""

STEPS, SIDE = 4, 16
LISTS = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}

pytestmark = pytest.mark.usefixtures("frame_cache", "no_data_variable")


def gestures(
    seed: int, classes: Sequence[int] = range(1, 12), start: int = 80_000
) -> list[Gesture]:
    """Gestures of 30 events one after another; times in whole milliseconds, as tonic rounds."""
    rng = np.random.default_rng(seed)
    found = []
    for number in classes:
        places = rng.integers(0, [128, 128, 2, 50], (30, 4)).tolist()
        times = start + np.cumsum([step for *_, step in places])
        found.append(
            (number, [(1000 * int(t), *row[:3]) for t, row in zip(times, places, strict=True)])
        )
        start = int(times[-1]) + 100
    return found


def trials() -> Trials:
    return {
        # The times of the second go through 2**31.
        "train": {"user01_natural": gestures(1), "user02_led": gestures(2, start=2_146_000)},
        "test": {"user24_fluorescent_led": gestures(3)},
    }


def line(number: int, events: Sequence[Event]) -> str:
    return f"{number},{events[0][0]},{events[-1][0] + 1}\r\n"


def noisy(made: Sequence[Gesture]) -> list[Event]:
    """All events, and one just before and one just behind each gesture."""
    found: list[Event] = []
    for _, events in made:
        found += [(events[0][0] - 1, 5, 5, 1), *events, (events[-1][0] + 1, 6, 6, 0)]
    return found


def official(folder: Path, encode: Any, made: Trials) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for part, recordings in made.items():
        (folder / LISTS[part]).write_text("".join(f"{name}.aedat\r\n" for name in recordings))
        for name, rows in recordings.items():
            (folder / f"{name}.aedat").write_bytes(encode.aedat3(noisy(rows)))
            # As in the official files, labels are in the order of time, not of the classes.
            labels = "".join(line(number, events) for number, events in rows)
            (folder / f"{name}_labels.csv").write_text(
                f"class,startTime_usec,endTime_usec\r\n{labels}"
            )
    return folder


def tonic(folder: Path, encode: Any, made: Trials) -> Path:
    for part, recordings in made.items():
        for name, rows in recordings.items():
            place = folder / f"ibmGesture{part.capitalize()}" / name
            place.mkdir(parents=True)
            for number, events in rows:
                (place / f"{number - 1}.npy").write_bytes(encode.npy_tonic(events))
    return folder


def spikingjelly(folder: Path, encode: Any, made: Trials) -> Path:
    for part, recordings in made.items():
        for name, rows in recordings.items():
            for index, (number, events) in enumerate(rows):
                count = sum(other == number for other, _ in rows[:index])
                place = folder / "events_np" / part / str(number - 1) / f"{name}_{count}.npz"
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(encode.npz(events))
    return folder


LAYOUTS: dict[str, Callable[[Path, Any, Trials], Path]] = {
    "official": official,
    "tonic": tonic,
    "spikingjelly": spikingjelly,
}


def load(root: Path, **fields: Any) -> Dataset:
    size = {"steps": STEPS, "height": SIDE, "width": SIDE}
    return load_dataset(make_config("dvs_gesture", root=str(root), **(size | fields)))


def load_error(root: Path, **fields: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(root, **fields)
    return str(caught.value)


def counted(events: Sequence[Event], side: int = SIDE) -> np.ndarray:
    """Frames of a gesture, one event at a time."""
    frames = np.zeros((STEPS, 2, side, side), np.int64)
    first, last = events[0][0], events[-1][0]
    for t, x, y, p in events:
        frames[(t - first) * STEPS // (last - first + 1), p, y * side // 128, x * side // 128] += 1
    return frames


def by_class(rows: Sequence[Gesture]) -> list[Gesture]:
    return sorted(rows, key=lambda row: row[0])


@pytest.fixture
def root(tmp_path: Path, encode: Any) -> Path:
    """The official layout."""
    return official(tmp_path, encode, trials())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_frames(tmp_path: Path, encode: Any, layout: str) -> None:
    made = trials()
    dataset = load(LAYOUTS[layout](tmp_path / "DvsGesture", encode, made).parent)
    assert dataset.classes == dvs_gesture.CLASSES
    for part, samples in (("train", dataset.train), ("test", dataset.test)):
        rows = [row for name in sorted(made[part]) for row in by_class(made[part][name])]
        assert samples.y.tolist() == [number - 1 for number, _ in rows]
        assert samples.x.dtype == np.uint8
        assert np.array_equal(samples.x, [counted(events) for _, events in rows])
    assert dataset.train.groups is not None
    assert dataset.train.groups.tolist() == [0] * 11 + [1] * 11
    assert dataset.test.groups is not None
    assert dataset.test.groups.tolist() == [2] * 11


def test_size_of_the_sensor_and_published_steps(root: Path) -> None:
    dataset = load_dataset(make_config("dvs_gesture", root=str(root)))
    assert dataset.train.x.shape == (22, 16, 2, 128, 128)
    full = load(root, height=None, width=None)
    _, events = trials()["test"]["user24_fluorescent_led"][4]
    assert np.array_equal(full.test.x[4], counted(events, 128))


def test_lists_of_trials_are_the_split(root: Path) -> None:
    before = load(root)
    for part, names in (("train", ["user24_fluorescent_led"]), ("test", ["user02_led"])):
        (root / LISTS[part]).write_text("\n".join(f"{name}.aedat" for name in names))
    after = load(root)
    assert np.array_equal(after.train.x, before.test.x)
    assert np.array_equal(after.test.x, before.train.x[11:])


def test_spans_are_cut_at_their_borders(root: Path) -> None:
    # Every gesture has an event one microsecond before its start, and one at its end.
    assert load(root).train.x[0].sum() == 30
    path = root / "user01_natural_labels.csv"
    lines = path.read_text().splitlines()
    number, start, stop = (int(text) for text in lines[1].split(","))
    for earlier, later, events in ((1, 0, 31), (1, 1, 32), (-1, 0, 29), (0, -1, 29)):
        lines[1] = f"{number},{start - earlier},{stop + later}"
        path.write_text("\n".join(lines))
        assert load(root).train.x[0].sum() == events, (earlier, later)
    # What is around the events does not change the steps: other layouts do not have it.
    lines[1] = f"{number},{start - 50_000},{stop + 50_000}"
    path.write_text("\n".join(lines))
    kept = [
        event
        for event in noisy(trials()["train"]["user01_natural"])
        if start - 1 <= event[0] <= stop
    ]
    assert np.array_equal(load(root).train.x[0], counted(kept))


def test_a_recording_is_on_one_side_of_a_split(root: Path) -> None:
    train, validation = carve(load(root).train, 0.5, seed=3)
    assert {len(train), len(validation)} == {11}
    assert train.groups is not None
    assert validation.groups is not None
    assert not set(train.groups) & set(validation.groups)


def test_a_gesture_that_was_made_twice(tmp_path: Path, encode: Any) -> None:
    order = [3, 8, 1, 8, 2, 8]
    made = {
        "train": {"user01_lab": gestures(4, order), "user01_led": gestures(5, order)},
        "test": {"user24_lab": gestures(6, order)},
    }
    found = [
        load(LAYOUTS[layout](tmp_path / layout, encode, made))
        for layout in ("official", "spikingjelly")
    ]
    for dataset in found:
        assert dataset.train.y.tolist() == [0, 1, 2, 3, 3, 3] * 2
        rows = by_class(made["test"]["user24_lab"])
        assert np.array_equal(dataset.test.x, [counted(events) for _, events in rows])
    assert found[0].checksum == found[1].checksum
    one, other = (carve(dataset.train, 0.5, seed=1)[1].x for dataset in found)
    assert np.array_equal(one, other)


def test_only_the_classes_that_are_there(tmp_path: Path, encode: Any) -> None:
    some = {"train": {"user01_lab": gestures(1, [11, 2])}, "test": {"user24_lab": gestures(2, [2])}}
    dataset = load(official(tmp_path, encode, some))
    assert dataset.classes == ("right_hand_wave", "other_gestures")
    assert dataset.train.y.tolist() == [0, 1]
    assert dataset.test.y.tolist() == [0]
    assert "classes without a recording are left out: hand_clapping, left" in dataset.notes[1]
    assert "air_guitar" in dataset.notes[1]


def test_a_class_for_test_only(tmp_path: Path, encode: Any) -> None:
    some = {"train": {"user01_lab": gestures(1, [1, 2])}, "test": {"user24_lab": gestures(2, [3])}}
    text = load_error(official(tmp_path, encode, some))
    assert f"{tmp_path}: has no training recording of left_hand_wave, but one for test" in text


def test_one_class(tmp_path: Path, encode: Any) -> None:
    some = {"train": {"user01_lab": gestures(1, [1])}, "test": {"user24_lab": gestures(2, [1])}}
    assert "at least two classes" in load_error(official(tmp_path, encode, some))


def test_labels_that_overlap_keep_their_events(root: Path) -> None:
    """As in the official files: a gesture's end is behind the next one's start."""
    path = root / "user01_natural_labels.csv"
    lines = path.read_text().splitlines()
    begin, end = int(lines[2].split(",")[1]), int(lines[3].split(",")[1]) + 500_000
    lines[2] = f"2,{begin},{end}"
    path.write_text("\n".join(lines))
    dataset = load(root)
    events = noisy(trials()["train"]["user01_natural"])
    kept = [event for event in events if begin <= event[0] < end]
    assert len(kept) > 35
    assert np.array_equal(dataset.train.x[1], counted(kept))
    assert dataset.train.x[2].sum() == 30
    name = "user01_natural_labels.csv"
    expected = f"{name}: line 4 starts 500000 us before line 3 ends: both keep those events"
    assert expected in dataset.notes


def test_a_label_past_the_end_of_the_recording(root: Path) -> None:
    path = root / "user24_fluorescent_led_labels.csv"
    lines = path.read_text().splitlines()
    number, start, stop = (int(text) for text in lines[11].split(","))
    # The recording's last event is at ``stop``.
    lines[11] = f"{number},{start},{stop + 1}"
    path.write_text("\n".join(lines))
    assert not any("behind" in note for note in load(root).notes)
    lines[11] = f"{number},{start},{stop + 501}"
    path.write_text("\n".join(lines))
    dataset = load(root)
    what = "ends 500 us behind the last event of user24_fluorescent_led.aedat"
    assert f"{path.name}: line 12: {what}" in dataset.notes
    assert dataset.test.x[10].sum() == 31
    lines[11] = f"{number},{stop + 10},{stop + 2000}"
    path.write_text("\n".join(lines))
    text = load_error(root)
    assert f"{path}: line 12: user24_fluorescent_led.aedat has no event from {stop + 10} to" in text
    assert "is the recording cut off?" in text


def test_a_recording_that_was_cut_off(root: Path) -> None:
    path = root / "user02_led.aedat"
    path.write_bytes(path.read_bytes()[:2000])
    text = load_error(root)
    assert f"{root / 'user02_led_labels.csv'}: line " in text
    assert "user02_led.aedat has no event" in text


BAD_LINES = {
    "x,1,2": "must be class,startTime_usec,endTime_usec, three whole numbers (got 'x,1,2')",
    "1,2": "three whole numbers",
    "1,2,3,4": "three whole numbers",
    "1,2.5,3": "three whole numbers",
    "1,-5,3": "three whole numbers",
    "1,nan,3": "three whole numbers",
    "1,1,99999999999999999999": "three whole numbers",
    "1,1,\N{ARABIC-INDIC DIGIT THREE}": "three whole numbers",
    "0,1,2": "class must be 1 to 11 (got 0)",
    "12,1,2": "class must be 1 to 11 (got 12)",
    "3,7,7": "endTime_usec must be above startTime_usec (got '3,7,7')",
    "3,7,6": "endTime_usec must be above startTime_usec",
}


@pytest.mark.parametrize("bad", BAD_LINES)
def test_a_bad_line_of_labels(root: Path, bad: str) -> None:
    path = root / "user02_led_labels.csv"
    path.write_text(path.read_text() + "\n" + bad + "\n", "utf-8")
    text = load_error(root)
    assert f"{path}: line 14: " in text
    assert BAD_LINES[bad] in text


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "is missing"),
        (b"", "labels nothing"),
        (b"class,startTime_usec,endTime_usec\n\n", "labels nothing"),
        (b"\xff\xfe\x00", "is not a text"),
        (b"gesture,start,end\n1,2,3\n", "line 1: must be class,startTime_usec"),
    ],
)
def test_labels_that_are_no_labels(root: Path, content: bytes | None, what: str) -> None:
    path = root / "user02_led_labels.csv"
    path.unlink() if content is None else path.write_bytes(content)
    assert f"{path}: {what}" in load_error(root)


@pytest.mark.parametrize(
    ("part", "content", "what"),
    [
        (
            "train",
            "user01_natural.aedat\n\nuser09_led.aedat\n",
            "line 3: names a recording that is missing (got 'user09_led.aedat'). Put the file into",
        ),
        (
            "train",
            "user01_natural.aedat\nuser01_natural.aedat\n",
            "line 2: is listed already, in trials_to_train.txt, line 1",
        ),
        (
            "test",
            "user24_fluorescent_led.aedat\nuser02_led.aedat\n",
            "line 2: is listed already, in trials_to_train.txt, line 2 (got 'user02_led.aedat')",
        ),
        ("test", "../user02_led.aedat\n", "line 1: must be the name of an .aedat file"),
        ("test", "user02_led_labels.csv\n", "line 1: must be the name of an .aedat file"),
        ("test", "\n\n", "lists no recording"),
        ("train", None, "is missing"),
        ("test", None, "is missing"),
    ],
)
def test_a_bad_list_of_trials(root: Path, part: str, content: str | None, what: str) -> None:
    path = root / LISTS[part]
    path.unlink() if content is None else path.write_text(content)
    assert f"{path}: {what}" in load_error(root)


def test_recordings_without_lists(root: Path) -> None:
    for name in LISTS.values():
        (root / name).unlink()
    assert f"{root / LISTS['train']}: is missing" in load_error(root)


@pytest.mark.parametrize("layout", ["tonic", "spikingjelly"])
def test_a_layout_without_its_test_part(tmp_path: Path, encode: Any, layout: str) -> None:
    made = {"train": trials()["train"]}
    LAYOUTS[layout](tmp_path, encode, made)
    missing = {"tonic": "ibmGestureTest", "spikingjelly": "events_np/test"}[layout]
    assert f"{tmp_path / missing}: is not a folder" in load_error(tmp_path)
    (tmp_path / missing).mkdir()
    assert "has no recording for test" in load_error(tmp_path)


@pytest.mark.parametrize(
    ("layout", "name", "what"),
    [
        ("tonic", "ibmGestureTrain/user01_natural/11.npy", "must be named by a gesture's number"),
        ("tonic", "ibmGestureTrain/user01_natural/clap.npy", "a gesture's number, 0 to 10"),
        ("tonic", "ibmGestureTest/user24_fluorescent_led/3.npy", "starts with other bytes"),
        ("spikingjelly", "events_np/train/11/user01_natural_0.npz", "a gesture's number, 0 to 10"),
        ("spikingjelly", "events_np/train/3/user.npz", "must be named like user01_natural_0.npz"),
        ("spikingjelly", "events_np/train/3/user01_natural_0.npz", "starts with other bytes"),
        ("official", "user02_led.aedat", "starts with other bytes"),
    ],
)
def test_a_bad_file(tmp_path: Path, encode: Any, layout: str, name: str, what: str) -> None:
    LAYOUTS[layout](tmp_path, encode, trials())
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"nonsense")
    text = load_error(tmp_path)
    assert what in text
    assert text.startswith(str(path.parent if "/11/" in name else path))


def test_hidden_files_are_not_recordings(tmp_path: Path, encode: Any) -> None:
    before = load(tonic(tmp_path, encode, trials())).checksum
    (tmp_path / "ibmGestureTrain" / "user01_natural" / "._3.npy").write_bytes(b"x")
    assert load(tmp_path).checksum == before


def test_a_recording_of_another_sensor(root: Path, encode: Any) -> None:
    path = root / "user02_led.aedat"
    path.write_bytes(path.read_bytes().replace(b"DVS128", b"DAVIS240C"))
    assert f"{path}: is of a sensor of 240x180 pixels" in load_error(root)


def test_no_data_set(tmp_path: Path) -> None:
    text = load_error(tmp_path)
    assert f"looked in {tmp_path / 'DVS128Gesture'}, {tmp_path / 'DvsGesture'}" in text
    assert "Unpack DvsGesture.tar.gz" in text
    assert f"looked in {tmp_path / 'mine'}." in load_error(tmp_path, folder="mine")


@pytest.mark.parametrize("name", ["DVS128Gesture", "DVS128Gesture/extract/DvsGesture", "mine"])
def test_where_it_is_found(tmp_path: Path, encode: Any, name: str) -> None:
    official(tmp_path / name, encode, trials())
    assert len(load(tmp_path, folder=name if name == "mine" else "").train) == 22


def test_other_labels_do_not_read_the_old_frames(root: Path) -> None:
    before = load(root)
    assert load(root).checksum == before.checksum
    path = root / "user01_natural_labels.csv"
    path.write_text(
        path.read_text().replace("\n1,", "\n#,").replace("\n2,", "\n1,").replace("\n#,", "\n2,")
    )
    after = load(root)
    assert np.array_equal(after.train.x[:2], before.train.x[[1, 0]])


def test_check_and_single_recordings(root: Path) -> None:
    config = make_config("dvs_gesture", root=str(root), steps=STEPS)
    report = check_dataset(config)
    assert report.ok, report.problem
    assert report.survey is not None
    assert sorted(report.survey.counts) == [11 * 32] * 3
    assert report.survey.broken == ()
    assert report.train_counts == (2,) * 11
    events, name = dvs_gesture.recording(config, 12)
    assert name == "user02_led.aedat"
    assert [tuple(map(int, row)) for row in events.data] == trials()["train"]["user02_led"][1][1]


def test_real_recordings_in_the_official_layout(tmp_path: Path, encode: Any) -> None:
    """Ten snippets of gestures 1 to 10, one after another in one recording, labelled as official.

    The test part holds the first half of each.
    """
    data = Path(REAL) / "dvs128-gesture-snippets"
    if not REAL or not data.is_dir():
        pytest.skip("SPIKETICKET_DATA has no dvs128-gesture-snippets")
    snippets = [read_events(data / f"{n}.bin", sensor=(128, 128)) for n in range(1, 11)]
    halves = [events.span(0, 700_000) for events in snippets]
    for part, name, rows in (("train", "user01_natural", snippets), ("test", "user24_led", halves)):
        labels, packets = "class,startTime_usec,endTime_usec\n", []
        for number, events in enumerate(rows, 1):
            offset = 53_036_986 + 2_000_000 * number
            made = [(t + offset, x, y, p) for t, x, y, p in events.data.tolist()]
            labels += line(number, made)
            packets += [encode.aedat3_packet(made[i : i + 512]) for i in range(0, len(made), 512)]
        (tmp_path / LISTS[part]).write_text(f"{name}.aedat\n")
        (tmp_path / f"{name}_labels.csv").write_text(labels)
        (tmp_path / f"{name}.aedat").write_bytes(encode.aedat3_head() + b"".join(packets))
    dataset = load_dataset(make_config("dvs_gesture", root=str(tmp_path)))
    assert dataset.classes == dvs_gesture.CLASSES[:10]
    assert any("left out: other_gestures" in note for note in dataset.notes)
    for samples, rows in ((dataset.train, snippets), (dataset.test, halves)):
        assert samples.y.tolist() == list(range(10))
        direct = [to_frames(events, FrameConfig(steps=16)) for events in rows]
        assert np.array_equal(samples.x, direct)
        assert samples.x.sum() == sum(map(len, rows))


REAL = os.environ.get("SPIKETICKET_DATA", "")
