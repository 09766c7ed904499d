"""``spiketicket measure``: operations, activity, sparsity and energy of tickets and runs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from spiketicket.cli.declare import Argument, Exit, Option
from spiketicket.cli.guard import SOME_FAILED
from spiketicket.cli.options import (
    Device,
    DeviceOption,
    JsonOption,
    MaxMemoryOption,
    QuietOption,
    RecordOption,
    RootOption,
    ThreadsOption,
    require_device,
    require_there,
)
from spiketicket.cli.places import ticket_or_folder
from spiketicket.cli.print_measure import Row
from spiketicket.machine.output import fail, say_whole

if TYPE_CHECKING:
    from spiketicket.progress import Reporter


def measure(
    sources: Annotated[
        list[Path],
        Argument(
            metavar="TICKET|RUN...",
            help="Tickets, by file or name in the zoo, and run folders.",
            read=ticket_or_folder,
        ),
    ],
    *,
    images: Annotated[
        str, Option("--images", metavar="N|all", help="First test images. Default: 256.")
    ] = "",
    sample: Annotated[
        int, Option("--sample", min=0, help="Test image whose spikes are kept in a run.")
    ] = 0,
    table: Annotated[
        str, Option("--energy", metavar="TABLE", help="Energy table. Default: 45nm-fp32.")
    ] = "",
    root: RootOption = "",
    device: DeviceOption = Device.cpu,
    threads: ThreadsOption = None,
    record: RecordOption = None,
    output: Annotated[
        Path | None, Option("-o", "--output", help="Also write the JSON to this file.")
    ] = None,
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Count what nets really compute on test images, and price it.

    One ticket gives its layers, several are compared with the first. Of a run every finished stage
    is measured, and what was found is written into its folder. Ends with 1 where a run has tickets
    that cannot be measured; the others are.
    """
    require_there(*sources)
    where = require_device(device)

    from spiketicket.cli.print_measure import print_measured
    from spiketicket.experiment.display import reporter_for
    from spiketicket.experiment.record import check_record
    from spiketicket.machine.files import check_place, write_bytes
    from spiketicket.measure.energy import DEFAULT, find_table

    priced = find_table(table or DEFAULT)
    if record is not None:
        check_record(record)
    if output is not None:
        check_place(output, "output")
    from spiketicket.machine.parallel import fixed

    if where == "cpu":
        from spiketicket.machine import allocator

        allocator.keep_freed_memory()
    started = time.perf_counter()
    failed: list[str] = []
    with fixed(threads), reporter_for(as_json=as_json, quiet=quiet) as reporter:
        rows = [
            _run_rows(
                path,
                images=_images(images),
                sample=sample,
                root=root,
                device=where,
                reporter=reporter,
                failed=failed,
            )
            if path.is_dir()
            else [_ticket_row(path, _images(images), root, where)]
            for path in sources
        ]
    if record is not None:
        _record(record, [row for part in rows for row in part], where, started)
    found = json.dumps([_plain(row) for part in rows for row in part], indent=1, sort_keys=True)
    if output is not None:
        write_bytes(output, f"{found}\n".encode(), "output")
    if as_json:
        say_whole(found)
    else:
        print_measured(rows, priced, every=not table)
    for line in failed:
        fail(str(line))
    if failed:
        raise Exit(SOME_FAILED)


def _images(text: str) -> int | str | None:
    from spiketicket.errors import UserError

    if text in ("", "all"):
        return text or None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UserError("must be a number of test images or all", where="--images", value=text)
    return int(text)


def _ticket_row(path: Path, images: int | str | None, root: str, device: str) -> Row:
    from spiketicket.experiment.measure import measure_ticket
    from spiketicket.ticket import read_metadata, stage_in

    measured = measure_ticket(path, images=images, root=root, device=device)
    meta = read_metadata(path)
    recipe, seed = meta.get("recipe"), meta.get("seed")
    return Row(
        source=str(path),
        stage=stage_in(meta),
        seed=seed if isinstance(seed, int) else None,
        recipe=recipe if isinstance(recipe, dict) else {},
        recipe_hash=str(meta.get("recipe_hash", "")),
        measured=measured,
        new=True,
    )


def _run_rows(
    folder: Path,
    *,
    images: int | str | None,
    sample: int,
    root: str,
    device: str,
    reporter: Reporter,
    failed: list[str],
) -> list[Row]:
    from spiketicket.experiment.measure import measure_run
    from spiketicket.methods.stages import stages_of, ticket_of
    from spiketicket.recipe import to_dict

    found = measure_run(
        folder, images=images, sample=sample, root=root, device=device, reporter=reporter
    )
    failed += found.failed
    recipe, ticket = to_dict(found.recipe), ticket_of(stages_of(found.recipe)).name
    return [
        Row(
            source=str(stage.folder),
            stage=stage.stage,
            seed=stage.seed,
            recipe=recipe,
            recipe_hash=found.recipe.hash,
            measured=stage.measured,
            new=stage.new,
        )
        for stage in sorted(found.stages, key=lambda stage: stage.stage != ticket)
    ]


def _record(path: Path, rows: Sequence[Row], device: str, started: float) -> None:
    from spiketicket.experiment.measure import measured_record
    from spiketicket.experiment.record import add_record

    took = time.perf_counter() - started
    wall_s = took if all(row.new for row in rows) else None
    for recipe_hash in dict.fromkeys(row.recipe_hash for row in rows):
        own = [row for row in rows if row.recipe_hash == recipe_hash]
        stages = [(row.stage, row.seed, row.measured) for row in own]
        add_record(path, measured_record(own[0].recipe, recipe_hash, stages, device, wall_s))


def _plain(row: Row) -> dict[str, Any]:
    return {"source": row.source, "stage": row.stage, "seed": row.seed, **row.measured}
