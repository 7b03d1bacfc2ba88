"""The commands, their options and their help.

Hides typer. Promises to start fast: what a command needs is imported when it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ocpp_mongo_plugin import __version__

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
Station = Annotated[str | None, typer.Option("--station", metavar="ID", help="Only this station.")]
Directory = Annotated[
    Path | None,
    typer.Option(
        "--directory",
        metavar="DIR",
        help="Directory of the journals; else OCPP_MONGO_JOURNAL_DIRECTORY, else the user's state directory.",
    ),
]
Segments = Annotated[
    list[Path] | None, typer.Argument(metavar="[PATH]...", help="Directories of journals, or segment files.")
]


class FileForm(str, Enum):
    """What the lines of a file of traffic are."""

    AUTO = "auto"
    JSONL = "jsonl"
    LOG = "log"


class FileSide(str, Enum):
    """An end of a connection."""

    STATION = "station"
    CSMS = "csms"


Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="JSON Lines, one frame a line, or logs of the ocpp library; also .gz."),
]
Form = Annotated[
    FileForm, typer.Option("--format", help="What the files are; auto: the first line with a frame decides.")
]
Side = Annotated[
    FileSide | None,
    typer.Option("--side", help="Of a log: which end of the connection wrote it; else as its actions have it."),
]
ProtocolVersion = Annotated[
    str | None,
    typer.Option("--protocol-version", metavar="V", help="Of a log: 1.6, 2.0.1 or 2.1; else as its actions have it."),
]
Zone = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        metavar="ZONE",
        help="Of a log's times that name none: UTC, local, an offset as +02:00, or a name as Europe/Paris; else UTC.",
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        "--prefix", metavar="REGEX", help="Of a log: what stands before the station id in each line; else found out."
    ),
]
DryImport = Annotated[bool, typer.Option("--dry-run", help="Only say what would be imported; needs no MongoDB.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]

app = typer.Typer(
    name="ocpp-mongo",
    help="Records OCPP traffic in MongoDB, and looks after what is recorded.",
    epilog="Example: ocpp-mongo run -- python station.py. Every command explains itself: ocpp-mongo import --help",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables could show a password.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
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
    from ocpp_mongo_plugin.cli.terminal import answer  # noqa: PLC0415 - it takes rich, which no help needs

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


@app.command(
    epilog="Example: ocpp-mongo run --uri mongodb://localhost:27017 -- python station.py; "
    "ocpp-mongo run uvicorn app:app --workers 2; ocpp-mongo run -m module",
    # What is no option of ours is the program's, as its own -m and -c are.
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)
def run(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND",
            help="The program with its arguments; -m MODULE, -c CODE and FILE.py, too. A -- may stand before it.",
        ),
    ],
    uri: Uri = None,
    database: DatabaseName = None,
    durability: Annotated[
        str | None,
        typer.Option(
            "--durability", metavar="KIND", help="memory, journal or journal-sync; else OCPP_MONGO_DURABILITY."
        ),
    ] = None,
    children: Annotated[
        bool, typer.Option("--children", help="Record Python programs that the program starts, too.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Look first whether MongoDB answers, for 2 s at most.")
    ] = True,
    log: Annotated[
        Path | None,
        typer.Option("--log", metavar="FILE", help="Append the warnings of the recording to this file; else to none."),
    ] = None,
) -> None:
    """Run a program, and record the ChargePoints in it; no code of it need change.

    The program takes the place of this process: exit code, signals, streams and process id are its own. Workers that
    it forks, or starts by multiprocessing, are recorded as well. All other settings come from OCPP_MONGO_...;
    OCPP_MONGO_DISABLE=1 turns recording off. Where MongoDB does not answer, the program runs all the same.
    """
    if command[0].startswith("--"):
        told = "the options of this command come before its program: ocpp-mongo run --help"
        raise typer.BadParameter(f"No such option: {command[0]}; {told}")

    def start() -> int:
        from ocpp_mongo_plugin.cli.launching import Options, launch  # noqa: PLC0415

        settings = {"uri": uri, "database": database, "durability": durability}
        return launch(command, Options(settings, children=children, check=check, log=log))

    _finish(start, uri)


@app.command(
    "import",
    epilog="Example: ocpp-mongo import chargers.jsonl more/*.jsonl --database lab; of a program's own log: "
    "ocpp-mongo import app.log --timezone Europe/Paris --dry-run",
)
def import_(
    files: Files,
    uri: Uri = None,
    database: DatabaseName = None,
    form: Form = FileForm.AUTO,
    side: Side = None,
    protocol_version: ProtocolVersion = None,
    zone: Zone = None,
    prefix: Prefix = None,
    dry_run: DryImport = False,
) -> None:
    """Import recorded traffic, the same way as live frames go.

    JSON Lines: a line is an object with station, protocol_version, direction, ts and raw. Importing a file again adds
    only what is new. A line that cannot be read is named and left out; the exit code is 1 then, and 0 when every frame
    of every file is in the database.

    A log of the ocpp library: lines as "INFO:ocpp:CP001: send [...]", with whatever a formatter writes before them, or
    in a field of JSON. Other lines are counted, and the first ones are shown. What stands before the station id is told
    from it by the last time, level or logger called ocpp in the line; brackets after that, and another logger's name,
    belong to it when all lines have them. Look with --dry-run, and give --prefix where that is wrong.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.traffic import reading_of  # noqa: PLC0415

        reading = reading_of(
            form.value,
            side=side.value if side else None,
            protocol_version=protocol_version,
            zone=zone,
            prefix=prefix,
        )
        if dry_run:
            from ocpp_mongo_plugin.cli.previewing import preview  # noqa: PLC0415

            return preview(files, reading)
        from ocpp_mongo_plugin.cli.importing import import_files  # noqa: PLC0415

        return import_files(files, reading, uri=uri, database=database)

    _finish(command, uri)


@app.command(epilog="Example: ocpp-mongo stats --station CP001 --json")
def stats(
    uri: Uri = None,
    database: DatabaseName = None,
    station: Station = None,
    as_json: AsJson = False,
) -> None:
    """Say what is in the database: messages, transactions, energy, stations; and what is missing."""

    def command() -> int:
        from ocpp_mongo_plugin.cli.figures import show  # noqa: PLC0415

        return show(uri=uri, database=database, station=station, as_json=as_json)

    _finish(command, uri)


@app.command(
    epilog="Example: ocpp-mongo estimate --rate 250; where nothing is recorded yet: "
    "ocpp-mongo estimate --from chargers.jsonl --rate 250",
)
def estimate(
    uri: Uri = None,
    database: DatabaseName = None,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Measure this file of recorded traffic instead, as for import; may be given more than once.",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", min=0.001, metavar="N", help="Frames a second; else the rate seen in the data."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what traffic takes on disk: by collection and index, for a million messages, a day, a month, a year.

    Measures what is in the database, as of the server's last checkpoint, at most a minute ago. With --from, records the
    files with these settings into a database NAME_estimate_... on the same server, measures that and drops it, which
    needs a user who may do so. Sizes are those of one member of a replica set, and of what is in use of its files;
    oplog and journal are not in them.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.estimating import show  # noqa: PLC0415

        return show(uri=uri, database=database, files=files or [], rate=rate, as_json=as_json)

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
    """Check server, write concern, indexes, rights, and what waits on this disk; change nothing.

    Each line begins with OK, WARN or FAIL. The exit code is 1 when something fails.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.diagnosis import show  # noqa: PLC0415

        return show(uri=uri, database=database, as_json=as_json)

    _finish(command, uri)


@app.command(epilog="Example: ocpp-mongo roles --database ocpp --user ocpp > roles.js")
def roles(
    database: DatabaseName = None,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="Name of the user who records.")] = "ocpp",
    as_json: AsJson = False,
) -> None:
    """Print what creates users with the least rights, for mongosh.

    ocppRecorder may find, insert and update, and nothing else; ocppReader may find; ocppAdmin may do what
    'ocpp-mongo init' and upkeep need. With --json they are commands for runCommand, and createUser lacks pwd. Nothing
    is sent to a server.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.roles import show  # noqa: PLC0415

        return show(database=database, user=user, as_json=as_json)

    _finish(command)


@app.command(epilog="Example: ocpp-mongo forget TAG-ANNA --database ocpp")
def forget(
    id_tag: Annotated[str, typer.Argument(metavar="ID_TAG", help="The id tag, as the stations send it.")],
    uri: Uri = None,
    database: DatabaseName = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take one person's id tag out of all that is stored, and of what comes again.

    A mark stays, from which the id tag cannot be read. It cannot be undone.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.forgetting import forget  # noqa: PLC0415

        return forget(id_tag, uri=uri, database=database, is_sure=yes)

    _finish(command, uri)


@app.command(epilog="Example: ocpp-mongo plugins --json")
def plugins(as_json: AsJson = False) -> None:
    """List the installed plugins of the entry-point group ocpp, and whether a recording program would load them.

    OCPP_MONGO_LOAD_PLUGINS says which ones it does. Each is loaded to see. The exit code is 1 when one fails.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.listing import show  # noqa: PLC0415

        return show(as_json=as_json)

    _finish(command)


# -- journals -----------------------------------------------------------------------------------------------------

journal = typer.Typer(
    name="journal",
    help="What waits on this disk for MongoDB.",
    epilog="Example: ocpp-mongo journal ls",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(journal)


@journal.command("ls", epilog="Example: ocpp-mongo journal ls --json")
def journal_ls(directory: Directory = None, as_json: AsJson = False) -> None:
    """Say which journals there are, for which database, and whether their processes live.

    The segments of a living process may hold frames that are stored already.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.journals import show  # noqa: PLC0415

        return show(directory=directory, as_json=as_json)

    _finish(command)


@journal.command("verify", epilog="Example: ocpp-mongo journal verify /var/lib/ocpp/journal")
def journal_verify(paths: Segments = None, directory: Directory = None, as_json: AsJson = False) -> None:
    """Check every record of every segment; change nothing.

    Of all journals, or of what is given. The exit code is 1 when something is damaged; an end that its writer did not
    finish is no damage.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.journals import verify  # noqa: PLC0415

        return verify(paths or [], directory=directory, as_json=as_json)

    _finish(command)


@journal.command("replay", epilog="Example: ocpp-mongo journal replay --uri mongodb://localhost:27017 --database ocpp")
def journal_replay(
    paths: Segments = None,
    uri: Uri = None,
    database: DatabaseName = None,
    directory: Directory = None,
    dry_run: DryRun = False,
) -> None:
    """Store what dead processes left for this server and database.

    Each start of a recorder does this by itself. Files that are given, such as a damaged segment or a copy from
    another machine, are stored, too, and stay where they are. Nothing is stored twice. The exit code is 1 when
    something could not be stored or read.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.replaying import replay  # noqa: PLC0415

        return replay(paths or [], uri=uri, database=database, directory=directory, dry_run=dry_run)

    _finish(command, uri)


# -- dead letters -------------------------------------------------------------------------------------------------

dead = typer.Typer(
    name="dead",
    help="Frames that MongoDB refused, in its dead letters or on this disk.",
    epilog="Example: ocpp-mongo dead ls",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(dead)


@dead.command("ls", epilog="Example: ocpp-mongo dead ls --station CP001")
def dead_ls(
    uri: Uri = None,
    database: DatabaseName = None,
    station: Station = None,
    limit: Annotated[int, typer.Option("--limit", min=1, metavar="N", help="How many at most, the newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters: key, when, station, action, reason, where."""

    def command() -> int:
        from ocpp_mongo_plugin.cli.letters import show_all  # noqa: PLC0415

        return show_all(uri=uri, database=database, station=station, limit=limit, as_json=as_json)

    _finish(command, uri)


@dead.command("show", epilog="Example: ocpp-mongo dead show 699365e6c0ffee0000000001 --json")
def dead_show(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key, as 'ocpp-mongo dead ls' says it.")],
    uri: Uri = None,
    database: DatabaseName = None,
    as_json: AsJson = False,
) -> None:
    """Print a dead letter with its text, which has no secrets.

    What a terminal would act on is escaped; --json has the exact text.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.letters import show_one  # noqa: PLC0415

        return show_one(key, uri=uri, database=database, as_json=as_json)

    _finish(command, uri)


@dead.command("retry", epilog="Example: ocpp-mongo dead retry --station CP001")
def dead_retry(
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="Only these; else all.")] = None,
    uri: Uri = None,
    database: DatabaseName = None,
    station: Station = None,
    dry_run: DryRun = False,
) -> None:
    """Store dead letters again, and remove those that are stored.

    For when the reason is gone: a validator, an index, a quota. What is refused again stays; the exit code is 1 then.
    Removing needs a right that recording does not: see ocppAdmin of 'ocpp-mongo roles'.
    """

    def command() -> int:
        from ocpp_mongo_plugin.cli.letters import retry  # noqa: PLC0415

        return retry(keys or [], uri=uri, database=database, station=station, dry_run=dry_run)

    _finish(command, uri)
