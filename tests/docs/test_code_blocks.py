"""Every block of every page is run, parsed, or told here why not."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from command import spiketicket
from doc_blocks import (
    PAGES,
    ROOT,
    SHELL,
    Block,
    all_blocks,
    as_pattern,
    blocks_of,
    script_of,
)

from spiketicket.recipe import load_recipe, parse_recipe, read_tables
from spiketicket.recipe.named import packaged_recipes
from spiketicket.ticket import zoo

# Blocks that are not run here, by page and first line, and where they are proven instead.
ELSEWHERE = {
    (
        "docs/adding.md",
        '"""Magnitude at initialisation: keep the largest random weights, and train them.',
    ): "test_adding.py adds it to a copy of the package",
    (
        "docs/adding.md",
        '"""Fully connected layers of neurons, for small pictures and frames."""',
    ): "test_adding.py, likewise",
    ("docs/adding.md", '"""The program of ``models/mlp.py``."""'): "test_adding.py, likewise",
    (
        "docs/adding.md",
        '"""Pictures in two files of numpy: ROOT/train.npz and ROOT/test.npz.',
    ): "test_adding.py, likewise",
    (
        "docs/pictures.md",
        "pictures/train/cat/1.png    pictures/test/cat/9.jpg    pictures/val/cat/5.png",
    ): "names of files; tests/data/test_data_image_folder.py",
    ("docs/embedded.md", "#include <stdio.h>"): "test_embedded.py compiles and runs it",
    ("docs/c-library.md", "#include <spiketicket.h>"): "tests/engine/test_c_library.py runs it",
    (
        "docs/energy.md",
        "arithmetic     = sum over layers of  mac_pj * macs + ac_pj * ac_units",
    ): "formulas; tests/measure/test_energy.py",
    ("docs/paper.md", "@inproceedings{cheng2024gaining,"): "BibTeX; CITATION.cff has the same",
    ("docs/ticket-format.md", "01 03 90 00 A2"): "test_ticket_format.py",
    ("docs/ticket-format.md", "h     = 91C668BF1866CD65"): "test_ticket_format.py",
}
LANGUAGES = {"python", "toml", "text", "c", *SHELL}


def is_elsewhere(block: Block) -> bool:
    return (block.page, block.first) in ELSEWHERE


def here(language: str) -> list[Block]:
    return [block for block in all_blocks(language) if not is_elsewhere(block)]


@pytest.mark.parametrize("block", all_blocks(), ids=lambda block: block.id)
def test_a_rule_covers_the_block(block: Block) -> None:
    assert block.language in LANGUAGES, "a block needs a language that a rule is for"
    assert block.language != "c" or is_elsewhere(block), "C is compiled by tests that are named"


def test_no_exception_is_stale() -> None:
    assert ELSEWHERE.keys() <= {(block.page, block.first) for block in all_blocks()}


def test_no_fence_is_left_open() -> None:
    for page in PAGES:
        fences = re.findall(r"^ *```", (ROOT / page).read_text(), re.MULTILINE)
        assert len(fences) == 2 * len(blocks_of(page)), page


# What the Python blocks of a page find, where they speak of things of the reader's own.


def readme(folder: Path) -> dict[str, object]:
    import torch
    from PIL import Image
    from torch import nn
    from torch.utils.data import TensorDataset

    class MyNet(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Flatten(), nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 3))

    Image.new("L", (8, 8)).save(folder / "digit.png")
    x, y = torch.randn(130, 4, 4), torch.arange(130) % 3
    return {
        "MyNet": MyNet,
        "train_set": TensorDataset(x, y),
        "val_set": TensorDataset(x[:30], y[:30]),
    }


def engine(folder: Path) -> dict[str, object]:
    from spiketicket.data import load_dataset, make_config

    shutil.copy(zoo.find_ticket("digits-binw").path, folder / "digits.ticket")
    return {"images": load_dataset(make_config("digits")).test.x[:5]}


def check_readme(names: dict[str, object]) -> None:
    assert names["ticket"].layers[0].weight().shape == (20, 16)
    assert type(names["net"]) is names["MyNet"]
    assert not names["net"].training


def check_engine(names: dict[str, object]) -> None:
    ticket, used = names["Ticket"].load("digits.ticket"), names["engine"]
    assert used.input_shape == (1, 8, 8)
    assert [*used.classes] == ticket.metadata["classes"]
    same = names["reference"].run(names["program"], names["x"])
    assert np.allclose(used.run(names["images"]), same)


def my_ticket(folder: Path) -> dict[str, object]:
    shutil.copy(zoo.find_ticket("digits-binw").path, folder / "my.ticket")
    return {}


def events(folder: Path) -> dict[str, object]:
    (folder / "recording.bin").write_bytes(bytes([1, 2, 0x80, 0, 9]))
    return {}


def check_events(names: dict[str, object]) -> None:
    assert names["events"].t.tolist() == [9]


def check_files(names: dict[str, object]) -> None:
    assert names["weights"].dtype == np.float32
    assert names["weights"].any()


def reproducibility(folder: Path) -> dict[str, object]:
    (folder / "results").symlink_to(ROOT / "results")
    return {}


def check_reproducibility(names: dict[str, object]) -> None:
    again = load_recipe("again.toml")
    assert again == names["recipe"]
    assert again.hash == load_recipe(packaged_recipes()["digits-binw"]).hash


def nothing(_: object) -> dict[str, object]:
    return {}


class Tracked:
    """Has a ``log``, as what ``wandb.init()`` returns."""

    def __init__(self) -> None:
        self.logged: list[dict[str, float]] = []

    def log(self, values: dict[str, float]) -> None:
        self.logged.append(values)


def notebooks(_: Path) -> dict[str, object]:
    return {"run": Tracked()}


def check_notebooks(names: dict[str, object]) -> None:
    assert Path("report.html").stat().st_size
    assert list(Path("figures").glob("*.svg"))
    assert {"ticket, seed 0/loss", "ticket, seed 0/accuracy"} in [
        set(x) for x in names["run"].logged
    ]
    assert names["classifier"].ticket_.layers


SETUP = {
    "docs/notebooks.md": (notebooks, check_notebooks),
    "README.md": (readme, check_readme),
    "docs/api-events.md": (events, check_events),
    "docs/api-files.md": (my_ticket, check_files),
    "docs/engine.md": (engine, check_engine),
    "docs/quickstart.md": (my_ticket, nothing),
    "docs/reproducibility.md": (reproducibility, check_reproducibility),
}


@pytest.mark.slow
@pytest.mark.parametrize("page", sorted({block.page for block in here("python")}))
@pytest.mark.filterwarnings("ignore:the C library:UserWarning")
def test_python_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    setup, check = SETUP.get(page, (nothing, nothing))
    names = {"__name__": "__main__", **setup(tmp_path)}
    for block in blocks_of(page):
        if block.language == "python" and not is_elsewhere(block):
            # The empty lines make the line numbers of a traceback those of the page.
            code = "\n" * block.line + block.text
            exec(compile(code, block.page, "exec"), names)
    check(names)


@pytest.mark.parametrize("block", here("toml"), ids=lambda block: block.id)
def test_toml_blocks_are_recipes(block: Block) -> None:
    tables = tomllib.loads(block.text)
    if "name" not in tables:  # some sections alone, in place of those of another recipe
        tables = read_tables(packaged_recipes()["digits-binw"]) | tables
    parse_recipe(tables)


@pytest.mark.parametrize("block", all_blocks(*SHELL), ids=lambda block: block.id)
def test_shell_blocks_have_no_mistake_in_syntax(block: Block) -> None:
    checked = subprocess.run(
        ["bash", "-n"], input=script_of(block), text=True, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def spike(*arguments: str) -> str:
    return spiketicket(*arguments).output


def tampered_folder(folder: Path) -> str:
    ticket = zoo.find_ticket("digits-binw").path
    spike("export", str(ticket), "--to", "hub", "-o", "folder")
    made = folder / "folder" / "model.ticket"
    made.write_bytes(made.read_bytes()[:-1] + b"\0")
    try:
        zoo.require_digest(Path("folder/model.ticket"), zoo.find_ticket("digits-binw").sha256)
    except zoo.TicketError as error:
        return f"error: {error}"
    return ""


def max_pooling(folder: Path) -> str:
    pytest.importorskip("nir")
    ticket = zoo.find_ticket("digits-binw").path
    return spike("export", str(ticket), "--to", "nir", "-o", str(folder))


# How what a text block shows is made, by the page and how it begins.
PRINTED = {
    ("docs/interchange.md", "error: export: NIR cannot represent"): max_pooling,
    ("docs/interchange.md", "error: folder/model.ticket: was changed"): tampered_folder,
}


@pytest.mark.parametrize("block", here("text"), ids=lambda block: block.id)
def test_text_blocks_are_what_is_printed(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    makers = [
        make
        for (page, start), make in PRINTED.items()
        if page == block.page and block.text.startswith(start)
    ]
    assert len(makers) == 1, "no rule covers this block"
    printed = makers[0](tmp_path)
    assert re.search(as_pattern(block.text), printed, re.DOTALL), printed
