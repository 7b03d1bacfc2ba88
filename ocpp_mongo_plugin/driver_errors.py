"""What an error of the driver means, without its text.

Hides the driver's classes and MongoDB's codes. Promises that nothing said here quotes a document or a password: the
text of a driver's error can hold both.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from contextlib import contextmanager

from bson.errors import BSONError
from pymongo.errors import (
    BulkWriteError,
    ConfigurationError,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidOperation,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from ocpp_mongo_plugin.errors import AccessDeniedError, OcppMongoError, StoreUnavailableError

_DUPLICATE = frozenset({11000, 11001})
_POISON = frozenset({2, 15, 22, 52, 53, 121, 10334, 17419, 17420, 51024})
_RETRY = frozenset(
    {
        6,
        7,
        24,
        50,
        63,
        64,
        89,
        91,
        100,
        112,
        189,
        262,
        317,
        358,
        9001,
        10058,
        10107,
        11600,
        11601,
        11602,
        13388,
        13435,
        13436,
        43,
        237,
    }
)
_SICK = frozenset({14031, 17280, 39, 12501})
_CONFIGURATION = frozenset({13, 18, 67, 73, 85, 86, 8000, 20, 59})
_DENIED = frozenset({13, 18, 8000})


class ErrorClass(enum.Enum):
    """What to do about an error."""

    DUPLICATE = "there already: success"
    POISON = "one document is refused: dead letter"
    RETRY = "again, with back-off"
    SICK = "again, with a long back-off"
    CONFIGURATION = "pause and probe: a person must act"
    UNKNOWN = "again, with back-off: nobody has seen it before"


def classify(error: BaseException) -> ErrorClass:
    """Return what to do about an error of the driver."""
    if isinstance(error, BulkWriteError):
        return _of_bulk(error)
    if isinstance(error, DuplicateKeyError):
        return ErrorClass.DUPLICATE
    if isinstance(error, DocumentTooLarge | BSONError | OverflowError | UnicodeError | RecursionError):
        return ErrorClass.POISON
    if isinstance(error, ConfigurationError):
        return ErrorClass.CONFIGURATION
    if isinstance(error, OperationFailure):
        return _of_code(error.code)
    if isinstance(error, PyMongoError):
        return ErrorClass.RETRY
    return ErrorClass.UNKNOWN


def describe(error: BaseException) -> str:
    """Return the class and code of an error, and nothing of its text."""
    code = getattr(error, "code", None)
    if isinstance(error, BulkWriteError):
        details = error.details or {}
        errors = [*details.get("writeErrors", []), *details.get("writeConcernErrors", [])]
        codes = sorted({str(one.get("code")) for one in errors})
        return f"{type(error).__name__}, code {', '.join(codes)}"
    if isinstance(error, OperationFailure):
        name = (error.details or {}).get("codeName")
        return f"{type(error).__name__}, code {code}{f' {name}' if name else ''}"
    return type(error).__name__


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn errors of the driver into errors of this package; ``what`` says what was tried, as in "reading".

    Raises:
        AccessDeniedError: MongoDB refused the credentials or a right.
        StoreUnavailableError: it could not be reached in time.
        OcppMongoError: it refused the operation.
    """
    try:
        yield
    except PyMongoError as error:
        raise _translation(what, error) from None


def _translation(what: str, error: PyMongoError) -> OcppMongoError:
    if isinstance(error, OperationFailure) and error.code in _DENIED:
        return AccessDeniedError(
            f"MongoDB refused {what} ({describe(error)}); check user name, password and roles"
        )
    if isinstance(error, ServerSelectionTimeoutError | ExecutionTimeout) or error.timeout:
        return StoreUnavailableError(
            f"MongoDB did not answer in time while {what}; is it running and reachable?"
        )
    if isinstance(error, InvalidOperation):
        return StoreUnavailableError(f"the MongoDB client was closed while {what}")
    if classify(error) in (ErrorClass.RETRY, ErrorClass.SICK):
        return StoreUnavailableError(f"MongoDB failed while {what} ({describe(error)}); try again")
    return OcppMongoError(f"MongoDB refused {what} ({describe(error)})")


def _of_code(code: int | None) -> ErrorClass:
    for codes, meaning in (
        (_DUPLICATE, ErrorClass.DUPLICATE),
        (_POISON, ErrorClass.POISON),
        (_RETRY, ErrorClass.RETRY),
        (_SICK, ErrorClass.SICK),
        (_CONFIGURATION, ErrorClass.CONFIGURATION),
    ):
        if code in codes:
            return meaning
    return ErrorClass.UNKNOWN


def _of_bulk(error: BulkWriteError) -> ErrorClass:
    details = error.details or {}
    if details.get("writeConcernErrors"):
        return ErrorClass.RETRY
    meanings = {_of_code(one.get("code")) for one in details.get("writeErrors", [])}
    for meaning in (ErrorClass.SICK, ErrorClass.RETRY, ErrorClass.CONFIGURATION, ErrorClass.POISON):
        if meaning in meanings:
            return meaning
    return ErrorClass.DUPLICATE if meanings == {ErrorClass.DUPLICATE} else ErrorClass.UNKNOWN
