"""The figures: the same bytes from the same rows, and what they show in words."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest

from spiketicket.reproduce import load_study
from spiketicket.reproduce.figures import draw
from spiketicket.reproduce.look import BOTTOM, TOP

SVG = "{http://www.w3.org/2000/svg}"


def text(svg: str) -> str:
    return "\n".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))


@pytest.fixture
def conditions(stage, row):
    return [
        row(
            stage("ticket", 87.0, 88.0),
            stage("dense", 88.0, 88.5),
            stage("random_trained", 80.0, 81.0),
            series=name,
            panel="cifar10-vgg9",
            title="A panel",
            published="table1.cifar10-vgg9",
        )
        for name in ("ANN", "BinAct-BNN", "BinW-SNN")
    ]


def test_conditions(conditions):
    svg = draw(load_study("table1"), conditions)
    assert svg == draw(load_study("table1"), conditions)
    seen = text(svg)
    for word in (
        "A panel",
        "ANN",
        "ticket",
        "dense, trained",
        "published, CIFAR10, VGG-9",
        "test accuracy, %",
    ):
        assert word in seen
    # as in the report: the ticket, the dense net, a control
    for kind in ("ticket", "dense", "control"):
        assert f'class="f-{kind}"' in svg


def test_published_values_far_from_ours_have_a_scale_of_their_own(conditions, stage, row):
    near = draw(load_study("table1"), conditions)
    far = [
        row(
            stage("ticket", 37.0, 38.0),
            stage("dense", 38.0, 38.5),
            series=name,
            panel="cifar10-vgg9",
            published="table1.cifar10-vgg9",
        )
        for name in ("ANN", "BinW-SNN")
    ]
    ours, theirs = places(draw(load_study("table1"), far))
    assert TOP <= min(theirs) <= max(theirs) < min(ours) <= max(ours) <= BOTTOM
    ours, theirs = places(near)
    assert max(theirs) > min(ours)


def places(svg: str) -> tuple[list[float], list[float]]:
    """Heights of our marks and of published ones, of the panels, without the legend."""
    root = ElementTree.fromstring(svg)
    panels = root.findall(f"{SVG}g/{SVG}g")
    marks = [node for panel in panels for node in panel.iter(f"{SVG}path") if node.get("transform")]
    found: tuple[list[float], list[float]] = ([], [])
    for node in marks:
        height = float(node.get("transform", "").split()[-1].rstrip(")"))
        found[(node.get("class") or "").startswith("ring")].append(height)
    return found


def test_curves(stage, row):
    rows = [
        row(
            stage("ticket", 80.0 + x / 10, 81.0),
            stage("dense", 90.0, 91.0),
            series=name,
            x=x,
            panel="cifar10-vgg9/weights",
        )
        for name in ("SLT", "LT")
        for x in (20.0, 50.0, 80.0)
    ]
    svg = draw(load_study("fig2"), rows)
    seen = text(svg)
    for word in ("20", "50", "80", "weights pruned, %", "SLT, ticket", "LT, dense, trained"):
        assert word in seen


def test_a_series_has_one_colour_in_all_panels(stage, row):
    """Of panels that do not show the same series, under one legend."""
    panels_shown = {"a/timesteps": ("images", "events"), "b/timesteps": ("digits", "events")}
    rows = [
        row(stage("ticket", 80.0, 81.0), stage("dense", 90.0, 91.0), series=name, x=x, panel=panel)
        for panel, names in panels_shown.items()
        for name in names
        for x in (1.0, 8.0)
    ]
    root = ElementTree.fromstring(draw(load_study("fig4"), rows))
    panels, legend = root.findall(f"{SVG}g/{SVG}g"), root.findall(f"{SVG}g")[1:]
    colours = {
        entry.findtext(f"{SVG}text", "").partition(",")[0]: colours_in(entry) for entry in legend
    }
    assert len(colours) == 3
    assert all(len(found) == 1 for found in colours.values())
    assert len(set.union(*colours.values())) == 3
    for panel, names in zip(panels, panels_shown.values(), strict=True):
        assert colours_in(panel) == set.union(*(colours[name] for name in names))


def colours_in(node: ElementTree.Element) -> set[str]:
    words = (word for part in node.iter() for word in (part.get("class") or "").split())
    return {word for word in words if re.fullmatch(r"c\d+", word)}


def test_a_figure_lies_within_its_frame(conditions):
    root = ElementTree.fromstring(draw(load_study("table1"), conditions))
    width, height = (float(v) for v in root.get("viewBox", "").split()[2:])
    title = root.findall(f"{SVG}text")
    assert (
        " ".join(line.text or "" for line in title)
        == "Table 1. Tickets in five conditions of a CNN"
    )
    assert all(7 * len(line.text or "") <= width for line in title)
    for entry in root.findall(f"{SVG}g")[1:]:
        x, y = (float(v) for v in entry.get("transform", "")[10:-1].split())
        assert 0 <= x < width
        assert 0 < y < height


def test_what_is_not_there_is_said(row):
    assert "not run yet" in text(draw(load_study("table1"), [row(panel="cifar10-vgg9")]))
    curve = [row(x=20.0, panel="cifar10-vgg9/weights")]
    assert "not run yet" in text(draw(load_study("fig2"), curve))
    assert "not counted yet" in text(draw(load_study("energy"), [row(panel="cifar10-vgg9")]))
    forest = draw(load_study("reward1"), [row(series="BinW-SNN"), row(series="BinAct-BNN")])
    assert "not finished" in text(forest)


def test_energies_are_shares_of_the_tickets(stage, row):
    rows = [
        row(
            stage("dense", 90.0, energy=(5e6,), dense=(8e6,)),
            stage("ticket", 89.0, energy=(4e6,)),
            series="ANN",
        ),
        row(
            stage("dense", 90.0, energy=(3e6,)),
            stage("ticket", 89.0, energy=(1e6,)),
            series="BinW-SNN",
        ),
    ]
    seen = text(draw(load_study("energy"), rows))
    assert "8 µJ" in seen
    assert "published ratio" in seen


def test_differences(stage, row):
    rows = [
        row(stage("ticket", 87.0, 88.0, 89.1), stage("dense", 88.0, 88.5, 89.0), series="BinW-SNN"),
        row(
            stage("ticket", 57.0, 58.0, 58.2), stage("dense", 88.0, 88.5, 89.0), series="BinAct-BNN"
        ),
    ]
    seen = text(draw(load_study("reward1"), rows))
    assert "shown" in seen
    assert "percentage points" in seen


def test_labels_of_a_forest_do_not_overlap(stage, row):
    long = "A panel whose title alone takes more than one line of sixty characters, and some more"
    rows = [
        row(stage("multisp", 87.0, 88.0), stage("dense", 88.0, 88.5), panel=name, title=long)
        for name in ("one", "two")
    ]
    svg = draw(load_study("multisp"), rows)
    labels = re.findall(r'<text x="340" y="([0-9.-]+)"', svg)
    heights = sorted(float(y) for y in labels)
    assert len(heights) > 6
    assert min(b - a for a, b in itertools.pairwise(heights)) >= 12
