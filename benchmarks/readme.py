"""Write the tables of README.md and docs/results.md from the files in results/.

python benchmarks/readme.py           rewrite the part between the markers
python benchmarks/readme.py --check   exit 1 if one of them is not up to date

README.md gets a row an outcome, docs/results.md every arm and every contender.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/results.md")
RESULTS = ROOT / "results"
RUNGS = {"patch": "patch", "pepsp": "PEPSp", "multisp": "MultiSp"}
LADDERS = ("patches", "multisp")
ENERGY_TABLE = "45nm-fp32"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def main() -> int:
    old = [page for page in PAGES if (ROOT / page).read_text() != rewritten(page)]
    for page in old:
        if "--check" in sys.argv[1:]:
            print(f"{page}: the tables are not those of results/; run benchmarks/readme.py")
        else:
            (ROOT / page).write_text(rewritten(page))
    return int(bool(old) and "--check" in sys.argv[1:])


def rewritten(page: str) -> str:
    """A page, by its path below the root, with its tables made anew."""
    start, rest = (ROOT / page).read_text().split(BEGIN)
    end = rest.split(END)[1]
    parts = summary() if page == "README.md" else tables()
    body = "".join(f"\n{part}\n" for part in parts)
    return f"{start}{BEGIN}\n{body}{END}{end}"


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The results in a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def tables() -> list[str]:
    """All tables, as Markdown."""
    parts = []
    for path in sorted(RESULTS.glob("find-*.jsonl")):
        parts += [find_table(row, path) for row in rows_of(path)]
    parts += [train_table(rows_of(path), path) for path in sorted(RESULTS.glob("train-*.jsonl"))]
    parts += [energy_table(rows_of(p), p) for p in sorted(RESULTS.glob("measure-*.jsonl"))]
    makers = {
        "transformer_step": step_table, "search_step": bench_table,
        "event_readers": readers_table, "event_frames": frames_table,
        "measure": measuring_table, "report": report_table,
    }  # fmt: skip
    for name, make in makers.items():
        path = RESULTS / f"{name}.jsonl"
        if path.exists():
            parts.append(make(rows_of(path), path))
    return parts


def summary() -> list[str]:
    """A row an outcome: each ticket, and each rung of a ladder, beside its controls."""
    lines = [
        "| recipe | net | ticket | its accuracy % | dense net % | random mask or patches,"
        " trained % | verdict |",
        "| --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    for path in sorted(RESULTS.glob("find-*.jsonl")):
        for result in rows_of(path):
            lines += summary_rows(result)
    return ["\n".join(lines)]


def summary_rows(result: dict[str, Any]) -> list[str]:
    """The rows of one experiment."""
    arms = {arm["arm"]: arm for arm in result["arms"]}
    recipe, verdict = result["recipe"], result["verdict"]
    binary = "binary, " if recipe["model"]["weights"] == "binary" else ""
    net = f"{recipe['model']['name']}, T={recipe['model']['timesteps']}"
    if "rungs" not in verdict:
        what = f"{binary}density {recipe['ticket']['density']:g}"
        rows = [("ticket", what, "random_trained", verdict["outcome"])]
    else:
        keep, density = f"keep {recipe['ticket']['keep']:g}", recipe["ticket"].get("density", 1)
        rows = [
            (
                rung,
                f"{RUNGS[rung]}: {keep}"
                + ("" if rung == "patch" else f", ConvPEP {binary}density {density:g}"),
                "patch_random" if rung == "patch" else f"{rung}_random_trained",
                found["outcome"],
            )
            for rung, found in ((r, verdict["rungs"][r]) for r in RUNGS if r in verdict["rungs"])
        ]
    return [
        f"| [{result['name']}](src/spiketicket/recipes/{result['name']}.toml) | {net} | {what} |"
        f" {spread(arms.get(arm))} | {spread(arms.get('dense'))} | {spread(arms.get(control))} |"
        f" {outcome} |"
        for arm, what, control, outcome in rows
    ]


def spread(arm: dict[str, Any] | None) -> str:
    """Mean and standard deviation over the seeds."""
    if arm is None:
        return "-"
    values = arm["test_accuracy"]
    mean = f"{statistics.fmean(values):.2f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.2f}"


def find_table(result: dict[str, Any], path: Path) -> str:
    """One experiment: an arm a row."""
    seeds = ", ".join(str(s) for s in result["seeds"])
    ladder = "rungs" in result["verdict"]
    lines = [
        f"**{result['name']}**, {result['condition']}, seeds {seeds}:"
        f" *{result['verdict']['outcome']}* (recipe hash `{result['hash']}`,"
        f" [{path.name}](../results/{path.name}),"
        f" {result['device']}, {result['threads']} threads, spiketicket {result['spiketicket']})",
        *(f"\n{note}." for note in result.get("notes", ())),
        "",
        *(LADDER_HEAD if ladder else HEAD),
    ]
    for arm in result["arms"]:
        if ladder:
            lines.append(ladder_row(arm))
            continue
        accuracy = " / ".join(f"{a:.2f}" for a in arm["test_accuracy"])
        lines.append(
            f"| {arm['title']} | {accuracy} | {arm['density']:.3g} | {arm['kept']:,} |"
            f" {arm['file_bytes']:,} | {arm['trained_epochs']} | {arm['wall_s']:.0f} |"
        )
    sentences = " ".join(result["verdict"]["sentences"])
    return "\n".join([*lines, "", f"> {sentences}"])


def train_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Dense nets trained alone: a recipe a row."""
    first = rows[0]
    lines = [
        f"**{first['name']}, the dense net alone**,"
        f" {'binary' if first['arms'][0]['binary'] else 'float'} weights,"
        f" width {first['recipe']['model']['width']:g}, {first['recipe']['train']['epochs']} epochs"
        f" ([{path.name}](../results/{path.name}), {first['device']}, {first['threads']} threads,"
        f" spiketicket {first['spiketicket']}):",
        "",
        "| seed | recipe hash | test accuracy % | validation accuracy % | wall time s |",
        "| ---: | --- | ---: | ---: | ---: |",
    ]
    for row in rows:
        arm = row["arms"][0]
        lines.append(
            f"| {row['seeds'][0]} | `{row['hash']}` | {arm['test_accuracy'][0]:.2f} |"
            f" {arm['validation_accuracy'][0]:.2f} | {arm['wall_s']:.0f} |"
        )
    return "\n".join(lines)


HEAD = (
    "| | test accuracy % | density | weights kept | file bytes | epochs | wall time s |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
)
LADDER_HEAD = (
    "| | test accuracy % | tokens | ConvPEP density | pruned of the net % | operations an image,"
    " million: ConvPEP / encoder / attention / selector | file bytes | epochs | wall time s |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
)


def ladder_row(arm: dict[str, Any]) -> str:
    """One stage of a ladder."""
    accuracy = " / ".join(f"{a:.2f}" for a in arm["test_accuracy"])
    done = []
    for group in ("conv_pep", "encoder_linear", "attention", "selector"):
        counts = arm["operations"].get(group)
        done.append("-" if counts is None else f"{(counts['acs'] + counts['macs']) / 1e6:.3g}")
    return (
        f"| {arm['title']} | {accuracy} | {arm['tokens']['kept']} of {arm['tokens']['of']} |"
        f" {arm['conv_pep_density']:.3g} | {100 * (1 - arm['net_density']):.1f} |"
        f" {' / '.join(done)} | {arm['file_bytes']:,} | {arm['trained_epochs']} |"
        f" {arm['wall_s']:.0f} |"
    )


def step_table(rows: list[dict[str, Any]], path: Path) -> str:
    """The transformer's training step: peers, tickets, ConvPEP alone."""
    timed = [r for r in rows if "ms_per_image" in r]
    first = timed[0]
    lines = [
        f"**One training step** of Spikformer TINY, T=4, batch {first['batch']},"
        f" {first['threads']} threads, {first['device']}, torch {first['torch']}; processes in"
        f" turn, medians of {first['rounds']} rounds ([{path.name}](../results/{path.name})):",
        "",
        "| race | | ms an image | times the first | range |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['kind']} | {r['contender']} | {r['ms_per_image']:.2f} | {r['times_first']:.2f} |"
        f" {r['times_first_min']:.2f} to {r['times_first_max']:.2f} |"
        for r in timed
    ]
    return "\n".join(lines)


def bench_table(rows: list[dict[str, Any]], path: Path) -> str:
    """The search step: contenders, then growth."""
    race = [r for r in rows if r["kind"] == "race" and "error" not in r]
    growth = [r for r in rows if r["kind"] == "growth" and "error" not in r]
    machine = race[0]
    lines = [
        f"**One search step** of VGG-9, T=4, batch {machine['batch']},"
        f" {machine['threads']} threads, {machine['device']}, torch {machine['torch']};"
        f" processes in turn, medians of"
        f" {machine['rounds']} rounds ([{path.name}](../results/{path.name})):",
        "",
        "| | ms an image | times ours | peak MiB |",
        "| --- | ---: | ---: | ---: |",
    ]
    names = {
        "ours": "spiketicket (bf16, native kernel)",
        "ours-fp32": "spiketicket, float32",
        "ours-eager": "spiketicket, plain PyTorch neuron, bf16",
        "sj": "SpikingJelly 2.0.0, eager, masks by full sort",
        "sj-bf16": "the same, bf16 and our allocator settings",
        "sj-compile": "SpikingJelly, torch.compile, our allocator settings",
        "sj-compile-bf16": "the same, bf16",
    }
    lines += [
        f"| {names[r['contender']]} | {r['ms_per_image']:.1f} | {r['times_ours']:.2f} |"
        f" {r['peak_mib']} |"
        for r in race
    ]
    for row in rows:
        if row["kind"] == "limit":
            lines += [
                "",
                f"The step's bf16 matrix products alone would take {row['ms_per_image']:.1f} ms"
                f" an image at the measured {row['gmac_per_s']:.0f} GMAC/s.",
            ]
    if growth:
        lines += ["", "| T | width | ms an image | peak MiB |", "| ---: | ---: | ---: | ---: |"]
        lines += [
            f"| {r['timesteps']} | {r['width']:g} | {r['ms_per_image']:.1f} | {r['peak_mib']} |"
            for r in growth
        ]
    return "\n".join(lines)


def readers_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Reading recordings: a format a row."""
    first = rows[0]
    lines = [
        f"**Reading recordings** of 100 MB, one thread, {first['device']}, medians of"
        f" {first['rounds']} rounds ([{path.name}](../results/{path.name})):",
        "",
        "| format | million events a second | MB a second | peak memory, times the file |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['format']} | {r['events_per_s'] / 1e6:.1f} | {r['mb_per_s']} |"
        f" {r['peak_ratio']:.2f} |"
        for r in rows
    ]
    return "\n".join(lines)


def frames_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Events to frames: a contender a row."""
    done = [r for r in rows if "error" not in r]
    first = done[0]
    lines = [
        f"**Frames** of {first['events']:,} events, {first['steps']} of"
        f" {first['side']}x{first['side']}, one thread, {first['device']}; in turn, medians of"
        f" {first['rounds']} rounds ([{path.name}](../results/{path.name})):",
        "",
        "| cut by equal | | ms | times ours | events in the frames |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['by']} | {r['contender']} | {r['ms']:.1f} | {r['times_ours']:.2f} |"
        f" {r['events_in_frames']:,} |"
        for r in done
    ]
    return "\n".join(lines)


def energy_table(rows: list[dict[str, Any]], path: Path) -> str:
    """Nets and what an image costs them: the first one is what the others are compared with."""
    first = rows[0]["arms"][0]
    base = next(e for e in first["energy"] if e["table"] == ENERGY_TABLE)
    about = rows[0]["set"]
    lines = [
        f"**An image's operations and energy**, {rows[0]['name']}, mean of {about['images']} of the"
        f" {about['of']} test samples, {rows[0]['device']}, spiketicket {rows[0]['spiketicket']}"
        f" ([{path.name}](../results/{path.name})). Energy by `{ENERGY_TABLE}`: {base['formula']}"
        f" ({base['source']}); [what is counted](energy.md):",
        "",
        "| net | seed | accuracy % | MACs | accumulations | energy nJ | times the first |"
        " with membranes nJ | were every product made, nJ | times the first |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        kind = f", {row['recipe']['neuron']['name']}"
        if row["recipe"]["ticket"]["name"] not in LADDERS:  # whose stages differ in their weights
            kind += f", {row['recipe']['model']['weights']} weights"
        for arm in row["arms"]:
            spent = next(e for e in arm["energy"] if e["table"] == ENERGY_TABLE)
            total, every = spent["total_pj"], spent["dense_pj"]
            lines.append(
                f"| {arm['arm'].replace('_', ' ')}{kind} | {arm['seed']} |"
                f" {arm['accuracy']:.2f} |"
                f" {arm['total']['macs']:,.0f} | {arm['total']['ac_units']:,.0f} |"
                f" {total / 1e3:,.0f} | {total / base['total_pj']:.2f} |"
                f" {spent['with_updates_pj'] / 1e3:,.0f} | {every / 1e3:,.0f} |"
                f" {every / base['total_pj']:.2f} |"
            )
    return "\n".join(lines)


def measuring_table(rows: list[dict[str, Any]], path: Path) -> str:
    """What measuring takes beside a plain pass over the same images."""
    measured = [r for r in rows if r["pass"] == "measured"]
    first = measured[0]
    lines = [
        f"**Measuring** {first['images']} images beside a plain evaluation of them, one thread,"
        f" {first['device']}; in turn, medians of {first['rounds']} rounds"
        f" ([{path.name}](../results/{path.name})):",
        "",
        "| net | ms | times a plain pass | range |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['net']} | {r['ms']:,.0f} | {r['times_plain']:.2f} | {r['times_plain_min']:.2f} to"
        f" {r['times_plain_max']:.2f} |"
        for r in measured
    ]
    return "\n".join(lines)


def report_table(rows: list[dict[str, Any]], path: Path) -> str:
    """How large a report is and how long it takes."""
    first = rows[0]
    lines = [
        f"**Writing a report**, imports included, {first['device']}, medians of"
        f" {first['rounds']} rounds ([{path.name}](../results/{path.name})):",
        "",
        "| runs | wall time s | processor time s | page kB |",
        "| ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['runs']} | {r['wall_s']:.2f} | {r['processor_s']:.2f} |"
        f" {r['page_bytes'] / 1e3:,.0f} |"
        for r in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
