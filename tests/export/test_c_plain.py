"""C of programs that are no chain: the logits are those of the definition."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from plain_c import run_c

from spiketicket.engine import reference
from spiketicket.export.c import ExportError
from spiketicket.export.c.plain import write_plain

pytestmark = pytest.mark.slow

PATH = Path(__file__).parents[1] / "engine" / "random_programs.py"
SPEC = importlib.util.spec_from_file_location("random_programs_of_c", PATH)
random_programs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(random_programs)


def test_random_programs_give_the_logits_of_the_definition(tmp_path):
    done = 0
    for seed in range(40):
        program, x = random_programs.make(seed)
        try:
            made = write_plain(program, "net", [str(i) for i in range(program.classes)])
        except ExportError:
            continue  # of tokens
        folder = tmp_path / str(seed)
        folder.mkdir()
        (folder / "net.c").write_text(made.source)
        (folder / "net.h").write_text(made.header)
        found, wanted = run_c(folder, program, x), reference.run(program, x)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5, err_msg=str(seed))
        again = run_c(folder, program, x[::-1])
        assert np.array_equal(again, found[::-1]), "a call leaves something to the next"
        done += 1
    assert done > 15
