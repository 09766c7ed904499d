"""The README's tables are those of results/, and its Python and TOML blocks are valid."""

import re
import tomllib
from pathlib import Path

import pytest

from spiketicket.recipe import parse_recipe

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def test_tables_come_from_the_results(readme_writer):
    for page in readme_writer.PAGES:
        assert readme_writer.rewritten(page) == (ROOT / page).read_text()


def test_the_recipe_block_is_a_recipe():
    for block in blocks("toml"):
        assert parse_recipe(tomllib.loads(block)).name


LINKS = r"\]\((?!http)([^)#]+)[^)]*\)"


@pytest.mark.parametrize("link", sorted(set(re.findall(LINKS, TEXT))))
def test_links_point_to_files(link):
    assert (ROOT / link).exists()


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_links_of_the_guides_point_to_files(page):
    for link in re.findall(LINKS, page.read_text()):
        assert (page.parent / link).exists(), link


def test_python_blocks_run(tmp_path, monkeypatch):
    import torch
    from torch import nn
    from torch.utils.data import TensorDataset

    class MyNet(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Flatten(), nn.Linear(16, 20), nn.ReLU(), nn.Linear(20, 3))

    x, y = torch.randn(130, 4, 4), torch.arange(130) % 3
    names = {
        "MyNet": MyNet,
        "train_set": TensorDataset(x, y),
        "val_set": TensorDataset(x[:30], y[:30]),
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recording.bin").write_bytes(bytes([1, 2, 0x80, 0, 9]))
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert names["weights"].shape == (20, 16)
    assert isinstance(names["net"], MyNet)
    assert names["events"].t.tolist() == [9]
