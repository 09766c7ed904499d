"""What a dataset is: samples, the dataset, what is known about it, and what a check found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from spiketicket.errors import UserError
from spiketicket.machine.above import Drawn, brief

Progress = Callable[[str, int, int], None]
"""Called during a download with (file name, bytes so far, bytes in all or 0 when unknown)."""


@dataclass(frozen=True, eq=False)
class Samples(Drawn):
    """Images, or the frames of recordings, and their classes.

    ``x`` is uint8 [N, C, H, W] for images, uint8 or uint16 [N, T, C, H, W] for frames; ``y`` is
    int64 [N] with values from 0. ``groups``, int64 [N], says which samples belong together, such
    as those of one recording: a split has a group on one side only. Raises UserError for any other
    type or shape, and when there is no sample.
    """

    drawn_by: ClassVar[str] = "samples_html"

    x: NDArray[np.uint8] | NDArray[np.uint16]
    y: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        image = self.x.dtype == np.uint8 and self.x.ndim == 4
        if not image and not (self.x.dtype in (np.uint8, np.uint16) and self.x.ndim == 5):
            got = f"{self.x.dtype} {list(self.x.shape)}"
            what = "images must be uint8 [N, C, H, W], frames uint8 or uint16 [N, T, C, H, W]"
            raise UserError(what, where="Samples.x", value=got)
        if self.y.dtype != np.int64 or self.y.shape != self.x.shape[:1]:
            got = f"{self.y.dtype} {list(self.y.shape)}"
            what = f"classes must be int64 [{len(self.x)}], one for every image"
            raise UserError(what, where="Samples.y", value=got)
        if self.groups is not None and self.groups.shape != self.y.shape:
            what = f"groups must be int64 [{len(self.x)}], one for every image"
            raise UserError(what, where="Samples.groups", value=list(self.groups.shape))
        if self.x.size == 0:
            raise UserError("there is no sample", where="Samples.x", value=list(self.x.shape))

    def __len__(self) -> int:
        return len(self.y)

    def __repr__(self) -> str:
        classes = int(self.y.max()) + 1
        return f"<Samples: {len(self):,} {kind_of(self.x)}, classes 0 to {classes - 1}>"

    def take(self, indices: NDArray[np.int64]) -> Samples:
        """The samples at ``indices`` (int64 [n]), in that order, copied."""
        groups = None if self.groups is None else self.groups[indices]
        return Samples(self.x[indices], self.y[indices], groups)

    def counts(self, classes: int) -> NDArray[np.int64]:
        """How many samples each of the ``classes`` has, int64 [classes]."""
        return np.bincount(self.y, minlength=classes).astype(np.int64)


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset(Drawn):
    """Training and test samples with all that is needed to use them and to cite them.

    ``mean`` and ``std`` have one value per channel: of the training pixels scaled to 0..1, to be
    used by ``spiketicket.data.augment.normalise``. Frames of events are not normalised: a mean of
    0 and a std of 1/255 leave the counts as they are. ``checksum`` is computed: the sha256 of the
    classes and of all parts' types, shapes and bytes. ``notes`` says what a reader should know
    about how the files were read.

    Raises UserError when the parts do not fit together: image shapes, channels, classes.
    """

    drawn_by: ClassVar[str] = "dataset_html"

    name: str
    train: Samples
    test: Samples
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    citation: str
    notes: tuple[str, ...] = ()
    validation: Samples | None = None
    """The validation split where the files have one; else it is drawn from ``train``."""
    checksum: str = field(init=False)

    def __post_init__(self) -> None:
        for part, samples in self._parts()[1:]:
            if samples.x.shape[1:] != self.train.x.shape[1:]:
                what = f"training and {part} images differ in shape"
                shapes = [list(self.train.x.shape[1:]), list(samples.x.shape[1:])]
                raise UserError(what, where=self.name, value=shapes)
        if not len(self.mean) == len(self.std) == self.shape[0]:
            what = f"mean and std must have {self.shape[0]} values, one per channel"
            raise UserError(what, where=self.name, value=[len(self.mean), len(self.std)])
        if min(self.std) <= 0:
            what = "every channel's std must be > 0"
            raise UserError(what, where=self.name, value=self.std)
        self._check_classes()
        object.__setattr__(self, "checksum", self._digest())

    def __repr__(self) -> str:
        train, test = len(self.train), len(self.test)
        return (
            f"<Dataset {brief(self.name)}: {train:,} training and {test:,} test"
            f" {kind_of(self.train.x)}\n"
            f"  {len(self.classes)} classes: {brief(', '.join(self.classes))}>"
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image or frame."""
        channels, height, width = self.train.x.shape[-3:]
        return channels, height, width

    @property
    def frames(self) -> int:
        """Frames of a sample; 1 for an image, which does not change in time."""
        return self.train.x.shape[1] if self.train.x.ndim == 5 else 1

    def _parts(self) -> list[tuple[str, Samples]]:
        own = [] if self.validation is None else [("validation", self.validation)]
        return [("training", self.train), ("test", self.test), *own]

    def _check_classes(self) -> None:
        known = len(self.classes)
        if known < 2:
            what = "at least two classes are needed"
            raise UserError(what, where=self.name, value=list(self.classes))
        for part, samples in self._parts():
            if samples.y.min() < 0 or samples.y.max() >= known:
                what = f"{part} classes must be 0 to {known - 1}"
                span = [int(samples.y.min()), int(samples.y.max())]
                raise UserError(what, where=self.name, value=span)
        empty = np.flatnonzero(self.train.counts(known) == 0)
        if empty.size:
            what = f"class {self.classes[empty[0]]} has no training sample"
            raise UserError(what, where=self.name)

    def _digest(self) -> str:
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for name, samples in self._parts():
            part = "train" if name == "training" else name
            for kind, array in (("x", samples.x), ("y", samples.y.astype("<i8"))):
                digest.update(f"\0{part}.{kind}:{array.dtype.str}:{array.shape}\0".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def kind_of(x: NDArray[np.generic]) -> str:
    """What an array of samples holds: images or frames, of which size and type."""
    sides = "x".join(map(str, x.shape[1:]))
    what = "images" if x.ndim == 4 else "recordings of frames"
    return f"{what} {sides}, {x.dtype}"


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One official file of a dataset.

    ``md5`` is that of the content. With ``gzip`` the file may also lie there as ``name.gz``, and
    the content is what comes out: a file that was packed again is still the official one. A file
    that is downloaded by itself has ``urls`` (tried in turn), and ``download_md5`` is that of what
    comes from there. ``size`` is the content's in bytes, 0 when not stated.
    """

    name: str
    md5: str
    size: int = 0
    gzip: bool = False
    urls: tuple[str, ...] = ()
    download_md5: str = ""


@dataclass(frozen=True)
class Archive:
    """The official tar archive of a dataset; its ``urls`` are tried in turn."""

    name: str
    md5: str
    urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is known about a dataset without opening it.

    ``folders`` are the names its folder may have below the data root, the first one being where
    a download goes; ``obtain`` says in words how to get the files.
    """

    name: str
    title: str
    licence: str
    citation: str
    homepage: str
    obtain: str
    shipped: bool = False
    """Whether it comes with the package, so that it lies in no folder of the user's."""
    folders: tuple[str, ...] = ()
    files: tuple[DataFile, ...] = ()
    archive: Archive | None = None

    @property
    def downloads(self) -> bool:
        """Whether ``spiketicket data get`` can fetch it."""
        return self.archive is not None or any(entry.urls for entry in self.files)


@dataclass(frozen=True, kw_only=True)
class FileCheck:
    """One file as it was found; ``wrong`` means damaged or not the official file."""

    name: str
    path: str
    state: Literal["ok", "missing", "wrong"]
    expected_md5: str
    found_md5: str = ""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What the recordings of a data set are: microseconds and events of each that can be read.

    ``broken`` says in a line each what is wrong with the others, ``noted`` how many were read
    with a remark, and ``remarks`` what these are, a line for each kind.
    """

    durations_us: tuple[int, ...]
    counts: tuple[int, ...]
    broken: tuple[str, ...]
    noted: int = 0
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What a check of a dataset found.

    ``folder`` and ``files`` are empty for a dataset without official files. ``problem`` says in
    one line why it cannot be used, and is empty when it can; counts, classes, shape and checksum
    are there only then. ``train_counts`` and ``test_counts`` have one number per class, and
    ``validation_counts`` where the data set has a validation split of its own.
    """

    name: str
    folder: str
    files: tuple[FileCheck, ...] = ()
    problem: str = ""
    classes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    train_counts: tuple[int, ...] = ()
    test_counts: tuple[int, ...] = ()
    validation_counts: tuple[int, ...] = ()
    checksum: str = ""
    notes: tuple[str, ...] = ()
    survey: Survey | None = None

    @property
    def ok(self) -> bool:
        """Whether the dataset can be used."""
        return not self.problem

    @property
    def imbalance(self) -> float:
        """Training samples of the largest class over those of the smallest; 1 is balanced."""
        return max(self.train_counts) / min(self.train_counts) if self.train_counts else 0.0
