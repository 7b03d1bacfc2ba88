"""``ocpp-mongo run``: programs are recorded, and find themselves as they are without it."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from running import EXAMPLES, PROGRAMS, RUN, environment, finished, recorded
from test_processes import relay
from waiting import wait_until

pytestmark = [pytest.mark.mongod, pytest.mark.programs]

HEARTBEATS = PROGRAMS / "heartbeats.py"
NOBODY = "mongodb://someone:secret@127.0.0.1:1/"


def sent(plain: Any) -> dict[str, list[str]]:
    """What was stored, by station in order of the wire."""
    found: dict[str, list[str]] = {}
    for message in plain.ocpp_messages.find().sort([("session_id", 1), ("sequence", 1)]):
        found.setdefault(message["station_id"], []).append(message["raw"])
    return found


TEN = [f'[2,"{number}","Heartbeat",{{}}]' for number in range(10)]


def same(done: subprocess.CompletedProcess[bytes]) -> tuple[int, bytes, bytes]:
    return done.returncode, done.stdout, done.stderr


# -- what is recorded ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, HEARTBEATS),
        (HEARTBEATS,),
        ("-m", "heartbeats"),
        ("sh", "-c", f"{sys.executable} {HEARTBEATS}; exit 0"),
    ],
    ids=["python", "file", "module", "shell"],
)
def test_a_program_is_recorded(mongo_uri: str, plain: Any, command: tuple[object, ...]):
    assert same(recorded(mongo_uri, plain.name, *command, cwd=PROGRAMS)) == (0, b"", b"")
    assert sent(plain) == {"here": TEN}


async def test_a_csms_and_a_station_with_no_line_of_code_changed(mongo_uri: str, database_name: str, plain: Any):
    import asyncio  # noqa: PLC0415

    names = [f"{database_name}_{end}" for end in ("csms", "station")]
    wire: list[tuple[str, str]] = []
    command = [*RUN, "--uri", mongo_uri, "--database", names[0], "--", sys.executable, "-u"]
    command += [str(EXAMPLES / "central_system.py"), "--port", "0"]
    csms = await asyncio.create_subprocess_exec(*command, env=environment(), stdout=asyncio.subprocess.PIPE)
    try:
        url = (await asyncio.wait_for(csms.stdout.readline(), 30)).decode().split()[-1].rstrip("/")
        async with relay(url, wire) as through:
            station = asyncio.to_thread(recorded, mongo_uri, names[1], sys.executable, PROGRAMS / "station.py", through)
            assert same(await station) == (0, b"60\n", b"")
        csms.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(csms.wait(), 30) == 0
        assert len(wire) == 6
        for name in names:
            (session,) = plain.client[name].sessions.find()
            messages = plain.client[name].ocpp_messages.find().sort("sequence", 1)
            assert [(m["origin"], m["raw"]) for m in messages] == wire
            assert session["status"] == "closed"
            (transaction,) = plain.client[name].transactions.find()
            assert transaction["energy_consumed"] == 1500
    finally:
        if csms.returncode is None:
            csms.kill()
        for name in names:
            plain.client.drop_database(name)


@pytest.mark.parametrize("how", ["fork", "spawn", "forkserver", "pool-spawn"])
def test_workers_are_followed_to_their_end(mongo_uri: str, plain: Any, how: str):
    done = recorded(mongo_uri, plain.name, sys.executable, HEARTBEATS, how, run=["--durability", "memory"])
    assert same(done) == (0, b"", b"")
    assert sent(plain) == {"worker-0": TEN, "worker-1": TEN}
    assert {session["status"] for session in plain.sessions.find()} == {"closed"}


def test_a_worker_that_lacks_the_package_works_as_before(tmp_path: Path):
    """What a worker gets to unpickle is run by an interpreter that can import nothing of ours."""
    code = "import pickle, sys; from ocpp_mongo_plugin.children import _Entrance\n"
    code += "sys.stdout.buffer.write(pickle.dumps({'entrance': _Entrance(), 'name': 'one'}))"
    prepared = finished(sys.executable, "-c", code).stdout
    (tmp_path / "prepared").write_bytes(prepared)
    load = "import pickle, sys\nsys.path_hooks.clear(); sys.path_importer_cache.clear()\nbefore = [*sys.path]\n"
    load += f"print(pickle.load(open({str(tmp_path / 'prepared')!r}, 'rb')), sys.path == before)"
    assert same(finished(sys.executable, "-S", "-c", load)) == (0, b"{'entrance': None, 'name': 'one'} True\n", b"")


@contextmanager
def server(*command: str, own: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    asked = [*RUN, "--", sys.executable, "-m", *command]
    with subprocess.Popen(asked, cwd=PROGRAMS, env=own, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=30)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize(
    "command",
    [
        "uvicorn --workers 2 --host 127.0.0.1 --port {port} web_app:app",
        "gunicorn -w 2 -k uvicorn_worker.UvicornWorker -b 127.0.0.1:{port} web_app:app",
    ],
    ids=["uvicorn", "gunicorn"],
)
def test_the_workers_of_a_web_server_are_recorded(mongo_uri: str, plain: Any, tmp_path: Path, command: str):
    port, workers, visits = free_port(), set(), 0
    own = environment(OCPP_MONGO_URI=mongo_uri, OCPP_MONGO_DATABASE=plain.name)
    own["OCPP_MONGO_JOURNAL_DIRECTORY"] = str(tmp_path)
    with server(*command.format(port=port).split(), own=own) as process:
        wait_until(lambda: listens(port), 30)

        def both_have_answered() -> bool:
            nonlocal visits
            done = finished(sys.executable, PROGRAMS / "station.py", f"ws://127.0.0.1:{port}")
            assert done.returncode == 0, done.stderr
            visits += 1
            workers.add(int(done.stdout))
            return len(workers) == 2

        wait_until(both_have_answered, 60)
        assert process.pid not in workers
    # uvicorn ends a worker by the signal that it was sent, so what was not stored yet is left to the journal.
    replayed = finished(sys.executable, "-m", "ocpp_mongo_plugin.cli", "journal", "replay", env=own)
    assert replayed.returncode == 0, replayed.stderr
    sessions = list(plain.sessions.find())
    assert len(sessions) == visits
    assert {int(session["recorder"].split(":")[1]) for session in sessions} == workers
    for session in sessions:
        assert plain.ocpp_messages.count_documents({"session_id": session["session_id"]}) == 6


TESTS = """
import asyncio
from heartbeats import send
def test_heartbeats():
    asyncio.run(send("tested", 10))
"""


def test_a_test_suite_is_recorded_in_memory(mongo_uri: str, plain: Any, tmp_path: Path):
    (tmp_path / "test_heartbeats.py").write_text(TESTS)
    own = environment(OCPP_MONGO_JOURNAL_DIRECTORY=str(tmp_path / "journal"), PYTHONPATH=str(PROGRAMS))
    command = ("pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error", tmp_path)
    done = recorded(mongo_uri, plain.name, "-m", *command, env=own, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"1 passed" in done.stdout
    assert sent(plain) == {"tested": TEN}
    assert not (tmp_path / "journal").exists()
    again = recorded(mongo_uri, plain.name, sys.executable, HEARTBEATS, env=own)
    assert again.returncode == 0
    assert (tmp_path / "journal").exists()


# -- what is the program's own ------------------------------------------------------------------------------------

OWN = {
    "streams": "import sys; data = sys.stdin.buffer.read(); sys.stdout.buffer.write(data[::-1]); "
    "sys.stderr.buffer.write(data); sys.exit(7)",
    "traceback": "def f():\n    raise ValueError('mine')\nf()",
    "traceback through a charge point": "import asyncio\nfrom heartbeats import ChargePoint\nclass Broken:\n"
    "    async def recv(self):\n        raise ConnectionError('mine')\n    send = None\n"
    "class Mine(ChargePoint):\n    async def start(self):\n        await super().start()\n"
    "asyncio.run(Mine('CP1', Broken()).start())",
    "a send that fails": "import asyncio\nfrom heartbeats import ChargePoint\nclass Broken:\n"
    "    async def send(self, text):\n        raise ConnectionError('mine')\n"
    "asyncio.run(ChargePoint('CP1', Broken())._send('[2]'))",
    "debugging log": "import asyncio, logging\nlogging.basicConfig(level=logging.DEBUG)\n"
    "from heartbeats import work\nwork('CP1')",
    "warnings as errors": "import random, warnings\nwarnings.simplefilter('error')\nrandom.seed(1)\n"
    "from heartbeats import work\nwork('CP1')\nprint(random.random())",
    "environment": "import os, sys; print(os.environ.get('PYTHONPATH'), sys.path, sys.argv, 'sitecustomize' in sys.modules)",
    "no ocpp": "import sys; print(sorted(m for m in sys.modules if m.split('.')[0] in ('asyncio', 'ssl', 'wrapt', "
    "'logging', 'pymongo', 'pydantic')))",
}


@pytest.fixture
def program(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[object, ...]:
    path = tmp_path / "program.py"
    path.write_text(OWN[request.param])
    return (sys.executable, path, "-x", "--", "y")


@pytest.mark.parametrize("program", OWN, indirect=True)
def test_exit_code_streams_and_tracebacks_are_the_programs_own(mongo_uri: str, plain: Any, program: tuple[object, ...]):
    options: dict[str, Any] = {"input": bytes(range(256)), "env": environment(PYTHONPATH=str(PROGRAMS))}
    assert same(recorded(mongo_uri, plain.name, *program, **options)) == same(finished(*program, **options))


@pytest.mark.parametrize("program", ["streams", "traceback through a charge point", "debugging log"], indirect=True)
def test_without_mongodb_it_is_said_once_and_the_program_is_the_same(program: tuple[object, ...], tmp_path: Path):
    options: dict[str, Any] = {"input": bytes(range(256)), "env": environment(PYTHONPATH=str(PROGRAMS))}
    options["env"] |= {"OCPP_MONGO_SHUTDOWN_TIMEOUT": "0.2", "OCPP_MONGO_OPERATION_TIMEOUT": "0.3"}
    options["env"]["OCPP_MONGO_JOURNAL_DIRECTORY"] = str(tmp_path / "journal")
    done = recorded(NOBODY, "lab", *program, **options)
    line, _, rest = done.stderr.partition(b"\n")
    assert (done.returncode, done.stdout, rest) == same(finished(*program, **options))
    said = rf"ocpp-mongo: mongodb://someone:\*\*\*@127\.0\.0\.1:1: .*; frames wait in the journal in {tmp_path}/journal, .*"
    assert re.fullmatch(said, line.decode())


# Not in a read, of which a traceback would tell how far it was when the signal came.
WAITING = "import signal; print('ready', flush=True); signal.pause()"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_the_program_and_its_end_says_so(mongo_uri: str, plain: Any, number: signal.Signals):
    ends = []
    for before in ((), (*RUN, "--uri", mongo_uri, "--database", plain.name, "--")):
        command = [*before, sys.executable, "-c", f"import heartbeats; {WAITING}"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, cwd=PROGRAMS, env=environment(), **pipes) as process:  # type: ignore[call-overload]
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(number)
            ends.append((*process.communicate(timeout=30), process.returncode))
    assert ends[0] == ends[1]
    assert ends[0][2] == -number


SITES = {
    "none": None,
    "one": "import sys\nsys.stderr.write('mine\\n')\nsys.mine = __name__, __file__\n",
    "one that fails": "raise RuntimeError('mine')\n",
    "one that lacks something": "import no_such_module\n",
    "one that exits": "import sys\nsys.exit(3)\n",
}


@pytest.mark.parametrize("source", SITES.values(), ids=SITES.keys())
def test_a_sitecustomize_of_the_user_is_run_as_without_us(
    mongo_uri: str, plain: Any, tmp_path: Path, source: str | None
):
    if source is not None:
        (tmp_path / "sitecustomize.py").write_text(source)
    own = environment(PYTHONPATH=str(tmp_path))
    code = "import sys; m = sys.modules.get('sitecustomize'); print(getattr(sys, 'mine', None), m and m.__file__)"
    alone = finished(sys.executable, "-c", code, env=own)
    done = recorded(mongo_uri, plain.name, sys.executable, "-c", code, env=own)
    if source is not None and "exit" in source:  # Python dies of it, and tells where
        assert same(done)[:2] == same(alone)[:2]
    else:
        assert same(done) == same(alone)
        assert recorded(mongo_uri, plain.name, sys.executable, HEARTBEATS, env=own).returncode == 0
        assert sent(plain) == {"here": TEN}


CHILD = "import os, sys; print([os.environ.get('PYTHONPATH'), 'ocpp_mongo_plugin.auto' in sys.modules])"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}], check=True)"


@pytest.mark.parametrize("path", [None, "", "/one", f"/one{os.pathsep}", f"/one{os.pathsep}{os.pathsep}/two"])
def test_an_unrelated_child_finds_the_path_of_the_user(mongo_uri: str, plain: Any, path: str | None):
    own = environment() if path is None else environment(PYTHONPATH=path)
    done = recorded(mongo_uri, plain.name, sys.executable, "-c", PARENT, env=own)
    assert done.stdout.decode() == f"{[path, False]}\n"
    assert done.stderr == b""


def test_a_path_that_somebody_changed_on_the_way_is_kept_as_changed(mongo_uri: str, plain: Any):
    command = f"PYTHONPATH=/first:$PYTHONPATH exec {sys.executable} -c '{CHILD}'".replace(
        "'PYTHONPATH'", '"PYTHONPATH"'
    )
    command = command.replace("'ocpp_mongo_plugin.auto'", '"ocpp_mongo_plugin.auto"')
    done = recorded(mongo_uri, plain.name, "sh", "-c", command, env=environment(PYTHONPATH="/one"))
    assert done.stdout.decode() == f"{['/first:/one', True]}\n"


def test_programs_that_the_program_starts_are_recorded_when_that_is_asked_for(mongo_uri: str, plain: Any):
    starts = f"import subprocess, sys; subprocess.run([sys.executable, {str(HEARTBEATS)!r}], check=True)"
    twice = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {starts!r}], check=True)"
    assert recorded(mongo_uri, plain.name, sys.executable, "-c", twice).returncode == 0
    assert sent(plain) == {}
    assert same(recorded(mongo_uri, plain.name, sys.executable, "-c", twice, run=["--children"])) == (0, b"", b"")
    assert sent(plain) == {"here": TEN}


def test_the_program_has_the_place_of_the_launcher(mongo_uri: str, plain: Any):
    command = [
        *RUN,
        "--uri",
        mongo_uri,
        "--database",
        plain.name,
        "--",
        sys.executable,
        "-c",
        "import os; print(os.getpid())",
    ]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE) as process:
        assert int(process.communicate(timeout=30)[0]) == process.pid


def test_a_program_that_records_itself_into_the_same_database_is_recorded_once(mongo_uri: str, plain: Any):
    code = "import asyncio\nfrom heartbeats import send\nfrom ocpp_mongo_plugin import MongoPlugin\nasync def main():\n"
    code += "    await send('before', 10)\n    async with MongoPlugin():\n        await send('within', 10)\n"
    code += "    await send('after', 10)\nasyncio.run(main())"
    assert same(recorded(mongo_uri, plain.name, "-c", code, cwd=PROGRAMS)) == (0, b"", b"")
    assert sent(plain) == {"before": TEN, "within": TEN, "after": TEN}


# -- what is said, and what is refused ----------------------------------------------------------------------------


def test_without_a_uri_it_is_said_once_where_frames_go():
    done = finished(*RUN, "--no-check", "--", sys.executable, "-c", "import heartbeats", cwd=PROGRAMS)
    assert done.stderr.decode() == (
        "ocpp-mongo: no --uri and no OCPP_MONGO_URI: recording into mongodb://localhost:27017; frames wait in memory, "
        "and the program runs all the same\n"
    )


def test_an_empty_name_of_a_log_is_none():
    own = environment(OCPP_MONGO_LOG="")
    done = finished(*RUN, "--no-check", "--uri", NOBODY, "--", sys.executable, "-c", "print('started')", env=own)
    assert same(done) == (0, b"started\n", b"")


def test_what_recording_has_to_say_goes_to_a_file_when_one_is_named(tmp_path: Path):
    log = tmp_path / "recording.log"
    own = environment(OCPP_MONGO_SHUTDOWN_TIMEOUT="0.2")
    asked = ("--no-check", "--uri", NOBODY, "--durability", "memory", "--log", log)
    assert same(finished(*RUN, *asked, "--", sys.executable, HEARTBEATS, env=own)) == (0, b"", b"")
    assert "10 frame(s) not stored" in log.read_text()
    assert "secret" not in log.read_text()


@pytest.mark.parametrize(
    ("asked", "code", "sentence"),
    [
        (["--uri", "mongodb://someone:secret@host:port/"], 2, "is no MongoDB URI (mongodb://someone:***@host:port/)"),
        (["--uri", "http://host/"], 2, "is no MongoDB URI"),
        (["--durability", "eternal"], 2, "setting durability is wrong"),
        (["--database", ""], 2, "setting database is wrong"),
        (["--database", "a b"], 2, "setting database is wrong"),
        (["--log", "/no/such/directory/log"], 2, "nothing can be written to the log /no/such/directory/log"),
        (["--dorability", "memory"], 2, "No such option"),
        ([], 0, "no --uri"),
    ],
)
def test_what_is_wrong_is_said_before_the_program_starts(asked: list[str], code: int, sentence: str):
    done = finished(*RUN, "--no-check", *asked, "--", sys.executable, "-c", "print('started')")
    assert done.returncode == code
    assert (done.stdout == b"started\n") == (code == 0)
    said = done.stderr.decode()
    assert sentence in said
    assert "secret" not in said
    assert "Traceback" not in said
    if "No such" not in sentence:
        assert said.startswith("ocpp-mongo: ")
        assert said.count("\n") == 1


def test_an_option_of_python_needs_no_dashes_before_it(mongo_uri: str, plain: Any):
    asked = ("--uri", mongo_uri, "--database", plain.name, "-m", "heartbeats")
    assert same(finished(*RUN, *asked, cwd=PROGRAMS)) == (0, b"", b"")
    assert sent(plain) == {"here": TEN}


def test_an_option_that_there_is_not_is_no_program():
    done = finished(*RUN, "--dorability", "memory", sys.executable, "-c", "print('started')")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"No such option: --dorability" in done.stderr


def test_a_variable_that_is_no_setting_is_named():
    own = environment(OCPP_MONGO_DATABSE="lab", OCPP_MONGO_COLOUR="red", OCPP_MONGO_DATABASE="lab")
    done = finished(*RUN, "--no-check", "--uri", NOBODY, "--", sys.executable, "-c", "print('started')", env=own)
    assert same(done)[:2] == (0, b"started\n")
    assert done.stderr.decode().splitlines() == [
        "ocpp-mongo: OCPP_MONGO_COLOUR is no setting, and changes nothing; docs/settings.md has those that there are",
        "ocpp-mongo: OCPP_MONGO_DATABSE is no setting, and changes nothing; did you mean OCPP_MONGO_DATABASE?",
    ]


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_stay_so(closed: str, tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; Path(sys.argv[1]).write_text(repr([sys.stdin, sys.stdout, sys.stderr]))"
    )
    plain, run = ([sys.executable, "-c", code, str(tmp_path / name)] for name in ("plain", "run"))
    for command in (plain, [*map(str, RUN), "--uri", NOBODY, "--", *run]):
        assert finished("sh", "-c", f"exec {shlex.join(command)} {closed}").returncode == 0
    assert (tmp_path / "run").read_text() == (tmp_path / "plain").read_text()


def test_names_that_cannot_be_looked_up_now_keep_no_program_from_running():
    uri = "mongodb+srv://someone:secret@no-such-host.invalid"
    done = finished(*RUN, "--uri", uri, "--", sys.executable, "-c", "print('started')")
    assert (done.returncode, done.stdout) == (0, b"started\n")
    told = r"ocpp-mongo: mongodb\+srv://someone:\*\*\*@no-such-host\.invalid: its name cannot be looked up: .*\n"
    assert re.fullmatch(told, done.stderr.decode())


@pytest.mark.parametrize(("name", "code"), [("no-such-command", 127), ("/no/such/command", 127), ("/", 126)])
def test_what_cannot_be_started_has_the_exit_code_of_a_shell(name: str, code: int):
    done = finished(*RUN, "--no-check", "--uri", NOBODY, "--", name)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.decode().startswith(f"ocpp-mongo: {name}")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("word", ["1", "true", "ON"])
def test_disabled_it_only_starts_the_program(mongo_uri: str, plain: Any, word: str):
    own = environment(OCPP_MONGO_DISABLE=word, PYTHONPATH=str(PROGRAMS))
    code = f"{CHILD}\nimport heartbeats; heartbeats.work('here')"
    done = recorded(mongo_uri, plain.name, sys.executable, "-c", code, env=own)
    assert same(done) == (0, f"{[str(PROGRAMS), False]}\n".encode(), b"")
    assert sent(plain) == {}


@pytest.mark.parametrize(("has_ocpp", "lines"), [(True, 1), (False, 0)])
def test_an_interpreter_without_the_package_says_so_where_ocpp_is(tmp_path: Path, has_ocpp: bool, lines: int):
    finished(sys.executable, "-m", "venv", "--without-pip", tmp_path / "other")
    python = tmp_path / "other" / "bin" / "python"
    site = finished(python, "-c", "import site; print(site.getsitepackages()[0])").stdout.decode().strip()
    if has_ocpp:
        shutil.copytree(
            Path(
                json.loads(finished(sys.executable, "-c", "import json, ocpp; print(json.dumps(ocpp.__file__))").stdout)
            ).parent,
            Path(site) / "ocpp",
        )
    done = finished(*RUN, "--no-check", "--uri", NOBODY, "--", python, "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (0, b"ran\n")
    assert done.stderr.count(b"\n") == lines
    if lines:
        assert done.stderr.decode() == (
            f"ocpp-mongo: {python} is not recorded: No module named 'ocpp_mongo_plugin'; install ocpp-mongo-plugin there\n"
        )
