"""``spiketicket measure`` as a person calls it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Result

from spiketicket.cli.print_measure import Row, print_measured
from spiketicket.experiment.find import find
from spiketicket.experiment.measure import measure_ticket
from spiketicket.measure.energy import DEFAULT, TABLES
from spiketicket.recipe import parse_recipe

pytestmark = pytest.mark.slow


Run = Callable[..., Result]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = parse_recipe(
        {
            "name": "tiny",
            "data": {"name": "digits", "train_limit": 200},
            "model": {"name": "convnet", "width": 0.25, "timesteps": 2},
            "neuron": {"name": "lif"},
            "ticket": {"name": "edge_popup", "density": 0.3},
            "train": {"epochs": 1, "batch_size": 64, "tune": "off"},
            "controls": {"random_trained": False, "random_frozen": False},
        }
    )
    return find(recipe, seeds=2, runs_dir=tmp_path_factory.mktemp("runs")).folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / made.name)


def ticket(run: Path, stage: str = "ticket") -> str:
    return str(run / "seed-0" / stage / "model.ticket")


def test_one_ticket_in_full(spike: Run, run: Path) -> None:
    result = spike("measure", ticket(run), "--images", "30")
    assert result.exit_code == 0
    found = measure_ticket(ticket(run), images=30)
    text = result.stdout
    assert f"first 30 of 360 test images of digits, {found['accuracy']:.2f} % right" in text
    for layer in found["layers"]:
        assert layer["name"] in text
    for word in (
        "membrane updates",
        "zero filters",
        "entropy bound",
        "t=2",
        "45nm-int8-binary",
        "ISSCC 2014",
        "every weight multiplied",
    ):
        assert word in text
    assert f"{100 * found['neurons'][0]['rate'][1]:.2f}" in text
    assert "sram-8k" in text
    assert "Bytes moved per image by 45nm-fp32" in text
    only = spike("measure", ticket(run), "--images", "30", "--energy", "45nm-int8")
    assert "45nm-fp32" not in only.stdout


def test_several_tickets_against_the_first(
    spike: Run, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out = tmp_path / "out" / "found.json"
    arguments = [ticket(run, "dense"), ticket(run), "--images", "40"]
    result = spike("measure", *arguments, "-o", str(out))
    dense, own = json.loads(out.read_text())
    assert dense["stage"] == "dense"
    ratio = own["energy"][0]["total_pj"] / dense["energy"][0]["total_pj"]
    rows = [line.split() for line in result.stdout.splitlines() if "model.ticket" in line]
    assert [row[0] for row in rows] == ["dense/model.ticket", "ticket/model.ticket"]
    assert rows[0].count("1.00") == 4
    spent = dense["energy"][0]["with_memory_pj"]
    multiplied = own["energy"][0]["dense_with_memory_pj"] / spent
    assert rows[1][-1] == f"{multiplied:.2f}"
    assert f"{ratio:.2f}" in rows[1]
    assert "x is against the first row" in result.stdout
    printed = spike("measure", *arguments, "--json")
    assert json.loads(printed.stdout) == json.loads(out.read_text())
    assert own["energy"][0]["memory_pj"] < dense["energy"][0]["memory_pj"]


def test_nets_of_other_images_are_not_to_be_compared(
    spike: Run, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "not the same images: neither accuracies nor costs are to be compared"
    out = tmp_path / "found.json"
    assert words not in spike("measure", ticket(run), ticket(run, "dense"), "-o", str(out)).stdout
    own, dense = json.loads(out.read_text())
    dense["set"] |= {"name": "mnist", "checksum": "0"}
    rows = [
        [
            Row(
                source=m["stage"],
                stage=m["stage"],
                seed=0,
                recipe={},
                recipe_hash="",
                measured=m,
                new=True,
            )
        ]
        for m in (own, dense)
    ]
    print_measured(rows, TABLES[DEFAULT], every=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "test images of digits; first" in shown
    assert "test images of mnist" in shown
    assert words in shown


def test_a_run_with_its_files_and_its_record(spike: Run, run: Path, tmp_path: Path) -> None:
    record = tmp_path / "results.jsonl"
    for _ in range(2):
        result = spike("measure", str(run), "--images", "20", "--record", str(record), "-q")
        assert result.exit_code == 0
    assert "tiny, mean over 2 seeds" in result.stdout
    assert len(list(run.rglob("measure.json"))) == 4
    (line,) = record.read_text().splitlines()
    row = json.loads(line)
    assert [(stage["stage"], stage["seed"]) for stage in row["stages"]] == [
        ("ticket", 0),
        ("ticket", 1),
        ("dense", 0),
        ("dense", 1),
    ]
    assert row["set"]["images"] == 20
    assert {"hash", "recipe", "device", "threads", "torch", "wall_s"} <= row.keys()
    assert str(tmp_path) not in line
    assert row["wall_s"] is None  # the second time everything was read
    result = spike("measure", ticket(run), str(run), "--images", "20")
    assert "model.ticket" in result.stdout
    assert "mean over 2 seeds" in result.stdout


def test_a_damaged_ticket_of_a_run_is_an_error_at_the_end(
    spike: Run, run: Path, tmp_path: Path
) -> None:
    Path(ticket(run, "dense")).write_bytes(b"")
    out = tmp_path / "found.json"
    result = spike("measure", str(run), "--images", "5", "-o", str(out), "--json")
    assert result.exit_code == 1
    assert [row["stage"] for row in json.loads(result.stdout)] == ["ticket", "ticket", "dense"]
    assert json.loads(out.read_text()) == json.loads(result.stdout)
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {ticket(run, 'dense')}: ")


def test_a_place_that_cannot_be_written_names_the_option_that_chose_it(
    spike: Run, run: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for option in ("-o", "--record"):
        for place in (tmp_path, tmp_path / "file" / "x.json"):
            result = spike("measure", ticket(run), option, str(place))
            assert (result.exit_code, result.stdout) == (2, "")
            long = "--output" if option == "-o" else option
            assert f"Choose another {long}, or change" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--images", "0"], "error: --images: must be a number of test images or all (got '0')"),
        (["--images", "361"], "error: --images: must be from 1 to the 360 test images of digits"),
        (["--images", "ten"], "error: --images: must be a number of test images or all"),
        (["--energy", "3nm"], "error: --energy: unknown energy table (got '3nm'). There are"),
    ],
)
def test_bad_input(spike: Run, run: Path, arguments: list[str], text: str) -> None:
    result = spike("measure", ticket(run), *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
from spiketicket.cli import main
sys.argv = ["spiketicket", "measure", "--help"]
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
heavy = {"torch", "numpy", "scipy"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


def test_what_is_no_ticket_and_no_run(spike: Run, tmp_path: Path) -> None:
    assert "no run folder" in spike("measure", str(tmp_path)).stderr
    assert spike("measure", str(tmp_path / "no.ticket")).exit_code == 2
    assert spike("measure").exit_code == 2
