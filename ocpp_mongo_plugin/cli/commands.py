"""The commands: what they take, and what they print. What they do is elsewhere, imported when it is needed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import click
import typer
from rich.console import Console
from rich.table import Table

from ocpp_mongo_plugin import __version__
from ocpp_mongo_plugin.errors import OcppMongoError

if TYPE_CHECKING:
    from ocpp_mongo_plugin.settings import Settings

app = typer.Typer(
    name="ocpp-mongo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Recorded OCPP traffic in MongoDB: try it, import it, look at it, set the database up.",
)

Uri = Annotated[
    Optional[str],  # noqa: UP045 - typer reads annotations on Python 3.10
    typer.Option("--uri", envvar="OCPP_MONGO_URI", show_envvar=True, help="MongoDB connection string."),
]
Database = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--database", envvar="OCPP_MONGO_DATABASE", show_envvar=True, help="Name of the database."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_INTERRUPTED = 130


def run() -> None:
    """Run the command line and exit."""
    try:
        code = app(standalone_mode=False)
    except OcppMongoError as error:
        _fail(str(error), 1)
    except click.exceptions.Abort:
        _fail("interrupted", _INTERRUPTED)
    except KeyboardInterrupt:
        _fail("interrupted", _INTERRUPTED)
    except click.ClickException as error:
        _fail(f"{error.format_message()} Try 'ocpp-mongo --help'.", 2)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(sentence: str, code: int) -> None:
    sys.stderr.write(f"ocpp-mongo: {sentence}\n")
    sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"ocpp-mongo-plugin {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    _show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Recorded OCPP traffic in MongoDB: try it, import it, look at it, set the database up."""


def _settings(uri: str | None, database: str | None) -> Settings:
    from ocpp_mongo_plugin.settings import read_settings  # noqa: PLC0415

    return read_settings({"uri": uri, "database": database})


def _reached(uri: str | None, database: str | None) -> Settings:
    """Return settings whose server answers."""
    from ocpp_mongo_plugin.doctor import connect  # noqa: PLC0415
    from ocpp_mongo_plugin.plugin import check_uri  # noqa: PLC0415

    settings = _settings(uri, database)
    check_uri(settings)
    connect(settings).close()
    return settings


def _await(step: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(step())


@app.command(
    epilog="Examples:  ocpp-mongo demo   |   ocpp-mongo demo --seconds 5   |   ocpp-mongo demo --keep",
)
def demo(
    seconds: Annotated[float, typer.Option(help="How long cars charge.", min=1, max=3600)] = 15,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the database running and print its URI.")
    ] = False,
    uri: Uri = None,
) -> int:
    """Charge a few cars and look at what is stored: a CSMS, four stations, real WebSockets, a real mongod."""
    from ocpp_mongo_plugin.cli.demo import run_demo  # noqa: PLC0415

    return run_demo(seconds=seconds, keep=keep, uri=uri)


@app.command(
    "import",
    epilog="Examples:  ocpp-mongo import traffic.jsonl   |   ocpp-mongo import *.jsonl --database lab",
)
def import_(
    files: Annotated[
        list[Path], typer.Argument(help="JSON Lines files, one frame a line.", metavar="FILE...")
    ],
    uri: Uri = None,
    database: Database = None,
    as_json: AsJson = False,
) -> int:
    """Import recorded traffic, the same way as live frames. Importing a file twice changes nothing."""
    from ocpp_mongo_plugin.cli.importing import import_files  # noqa: PLC0415

    settings = _reached(uri, database)
    reports = _await(lambda: import_files(files, settings, Console(stderr=True)))
    if as_json:
        sys.stdout.write(json.dumps([asdict(report) for report in reports], indent=2) + "\n")
    else:
        for report in reports:
            sys.stdout.write(report.sentence() + "\n")
            for bad in report.bad_lines:
                sys.stderr.write(f"ocpp-mongo: {report.file}, {bad}\n")
    return 1 if any(report.error or report.bad for report in reports) else 0


@app.command(epilog="Examples:  ocpp-mongo stats   |   ocpp-mongo stats --station CP001 --json")
def stats(
    station: Annotated[Optional[str], typer.Option(help="Only of this station.")] = None,  # noqa: UP045
    uri: Uri = None,
    database: Database = None,
    as_json: AsJson = False,
) -> None:
    """Print what is stored: collections, messages by type and action, transactions and energy."""
    from ocpp_mongo_plugin.cli.figures import figures, show  # noqa: PLC0415

    settings = _reached(uri, database)
    found = _await(lambda: figures(settings, station))
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2, default=str) + "\n")
    else:
        show(found, Console())


@app.command(
    epilog="Examples:  ocpp-mongo init   |   ocpp-mongo init --uri mongodb://db.example --database lab"
)
def init(uri: Uri = None, database: Database = None) -> None:
    """Create the collections and indexes that are missing. Nothing that is there is changed."""
    from ocpp_mongo_plugin.doctor import prepare  # noqa: PLC0415

    for sentence in prepare(_reached(uri, database)):
        sys.stdout.write(sentence + "\n")


@app.command(epilog="Examples:  ocpp-mongo doctor   |   ocpp-mongo doctor --json")
def doctor(uri: Uri = None, database: Database = None, as_json: AsJson = False) -> int:
    """Look whether the server is fit for recording: reachable, version, topology, write concern, indexes, rights."""
    from ocpp_mongo_plugin.doctor import look  # noqa: PLC0415
    from ocpp_mongo_plugin.plugin import check_uri  # noqa: PLC0415

    settings = _settings(uri, database)
    check_uri(settings)
    checks = list(look(settings))
    if as_json:
        sys.stdout.write(json.dumps([asdict(check) for check in checks], indent=2) + "\n")
    else:
        table = Table(show_header=False, box=None)
        for check in checks:
            style = {"ok": "green", "warn": "yellow", "fail": "red"}[check.level]
            table.add_row(f"[{style}]{check.level.upper()}[/]", check.name, check.text)
        Console().print(table)
    return 1 if any(check.level == "fail" for check in checks) else 0
