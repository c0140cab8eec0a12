"""What PostgreSQL's errors mean, as our own. Importing this needs psycopg."""

from __future__ import annotations

from chopmark.catalog.faults import missing, never_changes, taken
from chopmark.errors import (
    ChopmarkError,
    Denied,
    InvalidRequest,
    TimedOut,
    Unavailable,
    Unsupported,
)

try:
    from psycopg import DataError, Error, InterfaceError, OperationalError, errors
except ImportError as error:
    msg = "A catalog in PostgreSQL needs psycopg, which is not installed."
    raise Unsupported(msg, hint="pip install 'chopmark[postgres]'") from error

__all__ = ["postgres_fault"]


def postgres_fault(error: Exception) -> Exception:
    """Our error for one of psycopg's; the same error when it tells of a fault in our code."""
    if not isinstance(error, Error):
        return error
    reason = " ".join((error.diag.message_primary or str(error)).split())
    return _of_constraints(error, reason) or _of_waiting(error, reason) or _of_server(error, reason) or error


def _of_constraints(error: Error, reason: str) -> ChopmarkError | None:
    match error:
        case errors.UniqueViolation():
            return taken()
        case errors.NotNullViolation() | errors.ForeignKeyViolation():
            return missing()
        case errors.RaiseException():
            return never_changes(reason)
        case _:
            return None


def _of_waiting(error: Error, reason: str) -> ChopmarkError | None:
    match error:
        case errors.SerializationFailure() | errors.DeadlockDetected():
            message = f"The change met another one of the same rows, and was given up: {reason}."
            return Unavailable(message, hint="Nothing was stored; do it again.")
        case errors.LockNotAvailable():
            message = "Others have been changing the same rows for as long as the limit allows."
            hint = "Try again, or raise the lock timeout in the settings."
            return TimedOut(message, hint=hint)
        case errors.QueryCanceled():
            message = f"PostgreSQL stopped the statement: {reason}."
            hint = "Ask for less at once, or raise the statement timeout in the settings."
            return TimedOut(message, hint=hint)
        case _:
            return None


def _of_server(error: Error, reason: str) -> ChopmarkError | None:
    match error:
        case errors.InsufficientPrivilege():
            message = f"PostgreSQL refused: {reason}."
            return Denied(message, hint="Grant the user the rights on the catalog's schema.")
        case errors.UndefinedTable() | errors.UndefinedColumn() | errors.InvalidSchemaName():
            message = f"The catalog's tables are not as this code needs them: {reason}."
            return Unavailable(message, hint="Run: chopmark db upgrade")
        case errors.InFailedSqlTransaction():
            message = "An earlier error ended this transaction."
            return InvalidRequest(message, hint="Leave the with block, and begin again.")
        case DataError():
            return InvalidRequest(f"The database cannot hold this: {reason}.")
        case OperationalError() | InterfaceError():
            message = f"PostgreSQL does not answer: {reason}."
            return Unavailable(message, hint="Check that the server runs, then try again.")
        case _:
            return None
