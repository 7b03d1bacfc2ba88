"""The commands, their options and their help.

Hides typer. Promises to start fast: what a command needs is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from ocpp_mongo_plugin import __version__
from ocpp_mongo_plugin.cli.terminal import answer

Uri = Annotated[
    str | None,
    typer.Option(
        "--uri",
        metavar="URI",
        help="MongoDB connection string; else OCPP_MONGO_URI, else mongodb://localhost:27017.",
    ),
]
DatabaseName = Annotated[
    str | None,
    typer.Option("--database", metavar="NAME", help="Name of the database; else OCPP_MONGO_DATABASE, else ocpp."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]

app = typer.Typer(
    name="ocpp-mongo",
    help="Records OCPP traffic in MongoDB, and looks after what is recorded.",
    epilog="Every command explains itself with an example: ocpp-mongo import --help",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables could show a password.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def run() -> None:
    """Run the command that the arguments of this process name, and exit."""
    app()


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"ocpp-mongo-plugin {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_say_version, help="Say the version."),
    ] = False,
) -> None:
    """Records OCPP traffic in MongoDB, and looks after what is recorded."""


def _finish(command: Callable[[], int], uri: str | None = None) -> None:
    raise typer.Exit(answer(command, uri))


@app.command(
    epilog="Example: ocpp-mongo demo --seconds 20 --keep",
)
def demo(
    seconds: Annotated[
        float, typer.Option(min=3, max=3600, help="How long the cars charge, in seconds.", metavar="S")
    ] = 15,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the database there afterwards, and say where.")] = False,
) -> None:
    """Charge a few cars before your eyes, and show what was recorded.

    Starts a CSMS and four stations (OCPP 1.6, 2.0.1 and 2.1) on this machine, over real WebSockets, and records them
    in MongoDB: that of OCPP_MONGO_URI, else a mongod of its own. What it recorded is removed at the end, unless
    --keep is given.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.demo import show  # noqa: PLC0415

        return show(seconds=seconds, keep=keep)

    _finish(command)


@app.command("import", epilog="Example: ocpp-mongo import chargers.jsonl more/*.jsonl --database lab")
def import_(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="JSON Lines, one frame a line.")],
    uri: Uri = None,
    database: DatabaseName = None,
) -> None:
    """Import recorded traffic, the same way as live frames go.

    A line is a JSON object with station, protocol_version, direction, ts and raw. Importing a file again adds only
    what is new. A line that cannot be read is named and left out; the exit code is 1 then, and 0 when every frame of
    every file is in the database.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.importing import import_files  # noqa: PLC0415

        return import_files(files, uri=uri, database=database)

    _finish(command, uri)


@app.command(epilog="Example: ocpp-mongo stats --station CP001 --json")
def stats(
    uri: Uri = None,
    database: DatabaseName = None,
    station: Annotated[str | None, typer.Option("--station", metavar="ID", help="Only this station.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what is in the database: messages, transactions, energy, stations."""

    def command() -> int:
        from ocpp_mongo_plugin.cli.figures import show  # noqa: PLC0415

        return show(uri=uri, database=database, station=station, as_json=as_json)

    _finish(command, uri)


@app.command(epilog="Example: ocpp-mongo init --uri mongodb://localhost:27017 --database ocpp")
def init(uri: Uri = None, database: DatabaseName = None) -> None:
    """Make the collections and indexes that are missing, and say which.

    Recording does this by itself; init is for a user who may create indexes when the recording one may not. Running
    it again changes nothing.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.schema import create  # noqa: PLC0415

        return create(uri=uri, database=database)

    _finish(command, uri)


@app.command(epilog="Example: ocpp-mongo doctor --uri mongodb://localhost:27017")
def doctor(uri: Uri = None, database: DatabaseName = None, as_json: AsJson = False) -> None:
    """Check server, write concern, indexes and rights; change nothing.

    Each line begins with OK, WARN or FAIL. The exit code is 1 when something fails.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.diagnosis import show  # noqa: PLC0415

        return show(uri=uri, database=database, as_json=as_json)

    _finish(command, uri)
