"""Nothing from a file is markup, a formula, or more precise than it is."""

import csv
import io
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiketicket.errors import plain
from spiketicket.report import numbers
from spiketicket.report.csv_text import to_csv
from spiketicket.report.figures.canvas import apart, brief, px, shortened
from spiketicket.report.markup import Markup, element, escaped, joined

HOSTILE = "<script>alert('x')</script> & \"quotes\" \x00\x1b[31m\u202e"


@given(st.text())
def test_any_text_comes_back_from_an_xml_parser(text: str) -> None:
    found = ElementTree.fromstring(element("p", text, title=text))
    shown = plain(text, keep="\n\t")
    assert (found.text or "") == shown
    # a parser turns line ends in attributes into spaces
    assert found.get("title") == shown.replace("\n", " ").replace("\t", " ")


def test_markup_is_put_in_as_it_is_and_text_is_not() -> None:
    assert escaped(Markup("<b>")) == "<b>"
    assert joined(["<b>", Markup("<i>"), 3]) == "&lt;b&gt;<i>3"
    assert element("path", d="M0", class_="x", opacity=None, hidden=True) == (
        '<path d="M0" class="x" hidden/>'
    )
    assert "<script" not in element("td", HOSTILE, data_v=HOSTILE)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_a_formula_is_quoted_as_text(text: str) -> None:
    assert next(csv.reader(io.StringIO(to_csv([text], []))))[0][0] == "'"
    row = list(csv.reader(io.StringIO(to_csv(["a", "b"], [[text, -1.5]]))))[1]
    assert row[0].startswith("'")
    assert row[1] == "-1.5"


@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=4))
def test_csv_has_a_row_a_row_and_no_formula(rows: list[list[str]]) -> None:
    read = list(csv.reader(io.StringIO(to_csv(["a", "b"], rows), newline="")))
    assert len(read) == len(rows) + 1
    assert all(not cell.startswith(("=", "+", "-", "@")) for row in read for cell in row)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 pJ"),
        (0.5, "0.5 pJ"),
        (999.4, "999 pJ"),
        (999.6, "1 nJ"),
        (1234, "1.23 nJ"),
        (2.5e9, "2.5 mJ"),
        (4e15, "4000 J"),
    ],
)
def test_energy_has_three_digits_and_its_unit(value: float, text: str) -> None:
    assert numbers.energy(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (7, "7"), (1234567, "1.23 M"), (999_999, "1 M"), (0.25, "0.25")]
)
def test_counts(value: float, text: str) -> None:
    assert numbers.count(value).strip() == text


def test_other_numbers() -> None:
    assert numbers.signed(-1.234) == "−1.23"
    assert numbers.share(0.12345) == "12.3 %"
    assert numbers.size(690_953) == "691 kB"
    assert numbers.counted(1, "epoch") == "1 epoch"
    assert numbers.counted(2, "epoch") == "2 epochs"
    assert numbers.count(747) == "747"


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8))
def test_labels_are_apart_and_in_order(places: list[float]) -> None:
    moved = apart(places, 10, 0, 100)
    found = [m for _, m in sorted(zip(places, moved, strict=True))]
    gaps = [b - a for a, b in zip(sorted(found), sorted(found)[1:], strict=False)]
    assert all(gap >= 10 - 1e-9 for gap in gaps)
    assert found == sorted(found) or len(set(places)) < len(places)


def test_short_names() -> None:
    assert brief("encoder.0.mlp", 20) == "encoder.0.mlp"
    assert brief("a" * 30, 10) == "…" + "a" * 9
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert px(3.0) == "3"
    assert px(-0.01) == "0"
