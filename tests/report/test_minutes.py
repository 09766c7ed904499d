"""Accuracy against minutes: where the marks are, and that lines are means over the seeds."""

import re
from xml.etree import ElementTree

import pytest

from spiketicket.report.figures.minutes import accuracy_minutes

SVG = "{http://www.w3.org/2000/svg}"


def row(stage, seed, test, curve, cell="net, density 0.5"):
    title = stage.replace("_", " ")
    return {
        "cell": cell,
        "stage": stage,
        "title": title,
        "seed": seed,
        "test_accuracy": test,
        "curve": curve,
    }


ROWS = [
    row("ticket", 0, 80.0, [[1.0, 60.0], [2.0, 70.0], [4.0, 81.0]]),
    row("ticket", 1, 84.0, [[2.0, 64.0], [4.0, 74.0], [8.0, 85.0]]),
    row("dense", 0, 70.0, [[1.0, 60.0], [2.0, 65.0], [3.0, 69.0]]),
    row("random_frozen", 0, 10.0, []),
]


def drawn(rows):
    figure = accuracy_minutes(rows, 87.76, "the paper", "minutes on 2 threads")
    return figure, ElementTree.fromstring(figure.svg)


def texts(svg):
    return ["".join(t.itertext()) for t in svg.iter(f"{SVG}text")]


def test_a_line_is_the_mean_over_seeds_and_its_mark_the_test():
    figure, svg = drawn(ROWS)
    said = [t.text for t in svg.iter(f"{SVG}title")]
    assert "ticket: 82.00 % on the test set, 80.00 to 84.00, 2 seeds" in said
    assert "dense: 70.00 % on the test set, 70.00 to 70.00, 1 seed" in said
    ticks = {float(t.text): float(t.get("y")) for t in svg.iter(f"{SVG}text") if _is_accuracy(t)}
    (low, y_low), *_, (high, y_high) = sorted(ticks.items())

    def accuracy(y):
        return low + (y - y_low) / (y_high - y_low) * (high - low)

    dots = {d.get("class"): d for d in svg.iter(f"{SVG}circle")}
    assert accuracy(float(dots["f-ticket"].get("cy")) + 3.5) == pytest.approx(82.0, abs=0.2)
    assert accuracy(float(dots["f-dense"].get("cy")) + 3.5) == pytest.approx(70.0, abs=0.2)
    # the ticket's three epochs end after 6 minutes in the mean, the dense net's after 3
    left, right = (float(dots[f"f-{k}"].get("cx")) - 34 for k in ("dense", "ticket"))
    assert right / left == pytest.approx(2.0, abs=0.01)
    (line,) = [p for p in svg.iter(f"{SVG}path") if p.get("class") == "s-ticket"]
    start = re.match(r"M([\d.]+) ([\d.]+)", line.get("d"))
    assert accuracy(float(start[2]) + 3.5) == pytest.approx(62.0, abs=0.2)
    assert len([p for p in svg.iter(f"{SVG}path") if "whisker" in (p.get("class") or "")]) == 1
    assert "the paper: 87.76" in texts(svg)
    assert "minutes on 2 threads" in texts(svg)
    assert "Not drawn: random frozen, 10.00 %" in texts(svg)
    assert len(figure.rows) == 3 * 3


def _is_accuracy(text):
    return text.get("text-anchor") == "end" and text.get("class") == "dim"


def test_a_panel_for_every_cell_and_all_inside_the_frame():
    rows = [{**r, "cell": f"net, density {d}"} for d in (0.5, 0.1, 0.05) for r in ROWS]
    figure, svg = drawn(rows)
    assert [t for t in texts(svg) if t.startswith("net,")] == [
        "net, density 0.5",
        "net, density 0.1",
        "net, density 0.05",
    ]
    moved = [g.get("transform") for g in svg.iter(f"{SVG}g")]
    assert moved == ["translate(0 0)", "translate(360 0)", "translate(0 278)"]
    assert svg.get("viewBox") == "0 0 720 556"
    assert ".fig { background: #" in figure.file


def test_what_is_far_below_every_end_is_not_drawn():
    rows = [row("ticket", 0, 90.0, [[1.0, 10.0], [2.0, 88.0], [3.0, 90.0]])]
    _, svg = drawn(rows)
    (line,) = [p for p in svg.iter(f"{SVG}path") if p.get("class") == "s-ticket"]
    assert line.get("d").count("l") == 1


def test_a_single_epoch_is_a_mark():
    _, svg = drawn([row("ticket", 0, 50.0, [[1.0, 50.0]])])
    assert len(list(svg.iter(f"{SVG}circle"))) == 1
