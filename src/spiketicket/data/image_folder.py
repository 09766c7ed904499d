"""Your own pictures: a folder for each class.

    ROOT/train/cat/1.png  ROOT/test/cat/9.jpg    with a test part of your own, or
    ROOT/cat/1.png                               of which a stratified part becomes the test part

Beside train and test, ROOT/val/cat/1.png is the validation split, in place of one that is drawn.

A class is called like its folder and classes are sorted by name, as are the files of a class.
Each picture is turned as its EXIF data says, put on black where it is transparent, made grey or
RGB, cut to a square around its centre and scaled to ``size`` (Pillow's bilinear filter with
antialiasing; one that has the size keeps its pixels). The mean and standard deviation are
computed: those of all pixels of the training pictures, a value per channel, scaled to 0..1 (a
channel that is the same everywhere gets 1); a validation split that is drawn is among them. All
pictures are kept in memory, channels * size * size bytes each. A file of more than 8 bits per
channel, or of several pages or frames, is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Gt, Interval, Lt
from numpy.typing import NDArray

from spiketicket.data import split as _split
from spiketicket.data import store
from spiketicket.data.copies import Labelled
from spiketicket.data.folders import VALIDATION, Tree, class_folders, parts_in, same_classes
from spiketicket.data.notes import alike
from spiketicket.data.types import Dataset, DatasetInfo, Samples
from spiketicket.errors import UserError
from spiketicket.machine.pictures import SUFFIXES, read_picture
from spiketicket.recipe import DataConfig, Inside, Seed

INFO = DatasetInfo(
    name="image_folder",
    title="Your own pictures: a folder for each class",
    licence="your own",
    citation="",
    homepage="",
    obtain="Put your pictures at DIR/train/CLASS/ and DIR/test/CLASS/, or at DIR/CLASS/",
)


class Config(DataConfig):
    """Pictures in a folder for each class, below ``root``.

    ``root`` is not part of a recipe's hash, ``folder`` is: name the pictures with it.
    """

    side_keys = ("size",)

    name: Literal["image_folder"] = "image_folder"
    folder: Inside = ""
    """Path below ``root`` of the folder with the classes; empty is ``root`` itself. It does not
    leave ``root``; a symbolic link in there is followed."""
    size: Annotated[int, Interval(ge=4, le=1024)] = 32
    """Height and width that every picture is scaled to."""
    channels: Literal[1, 3] = 3
    """3 for RGB, 1 for grey."""
    test_fraction: Annotated[float, Gt(0), Lt(1)] = 0.2
    """Fraction of each class that becomes the test part where there is no train/ and test/."""
    split_seed: Seed = 0
    """Seed of that draw; the recipe's own seed does not change it."""

    def stated_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a sample."""
        return self.channels, self.size, self.size


def load(config: Config) -> Dataset:
    """Read every picture; images are [N, channels, size, size].

    Raises:
        UserError: no such folder, fewer than two classes, a class without pictures, other classes
            in test than in train, or a picture that cannot be read.
    """
    folder = store.data_root(config.root, INFO.name) / config.folder
    notes: list[str] = []
    validation = None
    if parts := parts_in(folder, INFO.obtain, notes):
        trees = {part: _tree(folder / part, notes) for part in parts}
        classes = same_classes(folder, trees)
        samples = {part: _samples(tree, classes, config, notes) for part, tree in trees.items()}
        train, test, validation = samples["train"], samples["test"], samples.get(VALIDATION)
    else:
        tree = _tree(folder, notes)
        classes = tuple(tree)
        train, test = _split.carve(
            _samples(tree, classes, config, notes),
            config.test_fraction,
            config.split_seed,
            classes=classes,
            part="test",
            where="data.test_fraction",
        )
    mean, std = _moments(train.x)
    licence, citation = INFO.licence, INFO.citation
    name = config.folder or INFO.name
    return Dataset(
        name=name,
        train=train,
        test=test,
        validation=validation,
        classes=classes,
        mean=mean,
        std=std,
        licence=licence,
        citation=citation,
        notes=tuple(notes),
    )


def labelled(config: Config) -> Labelled:
    """The files of each part and their classes; those that are not parted are all ``train``.

    Raises:
        UserError: as :func:`load`, but for what is in the pictures.
    """
    folder = store.data_root(config.root, INFO.name) / config.folder
    parts = parts_in(folder, INFO.obtain, [])
    trees = {part: _tree(folder / part, []) for part in parts} or {"train": _tree(folder, [])}
    classes = same_classes(folder, trees)
    return {
        part: [(path, label) for label, name in enumerate(classes) for path in tree[name]]
        for part, tree in trees.items()
    }


def _tree(folder: Path, notes: list[str]) -> dict[str, list[Path]]:
    return class_folders(folder, SUFFIXES, "picture", INFO.obtain, notes)


def _samples(tree: Tree, classes: tuple[str, ...], config: Config, notes: list[str]) -> Samples:
    paths = [path for name in classes for path in tree[name]]
    x = np.empty((len(paths), config.channels, config.size, config.size), np.uint8)
    said: list[tuple[str, str]] = []
    for index, path in enumerate(paths):
        told: list[str] = []
        x[index] = read_picture(
            path, config.channels, config.size, config.size, resize=True, notes=told
        )
        said += [(path.name, note) for note in told]
    notes += alike(said)
    sizes = [len(tree[name]) for name in classes]
    return Samples(x, np.repeat(np.arange(len(classes), dtype=np.int64), sizes))


def _moments(x: NDArray[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over 255, from exact counts of the values.

    A channel without any spread has nothing to divide by, and 1 as its deviation.
    """
    means, deviations = [], []
    for channel in range(x.shape[1]):
        counts = np.bincount(x[:, channel].reshape(-1), minlength=256)
        values = np.arange(256) / 255
        mean = float((counts * values).sum() / counts.sum())
        variance = float((counts * (values - mean) ** 2).sum() / counts.sum())
        means.append(mean)
        deviations.append(variance**0.5)
    if not any(deviations):
        what = "all pixels of all training pictures are the same"
        raise UserError(what, where=INFO.name, value=[round(255 * mean) for mean in means])
    return tuple(means), tuple(deviation or 1.0 for deviation in deviations)
