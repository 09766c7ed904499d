"""Tables of a page: words, and the values they sort by and are written to CSV with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from spiketicket.report.csv_text import to_csv
from spiketicket.report.markup import Markup, element, joined


@dataclass(frozen=True)
class Cell:
    """What a reader sees; ``value`` is what it sorts by, ``tip`` shows under the pointer."""

    text: str | Markup
    value: float | None = None
    tip: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """``words`` columns from the left hold words; ``main`` are the rows that stand out."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: int = 1
    main: frozenset[int] = field(default_factory=frozenset)
    note: str | Markup = ""
    folded: str = ""
    """Where not empty, the table is behind this line until it is clicked."""

    @property
    def html(self) -> Markup:
        """The table, in a frame that scrolls by itself where it is wider than the page."""
        head = [element("th", name, scope="col") for name in self.columns]
        body = [
            element(
                "tr",
                *(_shown(cell, heads=not column) for column, cell in enumerate(row)),
                class_="main" if index in self.main else None,
            )
            for index, row in enumerate(self.rows)
        ]
        table = element(
            "table",
            element("thead", element("tr", *head)),
            element("tbody", *body),
            class_=f"words-{self.words}",
        )
        note = element("p", self.note, class_="note") if self.note else Markup("")
        # the keyboard scrolls what it can reach, and what it reaches has a name
        name = self.folded or self.name.replace("-", " ")
        frame = element("div", table, class_="scroll", tabindex="0", role="region", aria_label=name)
        shown = joined([frame, note])
        if not self.folded:
            return shown
        return element("details", element("summary", self.folded), shown, class_="more")

    @property
    def csv(self) -> str:
        """The table's values; where a cell has none, its words."""
        names = [name.replace("\n", " ") for name in self.columns]
        rows: Sequence[list[str | float]] = [
            [_plain(cell) if cell.value is None else cell.value for cell in row]
            for row in self.rows
        ]
        return to_csv(names, rows)


def _shown(cell: Cell, *, heads: bool) -> Markup:
    """A cell; the one that ``heads`` its row tells which row it is."""
    same = cell.value is None or _is_plain_number(cell.text)
    value = None if same or cell.value is None else f"{cell.value:.6g}"
    words = {"data_v": value, "title": cell.tip or None}
    if heads:
        return element("th", cell.text, scope="row", **words)
    return element("td", cell.text, **words)


def _is_plain_number(text: str) -> bool:
    """Whether the page's script reads the words as the number they are."""
    return text.isascii() and text.replace(".", "", 1).isdecimal()


def _plain(cell: Cell) -> str:
    """A cell's words without markup."""
    if not isinstance(cell.text, Markup):
        return cell.text
    return cell.tip
