"""Figures are sound SVG within their frame, and show the numbers they were given."""

import base64
import csv
import html
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from spiketicket.experiment.schemas import Measure
from spiketicket.report.axes import curves
from spiketicket.report.figures.canvas import Figure, Scale, series, stylesheet
from spiketicket.report.figures.curve import accuracy_curve
from spiketicket.report.figures.energy import energy_bars
from spiketicket.report.figures.forest import forests
from spiketicket.report.figures.layer_map import layer_map
from spiketicket.report.figures.layers import short_name, steps
from spiketicket.report.figures.network import network_picture
from spiketicket.report.figures.pictures import pictures
from spiketicket.report.figures.spikes import answer, membranes, raster
from spiketicket.report.figures.training import training_curves
from spiketicket.report.load import read_run
from spiketicket.report.parts import run_parts
from spiketicket.report.sample import Sample

MakeRun = Callable[..., Path]
SVG = "{http://www.w3.org/2000/svg}"


def all_figures(folder: Path) -> list[Figure]:
    parts = run_parts(read_run(folder))
    return [item for part in parts for item in part.items if isinstance(item, Figure)]


def points(path: str) -> Iterator[tuple[float, float]]:
    """Corners of a path of M, L, l, m, h, v and z, one after the other."""
    x = y = 0.0
    for command, numbers in re.findall(r"([MLlmhvHz])([^A-Za-z]*)", path):
        values = [float(v) for v in re.findall(r"-?\d*\.?\d+", numbers)]
        if command in "ML":
            x, y = values
        elif command in "lm":
            x, y = x + values[0], y + values[1]
        elif command == "h":
            x += values[0]
        elif command == "H":
            x = values[0]
        elif command == "v":
            y += values[0]
        yield x, y


@pytest.mark.parametrize("ladder", [False, True])
@pytest.mark.parametrize("events", [False, True])
def test_every_figure_is_xml_within_its_frame(
    make_run: MakeRun, ladder: bool, events: bool
) -> None:
    figures = all_figures(make_run(ladder=ladder, events=events))
    assert {f.name.split("-")[0] for f in figures} == {
        "differences",
        "confusion",
        "examples",
        "wrong",
        "energy",
        "network",
        "layers",
        "images",
        "raster",
        "membranes",
        "answer",
        "training",
    }
    for figure in figures:
        root = ElementTree.fromstring(figure.svg)
        width, height = (float(v) for v in root.get("viewBox", "").split()[2:])
        assert (width, root.get("aria-label")) == (
            360,
            html.unescape(figure.svg.split('aria-label="')[1].split('"')[0]),
        )
        for node in root.iter(f"{SVG}path"):
            if node.get("transform") or node.get("class") in ("veil", "outline"):
                continue
            for x, y in points(node.get("d", "")):
                assert -0.1 <= x <= width + 0.1, (figure.name, node.get("d"))
                assert -0.1 <= y <= height + 0.1, (figure.name, node.get("d"))
        for node in root.iter(f"{SVG}text"):
            assert 0 <= float(node.get("y", "0")) <= height
        rows = list(csv.reader(io.StringIO(figure.csv)))
        assert len(rows) > 1
        assert {len(row) for row in rows} == {len(figure.columns)}


def test_a_figure_as_a_file_needs_no_page(make_run: MakeRun) -> None:
    figure = all_figures(make_run())[0]
    root = ElementTree.fromstring(figure.file)
    assert re.search(r"\.fig { background: #[0-9a-f]{6}; }", figure.file)  # on dark pages
    style = root.findtext(f"{SVG}style") or root.findtext("style") or ""
    assert "var(" not in style
    assert "#0a6c8f" in style


def test_every_colour_of_the_figures_has_one_for_light_and_one_for_dark_pages() -> None:
    page = (resources.files("spiketicket.report") / "page.css").read_text("utf-8")
    light, dark = (re.findall(r"--([\w-]+): #", theme) for theme in page.split("@media")[:2])
    assert light == dark
    assert set(re.findall(r"var\(--([\w-]+)\)", stylesheet())) <= {*light, "sans"}
    kinds = {series(index) for index in range(26)}
    assert len(kinds) == 26
    for name in {kind.split()[1] for kind in kinds}:
        assert f".{name} " in stylesheet()


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 8))
def test_ticks_are_round_and_within(low: float, span: float, most: int) -> None:
    scale = Scale(low=low, high=low + span, start=0, end=1)
    ticks = scale.ticks(most)
    room = 1e-6 * max(abs(low), span)
    assert len(ticks) <= most + 1
    assert all(low - room <= t <= low + span + room for t in ticks)


def test_logarithmic_ticks() -> None:
    scale = Scale(low=0.05, high=2.0, start=0, end=100, log=True)
    assert scale.ticks() == pytest.approx([0.05, 0.1, 0.2, 0.5, 1, 2])
    assert scale(math.sqrt(0.05 * 2)) == pytest.approx(50)


def test_the_differences_lie_where_they_are(make_run: MakeRun) -> None:
    (figure,) = forests(read_run(make_run()))
    rows = {row[1]: row for row in figure.rows}
    assert rows["dense"][2] == pytest.approx(-1.0)
    root = ElementTree.fromstring(figure.svg)
    dots = [float(node.get("cx", "")) for node in root.iter(f"{SVG}circle")]
    # the frozen mask is too far away, and is an arrow
    assert len(dots) == 2
    assert "over seeds" in figure.caption
    assert "An arrow points to" in figure.caption
    middle, margin = 180.0, next(root.iter(f"{SVG}rect"))
    unit = (middle - float(margin.get("width", ""))) / 2.0  # the margin is 2 points
    assert dots[0] - middle == pytest.approx(-1.0 * unit, abs=0.2)
    assert dots[1] - middle == pytest.approx(8.0 * unit, abs=0.4)


def test_a_curve_has_a_point_a_run_and_says_what_it_leaves_out(make_run: MakeRun) -> None:
    runs = [
        read_run(make_run(name=f"r{i}", change={"ticket.density": d}, shift=-i), details=False)
        for i, d in enumerate((0.5, 0.2, 0.05))
    ]
    figure = accuracy_curve(curves(runs)[0], 1)
    ticket = [row for row in figure.rows if row[1] == "ticket"]
    assert [(row[0], row[3]) for row in ticket] == [(0.05, 90.5), (0.2, 91.5), (0.5, 92.5)]
    assert figure.svg.count("<circle") == 9
    assert "Not drawn: random frozen" in figure.svg


def test_a_curve_shows_every_control_that_the_verdict_asks_for(make_run: MakeRun) -> None:
    folders = [make_run(name=f"r{d}", change={"ticket.density": d}) for d in (0.5, 0.2)]
    for folder in folders:
        # a control whose name says nothing
        text = (folder / "result.json").read_text().replace("random_trained", "shuffled")
        (folder / "result.json").write_text(text)
    figure = accuracy_curve(curves([read_run(f, details=False) for f in folders])[0], 1)
    drawn = {row[1] for row in figure.rows}
    assert drawn == {"ticket", "dense", "random trained", "random frozen"}


def sample_of(make_run: MakeRun, **given: object) -> Sample:
    sample = read_run(make_run(ladder=True, **given)).sample
    assert sample is not None
    return sample[1]


def test_the_veil_lies_on_the_dropped_patches(make_run: MakeRun) -> None:
    sample = sample_of(make_run)
    assert sample.kept is not None
    root = ElementTree.fromstring(pictures(sample, "pepsp").svg)
    veils = [node.get("d", "") for node in root.iter(f"{SVG}path") if node.get("class") == "veil"]
    lines = [n.get("d", "") for n in root.iter(f"{SVG}path") if n.get("class") == "outline"]
    assert len(veils) == len(lines) == 8
    for m, (veil, outline) in enumerate(zip(veils, lines, strict=True)):
        covered = set()
        for x, y, n in re.findall(r"M(\d+) (\d+)\.5h(\d+)", veil):
            covered |= {4 * int(y) + int(x) + i for i in range(int(n))}
        kept = set(sample.kept[m].tolist())
        assert covered == set(range(16)) - kept
        edges = 0
        for token in kept:
            row, column = divmod(token, 4)
            for r, c in (
                (row - 1, column),
                (row + 1, column),
                (row, column - 1),
                (row, column + 1),
            ):
                edges += not (0 <= r < 4 and 0 <= c < 4 and 4 * r + c in kept)
        assert sum(int(n) for n in re.findall(r"[hv](\d+)", outline)) == edges


def test_images_are_those_of_the_sample(make_run: MakeRun) -> None:
    sample = sample_of(make_run)
    found = re.findall(r"base64,([^\"]+)", pictures(sample, "pepsp").svg)
    for m, text in enumerate(found):
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
        assert np.array_equal(pixels, sample.images[m, 0].transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (range(8), "The first 8 of the test set."),
        ((*range(7), 50), "The first 7 and sample 50 of the test set."),
    ],
)
def test_which_images_they_are(make_run: MakeRun, ids: tuple[int, ...], words: str) -> None:
    drawn = pictures(replace(sample_of(make_run), ids=tuple(ids)), "pepsp")
    assert drawn.caption.startswith(words)
    assert {row[0] for row in drawn.rows} == set(ids)


def test_event_frames_are_summed_and_coloured_by_polarity(make_run: MakeRun) -> None:
    sample = sample_of(make_run, events=True)
    (text, *_) = re.findall(r"base64,([^\"]+)", pictures(sample, "pepsp").svg)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))).astype(int)
    total = sample.images[0].sum(0, dtype=int)
    silent = total.sum(0) == 0
    assert (pixels[silent] == 255).all()
    more_on = (total[1] > 0) & (total[0] == 0)
    assert (pixels[more_on][:, 2] > pixels[more_on][:, 0]).all()


def test_a_mark_for_each_spike(make_run: MakeRun) -> None:
    sample = sample_of(make_run)
    figure = raster(sample, "pepsp")
    assert figure is not None
    root = ElementTree.fromstring(figure.svg)
    marks = [n.get("d", "") for n in root.iter(f"{SVG}path") if n.get("class") == "spike"]
    for (_, spikes), path in zip(sample.rasters, marks, strict=True):
        ends = list(points(path))
        at = {(int(x), int(y)) for x, y in ends[1::3]}
        assert at == {(t, n) for t, n in zip(*np.nonzero(spikes), strict=True)}
    assert len(figure.rows) == sum(int(s.sum()) for _, s in sample.rasters)


def test_membranes_and_answer(make_run: MakeRun) -> None:
    sample = sample_of(make_run)
    drawn = membranes(sample, "pepsp")
    assert drawn is not None
    assert drawn.svg.count('class="f-ticket"') == int(sample.membrane_spikes.sum())
    assert len(drawn.rows) == sample.membrane.size
    words = answer(sample, "pepsp")
    assert words is not None
    assert words.caption == "Test sample 2: b, which is wrong: it is c."


def test_a_sample_without_spikes_or_potentials(make_run: MakeRun) -> None:
    folder = make_run(ladder=True, seeds=1)
    path = folder / "seed-0" / "pepsp" / "sample.npz"
    values = dict(np.load(path))
    values["membrane"][:] = np.nan
    values["raster_0"][:] = False
    values["logits"][0] = np.inf
    np.savez(path, **values)
    found = read_run(folder).sample
    assert found is not None
    assert membranes(found[1], "pepsp") is None
    assert answer(found[1], "pepsp") is None
    assert raster(found[1], "pepsp") is not None


def test_infinite_losses_are_left_out_of_the_curve(make_run: MakeRun) -> None:
    folder = make_run(seeds=1)
    path = folder / "seed-0" / "ticket" / "result.json"
    path.write_text(path.read_text().replace('"loss": 2.5', '"loss": Infinity', 1))
    run = read_run(folder)
    loss = training_curves(run)[0]
    assert "inf" not in loss.svg
    assert "nan" not in loss.svg.lower()
    assert ("ticket", 0, 0, "inf") in loss.rows
    shown = [item for part in run_parts(run) for item in part.items]
    assert any("1 value of the logs is" in str(item) for item in shown)


def test_neurons_stand_beside_their_synapse(make_run: MakeRun) -> None:
    measure = read_run(make_run(ladder=True)).layers_of("pepsp")
    assert isinstance(measure, Measure)
    found = steps(measure)
    assert [step.full for step in found] == [layer.name for layer in measure.layers]
    assert [step.neurons is not None for step in found] == [True, True, False, True, False]


@pytest.mark.parametrize(
    ("synapse", "neuron", "short"),
    [
        ("features.0.synapse", "features.0.neuron", "features.0"),
        ("conv_pep.convs.1", "conv_pep.neurons.1", "conv_pep.1"),
        ("selector.conv_pep.rpe_conv", "selector.conv_pep.rpe_neuron", "selector.conv_pep.rpe"),
        ("encoder.blocks.0.q.linear", "encoder.blocks.0.q.neuron", "encoder.0.q"),
        ("encoder.blocks.1.product", "encoder.blocks.1.attention_neuron", "encoder.1.attention"),
        ("blocks.0.first.synapse", "blocks.0.first.neuron", "blocks.0.first"),
    ],
)
def test_a_synapse_and_its_neurons_have_one_short_name(
    synapse: str, neuron: str, short: str
) -> None:
    assert short_name(synapse) == short_name(neuron) == short


def test_the_neurons_of_a_block_stand_with_its_last_synapse(make_run: MakeRun) -> None:
    measure = read_run(make_run()).layers_of("ticket")
    assert measure is not None
    layer, neurons = measure.layers[0], measure.neurons[0]
    names = ["stem.synapse", "blocks.0.first.synapse", "blocks.0.second", "blocks.0.shortcut"]
    behind = ["stem.neuron", "blocks.0.first.neuron", "blocks.0.neuron"]
    block = measure.model_copy(
        update={
            "layers": [layer.model_copy(update={"name": name}) for name in names],
            "neurons": [neurons.model_copy(update={"name": name}) for name in behind],
        }
    )
    found = [(step.full, step.neurons and step.neurons.name) for step in steps(block)]
    assert found == [
        ("stem.synapse", "stem.neuron"),
        ("blocks.0.first.synapse", "blocks.0.first.neuron"),
        ("blocks.0.second", None),
        ("blocks.0.shortcut", "blocks.0.neuron"),
    ]


def test_lonely_neurons_keep_their_place(make_run: MakeRun) -> None:
    measure = read_run(make_run()).layers_of("ticket")
    assert measure is not None
    moved = measure.model_copy(
        update={
            "neurons": [
                measure.neurons[0],
                measure.neurons[1].model_copy(update={"name": "shortcut.neuron"}),
                measure.neurons[2],
                measure.neurons[2].model_copy(update={"name": "last.neuron"}),
            ]
        }
    )
    assert [step.name for step in steps(moved)] == [
        "features.0",
        "features.1",
        "shortcut",
        "fc.0",
        "classifier",
        "last",
    ]


def test_the_network_says_what_is_sparse_binary_and_dropped(make_run: MakeRun) -> None:
    run = read_run(make_run(ladder=True))
    measure = run.layers_of("pepsp")
    assert measure is not None
    figure = network_picture(run, measure, "pepsp", "PEPSp ticket")
    assert figure is not None
    words = [node.text for node in ElementTree.fromstring(figure.svg).iter(f"{SVG}text")]
    assert "8 of 16 patches go on" in words
    assert words.count("binary, 50 % kept") == 1
    assert words.index("8 of 16 patches go on") < words.index("encoder")


def test_the_layer_map_shows_the_rates(make_run: MakeRun) -> None:
    measure = read_run(make_run()).layers_of("ticket")
    assert measure is not None
    figure = layer_map(measure, "ticket", "ticket")
    assert figure is not None
    root = ElementTree.fromstring(figure.svg)
    words = [node.text for node in root.iter(f"{SVG}tspan")]
    assert words[:6] == ["50 %", "90 %", "5", "10", "15", "20"]


def test_energy_bars_are_as_long_as_the_energy(make_run: MakeRun) -> None:
    figure = energy_bars(read_run(make_run()), "45nm-fp32")
    root = ElementTree.fromstring(figure.svg)
    bars = {}
    for row in root.iter(f"{SVG}g"):
        name = row.findtext(f"{SVG}text")
        bars[name] = sum(float(r.get("width", "0")) for r in row.iter(f"{SVG}rect"))
    whole = {row[0]: sum(float(value or 0) for value in row[1:4]) for row in figure.rows}
    assert bars["dense"] == pytest.approx(360, abs=0.2)
    assert bars["ticket"] == pytest.approx(360 * whole["ticket"] / whole["dense"], abs=0.3)
