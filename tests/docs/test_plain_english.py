"""Words: "per image" and not "an image", "custom" and not "own", in everything people read."""

import re
import subprocess

import pytest
from doc_blocks import PAGES, ROOT

UNITS = (
    "bits? bytes? values? rows? ms images? lines? runs? operations? times points? seconds? weights?"
    " one two three minutes? mask file spikes? numbers? epochs? samples? once us milliseconds"
    " events? patch(es)? neurons? channels? arrays? back multiplications? class(es)? kib"
).replace(" ", "|")
NOUNS = (
    "weight seed layer image step epoch second row file run neuron token class core stage channel"
    " picture recording method ticket"
).replace(" ", "|")
PER = re.compile(
    rf"\b({UNITS}) an? ((kept|surviving|stored) )?({NOUNS})\b(?! (of at most|whose))", re.IGNORECASE
)
INSTEAD = {
    r"\be\.g\.": "for example",
    r"\bi\.e\.": "that is",
    r"\bown (network|model)s?\b(?!\.py)": "custom network",
    r"\bvalidation (part|set)\b": "validation split",
    r"\barms?\b(?!-none)(?!\"\])": "stage or control",
}


def written():
    """The files of the checkout that are prose or hold some."""
    kinds = ("*.md", "src/*.py", "tools/*.py", "benchmarks/*.py", "examples/*.py")
    try:
        listed = subprocess.run(
            ["git", "ls-files", *kinds], cwd=ROOT, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return [ROOT / page for page in PAGES]
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


def test_a_rate_is_said_with_per():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in written()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (match := PER.search(line))
    ]
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_the_words_of_the_field(page):
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)  # names of code and links are what they are
    for pattern, instead in INSTEAD.items():
        found = re.findall(rf".*(?:{pattern}).*", text)
        assert not found, f"say {instead}: {re.sub(r'  +', ' ', str(found))}"


@pytest.mark.parametrize(
    "line", ["one bit a weight", "runs an image", "a row a layer", "once a run"]
)
def test_a_rate_without_per_is_noticed(line):
    assert PER.search(line)


@pytest.mark.parametrize("line", ["one bit per weight", "a row of a layer", "a file of a run"])
def test_a_rate_with_per_is_none(line):
    assert not PER.search(line)
