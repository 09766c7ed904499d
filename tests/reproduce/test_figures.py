"""The figures: the same bytes from the same rows, and what they show in words."""

from __future__ import annotations

import re

import pytest

from spiketicket.reproduce import figures, load_study
from spiketicket.reproduce.figures import draw


def text(svg: bytes) -> str:
    found = re.findall(r"<text[^>]*>([^<]*)</text>", svg.decode())
    found += re.findall(r"<tspan[^>]*>([^<]*)</tspan>", svg.decode())
    return "\n".join(found)


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
    assert "dc:date" not in svg.decode()


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
    assert near.count(b'id="axes_') == 1
    assert draw(load_study("table1"), far).count(b'id="axes_') == 2


def test_curves(stage, row):
    rows = [
        row(
            stage("ticket", 80.0 + x / 10, 81.0),
            stage("dense", 90.0, 91.0),
            series=name,
            x=x,
            panel="cifar10-vgg9/pruned",
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
    panels = {"a/timesteps": ("images", "events"), "b/timesteps": ("digits", "events")}
    rows = [
        row(stage("ticket", 80.0, 81.0), stage("dense", 90.0, 91.0), series=name, x=x, panel=panel)
        for panel, names in panels.items()
        for name in names
        for x in (1.0, 8.0)
    ]
    figure = figures._panels(load_study("fig4"), rows)
    (legend,) = figure.legends
    colours = {
        label.get_text().partition(",")[0]: handle.get_color()
        for label, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }
    assert len(set(colours.values())) == len(colours) == 3
    for axes, names in zip(figure.axes, panels.values(), strict=False):
        assert {line.get_color() for line in axes.lines} == {colours[name] for name in names}


def test_what_is_not_there_is_said(row):
    assert "not run yet" in text(draw(load_study("table1"), [row(panel="cifar10-vgg9")]))
    curve = [row(x=20.0, panel="cifar10-vgg9/pruned")]
    assert "not run yet" in text(draw(load_study("fig2"), curve))
    assert "not counted yet" in text(draw(load_study("energy"), [row(panel="cifar10-vgg9")]))
    forest = draw(load_study("reward1"), [row(series="BinW-SNN"), row(series="BinAct-BNN")])
    assert "not finished" in text(forest)


def test_energies_are_shares_of_the_tickets(stage, row):
    rows = [
        row(
            stage("dense", 90.0, energy=(8e6,)), stage("ticket", 89.0, energy=(4e6,)), series="ANN"
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
