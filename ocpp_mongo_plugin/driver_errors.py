"""What the driver's errors mean, and how they are told.

Hides PyMongo's exceptions and the server's error codes. Promises that nothing of a document and no password gets
into a text: ``str(BulkWriteError)`` quotes whole documents, so an error is told by its class, its codes and the
server's names for them, never by its own words.
"""

from __future__ import annotations

import enum
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bson.errors import BSONError
from pydantic import ValidationError
from pymongo import AsyncMongoClient, MongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.database import Database
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    NotPrimaryError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
    WriteError,
)

from ocpp_mongo_plugin.errors import AccessDeniedError, ArgumentError, OcppMongoError, StoreUnavailableError


class ErrorClass(enum.Enum):
    """What a writer does about an error."""

    DUPLICATE = "duplicate"
    """All that was refused is stored already, under the same ``_id``: success."""
    POISON = "poison"
    """A document is refused, and will be again: find it, set it aside, write the others."""
    RETRY = "retry"
    """Nobody knows whether it was written, or the server is changing over: write all of it again."""
    SICK = "sick"
    """The server is ill: again, after a long pause, and say so."""
    CONFIGURATION = "configuration"
    """A person must mend a right, a name or an index: keep what waits, say so, try now and then."""


_DUPLICATE_CODES = frozenset({11000, 11001, 12582})

# Names as in mongod's error_codes.yml.
_POISON_CODES = frozenset(
    {
        2,  # BadValue; over 16 MiB
        9,  # FailedToParse
        14,  # TypeMismatch
        15,  # Overflow; nested too deeply
        22,  # InvalidBSON
        52,  # DollarPrefixedFieldName
        53,  # InvalidIdField
        56,  # EmptyFieldName
        57,  # DottedFieldName
        66,  # ImmutableField
        121,  # DocumentValidationFailure
        10334,  # BSONObjectTooLarge
        16755,  # a geospatial index of somebody else's cannot take it
        17280,  # KeyTooLong
        17419,  # the updated document is over 16 MiB
        17420,  # the document is over 16 MiB
    }
)
_RETRY_CODES = frozenset(
    {
        6,  # HostUnreachable
        7,  # HostNotFound
        24,  # LockTimeout
        43,  # CursorNotFound
        46,  # LockBusy
        50,  # MaxTimeMSExpired
        64,  # WriteConcernFailed
        89,  # NetworkTimeout
        91,  # ShutdownInProgress
        100,  # UnsatisfiableWriteConcern
        112,  # WriteConflict
        133,  # FailedToSatisfyReadPreference
        189,  # PrimarySteppedDown
        202,  # NetworkInterfaceExceededTimeLimit
        234,  # RetryChangeStream
        262,  # ExceededTimeLimit
        9001,  # SocketException
        10058,  # LegacyNotPrimary
        10107,  # NotWritablePrimary
        11600,  # InterruptedAtShutdown
        11601,  # Interrupted
        11602,  # InterruptedDueToReplStateChange
        13388,  # StaleConfig
        13435,  # NotPrimaryNoSecondaryOk
        13436,  # NotPrimaryOrSecondary
    }
)
_ACCESS_CODES = frozenset(
    {
        11,  # UserNotFound
        13,  # Unauthorized
        18,  # AuthenticationFailed
        31,  # RoleNotFound
        334,  # MechanismUnavailable
        391,  # ReauthenticationRequired
        8000,  # AtlasError: most often a wrong password there
    }
)
_CONFIGURATION_CODES = _ACCESS_CODES | {
    20,  # IllegalOperation
    26,  # NamespaceNotFound
    59,  # CommandNotFound
    67,  # CannotCreateIndex
    72,  # InvalidOptions
    73,  # InvalidNamespace
    85,  # IndexOptionsConflict
    86,  # IndexKeySpecsConflict
    166,  # CommandNotSupportedOnView
    13297,  # DatabaseDifferCase
}

_SICK_CODES = frozenset(
    {
        1,  # InternalError
        8,  # UnknownError
        96,  # OperationFailed
        146,  # ExceededMemoryLimit
        14031,  # OutOfDiskSpace
    }
)

# The first of these that any part of an error belongs to is what the whole of it is: what must be written again
# must be written again whatever became of the rest.
_GRAVEST_FIRST = (
    ErrorClass.RETRY,
    ErrorClass.CONFIGURATION,
    ErrorClass.SICK,
    ErrorClass.POISON,
    ErrorClass.DUPLICATE,
)

_CAUSES = {
    "onnection refused": "connection refused",
    "Name or service not known": "there is no such host",
    "nodename nor servname": "there is no such host",
    "getaddrinfo failed": "there is no such host",
    "name resolution": "the name of the host cannot be looked up now",
    "unreachable": "the host, or its network, cannot be reached",
    "CERTIFICATE_VERIFY_FAILED": "its TLS certificate is not trusted",
}
"""What the driver's text says when no server could be reached, and what that means."""
_SERVER_NAME = re.compile(r"[A-Za-z]\w{1,60}", re.ASCII)
_INDEX_OF_DUPLICATE = re.compile(r"index: (?:\S+\.\$)?(\S+)")


def classify(error: BaseException) -> ErrorClass:
    """Return what a writer does about an error that a write raised.

    What the client itself refuses (``InvalidDocument``, ``OverflowError``, ``UnicodeEncodeError``, ...) is poison: it
    was raised by some document, before any was sent.
    """
    if isinstance(error, BulkWriteError):
        return _of_bulk(error.details or {})
    if isinstance(error, NotPrimaryError | ConnectionFailure | ExecutionTimeout | WriteConcernError):
        return ErrorClass.RETRY
    if isinstance(error, DuplicateKeyError):
        return classify_write({"code": 11000, "errmsg": str(error), **(error.details or {})})
    if isinstance(error, OperationFailure):
        return _of_failure(error)
    if isinstance(error, ConfigurationError | InvalidOperation):
        return ErrorClass.CONFIGURATION
    if isinstance(error, PyMongoError):
        return ErrorClass.RETRY if error.timeout else ErrorClass.SICK
    return ErrorClass.POISON


def classify_write(error: Mapping[str, Any]) -> ErrorClass:
    """Return what one entry of ``BulkWriteError.details["writeErrors"]`` means."""
    code = error.get("code")
    if code in _DUPLICATE_CODES:
        return ErrorClass.DUPLICATE if _is_of_id(error) else ErrorClass.POISON
    # An entry speaks of one document, so what it says of no other kind is that document's own fault.
    return _of_code(code) or ErrorClass.POISON


def describe(error: BaseException) -> str:
    """Return an error's class, its codes and the server's names for them: "OperationFailure 13 (Unauthorized)"."""
    name, details = type(error).__name__, getattr(error, "details", None)
    if not isinstance(error, PyMongoError) or not isinstance(details, Mapping):
        return name
    if isinstance(error, BulkWriteError):
        told = [_tally(title, details.get(key)) for title, key in _BULK_PARTS]
        return f"{name} ({'; '.join(part for part in told if part)})"
    number = details.get("code", getattr(error, "code", None))
    server_name = str(details.get("codeName") or "")
    code = f" {number}" if isinstance(number, int) else ""
    return f"{name}{code} ({server_name})" if _SERVER_NAME.fullmatch(server_name) else f"{name}{code}"


@contextmanager
def translated(what: str, database: object = None) -> Iterator[None]:
    """Turn what the driver raises in the block into this package's errors.

    Args:
        what: what is being done, as it reads after "while": "reading transactions".
        database: a database or client of the driver, whose hosts the sentence names; never its credentials.

    Raises:
        AccessDeniedError: MongoDB refused the user, the password, or a right.
        StoreUnavailableError: MongoDB cannot be reached, did not answer in time, or is changing over.
        ArgumentError: a value cannot be written as BSON: an integer over 64 bits, half a surrogate pair.
        OcppMongoError: anything else that the driver refused, or a document that is not as its model has it.
    """
    # "from None" below: the driver's own text may quote whole documents, and a traceback would print it.
    try:
        yield
    except (OverflowError, UnicodeEncodeError):
        refusal = "an integer over 64 bits, or half a surrogate pair, which MongoDB cannot hold"
        raise ArgumentError(f"a value that was given, while {what}, is or holds {refusal}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        found = f"a {error.title} is not as this version stores it: {place}: {first['msg']}"
        raise OcppMongoError(f"{found} (while {what})") from None
    except (PyMongoError, BSONError) as error:
        server, told = _server(database), describe(error)
        if isinstance(error, OperationFailure) and error.code in _ACCESS_CODES:
            sentence = f"{server} refused the user, the password, or a right, while {what}: {told}"
            raise AccessDeniedError(sentence) from None
        if isinstance(error, PyMongoError) and classify(error) in (ErrorClass.RETRY, ErrorClass.SICK):
            cause = _cause(error)
            if cause is not None:
                raise StoreUnavailableError(f"{server} does not answer while {what}: {cause}") from None
            raise StoreUnavailableError(f"{server} did not answer as it should while {what}: {told}") from None
        raise OcppMongoError(f"{server} could not be used while {what}: {told}") from None


def _cause(error: PyMongoError) -> str | None:
    """Return why no server could be reached, in words of our own: those of the driver may quote anything."""
    if not isinstance(error, ServerSelectionTimeoutError):
        return None
    told = str(error)
    return next((cause for words, cause in _CAUSES.items() if words in told), None)


def hosts_of(database: object) -> str | None:
    """Return the "host:port" of each server of a database or client of the driver, joined by commas.

    None where the driver does not say, as in memory.
    """
    # A PyMongo database answers to any attribute with a collection, so it must not be asked for ``delegate``, under
    # which Motor keeps it.
    is_own = isinstance(database, Database | AsyncDatabase | MongoClient | AsyncMongoClient)
    own = database if is_own else getattr(database, "delegate", None)
    client = own.client if isinstance(own, Database | AsyncDatabase) else own
    if not isinstance(client, MongoClient | AsyncMongoClient):
        return None
    addresses = client.topology_description.server_descriptions()
    return ", ".join(sorted(f"{host}:{port}" if port else host for host, port in addresses)) or None


_BULK_PARTS = (("writes refused", "writeErrors"), ("write concern", "writeConcernErrors"))


def _of_bulk(details: Mapping[str, Any]) -> ErrorClass:
    if details.get("writeConcernErrors"):
        return ErrorClass.RETRY
    found = {classify_write(entry) for entry in details.get("writeErrors") or []}
    return next((kind for kind in _GRAVEST_FIRST if kind in found), ErrorClass.RETRY)


def _of_failure(error: OperationFailure) -> ErrorClass:
    if error.has_error_label("RetryableWriteError") or error.has_error_label("TransientTransactionError"):
        return ErrorClass.RETRY
    # A code unknown here: of one write, it is that document's; of a whole command, trying again loses nothing.
    return _of_code(error.code) or (ErrorClass.POISON if isinstance(error, WriteError) else ErrorClass.SICK)


def _of_code(code: object) -> ErrorClass | None:
    if code in _RETRY_CODES:
        return ErrorClass.RETRY
    if code in _CONFIGURATION_CODES:
        return ErrorClass.CONFIGURATION
    if code in _POISON_CODES:
        return ErrorClass.POISON
    if code in _SICK_CODES:
        return ErrorClass.SICK
    return None


def _is_of_id(error: Mapping[str, Any]) -> bool:
    """Whether a duplicate is one of ``_id``, rather than of another unique index."""
    pattern = error.get("keyPattern")
    if isinstance(pattern, Mapping):
        return list(pattern) == ["_id"]
    # mongomock, and servers before 4.2, give no pattern; mongomock does not name the index either.
    index = _INDEX_OF_DUPLICATE.search(str(error.get("errmsg") or ""))
    return index is None or index[1].startswith("_id")


def _tally(title: str, errors: object) -> str:
    if not isinstance(errors, list) or not errors:
        return ""
    counts = Counter(str(entry.get("code")) for entry in errors if isinstance(entry, Mapping))
    return f"{title}: " + ", ".join(f"{code} x{number}" for code, number in sorted(counts.items()))


def _server(database: object) -> str:
    hosts = hosts_of(database)
    return f"MongoDB at {hosts}" if hosts else "MongoDB"
