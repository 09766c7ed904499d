"""Results of a run as a person reads them; accuracies are in percent."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spiketicket.cli.console import print_facts, print_line, print_table, time_text
from spiketicket.cli.print_ladder import (
    compared_row,
    flipped,
    is_ladder,
    print_compared,
    print_ladder,
    print_rungs,
)
from spiketicket.machine.sizes import file_size
from spiketicket.recipe.registry import is_custom
from spiketicket.verdict.outcomes import of_today

if TYPE_CHECKING:
    from spiketicket.recipe import Recipe

_STYLES = {"wins": "bold green", "ties": "bold yellow", "loses": "bold red"}
"""Of outcomes that are a verdict; every other is bold."""
_ONE_SEED = "one seed is no verdict: another seed may give the contrary"
_MORE_SEEDS = "more seeds give a verdict (--seeds {more_seeds})"
_MEANING = {
    "wins": (
        "which weights are kept matters: the ticket is as good as the dense net, and no control "
        "is as good as the ticket",
        "spiketicket run {ticket} FILE classifies, without PyTorch; spiketicket export {ticket} "
        "writes it for other programs and microcontrollers",
    ),
    "ties": (
        "not proven: the verdict says what stays open",
        "more seeds narrow the intervals (--seeds {more_seeds}); fewer weights make it harder for "
        "the controls (--set ticket.density={fewer_kept:g})",
    ),
    "loses": (
        "this ticket is not good enough",
        "keep more weights (--set ticket.density={more_kept:g}) or train longer ({longer})",
    ),
    "ahead": (_ONE_SEED, _MORE_SEEDS),
    "level": (_ONE_SEED, _MORE_SEEDS),
    "behind": (_ONE_SEED, _MORE_SEEDS),
    "too_small": (
        "a control that was trained too little is no measure: it may still pass the ticket",
        "train longer ({longer})",
    ),
    "unproven": (
        "a comparison is missing, and accuracy alone proves nothing",
        "run every control, with several seeds (--seeds {more_seeds})",
    ),
}
"""What an outcome means, and what to do next."""
_CUSTOM_WINS = (
    "spiketicket eval {ticket} --network {network} tests it again; spiketicket export {ticket} "
    "--to onnx --network {network} writes it for other programs"
)
"""What to do next where the engine does not know the network."""


def print_find(result: Mapping[str, Any]) -> None:
    """Print the stages, the verdict, and where everything is."""
    seeds = ", ".join(str(seed) for seed in result["seeds"])
    title = f"{result['name']}: {result['condition']}, seed{'s' * (len(result['seeds']) > 1)} "
    print_stages(result["stages"], title=title + seeds)
    if result["verdict"].get("rungs"):
        print_rungs(result["verdict"])
    else:
        _print_comparisons(result["verdict"], [stage["stage"] for stage in result["stages"]])
    print_verdict(result["verdict"])
    for note in result.get("notes", ()):
        print_line(f"data     {note}")
    for path in result["tickets"]:
        print_line(f"ticket   {path}")
    print_line(f"run      {result['folder']}")


def _print_flipped(stages: Sequence[Mapping[str, Any]]) -> None:
    """A row for each net that was also tested on mirror images; these are not judged."""
    flipped = [stage for stage in stages if stage.get("test_accuracy_flip")]
    rows = [(f"{s['title']}, test-time flip", percent(s["test_accuracy_flip"])) for s in flipped]
    if rows:
        print_table(("not judged", "test %"), rows)


def _holds_layers(ticket: str) -> bool:
    # numpy comes with these, and the help of commands imports this module
    from spiketicket.ticket import read_metadata
    from spiketicket.ticket.schema import has_layers

    return has_layers(read_metadata(ticket))


def print_meaning(result: Mapping[str, Any], recipe: Recipe, *, budgeted: bool = False) -> None:
    """Print what the verdict means, and what to do next; ``budgeted`` is after ``--budget``."""
    density = recipe.ticket.density
    outcome = result["verdict"]["outcome"]
    means, todo = _MEANING[outcome]
    if (
        outcome == "wins"
        and is_custom(recipe.model.name)
        and not _holds_layers(result["tickets"][0])
    ):
        todo = _CUSTOM_WINS
    if outcome == "too_small" and recipe.train.tune == "off":
        todo = "tune the learning rates (--tune rates), and " + todo
    todo = todo.format(
        ticket=result["tickets"][0],
        network=recipe.model.name,
        more_seeds=len(result["seeds"]) + 2,
        fewer_kept=density / 2,
        more_kept=min(2 * density, (1 + density) / 2),
        longer="a larger --budget" if budgeted else f"--set train.epochs={2 * recipe.train.epochs}",
    )
    print_line(f"means    {means}")
    print_line(f"next     {todo}")


def print_stages(stages: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """Print one column for each of the nets that were compared: so it fits a terminal.

    A ladder has many, and a row for each.
    """
    if is_ladder(stages):
        accuracy = [
            (percent(stage["test_accuracy"]), percent(stage["validation_accuracy"]))
            for stage in stages
        ]
        print_ladder(stages, accuracy, title=title)
        _print_tuning(stages)
        _print_flipped(stages)
        return
    searched = [stage for stage in stages if stage.get("is_search")]
    if searched:
        _print_search(searched, f"{title}, the search")
        stages = [stage for stage in stages if not stage.get("is_search")]
        searched = searched + [stage for stage in stages if stage["stage"] == "ticket"]
    columns = ("", *(stage["title"].replace(", ", ",\n") for stage in stages))
    facts = [_facts(stage) for stage in stages]
    if any(flipped(stage) != "-" for stage in stages):
        facts = [
            {**fact, "signs flipped": flipped(of)} for fact, of in zip(facts, stages, strict=True)
        ]
    print_table(columns, [(key, *(fact[key] for fact in facts)) for key in facts[0]], title=title)
    _print_tuning(stages)
    if searched:
        print_line(_whole_cost(searched))
    _print_flipped(stages)


def _print_tuning(stages: Sequence[Mapping[str, Any]]) -> None:
    """Print what choosing the learning rates took, where they were tuned."""
    tuned = [stage for stage in stages if (stage.get("tuning") or {}).get("trials")]
    if not tuned:
        return
    trials = sum(len(stage["tuning"]["trials"]) for stage in tuned)
    seed, took = tuned[0]["tuning"]["seed"], sum(stage.get("tuning_s") or 0.0 for stage in tuned)
    print_line(
        f"tuning   {trials} trials of {len(tuned)} kinds of stages on seed {seed}, half the epochs"
        " each" + (f": {time_text(took)}, beside the times above" if took else "")
    )


def _print_search(stages: Sequence[Mapping[str, Any]], title: str) -> None:
    """A row for each training before the ticket's."""
    rows = [
        [
            stage["title"],
            percent(stage["test_accuracy"]),
            percent(stage["validation_accuracy"]),
            f"{stage['density']:.4g}",
            f"{stage['trained_epochs']:.4g}",
            time_text(stage["wall_s"]),
            ", ".join(f"{k} {_found(v)}" for k, v in stage.get("search", {}).items()),
        ]
        for stage in stages
    ]
    columns = ("", "test %", "validation %", "density", "epochs", "time", "found")
    print_table(columns, rows, title=title)


def _found(value: object) -> str:
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key}: {_found(inner)}" for key, inner in value.items()) + ")"
    if isinstance(value, list):
        return " ".join(_found(inner) for inner in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _whole_cost(stages: Sequence[Mapping[str, Any]]) -> str:
    """What the ticket cost, its search included."""
    epochs = sum(stage["trained_epochs"] for stage in stages)
    passes = sum(stage["sample_passes"] for stage in stages)
    times = [stage["wall_s"] for stage in stages]
    wall = time_text(None if None in times else sum(times))
    return (
        f"search   {len(stages)} trainings with the ticket's, {epochs:.4g} epochs, {passes:,.0f}"
        f" samples forward and back per seed, {wall} for all seeds"
    )


def print_verdict(verdict: Mapping[str, Any], *, stated: bool = False) -> None:
    """Print what the controls say, as :meth:`spiketicket.verdict.rules.Verdict.to_dict` has it.

    The verdict may come out of a file that any program wrote: what is not there is left out, and
    what an earlier version said of one seed is said in the words of today. ``stated`` is whether it
    is its maker's word.
    """
    verdict = of_today(verdict)
    style = "" if stated else _STYLES.get(str(verdict.get("outcome")), "bold")
    before = "stated: " if stated else ""
    sentences = verdict.get("sentences")
    for sentence in sentences if isinstance(sentences, list) else []:
        print_line(f"{before}{sentence}", style)
        style = ""


def _print_comparisons(verdict: Mapping[str, Any], stages: Sequence[str]) -> None:
    # In the order of the stages: a result that was read from its file has them by name.
    place = {name: number for number, name in enumerate(stages)}
    compared = sorted(verdict["comparisons"].items(), key=lambda row: place.get(row[0], len(place)))
    rows = [compared_row("ticket", other, row) for other, row in compared]
    rows += [
        compared_row("ticket", f"{other}, not judged", row)
        for other, row in verdict.get("beside", {}).items()
    ]
    tuned = verdict.get("fine_tuning", {}).items()
    rows += [compared_row("fine-tuned", other, row) for other, row in tuned]
    if rows:
        print_compared(rows, verdict["confidence"])


def print_evaluation(result: Mapping[str, Any], *, title: str) -> None:
    """Print the result of an evaluation, one fact a line."""
    print_facts(
        [(key.replace("_", " "), _value(key, value)) for key, value in result.items()], title=title
    )


def percent(values: Sequence[float]) -> str:
    """Mean of percentages, with the standard deviation over several seeds."""
    if not values:
        return "-"
    mean = f"{statistics.fmean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def _facts(stage: Mapping[str, Any]) -> dict[str, str]:
    return {
        "test accuracy %": percent(stage["test_accuracy"]),
        "validation accuracy %": percent(stage["validation_accuracy"]),
        "density": f"{stage['density']:.4g}",
        "pruned %": f"{100 * (1 - stage['density']):.4g}",
        "binary weights": "yes" if stage["binary"] else "no",
        "BatchNorm trained": "yes" if stage["bn_affine"] else "no",
        "parameters": f"{stage['parameters']:,}",
        "parameters kept": f"{stage['kept']:,}",
        "file": file_size(stage["file_bytes"]),
        "epochs": f"{stage['trained_epochs']:g}",
        "learning rate": _rate(stage),
        **({"trained in": stage["precision"]} if stage.get("precision") else {}),
        "time": time_text(stage["wall_s"]),
    }


def _rate(stage: Mapping[str, Any]) -> str:
    """How many times the recipe's learning rate a stage was trained with."""
    if not stage["trained_epochs"]:
        return "-"
    return f"x {stage['tuning']['factor']:g}" if stage.get("tuning") else "not tuned"


def _value(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.2f} %" if "accuracy" in key else f"{value:.6g}"
    return "-" if value is None else str(value)
