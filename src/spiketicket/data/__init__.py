"""Datasets: one file each, found by name; images, and frames of recordings, in memory.

    from spiketicket.data import load_dataset, make_config
    dataset = load_dataset(make_config("cifar10", root="~/data"))
    dataset.train.x, dataset.train.y, dataset.classes, dataset.mean, dataset.std

A new dataset is one new file here with ``INFO``, ``Config`` and ``load``. Nothing is downloaded
but by :func:`get_dataset`. No torch is needed for any of this; batches are made of the samples by
``_batches`` and ``_augment``, which need it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from spiketicket.data import store
from spiketicket.data.copies import copies
from spiketicket.data.download import GetReport, fetch
from spiketicket.data.progress import console_progress
from spiketicket.data.split import carve, limit_test, training_split
from spiketicket.data.types import (
    CheckReport,
    DataFile,
    Dataset,
    DatasetInfo,
    FileCheck,
    Progress,
    Samples,
    Survey,
)
from spiketicket.errors import UserError
from spiketicket.recipe import registry

if TYPE_CHECKING:
    from spiketicket.recipe import DataConfig

__all__ = [
    "CheckReport",
    "DataFile",
    "Dataset",
    "DatasetInfo",
    "FileCheck",
    "GetReport",
    "Progress",
    "Samples",
    "Survey",
    "carve",
    "check_dataset",
    "console_progress",
    "get_dataset",
    "list_datasets",
    "load_dataset",
    "make_config",
    "training_split",
]


class _Choice(Protocol):
    INFO: DatasetInfo
    Config: type[DataConfig]

    def load(self, config: DataConfig) -> Dataset: ...


def list_datasets() -> tuple[DatasetInfo, ...]:
    """What is known about every dataset, sorted by name; opens no data file."""
    return tuple(_choice(name).INFO for name in registry.names("data"))


def make_config(name: str, **fields: Any) -> DataConfig:
    """The dataset's own ``Config``, with its defaults but for ``fields``.

    Raises:
        UserError: unknown dataset.
        pydantic.ValidationError: unknown or invalid field.
    """
    return _choice(name).Config(**fields)


def load_dataset(config: DataConfig) -> Dataset:
    """Read a dataset's files; downloads nothing.

    ``config`` is the ``Config`` of the dataset's file, e.g. from :func:`make_config` or a recipe.
    A relative ``config.root`` is below the working directory; loading a recipe makes that of its
    file absolute. With ``config.test_limit`` the test set is that many of its samples, and the
    checksum is of those.

    Raises:
        UserError: unknown dataset; files missing (with the command that gets them), damaged or
            not the official ones; fewer test samples than ``config.test_limit``.
    """
    choice = _choice(config.name)
    if not isinstance(config, choice.Config):
        what = f"must be a spiketicket.data.{config.name}.Config"
        raise UserError(what, where="config", value=type(config).__name__)
    dataset = choice.load(config)
    if config.test_limit is None:
        return dataset
    return replace(dataset, test=limit_test(dataset.test, config.test_limit))


def check_dataset(config: DataConfig) -> CheckReport:
    """Look at each file of a dataset and then load it: what there is, and whether it is usable.

    Raises:
        UserError: unknown dataset. Anything wrong with the data is ``problem`` in the report.
    """
    info = _choice(config.name).INFO
    folder = ""
    files: tuple[FileCheck, ...] = ()
    seen: Survey | None = None
    try:
        if info.files:
            place = store.locate(info, store.data_root(config.root, info.name))
            folder = str(place)
            files = store.inspect(info, place)
        survey = getattr(_choice(config.name), "survey", None)
        seen = survey(config) if survey else None
        dataset = load_dataset(config)
        labelled = getattr(_choice(config.name), "labelled", None)
        twice = copies(labelled(config)) if labelled else []
    except UserError as error:
        return CheckReport(
            name=info.name, folder=folder, files=files, problem=str(error), survey=seen
        )
    known = len(dataset.classes)
    return CheckReport(
        name=info.name,
        folder=folder,
        files=files,
        classes=dataset.classes,
        shape=dataset.shape,
        train_counts=tuple(dataset.train.counts(known).tolist()),
        test_counts=tuple(dataset.test.counts(known).tolist()),
        validation_counts=(
            () if dataset.validation is None else tuple(dataset.validation.counts(known).tolist())
        ),
        checksum=dataset.checksum,
        notes=(*dataset.notes, *twice),
        survey=seen,
    )


def get_dataset(name: str, root: str = "", progress: Progress | None = None) -> GetReport:
    """Download what is missing of a dataset's official files into its folder below ``root``.

    ``root`` empty is the folder that SPIKETICKET_DATA names. ``progress`` is told of every piece,
    e.g. :func:`console_progress`'s. Files are checked by md5; ones that are there stay untouched.

    Raises:
        UserError: see :func:`spiketicket.data.download.fetch`.
    """
    return fetch(_choice(name).INFO, root, progress)


def _choice(name: str) -> _Choice:
    return cast("_Choice", registry.load("data", name))
