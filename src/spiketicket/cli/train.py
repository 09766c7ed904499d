"""``spiketicket train``: train the dense net of a recipe, without a ticket."""

from __future__ import annotations

from pathlib import Path

from spiketicket.cli.options import (
    DEFAULT_RECIPE,
    Device,
    DeviceOption,
    JsonOption,
    NetworkOption,
    OptionsOption,
    QuietOption,
    RecipeArgument,
    RecordOption,
    RunsOption,
    SetOption,
    ThreadsOption,
    TrustOptionsOption,
    consent_to,
    recipe_path,
    require_device,
)
from spiketicket.machine.output import say_json


def train(
    recipe: RecipeArgument = DEFAULT_RECIPE,
    *,
    overrides: SetOption = None,
    runs: RunsOption = Path("runs"),
    device: DeviceOption = Device.cpu,
    threads: ThreadsOption = None,
    network: NetworkOption = "",
    options: OptionsOption = None,
    trust_options: TrustOptionsOption = False,
    record: RecordOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train the dense net of a recipe and test it once, at the end."""
    from spiketicket.recipe import load_recipe

    where = require_device(device)
    loaded = load_recipe(recipe_path(recipe), overrides or ())
    consent = consent_to(network, options, trust_options)

    from spiketicket.cli.print_result import print_stages
    from spiketicket.cli.progress import reporter_for
    from spiketicket.experiment import find
    from spiketicket.experiment.record import add_record, check_record
    from spiketicket.machine.workers import is_first

    if record is not None:
        check_record(record)
    with reporter_for(as_json=as_json, quiet=quiet) as reporter:
        trained = find.train_dense(
            loaded,
            runs_dir=runs,
            device=where,
            threads=threads,
            reporter=reporter,
            network=network,
            options=consent.options,
            trust_options=trust_options,
        )
    if not is_first():
        return
    if record is not None:
        add_record(record, find.stage_record(loaded, trained))
    result = trained.to_dict()
    if as_json:
        say_json(result)
    else:
        print_stages([result], title=f"{loaded.name}, seed {loaded.seed}")
