"""The commands and the program of docs/embedded.md, as they stand."""

import shlex
import shutil
import subprocess

import numpy as np
import pytest
from command import spiketicket
from doc_blocks import blocks_of, commands_of

from spiketicket import Engine
from spiketicket.data import load_dataset, make_config
from spiketicket.ticket import zoo

BLOCKS = blocks_of("docs/embedded.md")
COMMANDS = [c for block in BLOCKS if block.language == "console" for c in commands_of(block)]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_the_guide_makes_a_program_that_classifies(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ticket = zoo.find_ticket("digits-binw").path
    shutil.copy(ticket, "digits-binw-seed0.ticket")
    for command in COMMANDS:
        if command.arguments:
            assert spiketicket(*command.arguments).exit_code == 0
        elif command.words[0] == "gcc":
            subprocess.run(shlex.split(command.text), check=True, capture_output=True)
    images = load_dataset(make_config("digits")).test.x[:8]
    assert [_class_of(image) for image in images] == Engine(ticket).predict(images).tolist()


def _class_of(image):
    pixels = np.ascontiguousarray(image, np.uint8).tobytes()
    printed = subprocess.run(["./digits"], input=pixels, check=True, capture_output=True).stdout
    return int(printed.decode().splitlines()[0])
