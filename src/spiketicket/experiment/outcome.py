"""What a finished stage left in its folder, and a stage over several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spiketicket.experiment.folder import StageFolder
from spiketicket.experiment.results import Kinds, read_predictions, read_table, required_result
from spiketicket.experiment.schemas import FinishedStage
from spiketicket.methods.stages import Stage

_LADDER = (
    "tokens",
    "ranking",
    "ranker",
    "conv_pep_density",
    "net_density",
    "activation",
    "macs",
    "operations",
)
_COST = ("precision", "sample_passes", "signs", "signs_flipped", "is_search", "search", "tuning")
FLIPPED = "test_accuracy_flip"
"""Test accuracy on the mean of the logits for an image and for its mirror image, never judged."""
_TIMING: Kinds = {"wall_s": (int, float), "device": str, "threads": int}


@dataclass(frozen=True, kw_only=True)
class StageOutcome:
    """What a finished stage left in its folder; ``facts`` and ``timing`` are its JSON files."""

    stage: Stage
    seed: int
    files: StageFolder
    facts: Mapping[str, Any]
    timing: Mapping[str, Any]

    @property
    def test_accuracy(self) -> float:
        """Percent of the test samples."""
        return float(self.facts["test_accuracy"])

    @property
    def kept_by_layer(self) -> dict[str, int]:
        """Weights kept in each layer."""
        return dict(self.facts["kept_by_layer"])

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        """Predicted classes of the test set, int64 [N].

        Raises:
            UserError: the file is missing or damaged.
        """
        return self.predictions_of(None)

    def predictions_of(self, count: int | None) -> NDArray[np.int64]:
        """The same where the test set has ``count`` samples; else the file is refused."""
        return read_predictions(self.files.predictions, count)

    def to_dict(self) -> dict[str, Any]:
        """One row of the table of stages."""
        facts = self.facts
        return {
            "stage": self.stage.name,
            "title": self.stage.title,
            "density": facts["density"],
            "binary": facts["binary"],
            "bn_affine": facts["bn_affine"],
            "test_accuracy": [facts["test_accuracy"]],
            **({FLIPPED: [facts[FLIPPED]]} if FLIPPED in facts else {}),
            "validation_accuracy": [facts["validation_accuracy"]],
            "kept": facts["kept"],
            "parameters": facts["parameters"],
            "file_bytes": facts["file_bytes"],
            "trained_epochs": facts["trained_epochs"],
            **{k: facts[k] for k in (*_LADDER, *_COST) if k in facts},
            "wall_s": self.timing["wall_s"],
            **({"tuning_s": self.timing["tuning_s"]} if self.timing.get("tuning_s") else {}),
        }


def read_outcome(stage: Stage, seed: int, folder: StageFolder) -> StageOutcome:
    """A finished stage.

    Raises:
        UserError: a file of it is missing or damaged.
    """
    facts = required_result(folder.result, FinishedStage)
    return StageOutcome(
        stage=stage, seed=seed, files=folder, facts=facts, timing=read_table(folder.timing, _TIMING)
    )


def over_seeds(outcomes: Sequence[StageOutcome]) -> dict[str, Any]:
    """The row of one stage with all its seeds: accuracies a value per seed, costs their means."""
    rows = [outcome.to_dict() for outcome in outcomes]
    return {
        **rows[0],
        **_operations(rows),
        **_cost(rows),
        "test_accuracy": [r["test_accuracy"][0] for r in rows],
        **({FLIPPED: [r[FLIPPED][0] for r in rows]} if FLIPPED in rows[0] else {}),
        "validation_accuracy": [r["validation_accuracy"][0] for r in rows],
        **_tuning(rows),
        "wall_s": sum(r["wall_s"] or 0.0 for r in rows),
    }


def _tuning(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How the learning rate was tuned, as its first seed says, and how long that took."""
    known = [row["tuning"] for row in rows if "tuning" in row]
    taken = [row["tuning_s"] for row in rows if "tuning_s" in row]
    facts = {"tuning": max(known, key=lambda t: "trials" in t)} if known else {}
    return facts | ({"tuning_s": sum(taken)} if taken else {})


def _cost(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Epochs, samples and flipped signs per seed, as means; what each seed's search found."""
    means = {
        key: rows[0][key]
        if len({row[key] for row in rows}) == 1
        else sum(row[key] for row in rows) / len(rows)
        for key in ("trained_epochs", "sample_passes", "signs", "signs_flipped")
        if all(key in row for row in rows)
    }
    if "search" not in rows[0]:
        return means
    return means | {
        "search": {key: _alike([r["search"][key] for r in rows]) for key in rows[0]["search"]}
    }


def _alike(values: Sequence[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else list(values)


def _operations(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Operations as means over the seeds, and the rankings that the seeds came to."""
    if "operations" not in rows[0]:
        return {}
    counted = [row["operations"] for row in rows]
    mean = {
        group: {k: sum(c[group][k] for c in counted) / len(counted) for k in counts}
        for group, counts in counted[0].items()
        if group != "images"
    }
    rankings = sorted({str(row["ranking"]) for row in rows})
    return {"operations": {"images": counted[0]["images"], **mean}, "rankings": rankings}
