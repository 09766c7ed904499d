"""The test data a ticket names, and whether the data here is that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from spiketicket.data import load_dataset, make_config, place
from spiketicket.data.batches import ordered_batches, to_tensors
from spiketicket.data.types import Dataset, Samples
from spiketicket.errors import UserError
from spiketicket.ticket import Ticket, TicketError


@dataclass(frozen=True, kw_only=True)
class TicketData:
    """A ticket's test set with the normalisation and batch size it is to be tested with."""

    dataset: Dataset
    mean: tuple[float, ...]
    std: tuple[float, ...]
    batch_size: int
    stated_accuracy: float | None
    """Percent, as the ticket says."""

    def batches(
        self, device: str | torch.device, images: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The first ``images`` samples (None is all) in order, normalised, with their classes."""
        return self.batches_of(self.dataset.test, device, images)

    def batches_of(
        self, samples: Samples, device: str | torch.device, images: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of other samples, as those of the test set."""
        x, y = (part[:images] for part in to_tensors(samples, device))
        return ordered_batches(x, y, self.mean, self.std, self.batch_size)


def find_test_data(
    ticket: Ticket, path: Path | str | None, *, root: str = "", dataset: Dataset | None = None
) -> TicketData:
    """What the ticket read from ``path``, or from no file, is to be tested on.

    The data lies below ``root``, else where the run that the ticket lies in says, of which a
    warning tells, else where SPIKETICKET_DATA says. ``dataset`` is the data where it is loaded
    already.

    Raises:
        TicketError: the ticket does not say.
        UserError: the data is missing, or is not the data the ticket was made for.
    """
    meta, where = ticket.metadata, "ticket" if path is None else str(path)
    try:
        options = {k: v for k, v in meta["data"]["config"].items() if k != "root"}
        config = make_config(**options)
        mean, std = (tuple(float(v) for v in meta["normalisation"][k]) for k in ("mean", "std"))
        size, checksum = int(meta["eval_batch_size"]), str(meta["data"]["checksum"])
        stated = float(meta["accuracy"]["test"]) if "accuracy" in meta else None
        if size < 1 or min(std) <= 0:
            raise ValueError("batch size and standard deviations must be positive")
    except UserError:
        raise
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(("data.config", *map(str, first["loc"])))
        why = first["msg"].removeprefix("Value error, ")
        what = f"does not say how it is to be tested: {key} {why}"
        raise TicketError(what, where=where, value=first["input"]) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else str(error)
        what = f"does not say how it is to be tested: {why}"
        raise TicketError(what, where=where) from error
    if dataset is None:
        root = root or ("" if path is None else place.told(Path(path)))
        dataset = load_dataset(config.model_copy(update={"root": root}))
    if dataset.checksum != checksum or not len(mean) == len(std) == len(dataset.mean):
        raise UserError(
            f"the data {dataset.name} here is not the data the ticket was made for",
            where=where,
            value=dataset.checksum[:16],
            remedy=f"The ticket names checksum {checksum[:16]}",
        )
    return TicketData(dataset=dataset, mean=mean, std=std, batch_size=size, stated_accuracy=stated)
