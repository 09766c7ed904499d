"""The command line, run in this process."""

from typer.testing import CliRunner, Result

from spiketicket.cli import app


def spiketicket(*arguments: object) -> Result:
    """Run it with some arguments; an unexpected exception is raised here."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
