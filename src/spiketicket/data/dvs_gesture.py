"""DVS128 Gesture: 11 hand and arm gestures of 29 people under an event camera of 128x128 pixels.

Any number of the files, in one of three layouts:

    trials_to_train.txt  trials_to_test.txt        official: AEDAT 3.1, a line of labels a gesture
    user01_natural.aedat  user01_natural_labels.csv

    ibmGestureTrain/user01_natural/0.npy  ibmGestureTest/...           tonic's, gestures 0 to 10
    events_np/train/0/user01_natural_0.npz  events_np/test/...  SpikingJelly's, gestures 0 to 10

An official recording is cut into samples, start <= t < stop in the microseconds of its own clock.
A sample's first and last event set its time steps, so that all layouts give the same frames, in
the same order: by recording, gesture and time. All samples of a recording are on one side of every
split. tonic's files differ from the official ones in two ways: times are rounded to milliseconds,
and of a gesture that was made twice there is one sample (1,341 in place of 1,464).

Labels as they are in the official files: in ``user22_led_labels.csv`` gesture 9 ends behind the
start of the next, which BrainChip's mirror corrects; so spans that overlap are used as they are,
with a note, and so are those that run past the end of their recording. A span without any event,
or one that ends before it starts, is an error.

Source: README.txt of the data set; tonic/datasets/dvsgesture.py in github.com/neuromorphs/tonic;
spikingjelly/datasets/dvs128_gesture.py in github.com/fangwei123456/spikingjelly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

from annotated_types import Interval

from spiketicket.data.event_set import EventSet
from spiketicket.data.recordings import Parts, Recording, TimedConfig
from spiketicket.data.types import DatasetInfo
from spiketicket.errors import UserError
from spiketicket.events.published import SENSORS
from spiketicket.machine.bounded import read_regular

SENSOR = SENSORS["dvs_gesture"]
CLASSES = (
    "hand_clapping",
    "right_hand_wave",
    "left_hand_wave",
    "right_arm_clockwise",
    "right_arm_counter_clockwise",
    "left_arm_clockwise",
    "left_arm_counter_clockwise",
    "arm_roll",
    "air_drums",
    "air_guitar",
    "other_gestures",
)

INFO = DatasetInfo(
    name="dvs_gesture",
    title="DVS128 Gesture: 1,176 + 288 recordings, 128x128 events, 11 classes",
    licence="CC BY 4.0",
    citation=(
        "A. Amir, B. Taba, D. Berg, T. Melano, J. McKinstry, C. Di Nolfo, T. Nayak, "
        "A. Andreopoulos, G. Garreau, M. Mendoza, J. Kusnitz, M. Debole, S. Esser, T. Delbruck, "
        "M. Flickner, D. Modha (2017). A Low Power, Fully Event-Based Gesture Recognition System. "
        "CVPR"
    ),
    homepage="https://research.ibm.com/interactive/dvsgesture/",
    obtain="Unpack DvsGesture.tar.gz, which the homepage leads to, to DIR/DvsGesture",
    folders=("DVS128Gesture", "DvsGesture", "DVSGesture", "DVS128Gesture/extract/DvsGesture"),
)

_LISTS: Final = {"train": "trials_to_train.txt", "test": "trials_to_test.txt"}
_TONIC: Final = {"train": "ibmGestureTrain", "test": "ibmGestureTest"}
_ARRAYS: Final = "events_np"
_HEADER: Final = "class,startTime_usec,endTime_usec"
_LINE: Final = re.compile(r"\s*(\d{1,2})\s*,\s*(\d{1,18})\s*,\s*(\d{1,18})\s*", re.ASCII)


class Config(TimedConfig):
    """Recordings below ``root``."""

    camera = SENSOR

    name: Literal["dvs_gesture"] = "dvs_gesture"
    folder: str = ""
    """Another folder below ``root`` than the usual ones."""
    steps: Annotated[int, Interval(ge=1, le=4096)] = 16


class _Label(NamedTuple):
    line: int
    label: int
    start: int
    stop: int


def _find(config: Config, folder: Path, notes: list[str]) -> Parts:
    """A list of trials must name files that are there, and labels must be right."""
    del config
    found = (_layout(folder) or _official)(folder, notes)
    for part, rows in found.items():
        if not rows:
            raise UserError(f"has no recording for {part}", where=str(folder), remedy=INFO.obtain)
    return found


def _layout(folder: Path) -> Callable[[Path, list[str]], dict[str, list[Recording]]] | None:
    if any((folder / name).is_file() for name in _LISTS.values()):
        return _official
    if (folder / _ARRAYS).is_dir():
        return _spikingjelly
    if any((folder / name).is_dir() for name in _TONIC.values()):
        return _tonic
    # Recordings without the lists are worth an error that says so.
    return _official if next(folder.glob("user*.aedat"), None) else None


def _official(folder: Path, notes: list[str]) -> dict[str, list[Recording]]:
    notes.append(f"cut as labelled, split by {_LISTS['train']} and {_LISTS['test']}")
    listed: dict[str, str] = {}
    parts: dict[str, list[Recording]] = {}
    for part, name in _LISTS.items():
        rows: list[Recording] = []
        for path in _trials(folder / name, listed):
            rows += _gestures(path, notes)
        parts[part] = rows
    return parts


def _trials(path: Path, listed: dict[str, str]) -> list[Path]:
    """The recordings of a list, by name; ``listed`` are the places of those seen so far."""
    found = []
    for number, line in _lines(path):
        where = f"{path}: line {number}"
        recording = path.parent / line
        if recording.parent != path.parent or recording.suffix != ".aedat":
            raise UserError("must be the name of an .aedat file", where=where, value=line)
        if line in listed:
            raise UserError(f"is listed already, in {listed[line]}", where=where, value=line)
        if not recording.is_file():
            remedy = f"Put the file into {path.parent}, or take the line out"
            raise UserError(
                "names a recording that is missing", where=where, value=line, remedy=remedy
            )
        listed[line] = f"{path.name}, line {number}"
        found.append(recording)
    if not found:
        raise UserError("lists no recording", where=str(path))
    return sorted(found, key=lambda recording: recording.stem)


def _gestures(path: Path, notes: list[str]) -> list[Recording]:
    """The samples of an official recording, by gesture and then in the order of the labels."""
    labels_path = path.with_name(f"{path.stem}_labels.csv")
    labels = _labels(labels_path)
    latest: _Label | None = None
    for label in sorted(labels, key=lambda label: label.start):
        if latest is not None and label.start < latest.stop:
            what = f"starts {latest.stop - label.start} us before line {latest.line} ends"
            notes.append(f"{labels_path.name}: line {label.line} {what}: both keep those events")
        if latest is None or label.stop > latest.stop:
            latest = label
    return [
        Recording(
            path=path,
            label=label.label,
            span_us=(label.start, label.stop),
            stated=f"{labels_path.name}: line {label.line}",
            group=path.stem,
        )
        for label in sorted(labels, key=lambda label: label.label)
    ]


def _labels(path: Path) -> list[_Label]:
    found = []
    for number, line in _lines(path):
        if number == 1 and line.replace(" ", "") == _HEADER:
            continue
        where = f"{path}: line {number}"
        match = _LINE.fullmatch(line)
        if match is None:
            what = f"must be {_HEADER}, three whole numbers"
            raise UserError(what, where=where, value=line)
        gesture, start, stop = (int(text) for text in match.groups())
        if not 1 <= gesture <= len(CLASSES):
            raise UserError(f"class must be 1 to {len(CLASSES)}", where=where, value=gesture)
        if stop <= start:
            raise UserError("endTime_usec must be above startTime_usec", where=where, value=line)
        found.append(_Label(number, gesture - 1, start, stop))
    if not found:
        raise UserError("labels nothing", where=str(path))
    return found


def _lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text that are not blank, with their numbers from 1."""
    if not path.is_file():
        raise UserError("is missing", where=str(path), remedy=INFO.obtain)
    try:
        text = read_regular(path).decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise UserError("is not a text", where=str(path)) from error
    return [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]


def _tonic(folder: Path, notes: list[str]) -> dict[str, list[Recording]]:
    notes.append(
        "tonic's files: times are rounded to milliseconds, a gesture made twice is there once"
    )
    parts = {}
    for part, name in _TONIC.items():
        rows = []
        for trial in _folders(folder / name):
            rows += [
                Recording(path=path, label=_number(path, path.stem), group=trial.name)
                for path in trial.glob("[!.]*.npy")
            ]
        parts[part] = sorted(rows, key=lambda row: (row.group, row.label))
    return parts


def _spikingjelly(folder: Path, notes: list[str]) -> dict[str, list[Recording]]:
    notes.append("SpikingJelly's files")
    parts = {}
    for part in _LISTS:
        found = []
        for gesture in _folders(folder / _ARRAYS / part):
            label = _number(gesture, gesture.name)
            for path in gesture.glob("[!.]*.npz"):
                trial, _, count = path.stem.rpartition("_")
                if not trial or not count.isdecimal():
                    what = "must be named like user01_natural_0.npz"
                    raise UserError(what, where=str(path))
                found.append(
                    (trial, label, int(count), Recording(path=path, label=label, group=trial))
                )
        parts[part] = [row for *_, row in sorted(found, key=lambda entry: entry[:3])]
    return parts


def _folders(folder: Path) -> Sequence[Path]:
    if not folder.is_dir():
        raise UserError("is not a folder", where=str(folder), remedy=INFO.obtain)
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _number(path: Path, name: str) -> int:
    if not re.fullmatch(r"\d|10", name, re.ASCII):
        what = f"must be named by a gesture's number, 0 to {len(CLASSES) - 1}"
        raise UserError(what, where=str(path))
    return int(name)


_SET = EventSet(
    info=INFO, classes=CLASSES, sensor=SENSOR, has=lambda p: _layout(p) is not None, find=_find
)
load, survey, recording = _SET.load, _SET.survey, _SET.recording
