"""Every setting, from arguments or from environment variables ``OCPP_MONGO_*``.

Hides where a setting comes from. Promises one clear sentence for a wrong one, and that the password in a URI is
never shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ocpp_mongo_plugin.changes import Collection
from ocpp_mongo_plugin.errors import SettingError

PREFIX = "OCPP_MONGO_"
DEFAULT_URI = "mongodb://localhost:27017"

_PASSWORD = re.compile(r"(?P<scheme>[a-z+]+://)(?P<user>[^:/@\s]*):\S*@")


class Settings(BaseSettings):
    """What can be set. Times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    uri: SecretStr = Field(SecretStr(DEFAULT_URI), description="MongoDB connection string")
    database: str = Field("ocpp", min_length=1, description="Name of the database")
    messages_collection: str = Field("ocpp_messages", min_length=1, description="Every frame, one document each")
    transactions_collection: str = Field("transactions", min_length=1, description="Charging transactions")
    stations_collection: str = Field("stations", min_length=1, description="Stations and their connectors")
    sessions_collection: str = Field("sessions", min_length=1, description="WebSocket connections")
    meter_values_collection: str = Field("meter_values", min_length=1, description="Sampled values")
    dead_letters_collection: str = Field(
        "dead_letters",
        min_length=1,
        description="Frames that MongoDB refused, with their raw text and the reason",
    )
    record_all: bool = Field(True, description="Record every ChargePoint of the process, or only attached ones")
    exclude_actions: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(),
        description="Actions whose messages are left out of the message log, such as Heartbeat; comma-separated in "
        "the environment. What they mean for stations and transactions is kept",
    )
    buffer_size: int = Field(500_000, ge=1, description="Frames that may wait for MongoDB")
    buffer_bytes: int = Field(
        256 * 1024 * 1024, ge=64 * 1024, description="Memory that waiting frames may take, in bytes"
    )
    batch_size: int = Field(100, ge=1, le=100_000, description="Waiting frames that trigger a flush at once")
    batch_limit: int = Field(1_000, ge=1, le=10_000, description="Frames that one batch takes at most")
    flush_interval: float = Field(0.25, gt=0, le=5, description="Longest time a frame waits for a flush, in seconds")
    sync_interval: float = Field(
        30, gt=0, le=3600, description="Time between two periodic syncs of station state, in seconds"
    )
    shutdown_timeout: float = Field(
        2,
        ge=0,
        le=600,
        description="Longest time that closing, or the exit of the program, is held up, in seconds",
    )
    operation_timeout: float = Field(10, gt=0, le=600, description="Longest time of one MongoDB operation, in seconds")
    call_timeout: float = Field(
        60,
        gt=0,
        le=86_400,
        description="Time after which a call without an answer has the outcome timeout, in seconds",
    )
    flush_before_read: bool = Field(True, description="Reads through the plugin see what was captured before them")
    create_indexes: bool = Field(True, description="Create missing indexes at start")
    load_plugins: bool = Field(True, description="Load plugins from the entry-point group ocpp")

    @field_validator("exclude_actions", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @property
    def shown_uri(self) -> str:
        """The URI without its password."""
        return without_password(self.uri.get_secret_value())

    def collections(self) -> dict[Collection, str]:
        """Return the names of the five collections by what they hold."""
        return {
            "messages": self.messages_collection,
            "transactions": self.transactions_collection,
            "stations": self.stations_collection,
            "sessions": self.sessions_collection,
            "meter_values": self.meter_values_collection,
        }


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Return the settings: what is given, else the environment, else the defaults.

    Raises:
        SettingError: for the first setting that is unknown or wrong.
    """
    present = {name: value for name, value in given.items() if value is not None}
    try:
        settings = Settings(**present)
    except ValidationError as error:
        raise SettingError(_sentence(error, present)) from None
    names = [*settings.collections().values(), settings.dead_letters_collection]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SettingError(f"two collections have the same name {min(twice)!r}; give each its own")
    return settings


def without_password(text: str) -> str:
    """Return the text with the password of every URI in it replaced by asterisks."""
    return _PASSWORD.sub(r"\g<scheme>\g<user>:***@", text)


def _sentence(error: ValidationError, given: Mapping[str, Any]) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    if first["type"] == "extra_forbidden":
        known = ", ".join(Settings.model_fields)
        return f"there is no setting {name!r}; the settings are {known}"
    shown = name if name in given else f"{PREFIX}{name.upper()}"
    message = first["msg"].removeprefix("Value error, ")
    return f"setting {shown} is wrong: {message[:1].lower()}{message[1:]}"
