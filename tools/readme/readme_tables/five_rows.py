"""README.md's table. The rule that chooses its rows looks at no accuracy:

1. one row for each of four data sets: of the runs with a convolutional network, the one with the
   most seeds, and of those the one that keeps the most weights;
2. one row for the engine: that network of the last of them, at that run's own density, one image
   on one thread, beside its fastest peer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from readme_tables.engine import best_engine, times_faster
from readme_tables.experiments import spread
from readme_tables.lines import read_lines
from readme_tables.verdicts import control_name, strongest_control, verdict_cell

DATA = {
    "digits": "digits, 8x8 pixels",
    "digits_events": "digits, simulated event camera",
    "nmnist": "N-MNIST-1k, event camera",
    "cifar10": "CIFAR-10",
}
NETS = {"convnet": "three convolutions", "vgg9": "VGG-9"}
PEERS = {"onnxruntime-int8": "ONNX Runtime int8", "openvino-int8": "OpenVINO int8"}


def five_rows(results: Path) -> list[str]:
    """The table, as Markdown; without rows there is none."""
    found = [row for path in sorted(results.glob("find-*.jsonl")) for row in read_lines(path)]
    chosen = [run for name in DATA if (run := choose(found, name))]
    rows = [_accuracy(run) for run in chosen]
    timed = results / "engine.jsonl"
    if chosen and timed.exists():
        rows += _speed(read_lines(timed), chosen[-1])
    if not rows:
        return []
    head = (
        "| network on data | ticket | dense | strongest control | seeds | verdict |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    )
    return ["\n".join([*head, *rows])]


def choose(found: list[dict[str, Any]], data: str) -> dict[str, Any] | None:
    """The run that stands for a data set; None where there is none."""
    runs = [
        run
        for run in found
        if run["recipe"]["data"]["name"] == data and run["recipe"]["model"]["name"] in NETS
    ]
    return max(
        runs, key=lambda run: (len(run["seeds"]), _stage(run, "ticket")["kept"]), default=None
    )


def _accuracy(run: dict[str, Any]) -> str:
    recipe, control = run["recipe"], strongest_control(run["verdict"], run)
    cells = [
        f"{_net(recipe['model'])} on {DATA[recipe['data']['name']]}",
        *(f"{spread(_stage(run, name))} %" for name in ("ticket", "dense")),
        "" if control is None else f"{spread(control)} %, {control_name(control)}",
        str(len(run["seeds"])),
        verdict_cell(run["verdict"]["outcome"], run["verdict"], run),
    ]
    return f"| {' | '.join(cells)} |"


def _net(model: dict[str, Any]) -> str:
    width = "" if model["width"] == 1 else f" of {model['width']:g} times the width"
    return NETS[model["name"]] + width


def _speed(timed: list[dict[str, Any]], run: dict[str, Any]) -> list[str]:
    """The row of the engine, where that network was timed at that density, in its full width."""
    if run["recipe"]["model"]["width"] != 1:
        return []
    zeros = 1 - run["recipe"]["ticket"]["density"]
    for row in timed:
        same = row["net"] == run["recipe"]["model"]["name"] and abs(row["zeros"] - zeros) < 1e-9
        if not same or (row["batch"], row["threads"]) != (1, 1):
            continue
        found = {r["peer"]: r for r in row["rows"] if r["status"] == "measured"}
        engine, peers = best_engine(found), [found[name] for name in PEERS if name in found]
        if engine is None or not peers:
            continue
        peer = min(peers, key=lambda r: r["ms_per_image"])
        cells = [
            f"{NETS[row['net']]}, time per image",
            f"{engine['ms_per_image']:.3g} ms",
            f"{peer['ms_per_image']:.3g} ms, {PEERS[peer['peer']]}",
            "",
            "",
            f"{times_faster(engine, peer)} times faster",
        ]
        return [f"| {' | '.join(cells)} |"]
    return []


def _stage(run: dict[str, Any], name: str) -> dict[str, Any]:
    return next(stage for stage in run["stages"] if stage["stage"] == name)
