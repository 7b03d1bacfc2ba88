"""Every property of every schema that the ocpp library ships, with a canary in it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ocpp
import pytest

from ocpp_mongo_plugin import secret_fields as fields
from ocpp_mongo_plugin.redaction import MASK, Policy, Redactor

SCHEMAS = Path(ocpp.__file__).parent
VERSIONS = {"v16": 78, "v201": 128, "v21": 181}
TEXT, NUMBER = "Canary-4f0a9", 86753091234


class Leaf(NamedTuple):
    """A property that holds a text or a number, or may hold anything."""

    message: str
    path: tuple[str, ...]
    kinds: frozenset[str]

    @property
    def action(self) -> str:
        return self.message.rpartition("/")[2].removesuffix("Request").removesuffix("Response")

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(part for part in self.path if part != "[]")

    @property
    def canary(self) -> Any:
        return TEXT if not self.kinds or "string" in self.kinds else NUMBER

    @property
    def classes(self) -> frozenset[str]:
        return fields.classes_of(self.action, self.names)

    def __str__(self) -> str:
        return f"{self.message}:{'.'.join(self.path)}"


def leaves(schema: Any, root: Any, message: str, path: tuple[str, ...] = ()) -> Iterator[Leaf]:
    while "$ref" in schema:
        schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
    for name, member in schema.get("properties", {}).items():
        yield from leaves(member, root, message, (*path, name))
    if "items" in schema:
        yield from leaves(schema["items"], root, message, (*path, "[]"))
    kinds = schema.get("type", ())
    kinds = frozenset((kinds,) if isinstance(kinds, str) else kinds)
    if path and not kinds & {"object", "array", "boolean"}:
        yield Leaf(message, path, kinds)


def names(schema: Any) -> Iterator[str]:
    """Yield all property names that are anywhere in a schema."""
    if isinstance(schema, dict):
        for key, member in schema.items():
            if key == "properties" and isinstance(member, dict):
                yield from member
            yield from names(member)
    elif isinstance(schema, list):
        for member in schema:
            yield from names(member)


def schemas() -> dict[str, Any]:
    return {
        f"{version}/{file.stem}": json.loads(file.read_text(encoding="utf-8-sig"))
        for version in VERSIONS
        for file in sorted((SCHEMAS / version / "schemas").glob("*.json"))
    }


ALL = schemas()
LEAVES = [leaf for message, schema in ALL.items() for leaf in leaves(schema, schema, message)]


def payload_of(leaf: Leaf, canary: Any, *, secret: bool) -> Any:
    """Return the least payload that has the property, with what makes it a secret, or expressly does not."""
    made = canary
    for part in reversed(leaf.path):
        if part == "[]":
            made = [made]
            continue
        made = {part: made}
        if part in ("idToken", "additionalIdToken") and not isinstance(made[part], dict):
            made["type"] = "KeyCode" if secret else "ISO14443"
        elif part == "value" and leaf.names in (("value",), ("configurationKey", "value")):
            made = {"key": "AuthorizationKey" if secret else "WebSocketPingInterval", **made}
        elif part in ("attributeValue", "actualValue", "variableAttribute", "variableMonitoring") or (
            part == "value" and "setMonitoringData" in leaf.path
        ):
            made["component"] = {"name": "SecurityCtrlr"}
            made["variable"] = {"name": "BasicAuthPassword" if secret else "TokenType"}
    return made


def frame_of(leaf: Leaf, canary: Any, *, secret: bool = False) -> str:
    payload = payload_of(leaf, canary, secret=secret)
    answer = leaf.message.endswith("Response")
    message = [3, "19", payload] if answer else [2, "19", leaf.action, payload]
    return json.dumps(message, separators=(",", ":"))


def redactor(**policy: Any) -> Redactor:
    return Redactor(Policy(key=b"of the test", **policy))


def test_the_library_ships_the_schemas_that_the_tables_were_written_from():
    found = {version: sum(message.startswith(f"{version}/") for message in ALL) for version in VERSIONS}
    assert found == VERSIONS
    assert len(LEAVES) > 3000
    # The walk reaches the deepest and the untyped ones.
    paths = {(leaf.message, leaf.path) for leaf in LEAVES}
    assert ("v21/SetNetworkProfileRequest", ("connectionData", "apn", "simPin")) in paths
    assert ("v201/DataTransferResponse", ("data",)) in paths
    assert ("v16/GetConfigurationResponse", ("configurationKey", "[]", "value")) in paths


def test_a_credential_is_gone():
    secret = [leaf for leaf in LEAVES if "A" in leaf.classes]
    assert {leaf.names[-1] for leaf in secret} == {
        "value", "attributeValue", "actualValue", "data", "apnUserName", "apnPassword", "simPin", "user", "password",
        "key", "group", "basicAuthPassword", "idToken", "additionalIdToken",
    }  # fmt: skip
    for leaf in secret:
        text = frame_of(leaf, leaf.canary, secret=True)
        cleaned, paths = redactor().credentials("station", "session", text)
        assert str(leaf.canary) not in cleaned, str(leaf)
        expected = "payload." + ".".join(leaf.path).replace(".[]", "[0]")
        assert paths == (expected,), str(leaf)
        assert json.loads(cleaned)[0] == json.loads(text)[0]


def test_the_value_of_what_is_no_secret_is_kept():
    for leaf in LEAVES:
        if "A" in leaf.classes and leaf.names[-1] in fields.TOKENS | fields.VALUES | {
            "attributeValue", "actualValue", "idToken", "additionalIdToken",
        }:  # fmt: skip
            text = frame_of(leaf, leaf.canary, secret=False)
            assert redactor().credentials("station", "session", text)[0] is text, str(leaf)


def test_what_is_no_credential_is_the_same_text():
    for leaf in LEAVES:
        if "A" not in leaf.classes:
            text = frame_of(leaf, leaf.canary)
            cleaned, paths = redactor().credentials("station", "session", text)
            assert cleaned is text, str(leaf)
            assert paths == ()


@pytest.mark.parametrize("mode", ["drop", "pseudonymise"])
def test_what_is_personal_is_gone_when_the_policy_says_so(mode):
    personal = [leaf for leaf in LEAVES if "B" in leaf.classes]
    found = {leaf.names[-1] for leaf in personal}
    assert {"idTag", "parentIdTag", "idToken", "additionalIdToken", "idTokens", "customerIdentifier", "content", "data",
            "iccid", "imsi", "serialNumber", "chargeBoxSerialNumber", "meterSerialNumber", "vatNumber", "pspRef",
            "evInverterSerialNumber", "prioritizedEMAIDs", "receiptUrl", "address1", "statusInfo"} <= found  # fmt: skip
    for leaf in personal:
        text = frame_of(leaf, leaf.canary)
        cleaned, paths = redactor(personal=mode).personal("station", "session", text)
        assert str(leaf.canary) not in cleaned, str(leaf)
        assert len(paths) == 1
        assert redactor(personal=mode).personal("station", "session", cleaned) == (cleaned, ()), str(leaf)


@pytest.mark.parametrize("mode", ["drop", "pseudonymise"])
def test_what_is_not_personal_is_the_same_text(mode):
    for leaf in LEAVES:
        if "B" not in leaf.classes:
            text = frame_of(leaf, leaf.canary)
            assert redactor(personal=mode).personal("station", "session", text)[0] is text, str(leaf)


def test_what_is_personal_is_kept_by_default():
    for leaf in LEAVES:
        text = frame_of(leaf, leaf.canary)
        assert redactor().personal("station", "session", text)[0] is text


def test_what_is_large_is_kept_whatever_the_policy():
    large = [leaf for leaf in LEAVES if "C" in leaf.classes]
    assert {"certificate", "certificateChain", "csr", "exiRequest", "exiResponse", "ocspResult", "signedMeterData",
            "publicKey", "serialNumber", "issuerKeyHash"} <= {leaf.names[-1] for leaf in large}  # fmt: skip
    for leaf in large:
        if "B" in leaf.classes:
            continue
        text = frame_of(leaf, leaf.canary)
        strict = redactor(personal="drop")
        assert strict.credentials("station", "session", text)[0] is text, str(leaf)
        assert strict.personal("station", "session", text)[0] is text, str(leaf)


def test_credentials_in_a_url_are_gone_wherever_a_url_may_be():
    for leaf in LEAVES:
        if leaf.canary is TEXT and leaf.names[-1].lower() not in fields.EVIDENCE and leaf.names[-1] != "data":
            url = f"ftp://station:{TEXT}@files.example/logs?sig={TEXT}&part=1"
            text = frame_of(leaf, url)
            cleaned, paths = redactor().credentials("station", "session", text)
            assert TEXT not in cleaned, str(leaf)
            whole = "A" in leaf.classes and f'"{MASK}"' in cleaned
            assert whole or f"ftp://{MASK}@files.example/logs?sig={MASK}&part=1" in cleaned, str(leaf)
            assert len(paths) == 1


def test_all_properties_at_once():
    """One message with everything that its schema has: the secrets go, and nothing else does."""

    def filled(schema: Any, root: Any, path: tuple[str, ...] = ()) -> Any:
        while "$ref" in schema:
            schema = root["definitions"][schema["$ref"].rpartition("/")[2]]
        if "properties" in schema:
            return {name: filled(member, root, (*path, name)) for name, member in schema["properties"].items()}
        if "items" in schema:
            return [filled(schema["items"], root, path)]
        kind = schema.get("type")
        return True if kind == "boolean" else 5 if kind in ("number", "integer") else "at " + "/".join(path)

    for message, schema in ALL.items():
        payload = filled(schema, schema)
        leaf = Leaf(message, (), frozenset())
        elements = [3, "1", payload] if message.endswith("Response") else [2, "1", leaf.action, payload]
        text = json.dumps(elements)
        cleaned, _ = redactor().credentials("station", "session", text)
        always = {
            name for name in _texts(payload) if fields.classes_of(leaf.action, tuple(name[3:].split("/"))) >= {"A"}
        }
        always -= {
            name
            for name in always
            if name[3:].rpartition("/")[2] in ("value", "attributeValue", "actualValue", "idToken", "additionalIdToken")
        }
        kept = {name for name in _texts(json.loads(cleaned)[-1]) if name != MASK}
        assert kept == _texts(payload) - always, message


def _texts(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*(_texts(member) for member in value.values()), set())
    if isinstance(value, list):
        return set().union(*(_texts(member) for member in value), set())
    return {value} if isinstance(value, str) else set()


def unclassified(message: str, schema: Any) -> list[str]:
    """Return the properties that look like a credential and of which nobody has said what they are."""
    action = Leaf(message, (), frozenset()).action
    known = {leaf.names[-1] for leaf in leaves(schema, schema, message) if fields.classes_of(action, leaf.names)}
    suspects = {name for name in names(schema) if fields.needs_a_class(name)}
    return sorted(name for name in suspects - known if fields.normalised(name) not in fields.NOT_SECRET)


def test_every_property_that_looks_like_a_credential_has_a_class():
    assert {
        message: unclassified(message, schema) for message, schema in ALL.items() if unclassified(message, schema)
    } == {}


@pytest.mark.parametrize("name", ["accessToken", "sharedKey", "loginCredentials", "api_keys", "rootKey"])
def test_a_future_property_that_looks_like_a_credential_fails_the_test_above(name):
    schema = {"properties": {"evse": {"type": "object", "properties": {name: {"type": "string"}}}}}
    assert unclassified("v30/OpenGateRequest", schema) == ([] if fields.is_secret_property(name) else [name])


def test_a_future_password_is_a_credential_without_a_change():
    leaf = Leaf("v30/OpenGateRequest", ("gate", "doorPassword"), frozenset({"string"}))
    assert leaf.classes == {"A"}
    cleaned, paths = redactor().credentials("station", "session", frame_of(leaf, TEXT))
    assert TEXT not in cleaned
    assert paths == ("payload.gate.doorPassword",)


def test_the_exceptions_are_names_that_the_pattern_finds():
    seen = {fields.normalised(name) for schema in ALL.values() for name in names(schema)}
    assert seen >= fields.NOT_SECRET
