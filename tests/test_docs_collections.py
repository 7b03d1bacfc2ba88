"""docs/collections.md cannot lie: its tables are those that are rendered from the models and indexes.

``python tests/test_docs_collections.py`` writes the tables anew, between their markers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from beanie import PydanticObjectId
from pydantic import BaseModel

from ocpp_mongo_plugin.documents import MODELS, Connector, Gap, MeterMetadata
from ocpp_mongo_plugin.indexes import INDEXES
from ocpp_mongo_plugin.settings import Settings

PAGE = Path(__file__).parent.parent / "docs" / "collections.md"

_PARTS: Mapping[str, type[BaseModel]] = MappingProxyType(
    {**MODELS, "connectors": Connector, "metadata": MeterMetadata, "gaps": Gap}
)
_WORDS: Mapping[Any, str] = MappingProxyType(
    {
        str: "text",
        int: "integer",
        float: "number",
        bool: "boolean",
        bytes: "binary",
        datetime: "time",
        PydanticObjectId: "ObjectId",
        NoneType: "null",
        Any: "any JSON",
        Connector: "connector",
        MeterMetadata: "object, below",
    }
)


def kind(annotation: Any) -> str:
    """Return the type of a field in words."""
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind(inside[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inside)
    if origin is list:
        return f"list of {kind(inside[0])}s"
    if origin is dict:
        return "object"
    assert origin in (Union, UnionType), annotation
    words = [kind(part) for part in inside]
    if "integer" in words and "number" in words:
        words.remove("integer")
    return " or ".join(words)


def fields_of(model: type[BaseModel]) -> str:
    rows = [
        f"| `{field.alias or name}` | {kind(field.annotation)} | {' '.join((field.description or '').split())} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join(["| field | type | meaning |", "|---|---|---|", *rows])


def indexes_of(collection: Any) -> str:
    lines = []
    for index in INDEXES[collection]:
        keys = ", ".join(f"`{key}`" for key in index.document["key"])
        lines.append(f"- ({keys}){', unique' if index.document.get('unique') else ''}")
    return "\n".join(lines)


def blocks() -> dict[str, str]:
    """Return what stands between each pair of markers."""
    fields = {f"fields {name}": fields_of(model) for name, model in _PARTS.items()}
    return fields | {f"indexes {name}": indexes_of(name) for name in INDEXES}


def between(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name} -->\n)(?:(?!<!-- ).)*(?=<!-- end -->)", re.DOTALL)


@pytest.mark.parametrize("name", blocks())
def test_the_page_has_every_field_and_index_as_the_models_have_them(name):
    found = between(name).findall(PAGE.read_text(encoding="utf-8"))

    assert found == [blocks()[name] + "\n"], "run: python tests/test_docs_collections.py"


def test_the_page_has_no_table_of_something_else():
    names = re.findall(r"<!-- (?!end)(.*?) -->", PAGE.read_text(encoding="utf-8"))

    assert sorted(names) == sorted(blocks())


def test_every_collection_has_its_section_and_its_setting():
    page = PAGE.read_text(encoding="utf-8")

    for key in MODELS:
        setting = f"{key}_collection"
        name = Settings.model_fields[setting].default
        assert f"\n## `{name}`\n" in page
        assert f"`{setting}`" in page


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    for block, content in blocks().items():
        text = between(block).sub(lambda _, content=content: content + "\n", text)
    PAGE.write_text(text, encoding="utf-8")
