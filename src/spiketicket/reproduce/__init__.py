"""The paper's tables and figures, run again: each study is a file, its runs a sweep.

    from spiketicket.reproduce import cells_of, load_study
    from spiketicket.reproduce.runner import reproduce

A study says what the paper states, which recipes stand behind it at each scale, and by which
rule our rows agree with it or not. The rest follows: runs, rows, figure, table and sentences.
"""

from spiketicket.reproduce.cells import Cell, cells_of
from spiketicket.reproduce.study import SCALES, Study, load_study, study_names

__all__ = ["SCALES", "Cell", "Study", "cells_of", "load_study", "study_names"]
