"""``spiketicket export``: a ticket as files for other programs. ``c``, ``engine`` and ``web`` need
no PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from spiketicket.cli.declare import Option
from spiketicket.cli.options import (
    JsonOption,
    MaxMemoryOption,
    RootOption,
    TicketArgument,
    require_there,
    with_consent,
)
from spiketicket.errors import UserError
from spiketicket.machine.names import file_name
from spiketicket.machine.output import say_json
from spiketicket.recipe.consent import Consent

if TYPE_CHECKING:
    from spiketicket.engine.program import Program
    from spiketicket.export.board_figures import Figures
    from spiketicket.export.c import Exported


class Target(StrEnum):
    """What to write."""

    c = "c"
    arduino = "arduino"
    zephyr = "zephyr"
    engine = "engine"
    nir = "nir"
    onnx = "onnx"
    torch = "torch"
    pt2 = "pt2"
    hub = "hub"
    web = "web"


_IN_C: dict[Target, Literal["c", "arduino", "zephyr"]] = {
    Target.c: "c",
    Target.arduino: "arduino",
    Target.zephyr: "zephyr",
}


@with_consent
def export(
    ticket: TicketArgument,
    *,
    to: Annotated[
        Target,
        Option(
            "--to",
            help="c: C for microcontrollers; arduino: a library for the Arduino tools; zephyr: a"
            " module of Zephyr, with a sample; engine: a file for the library in C and C++, fast on"
            " CPUs; nir: a graph for SpikingJelly, snnTorch and chips;"
            " onnx; torch: a Python file without this package; pt2: a torch.export program;"
            " hub: a Hugging Face folder; web: a page that classifies in a browser.",
        ),
    ],
    folder: Annotated[Path, Option("--output", "-o", metavar="DIR", help="Folder of the files.")],
    name: Annotated[
        str | None,
        Option("--name", help="Begins the files' and functions' names. Default: the file's."),
    ] = None,
    stream: Annotated[
        bool,
        Option(
            "--stream",
            help="c, arduino, zephyr: one time step after the other, membranes carried on: push"
            " events or show frames, step, and stop at the ticket's margin.",
        ),
    ] = False,
    boards: Annotated[
        bool,
        Option(
            "--boards",
            help="c, arduino, zephyr: compile for boards and run in an emulator: flash, RAM,"
            " instructions per decision.",
        ),
    ] = False,
    samples: Annotated[
        int | None,
        Option(
            "--samples", min=2, help="nir, onnx, torch, pt2: test samples to check on. Default: 32."
        ),
    ] = None,
    root: RootOption = "",
    consent: Consent = Consent(),
    push: Annotated[
        str | None,
        Option("--push", metavar="USER/NAME", help="hub: upload to this repository too."),
    ] = None,
    private: Annotated[
        bool, Option("--private", help="hub: make the repository a private one.")
    ] = False,
    sample: Annotated[
        Path | None,
        Option("--sample", metavar="RECORDING", help="web: a recording that the page begins with."),
    ] = None,
    max_memory: MaxMemoryOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write a ticket as files for another program, and print what they need or how they check."""
    checking = {
        "--samples": samples,
        "--network": consent.network,
        "--options": consent.options,
        "--trust-options": consent.trust_options,
    }
    uploading = {"--push": push, "--private": private}
    checked = (Target.nir, Target.onnx, Target.torch, Target.pt2)
    _require(to, checking, checked)
    _require(to, {"--root": root}, (*checked, Target.hub))
    _require(to, uploading, (Target.hub,))
    _require(to, {"--stream": stream, "--boards": boards}, tuple(_IN_C))
    _require(to, {"--sample": sample}, (Target.web,))
    if name is not None and to is not Target.hub:  # there it is the card's title
        file_name(name)
    if to in _IN_C:
        _export_c(ticket, folder, name, to=to, stream=stream, boards=boards, as_json=as_json)
        return
    if to is Target.engine:
        _export_engine(ticket, folder, name or ticket.stem, as_json)
        return
    if to is Target.web:
        _export_web(ticket, folder, name or ticket.stem, sample, as_json)
        return
    require_there(ticket)
    from spiketicket.cli import export_torch as made

    stem = name or ticket.stem
    if to is Target.hub:
        facts = made.export_hub(ticket, folder, stem, root=root, push=push, private=private)
    else:
        write = {
            Target.nir: made.export_nir,
            Target.onnx: made.export_onnx,
            Target.torch: made.export_module,
            Target.pt2: made.export_pt2,
        }[to]
        facts = write(made.opened(ticket, consent, root, samples or 32), folder, stem)
    if as_json:
        say_json(facts)
    else:
        made.print_export(facts)


def _require(to: Target, options: Mapping[str, object], targets: tuple[Target, ...]) -> None:
    """Refuse an option that would be ignored."""
    for option, value in options.items():
        if value and to not in targets:
            raise UserError(
                f"goes with --to {' or '.join(targets)} only", where=option, value=str(to)
            )


def _compiled(ticket: Path) -> tuple[Program, tuple[str, ...], Mapping[str, Any]]:
    """The ticket's program, the names of its classes, and what it says of itself."""
    from spiketicket.engine.compile import compile_ticket
    from spiketicket.engine.engine import class_names
    from spiketicket.ticket import Ticket
    from spiketicket.ticket.codec import of_file

    loaded = Ticket.load(ticket)
    with of_file(ticket):
        program = compile_ticket(loaded)
    return program, class_names(loaded, program.classes), loaded.metadata


def _export_engine(ticket: Path, folder: Path, name: str, as_json: bool) -> None:
    from spiketicket.cli.console import print_facts
    from spiketicket.engine.model_file import SUFFIX, model_file
    from spiketicket.machine.files import explained, write_bytes
    from spiketicket.machine.sizes import file_size

    program, classes, _ = _compiled(ticket)
    content, path = model_file(program, classes), folder / f"{name}{SUFFIX}"
    with explained(folder, "output"):
        folder.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content, "output")
    shape = [program.frames, program.channels, program.height, program.width]
    facts = {"files": [str(path)], "bytes": len(content), "input": shape, "classes": list(classes)}
    if as_json:
        say_json(facts)
        return
    rows = [
        ("file", f"{path}, {file_size(len(content))}"),
        ("input", f"{' x '.join(map(str, shape))}: frames, channels, rows, columns"),
        ("classes", ", ".join(classes)),
    ]
    print_facts(rows, title="export")


def _export_web(ticket: Path, folder: Path, name: str, sample: Path | None, as_json: bool) -> None:
    from spiketicket.cli.console import print_facts, size_text
    from spiketicket.export.web import export_web
    from spiketicket.ticket import Ticket
    from spiketicket.ticket.codec import of_file

    loaded = Ticket.load(ticket)
    with of_file(ticket):
        made = export_web(loaded, folder, name, sample)
    if as_json:
        sizes = {"program_bytes": made.program, "engine_bytes": made.engine}
        say_json({"files": [str(made.path)], "bytes": made.size, **sizes})
        return
    inside = f"{size_text(made.program)} of program, {size_text(made.engine)} of engine"
    rows = [
        ("file", f"{made.path}, {size_text(made.size)}: {inside}"),
        ("to use it", "open it in a browser; it needs no server and no network"),
    ]
    print_facts(rows, title="export")


def _export_c(
    ticket: Path,
    folder: Path,
    name: str | None,
    *,
    to: Target,
    stream: bool,
    boards: bool,
    as_json: bool,
) -> None:
    from spiketicket.export.c import c_name, export_c, read_camera
    from spiketicket.ticket import stated_margin

    program, classes, metadata = _compiled(ticket)
    options: dict[str, Any] = {
        "kind": _IN_C[to],
        "stream": stream,
        "camera": read_camera(metadata, program) if stream else None,
        "margin": stated_margin(metadata),
    }
    made = export_c(program, folder, name or c_name(ticket.stem), classes, **options)
    found = []
    if boards:
        from spiketicket.export.board_figures import figures

        found = figures(program, options)
    if as_json:
        more = {"boards": [each.to_dict() for each in found]} if boards else {}
        say_json({**_facts(made), **more})
        return
    _print(made)
    if found:
        _print_boards(found)


def _print_boards(found: Sequence[Figures]) -> None:
    from spiketicket.cli.console import print_line, print_table, size_text

    rows = [
        [
            each.board,
            *(size_text(n) for n in (each.flash_bytes, each.ram_bytes, each.stack_bytes)),
            f"{each.instructions:,}",
            "-" if each.step_instructions is None else f"{each.step_instructions:,}",
        ]
        for each in found
        if not each.absent
    ]
    columns = ("board", "flash", "RAM", "stack", "instructions per decision", "of its first step")
    if rows:
        print_table(columns, rows, title="compiled and emulated", left=1)
        print_line(
            f"{', '.join(dict.fromkeys(each.compiler for each in found if each.compiler))}. Logits"
            " equal the engine's, of one drawn input: real ones may take more or fewer instructions"
        )
    for each in found:
        if each.absent:
            print_line(f"{each.board}: not measured: {each.absent}")


def _facts(made: Exported) -> dict[str, object]:
    sizes = made.sizes
    return {
        "files": [str(path) for path in made.files],
        "kept": [str(path) for path in made.kept],
        "table_bytes": sizes.flash_bytes,
        "weight_bytes": sizes.weight_bytes,
        "ram_bytes": sizes.ram_bytes,
        "float_layers": list(sizes.float_layers),
        "plain": made.plain,
    }


def _print(made: Exported) -> None:
    from spiketicket.cli.console import print_facts, size_text

    sizes = made.sizes
    flash, weights = size_text(sizes.flash_bytes), size_text(sizes.weight_bytes)
    floats = f"near thresholds, in {', '.join(sizes.float_layers)}" if sizes.float_layers else ""
    if made.plain:
        floats = f"everywhere, and each layer by itself, since {made.plain}"
    facts = [
        ("files", ", ".join(str(path) for path in made.files)),
        ("flash", f"{flash} of tables, {weights} of them weights; the code comes on top"),
        ("RAM", size_text(sizes.ram_bytes)),
        ("float code", floats or "none"),
    ]
    facts += [("note", f"{path} was there and is left as it is") for path in made.kept]
    print_facts(facts, title="export")
