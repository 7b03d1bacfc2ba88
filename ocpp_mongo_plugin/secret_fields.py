"""Which fields of OCPP are secret, personal or large: the tables behind redaction.

Hides the names: those of OCPP 1.6 with its security white paper, 2.0.1 and 2.1, and the words by which a vendor's
configuration key gives itself away as a credential. Promises that ``classes_of`` says of any property of any
schema which class it is in, from the same tables by which frames are redacted. Names are compared without regard
to case, ``_`` and ``-``, because vendors spell them as they like. Pure.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, TypeAlias

FieldClass: TypeAlias = Literal["A", "B", "C"]
"""A: a credential. B: personal. C: large or evidence, kept."""
PersonalKind: TypeAlias = Literal["tag", "identifier", "text"]
"""tag: names a person to a station. identifier: joins by its value. text: of no use when it is replaced."""

# "APIKey": a run of capitals ends before the capital that begins the next word.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")

_SECRET_WORDS = frozenset(
    {"psk", "pin", "pins", "pincode", "simpin", "cpin", "pwd", "passcode", "puk", "otp", "totp", "pw"}
    | {"cookie", "cookies", "credential", "credentials"}
)
# Looked for within words too, so that a name written without capitals ("ftppassword") is found as well.
_SECRET_PARTS: tuple[str, ...] = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "privatekey",
    "authorizationkey",
)
_SECRET_PARTS += ("accesstoken", "passwort", "kennwort")
_SECRET_KEYS: tuple[str, ...] = (
    "authkey",
    "accesskey",
    "sharedkey",
    "encryptionkey",
    "wpakey",
    "wifikey",
    "masterkey",
    "aeskey",
)
_SECRET_KEYS += ("hmackey", "sshkey", "vpnkey", "rfidkey", "mifarekey", "sessionkey", "signingkey", "symmetrickey")
_TOKENS = frozenset({"token", "tokens"})
# "TokenType" and "AuthTokenTimeout" describe a token; "IdToken" is a card, which is personal and no credential.
_ABOUT_TOKENS = frozenset({"type", "types", "length", "count", "limit", "timeout", "lifetime", "expiry", "info"})
_QUERY_WORDS = frozenset({"key", "token", "sig", "signature", "credential", "auth", "pass", "sas", "jwt", "pw"})
_AUDITED_WORDS = frozenset({"key", "keys", "token", "tokens", "credential", "credentials", "auth", "authorization"})

NAMING = frozenset({"key", "name", "variable", "variablename", "keyname", "parameter", "param", "configurationkey"})
"""Properties whose text says what the value beside them is."""
VALUES = frozenset({"value", "attributevalue", "actualvalue", "newvalue", "currentvalue", "oldvalue"})
"""Properties that hold the value of what is named beside them."""
ATTRIBUTES = frozenset({"variableattribute", "variablemonitoring"})
"""Properties whose objects hold values of the variable that is named beside them."""
APN = frozenset({"apnusername", "apnpassword", "simpin"})
"""SetNetworkProfile.req connectionData.apn (OCPP 2.0.1 part 2, APNType)."""
VPN = frozenset({"user", "password", "key", "group"})
"""SetNetworkProfile.req connectionData.vpn (OCPP 2.0.1 part 2, VPNType)."""
TOKENS = frozenset({"idtoken", "additionalidtoken"})
"""Texts that are a PIN when the token's type is KeyCode (OCPP 2.0.1 part 2, IdTokenEnumType)."""
ANSWERED_DATA = frozenset({"status", "data", "statusinfo", "customdata"})
"""All that DataTransfer.conf may have: an answer does not tell its action."""

_TAGS = frozenset({"idtag", "parentidtag", "idtoken", "additionalidtoken", "groupidtoken", "idtokens", "emaid",
                   "prioritizedemaids", "evccid", "macaddress", "vin", "customeridentifier"})  # fmt: skip
_IDENTIFIERS = frozenset({"iccid", "imsi", "pspref", "receiptid", "vatnumber"})
_TEXTS = frozenset({"customercertificate", "receipturl"})
_DISPLAYS = frozenset({"personalmessage", "personalmessageextra", "updatedpersonalmessage", "message", "messageextra",
                       "updatedpersonalmessageextra"})  # fmt: skip
_COMPANIES = frozenset({"company", "vatcompany"})
_COMPANY_FIELDS = frozenset({"name", "address1", "address2", "city", "postalcode", "country"})
# Their serialNumber is the certificate's, and certificates are class C.
_CERTIFICATE_HASHES = frozenset({"certificatehashdata", "childcertificatehashdata", "iso15118certificatehashdata",
                                 "ocsprequestdata"})  # fmt: skip
_HASH_FIELDS = frozenset({"issuernamehash", "issuerkeyhash", "serialnumber", "responderurl"})
EVIDENCE = frozenset({"signedmeterdata", "publickey", "exirequest", "exiresponse", "ocspresult", "csr", "certificate",
                      "certificatechain", "signingcertificate", "signature"})  # fmt: skip
"""Class C by name: kept byte for byte, not even looked into."""

NOT_SECRET = frozenset({
    "configurationkey",  # GetConfiguration.conf: the list; its values are class A by their key
    "key",  # the name of a configuration key; connectionData.vpn.key is class A by where it is
    "unknownkey",  # GetConfiguration.conf: names only
    "idtokeninfo",  # what is known of a token; the tokens in it are class B
    "groupidtoken",  # the object; the token in it is class B
    "idtoken",  # likewise where it is an object
    "issuerkeyhash",  # the hash of a public key
    "apnauthentication",  # the method: PAP, CHAP, ...
    "localauthorizationlist",  # the list; the tags in it are class B
})  # fmt: skip
"""Names that a pattern for credentials finds and that are none, with the reason."""


def words(name: str) -> tuple[str, ...]:
    """Return the camelCase or snake_case words of a name in lower case: "simPin" is ("sim", "pin")."""
    return tuple(word.casefold() for word in _WORD.findall(name))


@lru_cache(maxsize=4096)
def normalised(name: str) -> str:
    """Return the name without case, ``_`` and ``-``."""
    return name.casefold().replace("_", "").replace("-", "")


def is_secret_name(name: str) -> bool:
    """Whether a configuration key, a variable or a vendor's own field of that name holds a credential.

    Security white paper for OCPP 1.6, A01.FR.12, names AuthorizationKey; the rest are the words vendors use.
    """
    parts = words(name)
    if _secret_words(parts):
        return True
    for place, word in enumerate(parts):
        if word in _TOKENS:
            before, after = parts[place - 1] if place else "", parts[place + 1] if place + 1 < len(parts) else ""
            if before != "id" and after not in _ABOUT_TOKENS:
                return True
    return False


def is_secret_property(name: str) -> bool:
    """Whether a property of that name holds a credential wherever it is; tokens are told by their type instead."""
    return _secret_words(words(name)) or normalised(name) in APN or normalised(name) in _HEADERS


_HEADERS = frozenset({"authorization", "proxyauthorization"})


def is_secret_parameter(name: str) -> bool:
    """Whether a parameter of that name in a URL's query is a credential, as X-Amz-Signature is."""
    parts = words(name)
    return is_secret_name(name) or not _QUERY_WORDS.isdisjoint(parts)


def needs_a_class(name: str) -> bool:
    """Whether a property of that name in a schema looks like a credential and has to be in a class or NOT_SECRET."""
    parts = words(name)
    return _secret_words(parts) or is_secret_name(name) or not _AUDITED_WORDS.isdisjoint(parts)


def personal_kind(name: str, parent: str, action: str | None = None) -> PersonalKind | None:
    """Say what kind of personal text a property is; all names as ``normalised`` returns them, "" for no parent."""
    if name in _TAGS:
        return "tag"
    if name in _IDENTIFIERS or (name.endswith("serialnumber") and parent not in _CERTIFICATE_HASHES):
        return "identifier"
    if name in _TEXTS or (parent in _COMPANIES and name in _COMPANY_FIELDS):
        return "text"
    if name == "content" and parent in _DISPLAYS:
        return "text"
    # In NotifySettlement.req statusInfo is a sentence of the payment provider; everywhere else it is an object.
    if (action, name) in {("notifycustomerinformation", "data"), ("notifysettlement", "statusinfo")} and not parent:
        return "text"
    return None


def classes_of(action: str, path: tuple[str, ...]) -> frozenset[FieldClass]:
    """Return the classes of the property at ``path`` of an action's request or answer; empty for ordinary fields.

    Args:
        action: such as "ChangeConfiguration", without Request or Response.
        path: names from the root of the payload, without the places in lists.
    """
    names = tuple(normalised(part) for part in path)
    name, parent, about = names[-1], names[-2] if len(names) > 1 else "", normalised(action)
    found: set[FieldClass] = set()
    if is_secret_property(path[-1]) or (parent == "vpn" and name in VPN) or name in TOKENS:
        found.add("A")
    if name in {"attributevalue", "actualvalue"} or (about == "datatransfer" and names == ("data",)):
        found.add("A")
    if name == "value" and (parent in _VALUE_PARENTS or about == "changeconfiguration"):
        found.add("A")
    if personal_kind(name, parent, about) is not None or "customercertificate" in names:
        found.add("B")
    if name in EVIDENCE or (parent in _CERTIFICATE_HASHES and name in _HASH_FIELDS):
        found.add("C")
    return frozenset(found)


_VALUE_PARENTS = ATTRIBUTES | {"configurationkey", "setmonitoringdata"}


def _secret_words(parts: tuple[str, ...]) -> bool:
    if not parts:
        return False
    if parts[-1] == "pass" or any(word in _SECRET_WORDS or word.endswith("psk") for word in parts):
        return True
    joined = "".join(parts)  # "PassWord" and "WiFiKey" are one word to those who write them
    return any(part in joined for part in _SECRET_PARTS) or joined.endswith(_SECRET_KEYS)
