"""Where a test's training writes."""

from pathlib import Path

from spiketicket.training.trainee import Training


def training_in(folder: Path) -> Training:
    """A training of seed 0 whose files are in ``folder``."""
    return Training(
        title="toy",
        seed=0,
        checkpoint=folder / "checkpoint.pt",
        log=folder / "log.jsonl",
        key="key",
    )
