"""Takes credentials out of OCPP-J texts before anything keeps them, and personal data when a policy says so.

Hides how a secret is found: by the structure of the message where the text is JSON, by pattern where it is broken,
and by memory where an answer echoes its call. Promises never to raise whatever the text, to return a text that it
does not change as the same object, to change nothing in its own output, and to lose data rather than keep a
credential when something fails. Which field is secret is in ``secret_fields``. Pure; not for use by several threads
at once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote

from ocpp_mongo_plugin import secret_fields as fields
from ocpp_mongo_plugin.frames import CALL, CALL_ERROR, CALL_RESULT, CALL_RESULT_ERROR, SEND

MASK = "***"
"""Stands where something was removed."""

Rule: TypeAlias = Literal["keep", "hash", "drop"]
"""What becomes of the data of a DataTransfer."""
Path: TypeAlias = tuple[Any, Any]
"""A place in a message, innermost first: ``(where its parent is, name or index)``; written out only when needed."""

_HASHED = "hmac-sha256:"
_PSEUDONYM = "anon-"
_PSEUDONYM_LENGTH = 20  # OCPP 1.6, section 7.28: an IdToken has at most 20 characters
_MOST_PATHS = 200
_NESTED_TEXTS = 4
_LONGEST_SEPARATOR = 16
_LEAST_ECHO = 4
_LONGEST_ECHO = 1024
_MOST_ECHOES = 64
_SESSIONS, _CALLS_OF_SESSION = 1024, 64
_STATIONS, _VARIABLES_OF_STATION = 4096, 512
_TRANSFERS = 8192


def _drop_everything() -> Mapping[str, Rule]:
    return {"*": "drop"}


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be kept of what stations and the CSMS say."""

    personal: Literal["keep", "pseudonymise", "drop"] = "keep"
    """Id tags, serial numbers and other personal data; without a key "pseudonymise" does what "drop" does."""
    key: bytes = field(default=b"", repr=False)
    """Of the HMAC behind pseudonyms, hashes and digests."""
    secret_names: tuple[str, ...] = ()
    """More regular expressions, searched without regard to case in names of configuration keys, variables and
    properties: what they find is a credential."""
    data_transfer: Mapping[str, Rule] = field(default_factory=_drop_everything)
    """By "vendorId/messageId", "vendorId" or "*", the most specific wins; what is not listed is dropped."""
    unsafe_keep_credentials: bool = False
    """Store passwords as they are. Nothing of class A is removed then, data of DataTransfer neither."""


_DEFAULT = Policy()


class Redactor:
    """Redacts the texts of many sessions, and remembers what it needs to: all of it bounded in number."""

    __slots__ = (
        "_always",
        "_answered",
        "_echoes",
        "_literals",
        "_names",
        "_patterns",
        "_transfers",
        "_write_only",
        "forgotten",
        "policy",
    )

    def __init__(self, policy: Policy = _DEFAULT) -> None:
        """Raises ``re.error`` when one of ``policy.secret_names`` is no regular expression."""
        self.policy = policy
        self.forgotten: frozenset[str] = frozenset()
        """Digests of id tags that were forgotten: their values become MASK wherever an id tag may be."""
        self._patterns = tuple(re.compile(pattern, re.IGNORECASE) for pattern in policy.secret_names)
        words = tuple(pattern.lower() for pattern in policy.secret_names if re.fullmatch(r"[A-Za-z0-9]+", pattern))
        self._literals = words
        # A pattern that is no plain word cannot be looked for in the text, only in the names within it.
        self._always = len(words) != len(policy.secret_names)
        self._names: dict[str, tuple[bool, bool]] = {}
        self._echoes: OrderedDict[str, OrderedDict[str, tuple[str, ...]]] = OrderedDict()
        self._answered: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._transfers: OrderedDict[tuple[str, str], Rule] = OrderedDict()
        self._write_only: OrderedDict[str, OrderedDict[tuple[str, str], None]] = OrderedDict()

    def credentials(self, station_id: str, session_id: str, text: str) -> tuple[str, tuple[str, ...]]:
        """Return the text without credentials, and the paths of what was removed.

        OCPP 1.6 security white paper, A01.FR.12: the content of AuthorizationKey is not to be disclosed in logs.
        """
        if not self.is_suspicious(session_id, text):
            return text, ()
        try:
            return self._without_credentials(station_id, session_id, text)
        except Exception:  # noqa: BLE001 - whatever fails, the host's message loop goes on and no credential is kept
            return _last_resort(text, lambda: self._scrubbed(text, broken=True))

    def personal(self, station_id: str, session_id: str, text: str) -> tuple[str, tuple[str, ...]]:  # noqa: ARG002
        """Return the text without what the policy and ``forgotten`` say is not to be kept of persons, and the paths."""
        if (self.policy.personal == "keep" and not self.forgotten) or not _mentions_person(text):
            return text, ()
        try:
            message = _decoded(text)
            if message is _BROKEN:
                cleaned = self._anonymous(text)
                return (text, ()) if cleaned == text else (cleaned, ("raw",))
            walk = _Persons(self)
            return walk.result(text, message, walk.message(message))
        except Exception:  # noqa: BLE001 - as above
            return _last_resort(text, lambda: self._anonymous(text))

    def prose(self, text: str | None) -> str | None:
        """Return a sentence without URL credentials, Authorization headers and ``name=value`` secrets."""
        if text is None or self.policy.unsafe_keep_credentials:
            return text
        try:
            return self._scrubbed(text, broken=False)
        except Exception:  # noqa: BLE001 - as above
            return MASK

    def digest(self, id_tag: str) -> str:
        """Return the keyed HMAC-SHA256 of an id tag in hexadecimal; id tags are case-insensitive (1.6, 7.28)."""
        return self._hmac(b"", id_tag.casefold()).hex()

    def pseudonym(self, id_tag: str) -> str:
        """Return what stands for an id tag: the same for the same tag, itself for a pseudonym."""
        if _IS_PSEUDONYM.fullmatch(id_tag):
            return id_tag
        if not self.policy.key:
            return MASK  # without a key anyone can try all card numbers
        digest = self._hmac(b"pseudonym\0", id_tag.casefold())
        return (_PSEUDONYM + base64.b32encode(digest).decode().lower())[:_PSEUDONYM_LENGTH]

    def is_secret_name(self, name: str) -> bool:
        """Whether a configuration key or variable of that name holds a credential."""
        return self._judged(name)[0]

    def is_secret_property(self, name: str) -> bool:
        """Whether a property of that name is a credential wherever it is."""
        return self._judged(name)[1]

    def _judged(self, name: str) -> tuple[bool, bool]:
        known = self._names.get(name)
        if known is not None:
            return known
        ours = any(pattern.search(name) for pattern in self._patterns)
        judged = ours or fields.is_secret_name(name), ours or fields.is_secret_property(name)
        if len(name) <= _LONGEST_NAME:
            if len(self._names) >= _MOST_NAMES:
                self._names.clear()
            self._names[name] = judged
        return judged

    def is_suspicious(self, session_id: str, text: str) -> bool:
        """Say cheaply whether there can be a credential to remove; runs for each frame in the host's turn."""
        if self.policy.unsafe_keep_credentials:
            return False
        # A backslash hides any of the markers, and what does not end as messages end may have been cut off.
        if "\\" in text or text[-2:] != "}]" or self._always:
            return True
        head = text[:3]
        if head != "[2," and (head not in _PLAIN_HEADS or (head != "[6," and session_id in self._echoes)):
            return True
        if text[-4:] == ",{}]" and _EMPTY.fullmatch(text):
            return False  # nothing but an id: half of all frames
        lowered = text.lower()
        # One of these is in every text of which something is removed; "key" stands for KeyCode and apiKey too. Written
        # out because a loop over them takes half as long again. A single letter is found in no time: where a marker
        # has one that is rare, that is looked for first.
        if (
            ("ation" in lowered and ("authorization" in lowered or "configuration" in lowered))
            or ("data" in lowered and _SUSPICIOUS_DATA.search(lowered))
            or ("k" in lowered and ("key" in lowered or "psk" in lowered))
            or ("b" in lowered and "variable" in lowered)
            or ("/" in lowered and "://" in lowered)
            or "@" in lowered
            or "actualvalue" in lowered
            or "secret" in lowered
            or "pass" in lowered
            or "pin" in lowered
            or (self._literals and any(literal in lowered for literal in self._literals))
        ):
            return True
        # Tokens are in frequent messages, and a PIN is told by the type that follows it: that may be cut off.
        return "idtoken" in lowered and (text.count('"') % 2 == 1 or text.count("{") != text.count("}"))

    def _without_credentials(self, station_id: str, session_id: str, text: str) -> tuple[str, tuple[str, ...]]:
        message = _decoded(text)
        if message is not _BROKEN:
            walk = _Credentials(self, station_id, session_id)
            return walk.result(text, message, walk.message(message))
        cleaned = self._scrubbed(text, broken=True)
        for secrets in self._echoes.get(session_id, {}).values():
            for secret in secrets:  # its message id cannot be read: it may be any answer
                cleaned = cleaned.replace(secret, MASK)
        return (text, ()) if cleaned == text else (cleaned, ("raw",))

    def _scrubbed(self, text: str, *, broken: bool) -> str:
        """Return a text that is no JSON without what looks like a credential.

        Args:
            text: any.
            broken: it is or may be a message that was cut off: then every value that may belong to a secret goes.
        """
        plain = _readable(text)
        cleaned = plain
        for _ in range(_MOST_ROUNDS):  # what one rule leaves may be what another looks for
            before = cleaned
            cleaned = _SCHEMES.sub(rf"\g<1>{MASK}", _HEADER.sub(rf"\g<1>{MASK}", cleaned))
            cleaned = _MODEM.sub(rf"\g<1>{MASK}", _PRIVATE_KEY.sub(MASK, cleaned))
            cleaned = _USER_INFO.sub(rf"\g<1>{MASK}@", cleaned) if "@" in cleaned else cleaned
            cleaned = _Suspicion(self, cleaned, broken=broken).cleaned()
            cleaned = _urls(cleaned, broken=broken)
            if cleaned == before:
                break
        return text if cleaned == plain else cleaned

    def _anonymous(self, text: str) -> str:
        """Return a text that is no JSON by the policy for personal data."""
        plain = _readable(text)
        cleaned = plain
        if self.forgotten:  # wherever it is: what a word was the value of cannot be told for certain
            for words in (_TAG_LIKE, _LONGER_TAG_LIKE):
                cleaned = words.sub(lambda word: MASK if self.digest(word[0]) in self.forgotten else word[0], cleaned)
        lowered = cleaned.lower()
        companies, customers = "company" in lowered, "customerinformation" in lowered

        def kind_of(name: _Name) -> fields.PersonalKind | None:
            short = fields.normalised(name.name)
            kind = fields.personal_kind(short, "")
            if name.quoted and kind is None:
                company = companies and fields.personal_kind(short, "company")
                display = fields.personal_kind(short, "message")
                customer = customers and short == "data"
                kind = "text" if company or display or customer else None
            return kind

        def verdict(name: _Name, value: str) -> str | None:
            kind = kind_of(name) or "text"
            if name.opens:
                # What is in an object has names of its own; a list of tags has not.
                listed = name.opens == "[" or kind == "text"
                return TO_THE_END if listed and self.policy.personal != "keep" else None
            return self.person(kind, value)

        cleaned = _replaced(cleaned, lambda name: kind_of(name) is not None, verdict)
        return text if cleaned == plain else cleaned

    def person(self, kind: fields.PersonalKind, value: str) -> str:
        """Return what is kept of a personal value."""
        if not value or value == MASK:
            return value
        if self.forgotten and self._is_forgotten(kind, value):
            return MASK
        if self.policy.personal == "keep":
            return value
        return MASK if kind == "text" or self.policy.personal == "drop" else self.pseudonym(value)

    def _is_forgotten(self, kind: fields.PersonalKind, value: str) -> bool:
        if kind == "text":
            return any(self.digest(word) in self.forgotten for word in _TAG_LIKE.findall(value[:_LONGEST_PROSE]))
        return self.digest(value) in self.forgotten

    def rule(self, payload: Any) -> Rule:
        """Return what the policy says of a DataTransfer of that vendor and message."""
        rules = self.policy.data_transfer
        parts = {fields.normalised(name): value for name, value in payload.items()} if isinstance(payload, dict) else {}
        vendor, message = parts.get("vendorid"), parts.get("messageid")
        if isinstance(payload, _Doubled):  # it names more than one vendor, or may
            return "drop"
        for name in (f"{vendor}/{message}", vendor, "*"):
            if isinstance(name, str) and name in rules:
                return rules[name]
        return "drop"

    def hashed(self, data: Any) -> str:
        """Return the keyed HMAC of a DataTransfer's data."""
        if not self.policy.key:
            return MASK
        return _HASHED + self._hmac(b"data\0", json.dumps(data, sort_keys=True, separators=(",", ":"))).hex()

    def _hmac(self, purpose: bytes, value: str) -> bytes:
        # A lone surrogate is a value like any other.
        return hmac.new(self.policy.key, purpose + value.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()

    def remember_transfer(self, session_id: str, message_id: str, rule: Rule) -> None:
        """Keep the rule of a DataTransfer for its answer; not taken at the answer, as that may be redacted again."""
        self._transfers[session_id, message_id] = rule
        self._transfers.move_to_end((session_id, message_id))
        if len(self._transfers) > _TRANSFERS:
            self._transfers.popitem(last=False)

    def rule_of_answer(self, session_id: str, message_id: str) -> Rule | None:
        """Return the rule of the DataTransfer with that id, or None when none is known."""
        return self._transfers.get((session_id, message_id))

    def remember_secrets(self, session_id: str, message_id: str, secrets: tuple[str, ...]) -> None:
        """Keep what was removed from a call until its answer, which may echo it."""
        calls = self._echoes.setdefault(session_id, OrderedDict())
        self._echoes.move_to_end(session_id)
        calls[message_id] = secrets
        calls.move_to_end(message_id)
        if len(calls) > _CALLS_OF_SESSION:
            calls.popitem(last=False)
        if len(self._echoes) > _SESSIONS:
            self._echoes.popitem(last=False)

    def take_secrets(self, session_id: str, message_id: str) -> tuple[str, ...] | None:
        """Return and forget what was removed from that call; None when nothing was."""
        calls = self._echoes.get(session_id)
        if calls is None:
            return None
        secrets = calls.pop(message_id, None)
        if not calls:
            self._echoes.pop(session_id, None)
        return secrets

    def remember_answer(self, session_id: str, message_id: str) -> None:
        """Keep that something was removed from an answer: in 2.1 it may be answered by a CALLRESULTERROR."""
        self._answered[session_id, message_id] = None
        if len(self._answered) > _SESSIONS:
            self._answered.popitem(last=False)

    def take_answer(self, session_id: str, message_id: str) -> bool:
        """Return whether something was removed from that answer, and forget it."""
        return self._answered.pop((session_id, message_id), self) is None

    def learn_write_only(self, station_id: str, component: str, variable: str) -> None:
        """Keep that a station said a variable is write-only (NotifyReport, mutability): a secret by its nature."""
        known = self._write_only.setdefault(station_id, OrderedDict())
        self._write_only.move_to_end(station_id)
        known[component, variable] = None
        known.move_to_end((component, variable))
        if len(known) > _VARIABLES_OF_STATION:
            known.popitem(last=False)
        if len(self._write_only) > _STATIONS:
            self._write_only.popitem(last=False)

    def is_write_only(self, station_id: str, component: str, variable: str) -> bool:
        """Return whether a station said so of that variable."""
        return (component, variable) in self._write_only.get(station_id, ())


_PLAIN_HEADS = frozenset({"[3,", "[4,", "[6,"})  # a CALLRESULTERROR is rare, and what it answers may be a secret
_EMPTY = re.compile(r'\[(?:[34],"[^"]*"|2,"[^"]*","Heartbeat"),\{\}\]')
_SUSPICIOUS_DATA = re.compile(r'connectiondata|datatransfer|customdata|"data"')
_LONGEST_NAME, _MOST_NAMES, _LONGEST_PROSE = 128, 4096, 65536
_MOST_ROUNDS = 8
_PERSONAL_MARKERS = ("idt", "emaid", "evccid", "mac", "vin", "customer", "serial", "iccid", "imsi", "content", "pspref",
                     "receipt", "vat", "company", "notifysettlement", "parent")  # fmt: skip
_IS_PSEUDONYM = re.compile(rf"{_PSEUDONYM}[a-z2-7]{{{_PSEUDONYM_LENGTH - len(_PSEUDONYM)}}}")
_IS_HASHED = re.compile(rf"{_HASHED}[0-9a-f]{{64}}")
_TAG_LIKE = re.compile(r"[\w-]{1,64}")
_LONGER_TAG_LIKE = re.compile(r"[^\s\"'\\,;={}\[\]]{1,64}")  # such as a MAC address, or DE*ABC*C12345


def _mentions_person(text: str) -> bool:
    if "\\" in text:
        return True
    lowered = text.lower()
    return any(marker in lowered for marker in _PERSONAL_MARKERS)


def _last_resort(text: str, scrub: Callable[[], str]) -> tuple[str, tuple[str, ...]]:
    try:
        cleaned = scrub()
    except Exception:  # noqa: BLE001 - then nothing of the text can be trusted
        cleaned = MASK
    return (text, ()) if cleaned == text else (cleaned, ("raw",))


# --- JSON ---------------------------------------------------------------------------------------------------------


class _Doubled(dict[str, Any]):
    """An object in which a name came twice: which value counts is up to who reads it, so all are suspect."""


_BROKEN = object()


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else _Doubled(made)


def _real(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number that could not be written back")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_real)


def _decoded(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return _BROKEN


def _encoded(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _id_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class _Walk:
    """Goes through a decoded message and copies what it changes, and only that."""

    __slots__ = ("depth", "error", "paths", "raw", "rebuild", "redactor")

    def __init__(self, redactor: Redactor) -> None:
        self.redactor = redactor
        self.paths: list[str] = []
        self.rebuild = False
        self.depth = 0
        self.raw = False
        self.error = False

    def result(self, text: str, before: Any, after: Any) -> tuple[str, tuple[str, ...]]:
        if self.rebuild:
            self.paths.append("raw")
        elif after is before:
            return text, ()
        return _encoded(after), tuple(dict.fromkeys(self.paths))

    def note(self, path: Path) -> None:
        if len(self.paths) < _MOST_PATHS:
            self.paths.append("raw" if self.raw else _written(path))
        elif len(self.paths) == _MOST_PATHS:
            self.paths.append("...")

    def children(self, value: Any, path: Path, change: Callable[[Any, Any, Path], Any]) -> Any:
        """Return the object or list with each member as ``change`` returns it."""
        if isinstance(value, dict):
            if isinstance(value, _Doubled):
                self.rebuild = True
            made: dict[str, Any] | None = None
            for name, member in value.items():
                new = change(name, member, (path, name))
                if new is not member:
                    made = made if made is not None else dict(value)
                    made[name] = new
            return value if made is None else made
        copy: list[Any] | None = None
        for index, member in enumerate(value):
            new = change(index, member, (path, index))
            if new is not member:
                copy = copy if copy is not None else list(value)
                copy[index] = new
        return value if copy is None else copy

    def within(self, text: str, look: Callable[[Any], Any]) -> str | None:
        """Return a text that is JSON as ``look`` changes it, None when it is not JSON or nested too often."""
        start = text.lstrip()[:1]
        if start not in ("{", "[", '"') or not start or self.depth >= _NESTED_TEXTS:
            return None
        inner = _decoded(text)
        if inner is _BROKEN or (start == '"' and not _looks_nested(inner)):
            return None
        self.depth += 1
        doubled, self.rebuild = self.rebuild, False
        changed = look(inner)
        doubled, self.rebuild = self.rebuild, doubled
        self.depth -= 1
        if changed is inner and not doubled:
            return text
        return _encoded(changed)


def _looks_nested(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip()[:1] in ("{", "[", '"')


def _written(path: Path) -> str:
    parts: list[str] = []
    at: Any = path
    while isinstance(at, tuple):
        at, part = at
        # A name may be as long as the text, and a lone surrogate cannot be stored.
        shown = f"[{part}]" if isinstance(part, int) else "." + part[:_LONGEST_NAME].encode("utf-8", "replace").decode()
        parts.append(shown)
    parts.append(str(at))
    return "".join(reversed(parts))


def _root(name: str) -> Path:
    return name  # type: ignore[return-value]  # the innermost end of a path is its root's name


class _Credentials(_Walk):
    """Class A: finds credentials by the names beside them."""

    __slots__ = ("removed", "session_id", "station_id")

    def __init__(self, redactor: Redactor, station_id: str, session_id: str) -> None:
        super().__init__(redactor)
        self.station_id = station_id
        self.session_id = session_id
        self.removed: list[str] = []

    def message(self, root: Any) -> Any:
        """Return any decoded text without credentials."""
        kind = root[0] if isinstance(root, list) and len(root) > 2 else None  # noqa: PLR2004 - type, id, content
        if isinstance(kind, bool) or not isinstance(root[1] if kind is not None else None, str | int | float):
            kind = None
        if kind in (CALL, SEND) and isinstance(root[2], str):
            return self._call(root)
        if kind == CALL_RESULT:
            return self._answer(root)
        if kind in (CALL_ERROR, CALL_RESULT_ERROR):
            return self._failure(root)
        before, self.raw = self.raw, True
        changed = self.value("", root, _root("raw"), parent="", vendor=False, hidden=False)
        self.raw = before
        return changed

    def _call(self, root: list[Any]) -> list[Any]:
        message_id, action = _id_of(root[1]), root[2].lower()

        def element(index: int, member: Any, _path: Path) -> Any:
            if index < 3:  # noqa: PLR2004 - type, id, action
                return member
            if index > 3:  # noqa: PLR2004 - OCPP-J knows no more
                return self._beyond(member)
            if action == "datatransfer":
                return self._transfer(member, message_id)
            return self.value("", member, _root("payload"), parent="", vendor=False, hidden=False)

        changed: list[Any] = self.children(root, _root("raw"), element)
        if self.paths and not self.depth:
            self.redactor.remember_secrets(self.session_id, message_id, self._echoes())
        return changed

    def _echoes(self) -> tuple[str, ...]:
        kept = dict.fromkeys(text[:_LONGEST_ECHO] for text in self.removed if len(text) >= _LEAST_ECHO and text != MASK)
        return tuple(kept)[:_MOST_ECHOES]

    def _answer(self, root: list[Any]) -> list[Any]:
        message_id = _id_of(root[1])
        secrets = None if self.depth else self.redactor.take_secrets(self.session_id, message_id)
        rule = self.redactor.rule_of_answer(self.session_id, message_id)

        def element(index: int, member: Any, _path: Path) -> Any:
            if index < 2:  # noqa: PLR2004 - type, id
                return member
            if index > 2:  # noqa: PLR2004 - OCPP-J knows no more
                return self._beyond(member)
            if rule is not None or _is_transfer_answer(member):
                member = self._transferred(member, rule or self.redactor.rule(None), _root("payload"))
            else:
                member = self.value("", member, _root("payload"), parent="", vendor=False, hidden=False)
            return self._without_echoes("", member, _root("payload"), secrets) if secrets else member

        changed: list[Any] = self.children(root, _root("raw"), element)
        if self.paths and not self.depth:
            self.redactor.remember_answer(self.session_id, message_id)
        return changed

    def _failure(self, root: list[Any]) -> list[Any]:
        message_id = _id_of(root[1])
        told = False
        if not self.depth:
            told = self.redactor.take_secrets(self.session_id, message_id) is not None
            told = (root[0] == CALL_RESULT_ERROR and self.redactor.take_answer(self.session_id, message_id)) or told

        def element(index: int, member: Any, _path: Path) -> Any:
            if index < 3:  # noqa: PLR2004 - type, id, error code
                return member
            if index > 4:  # noqa: PLR2004 - OCPP-J knows no more
                return self._beyond(member)
            path = _root("error_description" if index == 3 else "error_details")  # noqa: PLR2004 - as above
            # Where the description tells of a credential, so may the details, without the names beside it.
            if told or (index == 4 and self.paths):  # noqa: PLR2004 - as above
                return self.mask(member, path)
            self.error = True
            changed = self.value("", member, path, parent="", vendor=False, hidden=False)
            self.error = False
            return changed

        return self.children(root, _root("raw"), element)  # type: ignore[no-any-return]

    def _beyond(self, member: Any) -> Any:
        before, self.raw = self.raw, True
        changed = self.value("", member, _root("raw"), parent="", vendor=False, hidden=False)
        self.raw = before
        return changed

    def _transfer(self, payload: Any, message_id: str) -> Any:
        rule = self.redactor.rule(payload)
        if not self.depth:
            self.redactor.remember_transfer(self.session_id, message_id, rule)
        return self._transferred(payload, rule, _root("payload"))

    def _transferred(self, payload: Any, rule: Rule, path: Path) -> Any:
        """DataTransfer, both ways: its data by the rule, the rest as in any message."""
        if not isinstance(payload, dict):
            return self._opaque(payload, rule, path)

        def member_of(name: str, member: Any, at: Path) -> Any:
            if fields.normalised(name) == "data":
                return self._opaque(member, rule, at)
            if isinstance(member, dict | list | str):
                return self.value(name, member, at, parent="", vendor=False, hidden=False)
            return member

        return self.children(payload, path, member_of)

    def _opaque(self, data: Any, rule: Rule, path: Path) -> Any:
        if data is None or data in ("", MASK):
            return data
        if isinstance(data, str) and len(data) <= _LONGEST_SEPARATOR and sum(map(str.isalnum, data)) < _LEAST_ECHO:
            return data  # no credential has fewer letters and digits; some stations send a comma
        if isinstance(data, str) and _IS_HASHED.fullmatch(data):
            return data
        if rule == "keep":
            return self.value("", data, path, parent="", vendor=True, hidden=False)
        replaced = self.mask(data, path)
        return self.redactor.hashed(data) if rule == "hash" else replaced

    def value(self, name: Any, value: Any, path: Path, *, parent: str, vendor: bool, hidden: bool) -> Any:
        """Return a value without credentials.

        Args:
            name: of the property, or its index.
            value: any JSON.
            path: where it is.
            parent: normalised name of the property that holds the object or list.
            vendor: within data or customData, where names are a vendor's own.
            hidden: it belongs to a secret variable that an outer object names.
        """
        if isinstance(value, str):
            return self._text(value, path, parent) if value else value
        if not value or not isinstance(value, dict | list):
            return value
        if isinstance(value, list):

            def item(index: int, member: Any, at: Path) -> Any:
                return self.value(index, member, at, parent=parent, vendor=vendor, hidden=hidden)

            return self.children(value, path, item)
        return self._object(name, value, path, parent=parent, vendor=vendor, hidden=hidden)

    def _object(
        self, _name: Any, value: dict[str, Any], path: Path, *, parent: str, vendor: bool, hidden: bool
    ) -> dict[str, Any]:
        judged = self.redactor.is_secret_name if vendor else self.redactor.is_secret_property
        secret, pin, evidence, transfer = self._context(value)
        secret = secret or (hidden and parent in fields.ATTRIBUTES)

        def member_of(name: str, member: Any, at: Path) -> Any:
            if isinstance(member, bool) or member is None:
                return member
            short = fields.normalised(name)
            if judged(name) or (parent == "vpn" and short in fields.VPN):
                return self.mask(member, at)
            if (secret and short in fields.VALUES) or (pin and short in fields.TOKENS and not isinstance(member, dict)):
                return self.mask(member, at)
            if transfer and short == "data":
                return self._opaque(member, self.redactor.rule(value), at)
            if isinstance(member, int | float) or (evidence and short == "value"):
                return member
            if short in fields.EVIDENCE and not (isinstance(member, str) and _HOLDS_PRIVATE_KEY in member):
                return member
            inner = vendor or short == "customdata"
            return self.value(name, member, at, parent=short, vendor=inner, hidden=secret or hidden)

        changed: dict[str, Any] = self.children(value, path, member_of)
        if any("://" in name for name in value):
            changed = {_urls(name, broken=False): member for name, member in changed.items()}
            if list(changed) != list(value):
                self.note(path)
            else:
                changed = value if all(changed[n] is value[n] for n in value) else changed
        return changed

    def _context(self, value: dict[str, Any]) -> tuple[bool, bool, bool, bool]:
        """Say of an object whether it names a secret, is a PIN, signed evidence, a DataTransfer out of its message."""
        doubled = isinstance(value, _Doubled)
        secret = pin = doubled
        evidence = False
        variable = component = ""
        write_only = False
        shorts = set()
        for name, member in value.items():
            short = fields.normalised(name)
            shorts.add(short)
            if short in ("variable", "component"):
                doubled = doubled or isinstance(member, _Doubled)
                inner = member if isinstance(member, str) else _name_in(member)
                variable, component = (inner, component) if short == "variable" else (variable, inner)
            elif isinstance(member, str):
                if short in fields.NAMING and self.redactor.is_secret_name(member):
                    secret = True
                pin = pin or (short.endswith("type") and fields.normalised(member) == "keycode")
                evidence = evidence or (short == "format" and member.lower() == "signeddata")
                write_only = write_only or (short == "mutability" and member.lower() == "writeonly")
            elif short in fields.ATTRIBUTES and isinstance(member, list):
                write_only = write_only or any(_is_write_only(attribute) for attribute in member)
        if variable:
            about = (component.casefold(), variable.casefold())
            if write_only:
                self.redactor.learn_write_only(self.station_id, *about)
            secret = (
                secret or self.redactor.is_secret_name(variable) or self.redactor.is_write_only(self.station_id, *about)
            )
        transfer = self.raw and "data" in shorts and "vendorid" in shorts
        return secret or write_only or doubled, pin, evidence, transfer

    def _text(self, value: str, path: Path, parent: str) -> str:
        if parent in fields.EVIDENCE and _HOLDS_PRIVATE_KEY not in value:
            return value

        def inner(found: Any) -> Any:
            if isinstance(found, str):
                return self._text(found, path, parent)
            return (
                self.message(found)
                if isinstance(found, list)
                else self.value("", found, path, parent=parent, vendor=True, hidden=False)
            )

        noted = len(self.paths)
        changed = self.within(value, inner)
        if changed is None:
            changed = value
            if len(value) > 2 and any(mark in value for mark in ":= "):  # noqa: PLR2004 - the least of a name and value
                broken = self.error or value.lstrip()[:1] in ("{", "[")
                changed = self.redactor._scrubbed(value, broken=broken)  # noqa: SLF001 - its own walk
        if changed == value:
            return value
        del self.paths[noted:]  # the path of the text tells more than paths within it
        self.note(path)
        self.removed.extend(_cut_out(value, changed))
        return changed

    def _without_echoes(self, name: Any, value: Any, path: Path, secrets: tuple[str, ...]) -> Any:
        if isinstance(value, str):
            if value == MASK or not any(secret in value for secret in secrets):
                return value
            # An enumeration's value may be a piece of data, but is nobody's password.
            if isinstance(name, str) and fields.normalised(name) in _NO_ECHO and value.isalpha():
                return value
            return self.mask(value, path)
        if isinstance(value, dict | list):

            def member_of(inner: Any, member: Any, at: Path) -> Any:
                return self._without_echoes(name if isinstance(value, list) else inner, member, at, secrets)

            return self.children(value, path, member_of)
        return value

    def mask(self, value: Any, path: Path) -> Any:
        """Return MASK for a value that there is, and remember what it was."""
        if value is None or isinstance(value, bool) or value in ("", MASK) or (not value and value != 0):
            return value
        self.note(path)
        if len(self.removed) < _MOST_ECHOES:
            self.removed.extend(_leaves(value))
        return MASK


_NO_ECHO = frozenset({"status", "attributestatus", "attributetype", "type", "name", "key", "reasoncode"})


def _cut_out(before: str, after: str) -> Iterator[str]:
    """Yield what MASK stands for in a text, and of "user:password" the password too."""
    at = 0
    for index, kept in enumerate(after.split(MASK)[:_MOST_ECHOES]):
        found = before.find(kept, at) if kept else len(before)
        if found < 0:
            return
        if index and found > at:
            yield before[at:found]
            yield before[at:found].partition(":")[2]
        at = found + len(kept)


def _leaves(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        at = waiting.pop()
        if isinstance(at, str):
            yield at
            inner = _decoded(at) if at.lstrip()[:1] in ("{", "[") else None
            if isinstance(inner, dict | list):
                waiting.append(inner)
        elif isinstance(at, dict):
            waiting.extend(at.values())
        elif isinstance(at, list):
            waiting.extend(at)
        elif isinstance(at, int | float) and not isinstance(at, bool):
            yield json.dumps(at)


def _name_in(member: Any) -> str:
    if isinstance(member, dict):
        for name, value in member.items():
            if fields.normalised(name) == "name" and isinstance(value, str):
                return value
    return ""


def _is_write_only(attribute: Any) -> bool:
    return isinstance(attribute, dict) and any(
        fields.normalised(name) == "mutability" and isinstance(value, str) and value.lower() == "writeonly"
        for name, value in attribute.items()
    )


def _is_transfer_answer(payload: Any) -> bool:
    if not isinstance(payload, dict):
        return False
    names = {fields.normalised(name) for name in payload}
    return "data" in names and names <= fields.ANSWERED_DATA


class _Persons(_Walk):
    """Class B: finds personal data by the property's own name."""

    __slots__ = ("action",)

    def __init__(self, redactor: Redactor) -> None:
        super().__init__(redactor)
        self.action = ""

    def message(self, root: Any) -> Any:
        """Return any decoded text by the policy."""
        kind = root[0] if isinstance(root, list) and len(root) > 2 else None  # noqa: PLR2004 - type, id, content
        if isinstance(kind, bool) or kind not in (CALL, CALL_RESULT, CALL_ERROR, CALL_RESULT_ERROR, SEND):
            before, self.raw = self.raw, True
            changed = self.value(root, _root("raw"), "", "")
            self.raw = before
            return changed
        names = {CALL_RESULT: ("payload",), CALL_ERROR: ("", "error_description", "error_details")}
        names[CALL_RESULT_ERROR] = names[CALL_ERROR]
        roots = ("", "", *names.get(kind, ("", "payload")))
        self.action = root[2].lower() if kind in (CALL, SEND) and isinstance(root[2], str) else ""

        def element(index: int, member: Any, _path: Path) -> Any:
            place = roots[index] if index < len(roots) else "raw"
            if not place:
                return member
            self.error = place.startswith("error")
            return self.value(member, _root(place), "", "")

        return self.children(root, _root("raw"), element)

    def value(self, value: Any, path: Path, name: str, parent: str) -> Any:
        """Return a value by the policy.

        Args:
            value: any JSON.
            path: where it is.
            name: normalised name of the property that it is, or of the list that it is in.
            parent: normalised name of the property that its object is.
        """
        if isinstance(value, str):
            return self._text(value, path, name, parent)
        if name == "customercertificate" and value and self.redactor.policy.personal != "keep":
            self.note(path)
            return MASK
        if isinstance(value, list):

            def item(_index: int, member: Any, at: Path) -> Any:
                return self.value(member, at, name, parent)

            return self.children(value, path, item)
        if isinstance(value, dict):

            def member_of(inner: str, member: Any, at: Path) -> Any:
                return self.value(member, at, fields.normalised(inner), name)

            return self.children(value, path, member_of)
        return self._number(value, path, name, parent)

    def _number(self, value: Any, path: Path, name: str, parent: str) -> Any:
        kind = fields.personal_kind(name, parent, self.action)
        if kind is None or value is None or isinstance(value, bool):
            return value
        shown = json.dumps(value)  # an id tag that came as a number
        kept = self.redactor.person(kind, shown)
        if kept == shown:
            return value
        self.note(path)
        return kept

    def _text(self, value: str, path: Path, name: str, parent: str) -> str:
        kind = fields.personal_kind(name, parent, self.action)
        if kind is not None:
            kept = self.redactor.person(kind, value)
        elif name in fields.EVIDENCE:
            return value
        else:
            noted = len(self.paths)
            inner = self.within(value, self._inner(path, name))
            del self.paths[noted:]
            scrubbed = self.error or value.lstrip()[:1] in ("{", "[")
            kept = inner if inner is not None else self.redactor._anonymous(value) if scrubbed else value  # noqa: SLF001 - its own walk
        if kept == value:
            return value
        self.note(path)
        return kept

    def _inner(self, path: Path, name: str) -> Callable[[Any], Any]:
        def look(found: Any) -> Any:
            action, error = self.action, self.error
            changed = self.message(found) if isinstance(found, list) else self.value(found, path, "", name)
            self.action, self.error = action, error
            return changed

        return look


# --- Text that is no JSON -----------------------------------------------------------------------------------------


class _Name(NamedTuple):
    """A name in a text that seems to have a value."""

    name: str
    quoted: bool
    """It is in quotes, as in JSON."""
    opens: str
    """"{" or "[" when the value is an object or a list."""
    start: int
    """Where it begins."""
    end: int
    """Where the value seems to begin, quotes included."""


# Letters, digits and what is in names and URLs; never a quote or a backslash, which would end a value early.
_ESCAPE = re.compile(r"(?<!\\)\\+u00(2[d-f]|3[0-9a]|4[0-9a-f]|5[0-9af]|6[1-9a-f]|7[0-9a])", re.IGNORECASE)
_SLASH = re.compile(r"(?<!\\)\\+/")
_PAIR = re.compile(
    r"(?<![\w%])(?P<name>(?:(?:api|private|authorization|auth) )?[A-Za-z_][\w.-]{0,255})"
    r"(?P<close>\\*[\"'])?\s*(?P<separator>[=:])\s*",
    re.IGNORECASE,
)
_QUOTE = re.compile(r"\\*[\"']")
_BARE_JSON = re.compile(r"[^\s,}\]]*")
_BARE = re.compile(r"[^\s&\"'<>]*")
_CLOSED_TYPE = re.compile(r"\\*[\"']?\s*,\s*\\*[\"']type\\*[\"']\s*:\s*\\*[\"'](\w+)\\*[\"']", re.IGNORECASE)
_TYPE_BEFORE = re.compile(r"\\*[\"']type\\*[\"']\s*:\s*\\*[\"'](\w+)\\*[\"']\s*,\s*\\*[\"']?$", re.IGNORECASE)
_HEADER = re.compile(
    r"((?<!\w)(?:proxy-)?authorization\\*[\"']?\s{0,8}[:=]\s{0,8}\\*[\"']?(?:basic|bearer|token|apikey|negotiate)\s{1,8})"
    r"(?!\*\*\*)[^\s\"',;\\]+",
    re.IGNORECASE,
)
_SCHEMES = re.compile(r"((?<!\w)(?:basic|bearer)\s{1,8})(?=[\w+/.~-]{0,512}[0-9=])[\w+/.~-]{8,}=*", re.IGNORECASE)
_MODEM = re.compile(
    r"(AT[+^*$#]\w{0,16}(?:PIN|AUTH|CSTT|PWD|PASS|LCK)\w{0,16}=)(?!\*\*\*$|\*\*\*[\r\n])[^\r\n]+",
    re.IGNORECASE | re.MULTILINE,
)
_HOLDS_PRIVATE_KEY = "PRIVATE KEY-----"
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,32}PRIVATE KEY-----|\Z)", re.DOTALL
)
# "user:password@host" without the scheme that would make it a URL.
_USER_INFO = re.compile(r"((?<![\w@./:*-])(?://)?)[^\s/:@\"'<>*]{1,128}:[^\s/@\"'<>]{1,256}@(?=[\w\[])")
_URL = re.compile(r"://([^\s\"<>]*)")
_AUTHORITY = re.compile(r"[^/?#]*")
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]*\]?|[^:@\[\]]*)(?::\d{0,5})?")
_PARAMETER = re.compile(r"([?&#;])([^=&#;?]{1,256})=([^&#]*)")
_NAME_LIKE = re.compile(r"[A-Za-z_]\w{0,255}")
_LITERALS = frozenset({"null", "true", "false", "None", "True", "False", ""})


def _readable(text: str) -> str:
    """Return a text without the escapes that hide names and URLs."""
    if "\\" not in text:
        return text
    return _SLASH.sub("/", _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text))


def _replaced(text: str, wanted: Callable[[_Name], bool], verdict: Callable[[_Name, str], str | None]) -> str:
    """Return the text with the value of each name that is ``wanted`` as ``verdict`` says; None leaves it.

    Values are only read of names that are wanted, and passed over then: the time is in proportion to the text.
    """
    parts: list[str] = []
    kept = at = 0
    while True:
        found = _PAIR.search(text, at)
        if found is None or found.end() >= len(text):
            break
        at = found.end()
        opens = text[at] if text[at] in "{[" else ""
        name = _Name(found["name"], found["close"] is not None, opens, found.start(), at)
        if not wanted(name):
            continue
        start, end = (at, at) if opens else _value_at(text, name)
        value = text[start:end]
        if not opens and (not value or (start == at and value in _LITERALS)):
            continue
        new = verdict(name, value)
        if new == TO_THE_END:
            parts += (text[kept:at], MASK)
            return "".join(parts)
        if new is not None:
            parts += (text[kept:start], new)
            kept = end
        at = max(at, end)
    return text if not parts else "".join((*parts, text[kept:]))


def _value_at(text: str, name: _Name) -> tuple[int, int]:
    """Return where the value after a name begins and ends, without its quotes."""
    opening = _QUOTE.match(text, name.end)
    if opening is not None:
        return opening.end(), _closing(text, opening.end(), opening[0])
    bare = (_BARE_JSON if name.quoted else _BARE).match(text, name.end)
    return name.end, bare.end() if bare else name.end


TO_THE_END = "\0"
"""A verdict: nothing from here on can be trusted."""


def _closing(text: str, at: int, opening: str) -> int:
    while True:
        end = text.find(opening, at)
        if end < 0:
            return len(text)
        if end and text[end - 1] == "\\":  # it is escaped, or a longer escape: read on
            at = end + 1
            continue
        return end


class _Suspicion:
    """Judges the names in one text that is no JSON; what has to be known of the whole text is asked once."""

    __slots__ = ("_broken", "_configuration", "_data_goes", "_pins", "_redactor", "_text", "_values_go", "_vpn")

    def __init__(self, redactor: Redactor, text: str, *, broken: bool) -> None:
        lowered = text.lower()
        self._redactor = redactor
        self._text = text
        self._broken = broken
        self._pins = "keycode" in lowered
        self._vpn = "vpn" in lowered
        self._configuration = "configuration" in lowered
        # Of the two other actions that have data, one is personal at most and one is measured.
        self._data_goes = (
            broken and "notifycustomerinformation" not in lowered and "notifyperiodiceventstream" not in lowered
        )
        # A value that was cut off from its name may belong to any, except where values are measured ones.
        measured = "sampledvalue" in lowered and not self._configuration and "variable" not in lowered
        self._values_go = (broken and not measured) or ("value" in lowered and self._mentions_secret())

    def cleaned(self) -> str:
        return _replaced(self._text, self._wanted, self._verdict)

    def _wanted(self, name: _Name) -> bool:
        if self._redactor.is_secret_name(name.name):
            return True
        if not name.quoted:
            return False
        short = fields.normalised(name.name)
        if short in fields.VALUES:
            return self._values_go
        if short in fields.VPN and self._vpn:
            return short != "key" or not self._configuration
        if short == "data":
            return self._data_goes
        return self._redactor.is_secret_property(name.name) or (short in fields.TOKENS and not name.opens)

    def _verdict(self, name: _Name, value: str) -> str | None:
        short = fields.normalised(name.name)
        if name.opens or (short == "data" and value != MASK):
            return TO_THE_END
        if value == MASK or (short in fields.TOKENS and not self._may_be_pin(name, value)):
            return None
        return MASK

    def _mentions_secret(self) -> bool:
        return any(self._redactor.is_secret_name(found[0]) for found in _NAME_LIKE.finditer(self._text))

    def _may_be_pin(self, name: _Name, value: str) -> bool:
        if not self._broken:
            return self._pins
        before = _TYPE_BEFORE.search(self._text[max(0, name.start - 64) : name.start])
        quote = _QUOTE.match(self._text, name.end)
        kind = _CLOSED_TYPE.match(self._text, (quote.end() if quote else name.end) + len(value)) or before
        return kind is None or kind[1].lower() == "keycode"


def _urls(text: str, *, broken: bool, depth: int = 0) -> str:
    """Return the text with the user information and the secret parameters of its URLs masked."""
    if "://" not in text:
        return text

    def replaced(found: re.Match[str]) -> str:
        whole = found[1]
        authority = _AUTHORITY.match(whole)[0]  # type: ignore[index]  # matches nothing too
        rest = whole[len(authority) :]
        if "@" in authority:
            host = authority.rpartition("@")[2]
            authority = f"{MASK}@{host}"
        elif not _HOST.fullmatch(authority):
            # "user:pass/word@host": what follows the colon is no port.
            if "@" in rest:
                authority, rest = f"{MASK}@", rest.rpartition("@")[2]
            elif broken or (found.end() == len(text) and not rest):
                authority = MASK
        if depth >= _NESTED_TEXTS:
            return f"://{authority}" if "@" not in rest else f"://{authority}{MASK}"
        rest = _PARAMETER.sub(_parameter, rest)
        return f"://{authority}{_urls(rest, broken=broken, depth=depth + 1)}"

    return _URL.sub(replaced, text)


def _parameter(found: re.Match[str]) -> str:
    if found[3] and fields.is_secret_parameter(unquote(found[2])):
        return f"{found[1]}{found[2]}={MASK}"
    return found[0]
