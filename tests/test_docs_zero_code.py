"""docs/zero-code.md says what is: its options and variables exist, and its examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
from running import environment

from ocpp_mongo_plugin import switches
from ocpp_mongo_plugin.cli.app import app

DOC = (Path(__file__).parent.parent / "docs" / "zero-code.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", DOC, re.DOTALL)


def command() -> Any:
    group = typer.main.get_command(app)
    return group.commands["run"]  # type: ignore[attr-defined]


def test_every_option_and_no_other_is_there():
    named = set(re.findall(r"`(--[a-z-]+)", DOC.split("| option |")[1].split("\n\n")[0]))
    known = {(option.secondary_opts or option.opts)[0] for option in command().params if option.opts[0].startswith("-")}
    assert named == known


def test_every_variable_is_there():
    named = re.findall(r"^\| `(OCPP_MONGO_[A-Z]+)`", DOC, re.MULTILINE)
    assert sorted(named) == sorted(value for value in vars(switches).values() if str(value).startswith("OCPP_MONGO_"))


@pytest.mark.parametrize("line", re.findall(r"^\$ ocpp-mongo run (.*)$", DOC, re.MULTILINE))
def test_every_command_line_is_read_as_it_is_meant(line: str):
    run = command()
    context = run.make_context("run", line.split())
    command_line = line.partition("-- ")[2] or line  # without dashes, where no option stands before it
    assert context.params["command"] == command_line.split()


@pytest.mark.mongod
@pytest.mark.programs
@pytest.mark.parametrize(("code", "printed"), EXAMPLES)
def test_every_example_runs(code: str, printed: str, mongo_uri: str, database_name: str):
    told = {"OCPP_MONGO_AUTO": "1", "OCPP_MONGO_URI": mongo_uri, "OCPP_MONGO_DATABASE": database_name}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, env=environment(**told)
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")
