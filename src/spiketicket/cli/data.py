"""``spiketicket data``: which datasets there are, whether their files are right, and get them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from spiketicket.cli._options import JsonOption, RootOption

if TYPE_CHECKING:
    from spiketicket.data import CheckReport

app = typer.Typer(help="List, check and get datasets.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="A dataset; `data list` names them.")]


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """List the datasets, their licences and how to get them."""
    from spiketicket.cli._console import print_table
    from spiketicket.data import list_datasets

    infos = list_datasets()
    if as_json:
        keys = ("name", "title", "licence", "citation", "homepage", "obtain", "downloads")
        print(json.dumps([{key: getattr(info, key) for key in keys} for info in infos], indent=2))
    else:
        rows = [[info.name, info.title, info.licence, info.obtain] for info in infos]
        print_table(("name", "dataset", "licence", "how to get it"), rows, left=4)


@app.command()
def check(name: NameArgument, root: RootOption = "", as_json: JsonOption = False) -> None:
    """Check a dataset's files against their checksums, and load it; exit 2 if it is unusable."""
    from dataclasses import asdict

    from spiketicket.data import check_dataset, make_config

    report = check_dataset(make_config(name, root=root))
    if as_json:
        print(json.dumps({**asdict(report), "ok": report.ok}, indent=2))
    else:
        _print_report(report)
    if not report.ok:
        raise typer.Exit(2)


@app.command()
def get(name: NameArgument, root: RootOption = "") -> None:
    """Download a dataset's official files, check them, and leave those that are there alone."""
    from spiketicket.data import console_progress, get_dataset

    with console_progress() as progress:
        report = get_dataset(name, root, progress)
    for path in report.written:
        print(f"written  {path}")
    for path in report.present:
        print(f"present  {path}")
    print(f"folder   {report.folder}")


def _print_report(report: CheckReport) -> None:
    import sys

    from spiketicket.cli._console import print_facts, print_table

    if report.files:
        rows = [[file.name, file.state, file.path] for file in report.files]
        print_table(("file", "state", "path"), rows, left=3, title=report.folder)
    if not report.ok:
        print(f"error: {report.problem}", file=sys.stderr)
        return
    facts = [
        ("classes", str(len(report.classes))),
        ("shape", " x ".join(str(side) for side in report.shape)),
        ("train samples", f"{sum(report.train_counts):,}"),
        ("test samples", f"{sum(report.test_counts):,}"),
        ("imbalance", f"{report.imbalance:.3g} (largest class over smallest)"),
        ("checksum", report.checksum),
    ]
    print_facts([*facts, *(("note", note) for note in report.notes)], title=report.name)
