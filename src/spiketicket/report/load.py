"""Run folders as a report reads them: whatever can be read is, and the rest becomes a note.

A folder that is no run is an error. A file of a run that is missing, half-written or foreign is
not: the run is shown without it, with a note that names it (never by the machine's own path).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from spiketicket.errors import UserError
from spiketicket.experiment.answers import read_answers
from spiketicket.experiment.folder import RESULT, RunFolder, StageFolder, stages_in
from spiketicket.experiment.results import checked_result, read_predictions
from spiketicket.experiment.schemas import (
    PATCHES,
    Epoch,
    FiringFile,
    Measure,
    RunResult,
    StageFacts,
    StageResult,
    Totals,
)
from spiketicket.machine.bounded import parse_json, read_regular
from spiketicket.recipe import read_tables
from spiketicket.report.numbers import counted
from spiketicket.report.runs import Run, Stage
from spiketicket.report.sample import Sample, read_sample

M = TypeVar("M", bound=BaseModel)
Note = Callable[[str], None]


def read_run(folder: Path, *, details: bool = True, label: str = "") -> Run:
    """Read a run folder; without ``details`` of a finished run only recipe and result.

    Raises:
        UserError: it is no run folder, or cannot be read at all.
    """
    notes: list[str] = []
    place = RunFolder(folder)
    files = (place.recipe, place.result)
    if not folder.is_dir() or not any(path.is_file() for path in files):
        remedy = "Give a folder with a recipe.toml in it, such as runs/digits-binw-0123456789"
        raise UserError("is no run folder", where=str(folder), remedy=remedy)
    label = label or folder.resolve().name
    recipe = _recipe(place.recipe, notes.append)
    data = _json(place.data, folder, notes.append)
    checksum = str(data.get("checksum", "")) if isinstance(data, dict) else ""
    result = _checked(RunResult, place.result, folder, notes.append)
    listed = _listed(place, notes.append)
    order = listed or _of_earlier_version(folder, result)
    run = Run(
        label=label,
        folder=folder,
        recipe=recipe,
        checksum=checksum,
        result=result,
        order=order,
        counted=bool(listed),
        stages=(),
        sample=None,
        answers=None,
        notes=(),
    )
    if details or result is None:
        stages = tuple(_stages(run, notes.append))
        sample = _sample(run, stages, notes.append)
        answers = _tried(read_answers, place.answers, folder, notes.append)
        run = replace(run, stages=stages, sample=sample, answers=answers)
    return replace(run, notes=tuple(notes))


def _listed(folder: RunFolder, note: Note) -> tuple[StageFacts, ...]:
    """What ``stages.json`` says; nothing where it cannot be read."""
    try:
        return stages_in(_json(folder.stages, folder.path, note), folder.stages)
    except UserError as error:
        note(f"{folder.stages.name}: {_short(error)}; shown without it")
        return ()


def _of_earlier_version(folder: Path, result: RunResult | None) -> tuple[StageFacts, ...]:
    """The stages that can be seen of a run whose folder does not list them."""
    run = RunFolder(folder)
    if result:
        names = [row.stage for row in result.stages]
    else:
        places = [path for seed in run.seeds() for path in run.seed(seed).path.iterdir()]
        names = sorted({path.name for path in places if path.is_dir()})
    return tuple(
        StageFacts.model_construct(
            name=name,
            title="",
            role="ticket" if name in ("ticket", *PATCHES) else "control",
            rung=name if name in PATCHES else "",
        )
        for name in names
    )


_MOST_LAYERS = 20
"""Notes about layers of one stage."""


def _sample(run: Run, stages: Sequence[Stage], note: Note) -> tuple[str, Sample] | None:
    """The first that can be read: the ticket's, an earlier rung's, the dense net's, any."""
    first = (run.main, *reversed(PATCHES), "ticket", "dense")
    place = {name: index for index, name in reversed(list(enumerate(first)))}
    for stage in sorted(stages, key=lambda s: (place.get(s.name, len(first)), s.seed)):
        path = RunFolder(run.folder).seed(stage.seed).stage(stage.name).sample
        found = _tried(read_sample, path, run.folder, note)
        if found:
            return stage.name, found
    return None


def _stages(run: Run, note: Note) -> list[Stage]:
    found, folder = [], RunFolder(run.folder)
    for seed in folder.seeds():
        if run.result and seed not in run.result.seeds:
            continue
        place = folder.seed(seed)
        there = [path.name for path in sorted(place.path.iterdir()) if path.is_dir()]
        order = [name for name in run.expected if name in there]
        order += [name for name in there if name not in order]
        shown = (run.main, "dense")
        found += [
            _stage(place.stage(name), run, seed, Measure if name in shown else Totals, note)
            for name in order
        ]
    return found


def _stage(files: StageFolder, of: Run, seed: int, measured: type[Totals], note: Note) -> Stage:
    run, place = of.folder, files.path
    result = _checked(StageResult, files.result, run, note)
    history = tuple(result.history) if result else _log(files.log, run, note)
    if result is None and files.checkpoint.exists():
        where = place.relative_to(run)
        done = counted(len(history), "epoch")
        note(f"{where}: not finished, {done} done; `find` goes on from there")
    off = _checked(FiringFile, files.firing, run, note)
    for layer, rate in list(off.layers.items())[:_MOST_LAYERS] if off else ():
        kind = "hardly ever" if rate < 0.5 else "nearly always"
        told = f"{place.relative_to(run)}: layer {layer} fires {kind}"
        note(f"{told}, in {100 * rate:.3g} % of all steps of the last validation")
    measure = _checked(measured, files.measure, run, note)
    timing = _json(files.timing, run, note) if result else None
    timing = timing if isinstance(timing, dict) else {}
    predictions = _tried(read_predictions, files.predictions, run, note)
    return Stage(
        name=place.name,
        seed=seed,
        result=result,
        history=history,
        measure=measure,
        predictions=predictions,
        timing=timing,
    )


def _recipe(path: Path, note: Note) -> Mapping[str, Any]:
    try:
        return read_tables(path)
    except (OSError, UserError) as error:
        note(f"{path.name}: cannot be read ({_short(error)})")
        return {}


def _json(path: Path, run: Path, note: Note) -> Any:
    try:
        return parse_json(read_regular(path).decode())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, UserError) as error:
        note(f"{path.relative_to(run)}: cannot be read ({_short(error)}); shown without it")
        return None


def _parsed(path: Path) -> Any:
    """JSON as it is; a loss in it may be infinite."""
    return parse_json(read_regular(path).decode(), constants=True)


def _checked(model: type[M], path: Path, run: Path, note: Note) -> M | None:
    try:
        value = _parsed(path)
        if path.name == RESULT:
            value = checked_result(value, path)
        return model.model_validate(value)
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "".join(f"{part}: " for part in (".".join(map(str, first["loc"])),) if part)
        what = first["msg"].lower().removeprefix("value error, ")
        note(f"{path.relative_to(run)}: {where}{what}; shown without it")
        return None
    except (OSError, ValueError, RecursionError, UserError) as error:
        note(f"{path.relative_to(run)}: cannot be read ({_short(error)}); shown without it")
        return None


def _log(path: Path, run: Path, note: Note) -> tuple[Epoch, ...]:
    """The lines that are whole; a process that was killed may have left half of one."""
    try:
        lines = read_regular(path).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, UserError) as error:
        note(f"{path.relative_to(run)}: cannot be read ({_short(error)}); shown without it")
        return ()
    found: dict[int, Epoch] = {}
    bad = 0
    for line in lines:
        try:
            epoch = Epoch.model_validate(parse_json(line, constants=True))
        except (ValueError, RecursionError):
            bad += 1
        else:
            found[epoch.epoch] = epoch
    if bad:
        note(f"{path.relative_to(run)}: {bad} of {len(lines)} lines cannot be read; left out")
    return tuple(found[index] for index in sorted(found))


T = TypeVar("T")


def _tried(read: Callable[[Path], T], path: Path, run: Path, note: Note) -> T | None:
    if not path.exists():
        return None
    try:
        return read(path)
    except Exception as error:  # a damaged archive raises whatever its parts raise
        note(f"{path.relative_to(run)}: cannot be read ({_short(error)}); shown without it")
        return None


def _short(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if isinstance(error, UserError):
        return error.what.splitlines()[0][:120]
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
