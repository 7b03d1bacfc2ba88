"""docs/hooks.md says what is: every hook, every field of every value, and examples that run."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Literal, get_args, get_origin, get_type_hints

import pytest
from test_example_plugin import PROJECT, tomllib
from test_hooks import VALUES

from ocpp_mongo_plugin import facts, frames, hooks, hookspecs, settings
from ocpp_mongo_plugin.hooks import HOOKS, Hooks
from ocpp_mongo_plugin.hookspecs import (
    ConnectorView,
    FrameLoss,
    MessageView,
    ProjectedFact,
    StationView,
    TransactionView,
)

DOC = (Path(__file__).parent.parent / "docs" / "hooks.md").read_text(encoding="utf-8")
KINDS = (
    frames.Frame,
    frames.Session,
    TransactionView,
    StationView,
    ConnectorView,
    FrameLoss,
    MessageView,
    ProjectedFact,
)
SECTIONS = dict(re.findall(r"^#{2,3} (.*)\n((?:(?!#{2,3} ).*\n)*)", DOC, re.MULTILINE))
EXAMPLES = [
    pytest.param(title, code, printed, id=f"{title}-{number}")
    for title, body in SECTIONS.items()
    for number, (code, printed) in enumerate(
        re.findall(r"```python\n(.*?)```(?:\s*```text\n(.*?)```)?", body, re.DOTALL)
    )
]


def fields_of(kind):
    """Return name, type and description of each field, as the source has them."""
    [definition] = ast.parse(inspect.getsource(kind)).body
    assert isinstance(definition, ast.ClassDef)
    types = get_type_hints(kind)
    rows = []
    for statement, after in zip(definition.body, [*definition.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            described = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            meaning = str(after.value.value).replace("``", "`") if described else None
            rows.append((statement.target.id, spelled(types[statement.target.id]), meaning))
    return rows


def spelled(kind):
    """Return a type in the words of the documentation."""
    if kind == facts.Fact:
        return "a fact"
    if get_origin(kind) is tuple:
        return f"tuple of {spelled(get_args(kind)[0])}"
    if get_origin(kind) is Literal:
        return " or ".join(f'"{value}"' for value in get_args(kind))
    if get_args(kind):
        return " or ".join(spelled(one) for one in get_args(kind))
    return "None" if kind is type(None) else kind.__name__


def heading(hook):
    return f"`{hook}({HOOKS[hook]})`"


def registered(code, monkeypatch, directory):
    """Run an example, and return hooks with what it defines or registers."""
    monkeypatch.chdir(directory)
    made = Hooks(load_entry_points=False)
    module = ModuleType("example")
    vars(module)["plugin"] = made
    exec(compile(code, "docs/hooks.md", "exec"), vars(module))  # noqa: S102 - it is our own documentation
    del vars(module)["plugin"]
    made.register(module)
    return made


def test_every_hook_is_documented_and_every_documented_hook_exists():
    documented = [title for title in SECTIONS if title.startswith("`ocpp_")]
    assert documented == [heading(hook) for hook in HOOKS]


def test_the_overview_names_every_hook_with_its_value():
    for hook in HOOKS:
        [kind] = [
            value for name, value in inspect.get_annotations(getattr(hookspecs, hook)).items() if name != "return"
        ]
        assert re.search(
            rf"^\| \[`{hook}`\]\(#{hook}{HOOKS[hook]}\) \| \[`{kind}`\]\(#{kind.lower()}\) \|", DOC, re.MULTILINE
        )


def test_every_name_in_the_text_that_looks_like_a_hook_is_one():
    assert set(re.findall(r"(?<!#)\bocpp_(?:frames?|session|transaction|station|project)\w*", DOC)) <= set(HOOKS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_of_a_value_is_documented_in_its_own_words(kind):
    documented = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", SECTIONS[f"`{kind.__name__}`"], re.MULTILINE)
    expected = fields_of(kind)
    assert [row[:2] for row in documented] == [row[:2] for row in expected]
    for (name, _, told), (_, _, meaning) in zip(documented, expected, strict=True):
        assert told == (meaning or told), name
        assert told.endswith("."), name


def test_every_field_of_a_value_of_ours_is_described_in_its_source():
    for kind in KINDS[2:]:
        assert [name for name, _, meaning in fields_of(kind) if not meaning] == []
        assert [field.name for field in dataclasses.fields(kind)] == [name for name, *_ in fields_of(kind)]


def test_every_fact_is_named():
    for kind in get_args(facts.Fact):
        assert f"`{kind.__name__}`" in SECTIONS["`ProjectedFact`"]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_an_example_that_implements_it(hook, monkeypatch, tmp_path):
    [code, *_] = re.findall(r"```python\n(.*?)```", SECTIONS[heading(hook)], re.DOTALL)
    assert getattr(registered(code, monkeypatch, tmp_path).manager.hook, hook).get_hookimpls()


@pytest.mark.parametrize(("title", "code", "printed"), EXAMPLES)
def test_every_example_runs_and_prints_what_it_is_said_to(title, code, printed, monkeypatch, tmp_path, capsys):
    example = registered(code, monkeypatch, tmp_path)
    example.start()
    example.frame_sent(VALUES["ocpp_frame_sent"])
    example.frame_received(VALUES["ocpp_frame_received"])
    for hook in hooks.LATER_HOOKS:
        example.later(hook, VALUES[hook])
    assert example.redact(VALUES[hooks.REDACT_HOOK])[1]
    example.stop(10)
    assert example.hook_errors == {}
    if printed:
        assert capsys.readouterr().out == printed


def test_there_are_examples():
    assert len(EXAMPLES) > len(HOOKS)


def test_how_to_publish_is_how_the_example_does_it():
    [block] = re.findall(r"```toml\n(.*?)```", DOC, re.DOTALL)
    assert tomllib.loads(block)["project"]["entry-points"] == PROJECT["entry-points"]
    assert list(PROJECT["entry-points"]) == [hooks.GROUP]


def test_the_figures_and_settings_it_gives_are_those_of_the_code():
    assert f"{inspect.signature(Hooks).parameters['queue_size'].default:,}" in DOC
    assert f"once every {hooks._SAY_AGAIN_AFTER:g} seconds" in DOC
    for name in re.findall(r"`([a-z_]+)=", DOC):
        assert name in settings.Settings.model_fields
    for name in re.findall(r"OCPP_MONGO_(\w+)", DOC):
        assert name.lower() in settings.Settings.model_fields
