"""README.md's table: five rows, chosen by a rule that looks at no accuracy."""

import importlib
import json

import pytest


@pytest.fixture
def made(readme_writer):
    return importlib.import_module("readme_tables.five_rows")


def run(data, *, seeds, kept, accuracy, net="convnet", width=1.0):
    stages = ("ticket", "dense", "random_trained")
    recipe = {
        "data": {"name": data},
        "model": {"name": net, "width": width},
        "ticket": {"density": 0.5},
    }
    stages = [
        {
            "stage": name,
            "title": f"{name.replace('_', ' ')}, trained",
            "kept": kept,
            "test_accuracy": [accuracy] * seeds,
        }
        for name in stages
    ]
    rows = {n: {"control_accuracy": accuracy} for n in ("dense", "random_trained")}
    verdict = {"outcome": "ties", "seeds": seeds, "comparisons": rows}
    return {
        "recipe": recipe,
        "seeds": [*range(seeds)],
        "stages": stages,
        "verdict": verdict,
        "spiketicket": "0.1.0",
    }


def test_the_run_with_the_most_seeds_then_the_largest_is_chosen(made):
    many = run("digits", seeds=3, kept=10, accuracy=50.0)
    large = run("digits", seeds=1, kept=99, accuracy=99.0)
    assert made.choose([large, many], "digits") is many
    larger = run("digits", seeds=1, kept=100, accuracy=1.0)
    assert made.choose([large, larger], "digits") is larger


def test_transformers_and_other_data_have_no_row(made):
    other = run("digits", seeds=9, kept=9, accuracy=99.0, net="spikformer")
    assert made.choose([other], "digits") is None
    assert made.choose([run("cifar10", seeds=1, kept=1, accuracy=1.0)], "digits") is None


def test_the_speed_is_that_of_the_last_network_beside_its_fastest_peer(made, tmp_path):
    def timed(batch, zeros, engine):
        peers = {"engine-avx2": engine, "onnxruntime-int8": 9.0, "openvino-int8": 6.0}
        rows = [
            {"peer": peer, "status": "measured", "ms_per_image": ms, "times_faster_than": {}}
            for peer, ms in peers.items()
        ]
        found = {"net": "vgg9", "batch": batch, "threads": 1, "zeros": zeros, "rounds": 5}
        return json.dumps(found | {"rows": rows}) + "\n"

    runs = [
        run("digits", seeds=1, kept=1, accuracy=90.0, width=0.5),
        run("cifar10", seeds=2, kept=1, accuracy=70.0, net="vgg9"),
    ]
    (tmp_path / "find-a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in runs))
    (tmp_path / "engine.jsonl").write_text(
        timed(32, 0.5, 1.0) + timed(1, 0.9, 1.0) + timed(1, 0.5, 2.0)
    )
    (table,) = made.five_rows(tmp_path)
    _, _, first, second, speed = table.splitlines()
    assert first.startswith("| three convolutions of 0.5 times the width on digits")
    assert "| 90.00 %, random | 1 | level (one seed, 0.1.0) |" in first
    assert second.startswith("| VGG-9 on CIFAR-10 | 70.00 ± 0.00 % |")
    assert second.endswith("| 2 | ties (0.1.0) |")
    assert "| 2 ms | 6 ms, OpenVINO int8 |" in speed
    assert "3.0 times faster" in speed


def test_without_results_there_is_no_table(made, tmp_path):
    assert made.five_rows(tmp_path) == []


def test_the_page_has_five_rows(readme_writer):
    made = readme_writer.rewritten("README.md").split(readme_writer.BEGIN)[1]
    written = made.split(readme_writer.END)[0].strip().splitlines()
    assert len([line for line in written if line.startswith("|")]) == 2 + 5
