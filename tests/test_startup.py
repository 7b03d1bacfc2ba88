"""What starts fast must not load what it does not need: a test of modules is never late, as one of milliseconds is."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import ocpp_mongo_plugin
from ocpp_mongo_plugin import children

COMMANDS = ("", "run", "plugins", "demo", "import", "stats", "estimate", "init", "doctor", "roles", "forget")
HEAVY = ("rich", "pydantic", "pymongo", "bson", "motor", "beanie", "ocpp", "websockets", "pluggy", "asyncio")


def modules_after(code: str, *arguments: str) -> set[str]:
    """Return the modules that a new interpreter has after this code, without those that it has anyway."""
    told = f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*sorted(set(sys.modules) - before), sep='\\n')"
    done = subprocess.run([sys.executable, "-c", told, *arguments], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("\n\n")[2].split())


def test_importing_the_package_imports_nothing_else():
    assert modules_after("import ocpp_mongo_plugin") <= {"__future__", "ocpp_mongo_plugin"}


def test_yet_every_public_name_is_there():
    assert all(getattr(ocpp_mongo_plugin, name) is not None for name in ocpp_mongo_plugin.__all__)


def test_what_only_records_loads_no_beanie():
    code = (
        "from ocpp_mongo_plugin.installation import install_automatically\n"
        "assert install_automatically() is not None\nprint()"
    )
    found = modules_after(code)
    assert "pymongo" in found
    assert not {"beanie", "motor", "ocpp_mongo_plugin.documents", "ocpp_mongo_plugin.repositories"} & found


@pytest.mark.programs
@pytest.mark.parametrize("command", COMMANDS)
def test_help_loads_the_command_line_and_no_more(command: str):
    code = (
        "from ocpp_mongo_plugin.cli import main\ntry:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print()"
    )
    found = modules_after(code, *command.split(), "--help")
    assert "ocpp_mongo_plugin.cli.app" in found
    ours = {name for name in found if name.startswith("ocpp_mongo_plugin")}
    assert ours == {"ocpp_mongo_plugin", "ocpp_mongo_plugin.cli", "ocpp_mongo_plugin.cli.app"}
    loaded = {name.partition(".")[0] for name in found} & set(HEAVY)
    # Some versions of typer look at the options of one command through pydantic.
    assert loaded <= ({"pydantic"} if command else set())


def test_a_worker_keeps_the_path_of_its_program(monkeypatch: pytest.MonkeyPatch):
    place = str(Path(children.__file__).parent.parent)
    for path in (["own", place, "other"], [place, "own"], ["own"]):
        monkeypatch.setattr(sys, "path", [*path])
        monkeypatch.delenv("OCPP_MONGO_AUTO", raising=False)
        pickle.loads(pickle.dumps(children._Entrance()))  # noqa: S301 - our own
        assert sys.path == path


def test_where_there_is_no_fork_it_is_imported_all_the_same():
    assert "ocpp_mongo_plugin.plugin" in modules_after(
        "import os\ndel os.fork, os.register_at_fork\nimport ocpp_mongo_plugin.plugin"
    )
