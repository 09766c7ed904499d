"""What a page says of its claims, read back for the list of all studies."""

from pathlib import Path

from spiketicket.reproduce.statement import counted_on

PAGE = """# Energy: of a ticket (`--scale small`)

**CIFAR-10, VGG-9 (1/4 width)**: disagrees with the paper (1 shown, 12 same direction, other size).
- a claim undecided, +1 (2 shown) points.

**N-MNIST-1k**: does not contradict the paper (2 shown, 3 undecided).
"""


def test_the_counts_of_all_panels_are_added_up() -> None:
    assert counted_on(PAGE) == "3 shown, 12 same direction, other size, 3 undecided"


def test_a_page_without_claims_says_so() -> None:
    assert counted_on("# Fig. 2\n\n**Panel**: no claim (no claim).\n") == "no claim"


def test_the_list_of_studies_in_results_is_that_of_their_pages() -> None:
    folder = Path(__file__).parents[2] / "results" / "small"
    lines = (folder / "README.md").read_text("utf-8").splitlines()
    pages = sorted(path for path in folder.glob("*.md") if path.name != "README.md")
    assert len(pages) == 10
    for page in pages:
        (line,) = [line for line in lines if f"({page.name})" in line]
        assert line.endswith(f"| {counted_on(page.read_text('utf-8'))} |")
