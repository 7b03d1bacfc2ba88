"""Every error this package raises on purpose, in one tree.

* :exc:`OcppMongoError`

  * :exc:`SettingError` (also a ``ValueError``)
  * :exc:`ArgumentError` (also a ``ValueError``)
  * :exc:`NotFoundError` (also a ``LookupError``)
  * :exc:`NotStartedError` (also a ``RuntimeError``)
  * :exc:`StoreUnavailableError`

    * :exc:`AccessDeniedError`

  * :exc:`ImportFormatError` (also a ``ValueError``)

None of them ever holds a password or the text of a driver's error: those can quote whole documents. Nothing of
this is ever raised into a recorded ChargePoint.
"""

from __future__ import annotations


class OcppMongoError(Exception):
    """Anything that went wrong in this package."""


class SettingError(OcppMongoError, ValueError):
    """A setting is wrong; the sentence names it and says what it takes."""


class ArgumentError(OcppMongoError, ValueError):
    """An argument of a query or an update is wrong."""


class NotFoundError(OcppMongoError, LookupError):
    """The document that was asked for is not there."""


class NotStartedError(OcppMongoError, RuntimeError):
    """The plugin was used before ``start`` or after ``close``."""


class StoreUnavailableError(OcppMongoError):
    """MongoDB did not answer in time, or refused the operation."""


class AccessDeniedError(StoreUnavailableError):
    """MongoDB refused the user name, the password, or a right."""


class ImportFormatError(OcppMongoError, ValueError):
    """A file or a line of an import is not in the interchange format."""
