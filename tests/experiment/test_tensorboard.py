"""What a run tells, as TensorBoard reads it."""

import math
import sys

import pytest

from spiketicket import TensorBoard
from spiketicket.errors import UserError

pytestmark = pytest.mark.slow


def tell(board):
    board.stage_started("dense, trained", 3, 2, 5)
    for epoch in range(2):
        for step in range(5):
            board.step(epoch, step, 1 / (1 + step), 0.5, 100.0)
        board.epoch_finished(epoch, 0.5, 0.5, 0.75 if epoch else math.nan, 1.0)
    board.stage_finished("dense, trained", "97 %")
    board.stage_started("ticket", 3, 2, 5)
    board.stage_finished("ticket", "kept")


def test_scalars_are_written_by_stage_and_step(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tell(TensorBoard(tmp_path / "logs"))
    (folder,) = (tmp_path / "logs").iterdir()
    assert folder.name == "dense--trained-seed3"
    read = accumulator.EventAccumulator(str(folder))
    read.Reload()
    losses = read.Scalars("loss/train")
    assert [point.step for point in losses] == list(range(1, 11))
    assert [point.value for point in losses[:2]] == [1.0, 0.5]
    assert [(p.step, p.value) for p in read.Scalars("accuracy/validation")] == [(10, 0.75)]


def test_what_to_install_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"spiketicket\[tensorboard\]"):
        TensorBoard()
