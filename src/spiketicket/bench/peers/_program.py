"""The program of a job's ticket."""

from __future__ import annotations

from spiketicket.bench.job import Job, Unavailable
from spiketicket.engine.compile import compile_ticket
from spiketicket.engine.program import Program
from spiketicket.errors import UserError
from spiketicket.ticket import Ticket


def program_of(job: Job) -> Program:
    """What the ticket compiles to.

    Raises:
        Unavailable: it cannot be compiled.
    """
    try:
        return compile_ticket(Ticket.load(job.ticket))
    except UserError as error:
        raise Unavailable(str(error)) from error
