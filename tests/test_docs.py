"""Documents that cannot lie: every setting, command and module is described, and nothing that does not exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any, get_args

import pytest

from ocpp_mongo_plugin.cli.app import app
from ocpp_mongo_plugin.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
MARK = "<!-- settings -->\n"


def settings_table() -> str:
    """The table of docs/settings.md; ``python tests/test_docs.py`` writes it."""
    rows = ["| argument | environment | default | what |", "|---|---|---|---|"]
    for name, setting in Settings.model_fields.items():
        default = setting.default
        shown = (
            default.get_secret_value()
            if name == "uri"
            else ", ".join(default)
            if name == "exclude_actions"
            else default
        )
        rows.append(
            f"| `{name}` | `{PREFIX}{name.upper()}` | {f'`{shown}`' if shown != '' else 'none'} | {setting.description} |"
        )
    return "\n".join(rows) + "\n"


def test_every_setting_is_documented_as_it_is():
    text = (ROOT / "docs" / "settings.md").read_text()
    assert text.split(MARK)[1] == settings_table(), "run: python tests/test_docs.py"


def test_every_command_is_in_the_readme_and_no_other():
    commands = {c.name or c.callback.__name__ for c in app.registered_commands}
    commands |= {group.typer_instance.info.name for group in app.registered_groups}
    readme = (ROOT / "README.md").read_text()
    assert set(re.findall(r"^\| `ocpp-mongo (\w+)", readme, re.MULTILINE)) == commands


def test_every_collection_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    table = readme.split("## What is stored")[1].split("## ")[0]
    named = set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    settings = Settings()
    others = {settings.dead_letters_collection, settings.gaps_collection, settings.forgotten_collection}
    assert named == {*settings.collections().values(), *others}


def test_every_durability_is_in_the_readme_and_its_default_is_the_one_that_is_said():
    table = (ROOT / "README.md").read_text().split("## What it promises")[1]
    (told,) = get_args(Settings.model_fields["durability"].annotation)[:1]
    assert set(re.findall(r"^\| `([a-z-]+)`", table, re.MULTILINE)) == {"durability", *get_args(told)}
    assert f"{Settings().fsync_interval} s" in table
    assert f"{Settings().buffer_size:,} frames or {Settings().buffer_bytes >> 20} MiB" in table


def test_every_module_is_in_the_architecture_and_no_other():
    text = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "ocpp_mongo_plugin"
    modules = {p.name for p in package.glob("*.py") if p.name != "__init__.py"} | {
        "dialects/",
        "cli/",
        "testing/",
        "startup/",
    }
    table = text.split("## Modules")[1].split("## Where")[0]
    assert set(re.findall(r"`([a-z_]+(?:\.py|/))`", table)) == modules


def test_every_link_leads_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in f"{text}.0.0".split(".")[:3])


@pytest.fixture(scope="module")
def noxfile() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "noxfile.py"))


def test_the_lower_bounds_are_what_the_seams_run(noxfile: dict[str, Any]):
    oldest = dict(pin.split("==") for pin in noxfile["OLDEST"])
    project = (ROOT / "pyproject.toml").read_text().split("[dependency-groups]")[0]
    bounds = dict(
        re.findall(r'^ .*"([\w-]+)>=([\d.]+)', project.split("\ndependencies")[1].split("]")[0], re.MULTILINE)
    )
    bounds |= re.findall(r'"(motor)>=([\d.]+)', project)
    assert {name: _version(bound) for name, bound in bounds.items()} == {n: _version(v) for n, v in oldest.items()}


def test_the_versions_of_the_seams_are_in_the_table(noxfile: dict[str, Any]):
    table = (ROOT / "docs" / "drivers.md").read_text().split("## Versions")[1]
    pins = {pin for pins in (noxfile["OLDEST"], *noxfile["BETWEEN"]) for pin in pins if "==" in pin}
    missing = {pin for pin in pins if not re.search(rf"(?<![\d.]){re.escape(pin.split('==')[1])}(?![\d.])", table)}
    assert not missing


if __name__ == "__main__":
    page = ROOT / "docs" / "settings.md"
    head = page.read_text().split(MARK)[0] if page.exists() else ""
    page.write_text(head + MARK + settings_table())
