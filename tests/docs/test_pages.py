"""The pages' tables are those of results/, and their links lead somewhere."""

import re
import tomllib

import pytest
from doc_blocks import PAGES, ROOT
from PIL import Image

from spiketicket.recipe import registry


def test_tables_come_from_the_results(readme_writer):
    for page in readme_writer.PAGES:
        assert readme_writer.rewritten(page) == (ROOT / page).read_text()


def test_the_verdict_that_is_quoted_is_the_one_that_was_measured():
    quoted = re.findall(r"^> .*$", (ROOT / "docs" / "quickstart.md").read_text(), re.MULTILINE)
    measured = (ROOT / "docs" / "results.md").read_text()
    assert quoted
    assert all(sentence in measured for sentence in quoted)


def test_every_guide_is_in_the_navigation_and_on_the_first_page():
    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    listed = [page for part in site["nav"] for pages in part.values() for page in pages]
    guides = {page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")}
    assert sorted(listed) == sorted(guides)
    assert [*dict(item for part in site["nav"] for item in part.items())] == [
        "Start",
        "Concepts",
        "Guides",
        "Reference",
    ]
    first = (ROOT / "docs" / "index.md").read_text()
    assert {*re.findall(r"\]\(([\w-]+\.md)", first)} == guides - {"index.md"}


def test_the_readme_is_one_page():
    before, rest = (ROOT / "README.md").read_text().split("<!-- results: begin -->")
    assert len((before + rest.split("<!-- results: end -->")[1]).split()) <= 525


def test_its_pictures_are_results_that_dark_pages_can_show():
    pictures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", (ROOT / "README.md").read_text())
    assert 1 <= len(pictures) <= 2
    assert pictures[0] == "docs/page.png"  # of tools/docs/pages.py
    with Image.open(ROOT / pictures[0]) as page:
        assert "transparency" not in page.info
    for picture in pictures[1:]:
        assert picture.startswith("results/")
        assert re.search(r"\.fig { background: #[0-9a-f]{6}; }", (ROOT / picture).read_text())


def test_the_drawing_of_the_layers_and_its_page_name_the_same_folders():
    drawing = (ROOT / "docs" / "layers.svg").read_text()
    page = (ROOT / "docs" / "architecture.md").read_text()
    drawn = re.findall(r'<text class="t"[^>]*>(\w+)<', drawing)
    table = page.split("## The folders of")[1].split("\n\n")[1]
    first = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert [name for cell in first for name in re.findall(r"`(\w+)`", cell)] == drawn
    rows = page.split("## Where do I change")[1].strip().splitlines()
    assert len([row for row in rows if row.startswith("|")]) == 2 + 11


def test_the_drawing_of_the_layers_is_the_import_contract():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contract = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    drawing = (ROOT / "docs" / "layers.svg").read_text()
    rows: dict[str, list[str]] = {}
    for y, name in re.findall(r'<text class="t" x="[^"]*" y="(\d+)"[^>]*>(\w+)<', drawing):
        rows.setdefault(y, []).append(f"spiketicket.{name}")
    assert [sorted(layer.split(" | ")) for layer in contract] == [sorted(r) for r in rows.values()]
    package = ROOT / "src" / "spiketicket"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    loose = {path.stem for path in package.glob("*.py")} - {"__init__", "__main__", "_version"}
    drawn = {name.partition(".")[2] for row in rows.values() for name in row}
    assert folders | loose == drawn
    assert loose == {"streams", "progress", "errors"}


IMPORT = r"^from (spiketicket\.[\w.]+) import (.*)$"


def test_what_a_new_file_imports_is_in_the_reference():
    reference = "".join(path.read_text() for path in (ROOT / "docs").glob("api*.md"))
    listed = set(re.findall(r"^::: (\S+)$", reference, re.MULTILINE))
    imports = re.findall(IMPORT, (ROOT / "docs" / "adding.md").read_text(), re.MULTILINE)
    assert imports
    for module, names in imports:
        for name in names.split(", "):
            # a module that is listed has all its public names there
            found = {f"{module}.{name}", module, f"{module}.sections"} & listed
            assert found or module in WHOLE, f"{module}.{name}"


@pytest.mark.parametrize("family", ["data", "models", "neurons", "methods"])
def test_the_settings_of_every_name_are_in_the_reference(family):
    page = (ROOT / "docs" / "api-settings.md").read_text()
    listed = re.findall(rf"^::: spiketicket\.{family}\.(\w+)\.Config$", page, re.MULTILINE)
    assert listed == sorted(registry.names(family))


WHOLE = {"spiketicket.errors", "spiketicket.data"}
"""Known from elsewhere: the error, and what the example reads the digits with."""


LINK = r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)"


def anchors(page):
    """What GitHub names a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    plain = [h.lower() for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w -]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("name", [*PAGES, "SECURITY.md", "CONTRIBUTING.md"])
def test_links_lead_to_files_and_headings(name):
    page = ROOT / name
    for file, anchor in re.findall(LINK, page.read_text()):
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not anchor or anchor in anchors(target), f"{file}#{anchor}"


@pytest.mark.slow
def test_the_files_that_prose_names_are_there():
    """Of this package, in docs, docstrings and comments: ``name.py`` or ``folder/name.py``."""
    sources = [*(ROOT / "src").rglob("*.py"), *(ROOT / page for page in PAGES)]
    here = [p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.py") if ".venv" not in p.parts]
    examples = ("mlp.py", "magnitude_init.py", "controls/redrawn.py")
    elsewhere = ("NAME", *examples, "arrays.py", "spikingjelly/", "tonic/")
    missing = [
        f"{source.relative_to(ROOT)}: {name}"
        for source in sources
        for name in re.findall(r"(?<![\w./-])[\w/]+\.py\b(?!\()", source.read_text("utf-8"))
        if not any(f"/{path}".endswith(f"/{name}") for path in here)
        if not any(word in name for word in elsewhere)
    ]
    assert not missing
