"""``spiketicket data``: which datasets there are, whether they are right, get and see them."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from spiketicket.cli.declare import Argument, Exit, Group, Option
from spiketicket.cli.options import JsonOption, RootOption, SetOption, TopicOption
from spiketicket.errors import UserError
from spiketicket.machine.output import fail, note, say, say_json

if TYPE_CHECKING:
    from spiketicket.data import CheckReport, Survey

app = Group(help="List, check and get datasets.")


class Part(StrEnum):
    """Samples to train with, to test with, or of a validation split that lies in val/."""

    train = "train"
    test = "test"
    val = "val"


SplitOption = Annotated[
    bool,
    Option(
        "--split-at-reset",
        help="Cut files whose clock was reset into recordings: data.split_at_reset=true.",
    ),
]
NameArgument = Annotated[str, Argument(help="A dataset; `data list` names them.")]


def _require_name(text: str) -> None:
    """Refuse a path where the name of a dataset is needed; others say what names there are."""
    from spiketicket.recipe import registry

    if text in registry.names("data") or not Path(text).exists():
        return
    what = (
        f"is a {'folder' if Path(text).is_dir() else 'file'}, and the name of a dataset is needed"
    )
    remedy = "`data list` names them; a folder is given as --root"
    raise UserError(what, where=text, remedy=remedy)


@app.command("list", examples=("spiketicket data list",))
def list_all(as_json: JsonOption = False) -> None:
    """List the datasets, their licences and how to get them."""
    from spiketicket.cli.console import print_table
    from spiketicket.data import list_datasets

    infos = list_datasets()
    if as_json:
        keys = ("name", "title", "licence", "citation", "homepage", "obtain", "downloads")
        say_json([{key: getattr(info, key) for key in keys} for info in infos])
    else:
        rows = [[info.name, info.title, info.licence, info.obtain] for info in infos]
        print_table(("name", "dataset", "licence", "how to get it"), rows, left=4)


@app.command(examples=("spiketicket data check image_folder --root pictures",))
def check(
    name: NameArgument,
    root: RootOption = "",
    settings: SetOption = None,
    split: SplitOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a dataset's files, read every recording, and load it; exit 2 if it is unusable."""
    from dataclasses import asdict

    from spiketicket.data import check_dataset
    from spiketicket.recipe import parse_data

    _require_name(name)
    report = check_dataset(parse_data(name, root, _all(settings, split)))
    if as_json:
        say_json({**asdict(report), "ok": report.ok})
    else:
        _print_report(report)
    if not report.ok:
        raise Exit(2)


@app.command(examples=("spiketicket data view recording.dat -o recording.svg",))
def view(
    target: Annotated[
        str,
        Argument(metavar="FILE|DATASET:INDEX", help="A recording, or a sample of a dataset."),
    ],
    *,
    out: Annotated[
        Path | None,
        Option("--out", "-o", help="The picture (.svg). Default: named by it."),
    ] = None,
    text: Annotated[
        bool, Option("--text", help="Print it as characters in place of writing a picture.")
    ] = False,
    part: Annotated[Part, Option("--part", help="Which samples INDEX counts.")] = Part.train,
    root: RootOption = "",
    topic: TopicOption = None,
    settings: SetOption = None,
    split: SplitOption = False,
) -> None:
    """Show a recording: its frames over time, and its rate of events, as a picture or as text."""
    from spiketicket.data.view import recordings_of

    if text and out:
        raise UserError("goes with a picture only", where="--out", value=str(out))
    found = recordings_of(target, part.value, root, _all(settings, split), topic)
    place = out or Path(re.sub(r"[^A-Za-z0-9._-]+", "-", Path(target).name) + ".svg")
    for remark in found[0][2].notes:
        note(remark)
    if text:
        from spiketicket.cli.print_recording import print_recording

        for title, frames, _ in found:
            print_recording(title.partition("\n")[0], frames)
        return
    from spiketicket.report.figures.recording import write_picture

    for number, (title, frames, events) in enumerate(found, 1):
        here = place if len(found) == 1 else place.with_stem(f"{place.stem}-{number}")
        write_picture(here, title, frames, events)
        say(str(here))


@app.command(examples=("spiketicket data get cifar10 --root data",))
def get(name: NameArgument, root: RootOption = "") -> None:
    """Download a dataset's official files, check them, and leave those that are there alone."""
    from spiketicket.data import console_progress, get_dataset

    _require_name(name)
    with console_progress() as progress:
        report = get_dataset(name, root, progress)
    for path in report.written:
        say(f"written  {path}")
    for path in report.present:
        say(f"present  {path}")
    say(f"folder   {report.folder}")


def _all(settings: list[str] | None, split: bool) -> list[str]:
    return [*(settings or ()), *(["data.split_at_reset=true"] if split else ())]


def _print_report(report: CheckReport) -> None:
    from spiketicket.cli.console import print_facts, print_table

    if report.files:
        rows = [[file.name, file.state, file.path] for file in report.files]
        print_table(("file", "state", "path"), rows, left=3, title=report.folder)
    if report.survey is not None:
        print_facts(_recordings(report.survey), title=f"{report.name}: recordings")
    if not report.ok:
        fail(str(report.problem))
        return
    _print_classes(report)
    facts = [
        ("classes", str(len(report.classes))),
        ("shape", " x ".join(str(side) for side in report.shape)),
        ("train samples", f"{sum(report.train_counts):,}"),
        *_validation(report),
        ("test samples", f"{sum(report.test_counts):,}"),
        ("imbalance", f"{report.imbalance:.3g} (largest class over smallest)"),
        ("checksum", report.checksum),
    ]
    print_facts([*facts, *(("note", remark) for remark in report.notes)], title=report.name)


def _validation(report: CheckReport) -> list[tuple[str, str]]:
    if not report.validation_counts:
        return []
    return [("validation samples", f"{sum(report.validation_counts):,} (of val/, not drawn)")]


def _print_classes(report: CheckReport) -> None:
    from spiketicket.cli.console import print_table

    parts = {
        "train": report.train_counts,
        "val": report.validation_counts,
        "test": report.test_counts,
    }
    shown = {name: counts for name, counts in parts.items() if counts}
    rows = [
        [name, *(f"{counts[index]:,}" for counts in shown.values())]
        for index, name in enumerate(report.classes)
    ]
    print_table(("class", *shown), rows, title=f"{report.name}: samples of each class")


def _recordings(survey: Survey) -> list[tuple[str, str]]:
    """Numbers, durations and rates of the recordings, and those that cannot be read."""
    rates = [n / (d / 1e6) for n, d in zip(survey.counts, survey.durations_us, strict=True) if d]
    facts = [("files", f"{len(survey.counts) + len(survey.broken):,}")]
    if survey.counts:
        facts += [
            ("events", _spread([float(n) for n in survey.counts], "")),
            ("duration", _spread([d / 1000 for d in survey.durations_us], " ms")),
        ]
    if rates:
        facts.append(("rate", _spread([r / 1000 for r in rates], " thousand events per second")))
    facts.append(("read with a remark", f"{survey.noted:,}"))
    facts += [("remark", line) for line in survey.remarks]
    facts.append(("broken", f"{len(survey.broken):,}"))
    return [*facts, *(("broken file", line) for line in survey.broken[:20])]


def _spread(values: list[float], unit: str) -> str:
    from statistics import median

    middle, low, high = median(values), min(values), max(values)
    return f"{middle:,.4g}{unit} (from {low:,.4g} to {high:,.4g})"
