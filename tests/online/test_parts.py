"""The queue, smoothing, and the percentiles."""

import threading

import numpy as np
import pytest

from spiketicket.online.meter import Latencies
from spiketicket.online.smooth import Smoothed
from spiketicket.online.waiting import Waiting


def test_the_newest_win_and_what_went_is_counted() -> None:
    queue: Waiting[int] = Waiting(3, lossy=True)
    for number in range(10):
        assert queue.put(number)
    queue.end()
    assert [queue.take(), queue.take(), queue.take(), queue.take()] == [7, 8, 9, None]
    assert queue.dropped == 7
    assert queue.ended


def test_without_loss_whoever_puts_waits() -> None:
    queue: Waiting[int] = Waiting(1, lossy=False)
    sender = threading.Thread(target=lambda: [queue.put(n) for n in range(50)] and queue.end())
    sender.start()
    taken = []
    while (one := queue.take()) is not None:
        taken.append(one)
    sender.join()
    assert taken == list(range(50))
    assert queue.dropped == 0


def test_an_end_frees_whoever_waits_to_put() -> None:
    queue: Waiting[int] = Waiting(1, lossy=False)
    queue.put(1)
    said: list[bool] = []
    sender = threading.Thread(target=lambda: said.append(queue.put(2)))
    sender.start()
    queue.end()
    sender.join(timeout=5)
    assert said == [False]


def test_percentiles_are_those_of_numpy_to_a_hundredth() -> None:
    times = np.random.default_rng(0).lognormal(6, 2, 5000) + 1
    latencies = Latencies()
    for each in times:
        latencies.add(float(each))
    for percent in (50, 95, 99):
        exact = np.percentile(times, percent, method="inverted_cdf")
        assert exact <= latencies.percentile(percent) * 1.0001
        assert latencies.percentile(percent) == pytest.approx(exact, rel=0.012)
    assert latencies.largest == times.max()


@pytest.mark.parametrize(
    ("majority", "hysteresis", "told"),
    [
        (1, 1, [0, 1, 0, 1, 1, 1, 2]),
        (3, 1, [0, 1, 0, 1, 1, 1, 1]),
        (1, 2, [0, 0, 0, 0, 1, 1, 1]),
    ],
)
def test_smoothing(majority: int, hysteresis: int, told: list[int]) -> None:
    smoothed = Smoothed(majority, hysteresis)
    assert [smoothed(best) for best in (0, 1, 0, 1, 1, 1, 2)] == told
