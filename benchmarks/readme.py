"""Write the tables of README.md from the files in results/.

python benchmarks/readme.py           rewrite the part between the markers
python benchmarks/readme.py --check   exit 1 if it is not up to date
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def main() -> int:
    readme = ROOT / "README.md"
    before = readme.read_text()
    after = rewritten(before)
    if "--check" in sys.argv[1:]:
        if before != after:
            print("README.md: the tables are not those of results/; run benchmarks/readme.py")
        return int(before != after)
    readme.write_text(after)
    return 0


def rewritten(text: str) -> str:
    """The README with its tables made anew."""
    start, rest = text.split(BEGIN)
    end = rest.split(END)[1]
    return f"{start}{BEGIN}\n{tables()}{END}{end}"


def tables() -> str:
    """All tables, as Markdown."""
    parts = []
    for path in sorted((ROOT / "results").glob("find-*.jsonl")):
        parts += [find_table(json.loads(line), path) for line in path.read_text().splitlines()]
    for path in sorted((ROOT / "results").glob("train-*.jsonl")):
        parts.append(train_table([json.loads(x) for x in path.read_text().splitlines()], path))
    step = ROOT / "results" / "transformer_step.jsonl"
    if step.exists():
        parts.append(step_table([json.loads(x) for x in step.read_text().splitlines()], step))
    bench = ROOT / "results" / "search_step.jsonl"
    if bench.exists():
        parts.append(bench_table([json.loads(x) for x in bench.read_text().splitlines()], bench))
    return "".join(f"\n{part}\n" for part in parts)


def find_table(result: dict[str, Any], path: Path) -> str:
    """One experiment: an arm a row."""
    seeds = ", ".join(str(s) for s in result["seeds"])
    ladder = "rungs" in result["verdict"]
    lines = [
        f"**{result['name']}**, {result['condition']}, seeds {seeds}:"
        f" *{result['verdict']['outcome']}* (recipe hash `{result['hash']}`,"
        f" [{path.name}](results/{path.name}),"
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
        f"**{first['name']}, the dense net alone**, {first['recipe']['train']['epochs']} epochs"
        f" ([{path.name}](results/{path.name}), {first['device']}, {first['threads']} threads,"
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
        f" turn, medians of {first['rounds']} rounds ([{path.name}](results/{path.name})):",
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
        f" {machine['rounds']} rounds ([{path.name}](results/{path.name})):",
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


if __name__ == "__main__":
    sys.exit(main())
