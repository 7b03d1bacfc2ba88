"""Every setting, from arguments or from environment variables ``OCPP_MONGO_*``.

Hides where a setting comes from. Promises one clear sentence for a wrong one, and that the password in a URI is
never shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ocpp_mongo_plugin import switches
from ocpp_mongo_plugin.changes import Collection
from ocpp_mongo_plugin.errors import SettingError

PREFIX = "OCPP_MONGO_"
DEFAULT_URI = "mongodb://localhost:27017"

_SCHEMES = ("mongodb://", "mongodb+srv://")
_NOT_IN_DATABASES = frozenset('\0 /\\."$')
_LONGEST_DATABASE = 63
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
    gaps_collection: str = Field("gaps", min_length=1, description="Which frames of a session are missing, and why")
    forgotten_collection: str = Field(
        "forgotten", min_length=1, description="Marks of the id tags that were forgotten on request"
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
    durability: Literal["memory", "journal", "journal-sync"] | None = Field(
        None,
        description="What survives the end of the process: memory, nothing that waits; journal, every captured frame; "
        "journal-sync, also at power failure. Default: journal with a URI, memory with a handle or with neither",
    )
    journal_directory: Path | None = Field(
        None,
        description="Directory of the journals and of dead letters that MongoDB will not take. Default: the user's "
        "state directory",
    )
    journal_bytes: int = Field(
        1024 * 1024 * 1024, ge=1024 * 1024, description="Most that the journal of one process may take, in bytes"
    )
    fsync_interval: float = Field(
        0.5,
        gt=0,
        le=60,
        description="Time between two syncs of the journal, in seconds: the most that a power failure can cost",
    )
    overflow: Literal["drop-newest", "drop-oldest", "wait"] = Field(
        "drop-newest",
        description="What happens when memory and journal are full: the new frame is lost, or the oldest, or the "
        "host's send and receive are awaited for overflow_wait first, without blocking the loop",
    )
    overflow_wait: float = Field(
        0.1, gt=0, le=60, description="Longest time that one frame is held up by the overflow policy wait, in seconds"
    )
    personal_data: Literal["keep", "pseudonymise", "drop"] = Field(
        "keep", description="What becomes of id tags, customer data and serial numbers; see docs/redaction.md"
    )
    pseudonym_key: SecretStr | None = Field(
        None, description="Secret from which pseudonyms are made; whoever has it can test a guess"
    )
    secret_names: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(),
        description="Regular expressions: configuration keys, variables and properties with such names are secret, "
        "too; comma-separated in the environment",
    )
    data_transfer: dict[str, Literal["keep", "hash", "drop"]] = Field(
        {"*": "drop"},
        description="What becomes of the data of DataTransfer, by vendorId, vendorId/messageId, or *; a JSON object "
        "in the environment. What is kept is still searched for secrets",
    )
    unsafe_keep_credentials: bool = Field(
        False, description="Store passwords, keys and PINs as they crossed the wire. Do not"
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
    create_indexes: bool = Field(True, description="Create missing collections and indexes at start")
    compression: Literal["zstd", "snappy", "zlib", "none"] = Field(
        "zstd",
        description="Block compressor of the collections that are created; one that exists keeps its own, and a server "
        "that lets nobody choose takes its default",
    )
    load_plugins: Annotated[bool | frozenset[str], NoDecode] = Field(
        True,
        description="Which plugins of the entry-point group ocpp are loaded: true for all, false for none, or their "
        "names; comma-separated in the environment",
    )

    @field_validator("database")
    @classmethod
    def _is_a_database(cls, value: str) -> str:
        if set(value) & _NOT_IN_DATABASES or len(value.encode("utf-8", "surrogatepass")) > _LONGEST_DATABASE:
            raise ValueError(f"a database name has no space, dot, $, quote or slash, and at most 63 bytes: {value!r}")
        return value

    @field_validator(
        "messages_collection",
        "transactions_collection",
        "stations_collection",
        "sessions_collection",
        "meter_values_collection",
        "dead_letters_collection",
        "gaps_collection",
        "forgotten_collection",
    )
    @classmethod
    def _is_a_collection(cls, value: str) -> str:
        if set(value) & {"$", "\0"} or "" in value.split(".") or value.startswith("system."):
            raise ValueError(f"a collection name has no $, no empty part, and no system. first: {value!r}")
        return value

    @field_validator("exclude_actions", "secret_names", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("load_plugins", mode="before")
    @classmethod
    def _all_none_or_some(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        word = value.strip().lower()
        if word in switches.TRUE | switches.FALSE:
            return word in switches.TRUE
        names = frozenset(part.strip() for part in value.split(",") if part.strip())
        if not names:
            raise ValueError("it takes true, false, or names of plugins with commas between them")
        return names

    @field_validator("secret_names")
    @classmethod
    def _are_patterns(cls, value: frozenset[str]) -> frozenset[str]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _has_its_key(self) -> Settings:
        hashed = self.personal_data == "pseudonymise" or "hash" in self.data_transfer.values()
        if hashed and not (self.pseudonym_key and self.pseudonym_key.get_secret_value()):
            raise ValueError("pseudonyms need a key: set pseudonym_key (OCPP_MONGO_PSEUDONYM_KEY)")
        return self

    @property
    def has_uri(self) -> bool:
        """Whether somebody gave a URI, if only the one that is the default."""
        return "uri" in self.model_fields_set

    @property
    def shown_uri(self) -> str:
        """The URI without its password, and without its options: those can be secret, too."""
        return shown_uri(self.uri.get_secret_value())

    def collections(self) -> dict[Collection, str]:
        """Return the names of the five collections by what they hold."""
        return {
            "messages": self.messages_collection,
            "transactions": self.transactions_collection,
            "stations": self.stations_collection,
            "sessions": self.sessions_collection,
            "meter_values": self.meter_values_collection,
        }


def unusual_collections(settings: Settings) -> tuple[str, ...]:
    """Return the names of the collections; none where all are the usual ones."""
    names = tuple(name for name in Settings.model_fields if name.endswith("_collection"))
    chosen = tuple(str(getattr(settings, name)) for name in names)
    usual = tuple(str(Settings.model_fields[name].default) for name in names)
    return () if chosen == usual else chosen


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
    others = [settings.dead_letters_collection, settings.gaps_collection, settings.forgotten_collection]
    names = [*settings.collections().values(), *others]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SettingError(f"two collections have the same name {min(twice)!r}; give each its own")
    return settings


def unknown_variables() -> list[str]:
    """Return a sentence about each variable of the environment that has the name of a setting, but of none there is."""
    known = {name.upper() for name in Settings.model_fields} | {name.removeprefix(PREFIX) for name in switches.NAMES}
    sentences = []
    for variable in sorted(os.environ):
        name = variable.upper().removeprefix(PREFIX)
        if name == variable.upper() or name in known:
            continue
        likely = get_close_matches(name, known, 1)
        hint = f"did you mean {PREFIX}{likely[0]}?" if likely else "docs/settings.md has those that there are"
        sentences.append(f"{variable} is no setting, and changes nothing; {hint}")
    return sentences


def shown_uri(uri: str) -> str:
    """Return a URI without its password and its options; nothing of what only may be one, where they cannot be told."""
    scheme = next((one for one in _SCHEMES if uri.startswith(one)), None)
    if scheme is None:
        return "***"
    behind, authority = uri.removeprefix(scheme), authority_of(uri)
    if "@" in behind and "@" not in authority:
        return f"{scheme}***"  # a password that is not escaped, or an option that has one: who knows
    user, at, hosts = authority.rpartition("@")
    name, colon, _ = user.partition(":")
    path = behind.removeprefix(authority).partition("?")[0]
    return f"{scheme}{name}{':***' if colon else ''}{at}{hosts}{'/***' if '@' in path else path}"


def authority_of(uri: str) -> str:
    """Return what is between the scheme of a URI and its path or options: credentials, if any, and hosts."""
    return re.split(r"[/?]", uri.partition("://")[2], maxsplit=1)[0]


def without_password(text: str) -> str:
    """Return the text with the password of every URI in it replaced by asterisks."""
    return _PASSWORD.sub(r"\g<scheme>\g<user>:***@", text)


def check_uri(settings: Settings) -> None:
    """Refuse a URI that no driver can read, at once and without its password.

    Raises:
        SettingError: it is none.
    """
    from pymongo.errors import ConfigurationError, InvalidURI  # noqa: PLC0415 - others here need no driver
    from pymongo.uri_parser import parse_uri  # noqa: PLC0415

    uri = settings.uri.get_secret_value()
    source = "uri" if os.environ.get(f"{PREFIX}URI") != uri else f"{PREFIX}URI"
    if not uri.startswith(_SCHEMES):
        raise SettingError(f"setting {source} is no MongoDB URI: it begins with neither {' nor '.join(_SCHEMES)}")
    if uri.startswith("mongodb+srv://"):
        # Reading it needs DNS, which may come and go. A colon begins no port here, but a password with a slash in it.
        if ":" in authority_of(uri).rpartition("@")[2]:
            raise SettingError(
                f"setting {source} is no MongoDB URI: one of mongodb+srv:// names a host without a port; "
                "/, ? and @ in a password are written %2F, %3F and %40"
            )
        return
    try:
        parse_uri(uri, warn=False)
    except (InvalidURI, ConfigurationError, ValueError, TypeError) as error:
        reason = without_password(str(error)).split("\n")[0]
        userinfo = uri.partition("://")[2].rpartition("@")[0]
        if userinfo and userinfo.partition(":")[2]:
            reason = reason.replace(userinfo.partition(":")[2], "***")
        raise SettingError(f"setting {source} is no MongoDB URI ({settings.shown_uri}): {reason}") from None


def _sentence(error: ValidationError, given: Mapping[str, Any]) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    if first["type"] == "extra_forbidden":
        likely = get_close_matches(name, Settings.model_fields, 1)
        hint = f"did you mean {likely[0]}? " if likely else ""
        return f"there is no setting {name!r}; {hint}the settings are {', '.join(Settings.model_fields)}"
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    shown = name if name in given else f"{PREFIX}{name.upper()}"
    message = first["msg"].removeprefix("Value error, ")
    return f"setting {shown} is wrong: {message[:1].lower()}{message[1:]}"
