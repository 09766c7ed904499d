"""The parts of a page about one run, in the order a reader needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from spiketicket.report.cost_part import (
    energy_table,
    measured_stages,
    operations_table,
    sparsity_table,
)
from spiketicket.report.figures.answers import (
    confusion_matrix,
    confusion_table,
    examples,
    wrong_answers,
)
from spiketicket.report.figures.canvas import Figure
from spiketicket.report.figures.energy import energy_bars, energy_tables
from spiketicket.report.figures.forest import forests
from spiketicket.report.figures.layer_map import layer_map
from spiketicket.report.figures.network import network_picture
from spiketicket.report.figures.pictures import pictures
from spiketicket.report.figures.spikes import answer, membranes, raster
from spiketicket.report.figures.training import left_out, training_curves
from spiketicket.report.markup import Markup, joined
from spiketicket.report.numbers import counted
from spiketicket.report.recipe_part import recipe_items
from spiketicket.report.runs import Run
from spiketicket.report.stages_part import (
    comparison_table,
    never_predicted,
    size_table,
    stages_table,
)
from spiketicket.report.tables import Table
from spiketicket.report.texts import command, listed, missing

Item = Figure | Table | Markup
Items = Sequence[Item | None]


@dataclass(frozen=True)
class Part:
    """A heading with tables, texts and figures; neighbouring figures stand side by side."""

    heading: str
    items: tuple[Item, ...]


SPARED = {
    "layers-dense": "the dense net layer by layer",
    "energy-numbers": "energies in numbers",
    "more-energy": "energies by another table",
    "network": "the network's picture",
    "comparisons": "the comparisons in numbers",
    "confusions": "the most frequent wrong answers",
    "examples": "a sample of every class",
    "wrong": "wrong answers",
    "raster": "spikes",
    "membranes": "membranes",
    "answer": "the answer to the sample",
    "operations": "operations by part",
    "images": "test images",
    "layers": "the ticket layer by layer",
    "sparsity": "sparsity",
    "energy": "energies",
    "confusion": "the confusion matrix",
    "training": "training curves",
}
"""What a page of many runs goes without, in this order, where it would be too large."""


def run_parts(run: Run, spared: Sequence[str] = ()) -> list[Part]:
    """Everything about one run but its verdict; ``spared`` are keys of :data:`SPARED`."""
    made = [
        (heading, [item for item in make(run) if item])
        for heading, kind, make in _MAKERS
        if kind not in spared
    ]
    found = []
    for heading, group in groupby(made, key=lambda pair: pair[0]):
        items = tuple(item for _, several in group for item in several)
        if items:
            found.append(Part(_LADDER if run.ladder and heading == _KEPT else heading, items))
    return found


def item_makers() -> list[tuple[str, Callable[[Run], Items]]]:
    """Kind and maker of everything that can be spared."""
    return [(kind, make) for _, kind, make in _MAKERS if kind in SPARED]


def _accuracy(run: Run) -> Items:
    if not run.rows:
        goes_on = joined([command("spiketicket find"), " with its recipe goes on where it was."])
        return [missing(joined(["No stage is finished, so there is no accuracy yet. ", goes_on]))]
    items: list[Item] = [stages_table(run)]
    if len(run.seeds) == 1:
        again = command("spiketicket find recipe.toml --seeds 3")
        words = "One seed: no spread and no interval over seeds. "
        items.append(missing(joined([words, again, " adds more."])))
    absent = never_predicted(run)
    return [*items, listed(absent) if absent else None]


def _sizes(run: Run) -> Items:
    return [size_table(run)] if run.rows else []


def _not_measured(run: Run, what: str) -> Markup:
    again = command(f"spiketicket measure {run.label}")
    return missing(joined([f"{what}: not measured. ", again, " adds it."]))


def _contradictions(run: Run) -> Items:
    doubtful = list(dict.fromkeys(run.title(s.name) for s in run.stages if s.contradicted))
    if not doubtful:
        return []
    words = (
        f"Not to be trusted: {', '.join(doubtful)}. What was measured gives other answers than "
        "the net that was tested: one of the two was done by another version. Where it was the "
        "measurement, delete its measure.json, and "
    )
    again = command(f"spiketicket measure {run.label}")
    return [missing(joined([words, again, " repeats it; else find the ticket again."]))]


def _unmeasured_stages(run: Run) -> Items:
    measured = measured_stages(run)
    absent = [row.title for row in run.rows if row.name not in measured]
    if not measured:
        return [_not_measured(run, "Operations, energy, sparsity, layers")]
    return [_not_measured(run, ", ".join(absent))] if absent else []


def _energy(run: Run, index: int) -> Items:
    return [energy_bars(run, table) for table in energy_tables(run)[index : index + 1]]


def _with_seed(run: Run, name: str) -> str:
    """A stage in words, with the seed that was measured first where there are several."""
    seed = next((stage.seed for stage in run.stages_of(name) if stage.measure), None)
    return run.title(name) + (f", seed {seed}" if len(run.seeds) > 1 else "")


def _map_of(run: Run, stage: str) -> Items:
    measure = run.layers_of(stage)
    return [layer_map(measure, stage, _with_seed(run, stage))] if measure else []


def _network(run: Run) -> Items:
    measure = run.layers_of(run.main)
    if measure is None:
        return []
    return [network_picture(run, measure, run.main, _with_seed(run, run.main))]


def _sample(draw: Callable[..., Figure | None]) -> Callable[[Run], Items]:
    def make(run: Run) -> Items:
        return [draw(run.sample[1], run.sample[0])] if run.sample else []

    return make


def _sample_of(run: Run) -> Items:
    if run.sample is None:
        return [_not_measured(run, "Spikes, membranes, patches")]
    stage, sample = run.sample
    return [Markup(f"<p>Of the {joined([run.title(stage)])}, test sample {sample.index}.</p>")]


def _training(run: Run) -> Items:
    items: list[Item] = [*training_curves(run)]
    if not items:
        items.append(missing("No epoch is logged."))
    skipped = left_out(run)
    if skipped:
        verb = "is" if skipped == 1 else "are"
        words = f"{counted(skipped, 'value')} of the logs {verb} infinite or no number: not drawn."
        items.append(missing(words))
    return items


_ANSWERS = "Answers"
_KEPT, _LADDER = "What is kept", "The ladder"
_COST, _INSIDE, _SAMPLE = "Operations, energy, sparsity", "Inside the network", "One sample"
_MAKERS: tuple[tuple[str, str, Callable[[Run], Items]], ...] = (
    ("Accuracy", "accuracy", _accuracy),
    ("Against the controls", "differences", forests),
    ("Against the controls", "comparisons", lambda run: [comparison_table(run)]),
    (_ANSWERS, "confusion", lambda run: [confusion_matrix(run)]),
    (_ANSWERS, "examples", lambda run: [examples(run)]),
    (_ANSWERS, "wrong", lambda run: [wrong_answers(run)]),
    (_ANSWERS, "confusions", lambda run: [confusion_table(run)]),
    (_KEPT, "sizes", _sizes),
    (_COST, "contradictions", _contradictions),
    (_COST, "energy", lambda run: _energy(run, 0)),
    (_COST, "more-energy", lambda run: _energy(run, 1)),
    (_COST, "energy-numbers", lambda run: [energy_table(run)]),
    (_COST, "operations", lambda run: [operations_table(run)]),
    (_COST, "sparsity", lambda run: [sparsity_table(run)]),
    (_COST, "unmeasured", _unmeasured_stages),
    (_INSIDE, "network", _network),
    (_INSIDE, "layers", lambda run: _map_of(run, run.main)),
    (_INSIDE, "layers-dense", lambda run: _map_of(run, "dense") if run.main != "dense" else []),
    (_SAMPLE, "sample", _sample_of),
    (_SAMPLE, "images", _sample(pictures)),
    (_SAMPLE, "raster", _sample(raster)),
    (_SAMPLE, "membranes", _sample(membranes)),
    (_SAMPLE, "answer", _sample(answer)),
    ("Training", "training", _training),
    ("Recipe and environment", "recipe", recipe_items),
)
