"""``spiketicket train``: train the dense net of a recipe, without a ticket."""

from __future__ import annotations

from pathlib import Path

from spiketicket.cli.options import (
    DEFAULT_RECIPE,
    Device,
    DeviceOption,
    JsonOption,
    QuietOption,
    RecipeArgument,
    RecordOption,
    RunsOption,
    SetOption,
    ThreadsOption,
    TuneOption,
    require_device,
    settings_of,
    with_consent,
)
from spiketicket.machine.output import say_json
from spiketicket.recipe.consent import Consent


@with_consent
def train(
    recipe: RecipeArgument = DEFAULT_RECIPE,
    *,
    overrides: SetOption = None,
    tune: TuneOption = None,
    runs: RunsOption = Path("runs"),
    device: DeviceOption = Device.cpu,
    threads: ThreadsOption = None,
    consent: Consent = Consent(),
    record: RecordOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train the dense net of a recipe and test it once, at the end."""
    from spiketicket.recipe import load_recipe
    from spiketicket.recipe.named import recipe_path

    recipe_path(recipe)  # a missing file is told before PyTorch, which takes seconds, is there
    where = require_device(device)
    loaded = load_recipe(recipe, settings_of(overrides, tune))

    from spiketicket.cli.print_result import print_stages
    from spiketicket.experiment import conclude, find
    from spiketicket.experiment.display import reporter_for
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
            progress=False,
            **vars(consent),
        )
    if not is_first():
        return
    if record is not None:
        add_record(record, conclude.stage_record(loaded, trained))
    result = trained.to_dict()
    if as_json:
        say_json(result)
    else:
        print_stages([result], title=f"{loaded.name}, seed {loaded.seed}")
