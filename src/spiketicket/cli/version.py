"""``spiketicket version``: versions, and with --verbose the machine."""

from __future__ import annotations

import os
import platform
from typing import Annotated

from spiketicket._version import __version__
from spiketicket.cli.declare import Option
from spiketicket.cli.options import JsonOption
from spiketicket.machine import cores
from spiketicket.machine.output import say, say_json

_PACKAGES = ("numpy", "scipy", "safetensors", "pydantic", "pillow", "torch")


def version(
    verbose: Annotated[
        bool, Option("--verbose", "-v", help="Packages, devices and threads too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the version."""
    facts = _facts() if verbose else {}
    if as_json:
        say_json({"spiketicket": __version__, **facts})
        return
    say(f"spiketicket {__version__}")
    for name, value in facts.items():
        say(f"{name:12} {value}")


def _facts() -> dict[str, str]:
    # Imported here because it takes longer than all of this command.
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    facts = {
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for package in _PACKAGES:
        try:
            facts[package] = installed(package)
        except PackageNotFoundError:
            facts[package] = "not installed"
    facts["cpus"] = f"{os.cpu_count()}, this process may use {cores.cores()}"
    from spiketicket.engine import library

    facts["engine"] = library.state()
    try:
        import torch
    except ModuleNotFoundError:
        return facts
    facts["threads"] = str(torch.get_num_threads())
    from spiketicket.neurons import native

    facts["neurons"] = native.state()
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    facts["cuda"] = ", ".join(names) or "no device"
    return facts
