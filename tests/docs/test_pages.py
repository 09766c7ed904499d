"""The pages' tables are those of results/, and their links lead somewhere."""

import re

import pytest
from doc_blocks import PAGES, ROOT


def test_tables_come_from_the_results(readme_writer):
    for page in readme_writer.PAGES:
        assert readme_writer.rewritten(page) == (ROOT / page).read_text()


LINK = r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)"


def anchors(page):
    """What GitHub names a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    plain = [h.lower() for h in re.findall(r"^#+ (.*)$", text, re.MULTILINE)]
    return {re.sub(r"[^\w -]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_and_headings(name):
    page = ROOT / name
    for file, anchor in re.findall(LINK, page.read_text()):
        target = page.parent / file if file else page
        assert target.exists(), file
        assert not anchor or anchor in anchors(target), f"{file}#{anchor}"
