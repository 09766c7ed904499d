"""Arguments and options that several commands share."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from spiketicket.cli.declare import Argument, Option
from spiketicket.cli.places import ticket_at
from spiketicket.errors import NO_TORCH, UserError
from spiketicket.machine.bounded import DEFAULT_MEMORY, set_max_memory
from spiketicket.machine.output import note
from spiketicket.recipe.consent import Consent

if TYPE_CHECKING:
    from spiketicket.recipe import Recipe

DEFAULT_RECIPE = "digits-binw"


class Device(StrEnum):
    """Where to compute."""

    cpu = "cpu"
    cuda = "cuda"


RecipeArgument = Annotated[
    str,
    Argument(
        metavar="RECIPE",
        help=f"A TOML file, or the name of a recipe in the package. Default: {DEFAULT_RECIPE}.",
    ),
]
TicketArgument = Annotated[
    Path,
    Argument(help="A .ticket file, a name in the zoo, or a run folder.", read=ticket_at),
]
SetOption = Annotated[
    list[str] | None,
    Option("--set", metavar="SECTION.KEY=VALUE", help="Replace a value of the recipe; repeatable."),
]


class Tune(StrEnum):
    """Whether learning rates are tuned."""

    rates = "rates"
    off = "off"


TuneOption = Annotated[
    Tune | None,
    Option(
        "--tune",
        help="rates: every kind of stage tries its learning rate times 1/4, 1 and 4 on the first"
        " seed, with half the epochs. off: the recipe's rates as they are. Default: the recipe's"
        " train.tune.",
    ),
]
RunsOption = Annotated[Path, Option("--runs", metavar="DIR", help="Folder of the run folders.")]
DeviceOption = Annotated[Device, Option("--device", help="Where to compute.")]
ThreadsOption = Annotated[
    int | None,
    Option("--threads", min=1, help="CPU threads. Default: as many as pay."),
]
ControlsOption = Annotated[
    str | None,
    Option(
        "--controls",
        metavar="NAMES",
        help="Controls in place of the recipe's: all, default, none, or names with commas.",
    ),
]
RecordOption = Annotated[
    Path | None,
    Option("--record", help="Add the result to this file, one line of JSON a recipe."),
]
JsonOption = Annotated[bool, Option("--json", help="Print JSON and nothing else.")]
QuietOption = Annotated[bool, Option("--quiet", "-q", help="No progress, only the result.")]
RootOption = Annotated[
    str,
    Option("--root", metavar="DIR", help="Folder with the data. Default: $SPIKETICKET_DATA."),
]


RoiOption = Annotated[
    str | None,
    Option("--roi", help="LEFT,TOP,WIDTH,HEIGHT: only this region of the camera."),
]

ScaleOption = Annotated[
    str | None,
    Option("--scale", help="WIDTHxHEIGHT that the camera, or its region, is brought to."),
]

TopicOption = Annotated[
    str | None,
    Option("--topic", help="Topic of a ROS 2 bag, or group of an HDF5 file, with the events."),
]

MaxMemoryOption = Annotated[
    str,
    Option(
        "--max-memory",
        metavar="SIZE",
        callback=set_max_memory,
        help=f"Memory that reading one file may take. Default: {DEFAULT_MEMORY}.",
    ),
]


def _consent(
    *,
    network: Annotated[
        str,
        Option(
            "--network",
            metavar="MODULE:FUNCTION",
            help="A custom network, as the file names it: its code is run.",
        ),
    ] = "",
    options: Annotated[
        list[str] | None,
        Option(
            "--options",
            metavar="KEY=VALUE",
            help="An argument of a custom network, as the file states it; repeatable.",
        ),
    ] = None,
    trust_options: Annotated[
        bool,
        Option("--trust-options", help="Take the arguments of a custom network from the file."),
    ] = False,
) -> Consent:
    """What the user allows by these options.

    Raises:
        UserError: they do not go together, or are not of the form they must have.
    """
    from spiketicket.recipe.toml import toml_value

    given: dict[str, Any] = {}
    for text in options or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip() or key.strip() in given:
            what = "is given twice" if equals and key.strip() else "must have the form key=value"
            raise UserError(what, where="--options", value=text)
        given[key.strip()] = toml_value(value.strip())
    return Consent(network, given if options else None, trust_options)


def with_consent(command: Callable[..., None]) -> Callable[..., None]:
    """A command with a ``consent`` argument, which gets what ``--network``, ``--options`` and
    ``--trust-options`` say; they stand in its place.
    """
    asked = inspect.signature(_consent, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def asking(**given: Any) -> None:
        consent = _consent(**{name: given.pop(name) for name in asked})
        command(**given, consent=consent)

    places = [[p] if p.name != "consent" else asked.values() for p in own.parameters.values()]
    signature = own.replace(parameters=list(itertools.chain(*places)))
    asking.__signature__ = signature  # type: ignore[attr-defined]  # what a command reads
    asking.__annotations__ = {}
    return asking


def settings_of(overrides: list[str] | None, tune: Tune | None) -> list[str]:
    """What ``--set`` and ``--tune`` change of a recipe, as ``section.key=value`` texts."""
    return [*(overrides or ()), *([f"train.tune={tune}"] if tune else [])]


def with_controls(recipe: Recipe, controls: str | None) -> Recipe:
    """A recipe with the controls that ``--controls`` names; says which of all it cannot have.

    Raises:
        UserError: no such control, or one that the recipe's method cannot have.
    """
    if controls is None:
        return recipe
    from spiketicket.methods.controls.choice import choose

    chosen = choose(recipe, controls)
    for name, why in chosen.left_out.items():
        note(f"control {name} is left out: {why}")
    return chosen.recipe


def require_device(device: Device) -> str:
    """The device's name, once it is sure that PyTorch is there and has it.

    Raises:
        UserError: PyTorch is not installed, or sees no such device.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(NO_TORCH) from error
    if device is Device.cuda and not torch.cuda.is_available():
        raise UserError(
            "PyTorch sees no CUDA device", where="--device", value=str(device), remedy="Use cpu"
        )
    return str(device)


def require_there(*paths: Path) -> None:
    """Refuse files that are not there before PyTorch, which takes seconds, is imported.

    Raises:
        OSError: one is not, with its name.
    """
    for path in paths:
        path.stat()


class Where(StrEnum):
    """What carries the runs out."""

    local = "local"
    ray = "ray"


ExecutorOption = Annotated[Where, Option("--executor", help="Where to run.")]
WorkersOption = Annotated[
    int | None, Option("--workers", min=1, help="local: runs at once. Default: 1.")
]
AddressOption = Annotated[
    str, Option("--address", help="ray: the cluster. Default: the one of this machine.")
]
CpusOption = Annotated[
    int | None,
    Option(
        "--cpus-per-run",
        min=1,
        help="CPU threads of a run. Default: local, at most an equal share; ray, 1.",
    ),
]
GpusOption = Annotated[
    float | None, Option("--gpus-per-run", min=0, help="ray: GPUs of a run; 0.5 is half.")
]
RetryFailedOption = Annotated[
    bool, Option("--retry-failed", help="Try runs again that failed before.")
]
DryRunOption = Annotated[bool, Option("--dry-run", help="Show the runs and what they would cost.")]
