"""What is told of boards: that it was compiled and run, or why not."""

import json

import numpy as np
import pytest
from command import spiketicket

from spiketicket.errors import UserError
from spiketicket.export import board_figures, boards
from spiketicket.export.board_figures import figures
from spiketicket.export.boards import BOARDS, LOGITS, build
from spiketicket.export.c import export_c

pytestmark = pytest.mark.slow
ARM = pytest.mark.needs("arm")
RISCV = pytest.mark.needs("riscv")


@ARM
@RISCV
@pytest.mark.parametrize("stream", [False, True])
def test_figures_of_every_board(stream, network, conv):
    net = network(convs=(conv(channels=8, pool=True), conv(channels=12, kernel=0)))
    found = figures(net.program(), {"stream": stream})
    assert [each.board for each in found] == [board.title for board in BOARDS.values()]
    for each in found:
        assert not each.absent
        assert 5_000 < each.flash_bytes < 60_000
        assert 100 < each.ram_bytes < 50_000
        assert 0 < each.stack_bytes < 1_000
        assert each.instructions > 10_000
        assert (each.step_instructions is not None) == stream
        if each.step_instructions is not None:
            assert 1_000 < each.step_instructions < each.instructions


@ARM
def test_another_answer_than_the_engines_is_refused(monkeypatch, network, conv):
    program = network(convs=(conv(channels=4, kernel=0),)).program()
    monkeypatch.setattr(
        board_figures.reference, "run", lambda p, x: np.zeros((1, p.classes), np.float32) + 7e6
    )
    with pytest.raises(UserError, match=r"Cortex-M4.*other logits than the engine"):
        figures(program, {})


@ARM
def test_instructions_are_counted_one_by_one(tmp_path, network, conv):
    program = network(convs=(conv(channels=4, kernel=0),)).program()
    export_c(program, tmp_path, "net", stream=True)
    (tmp_path / "more.c").write_text(
        'void net_count(int n); void net_count(int n) { while (n--) __asm volatile("nop"); }'
    )
    linked = build(BOARDS["cortex-m4"], tmp_path, "net", "more.c", keep=["net_count"])
    linked.start()
    few, many = linked.call("net_count", 10), linked.call("net_count", 1_500_010)
    each, rest = divmod(many - few, 1_500_000)
    assert (rest, each in (3, 4)) == (0, True)
    assert LOGITS


def test_a_board_that_is_not_here_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(boards.shutil, "which", lambda name: None)
    result = spiketicket("export", "digits-binw", "--to", "c", "-o", tmp_path, "--boards")
    assert result.exit_code == 0
    assert "not measured: arm-none-eabi-gcc is not installed" in result.stdout.replace("\n", " ")
    result = spiketicket("export", "digits-binw", "--to", "c", "-o", tmp_path, "--boards", "--json")
    absent = [each["absent"] for each in json.loads(result.stdout)["boards"]]
    assert len(absent) == len(BOARDS)
    assert all("is not installed" in why for why in absent)
    result = spiketicket("export", "digits-binw", "--to", "nir", "-o", tmp_path, "--boards")
    assert (result.exit_code, "--boards: goes with --to c" in result.stderr) == (2, True)
