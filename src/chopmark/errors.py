"""Every error that Chopmark raises on purpose: one tree, each class with a stable code.

    ChopmarkError
    ├── InvalidRequest       what was asked cannot be meant          (also ValueError)
    │   ├── TooLarge           more was sent at a time than is taken
    │   └── UnsupportedMedia   a body is of a type or packed in a way that is not read
    ├── NotFound             nothing has that name                   (also LookupError)
    ├── Conflict             the state of the registry forbids it
    │   └── PreconditionFailed it is no longer what the caller saw
    ├── Denied               the actor or the trust setting forbids it (also PermissionError)
    │   └── Unauthenticated    a server does not know who asks
    ├── GateRefused          a policy said no; carries its findings
    ├── IntegrityFailure     bytes are not the bytes that were recorded
    ├── ModelFailed          a model raised, or ended its process, on what it was asked
    ├── Unsupported          this installation cannot do it; says what to install
    └── Unavailable          a store, database or server does not answer (also ConnectionError)
        ├── TimedOut         it did not answer within the limit        (also TimeoutError)
        │   └── ModelTimeout   a model did not
        ├── QueueFull        so many requests wait for a model that further ones are refused
        └── RateLimited      it was asked too often

    ChopmarkWarning          something went on, and somebody should know
    ├── AlreadyRegistered    the same content was registered before
    ├── DeprecatedVersion    a version is loaded that should no longer be used
    ├── FrameworkMismatch    a model is loaded with another version of its framework
    ├── NotProfiled          no reference profile of a data set was made
    └── ListenerFailed       a function given to ``on`` raised; the change stands

A caller catches the class for what can be done about it. The message says what happened and why;
``hint`` says what to do next.
"""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = [
    "AlreadyRegistered",
    "ChopmarkError",
    "ChopmarkWarning",
    "Conflict",
    "Denied",
    "DeprecatedVersion",
    "FrameworkMismatch",
    "GateRefused",
    "IntegrityFailure",
    "InvalidRequest",
    "ListenerFailed",
    "ModelFailed",
    "ModelTimeout",
    "NotFound",
    "NotProfiled",
    "OfflineAnswer",
    "PreconditionFailed",
    "QueueFull",
    "RateLimited",
    "TimedOut",
    "TooLarge",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "UnsupportedMedia",
    "from_code",
]


class ChopmarkError(Exception):
    """Base of all errors raised by Chopmark.

    Parameters
    ----------
    message
        What happened and why, one or two sentences.
    hint
        What to do next; empty when the message already says it.
    details
        Machine-readable facts (JSON values) for programs that handle the error.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.details)


def _rebuild(kind: type[ChopmarkError], message: str, hint: str, details: dict[str, Any]) -> ChopmarkError:
    return kind(message, hint=hint, **details)


class InvalidRequest(ChopmarkError, ValueError):
    """The request cannot be meant: a bad name, number, reference, filter or cursor."""

    code = "invalid_request"


class TooLarge(InvalidRequest):
    """More was sent at a time than is taken."""

    code = "too_large"


class UnsupportedMedia(InvalidRequest):
    """A body is of a type, or packed in a way, that is not read."""

    code = "unsupported_media"


class NotFound(ChopmarkError, LookupError):
    """Nothing has that name, number, alias or digest (or the caller may not see it)."""

    code = "not_found"


class Conflict(ChopmarkError):
    """The state of the registry forbids it: already exists, still in use, a move not allowed."""

    code = "conflict"


class PreconditionFailed(Conflict):
    """What was to be changed is no longer what the caller saw: its ``ETag`` is another."""

    code = "precondition_failed"


class Denied(ChopmarkError, PermissionError):
    """The actor lacks the permission, or no trust decision allows code to run."""

    code = "denied"

    def __str__(self) -> str:  # PermissionError would format errno and strerror
        return ChopmarkError.__str__(self)


class Unauthenticated(Denied):
    """A server does not know who asks: no token, or one that is wrong, expired or revoked."""

    code = "unauthenticated"


class GateRefused(ChopmarkError):
    """A policy gate refused; ``findings`` lists every reason, not only the first."""

    code = "gate_refused"

    @property
    def findings(self) -> list[str]:
        """Every reason the gate gave."""
        return list(self.details.get("findings", ()))


class IntegrityFailure(ChopmarkError):
    """Stored bytes are missing or are not the bytes that were recorded. Nothing was loaded."""

    code = "integrity_failure"


class ModelFailed(ChopmarkError):
    """A model raised on what it was asked, answered what it had not promised, or ended the process it ran in."""

    code = "model_failed"


class Unsupported(ChopmarkError):
    """The installation cannot do it: an extra is not installed, or a format cannot hold it."""

    code = "unsupported"


class Unavailable(ChopmarkError, ConnectionError):
    """A database, store or server does not answer, or is not ready to."""

    code = "unavailable"

    def __str__(self) -> str:  # OSError would format errno and strerror
        return ChopmarkError.__str__(self)


class TimedOut(Unavailable, TimeoutError):
    """No answer within the limit; the limit is a setting."""

    code = "timed_out"


class ModelTimeout(TimedOut):
    """A model did not answer within the endpoint's limit."""

    code = "model_timeout"


class QueueFull(Unavailable):
    """So many requests wait for a model that no further one is taken; ``details`` say after how many seconds to try again."""

    code = "queue_full"


class RateLimited(Unavailable):
    """It was asked too often; ``details`` say after how many seconds to try again."""

    code = "rate_limited"


class ChopmarkWarning(UserWarning):
    """Base of all warnings issued by Chopmark."""


class AlreadyRegistered(ChopmarkWarning):
    """The same content was registered before; the existing version was given back."""


class DeprecatedVersion(ChopmarkWarning):
    """A version is loaded that should no longer be used."""


class FrameworkMismatch(ChopmarkWarning):
    """A model is loaded with another version of its framework than it was made with."""


class NotProfiled(ChopmarkWarning):
    """No reference profile of a data set was made, though it has rows; the version is registered without."""


class OfflineAnswer(ChopmarkWarning):
    """A server does not answer; what it said before of a version that was loaded is used."""


class ListenerFailed(ChopmarkWarning):
    """A function given to ``on`` raised. The change it was told of stands."""


_BY_CODE: dict[str, type[ChopmarkError]] = {
    kind.code: kind
    for kind in (
        InvalidRequest,
        NotFound,
        Conflict,
        Denied,
        GateRefused,
        IntegrityFailure,
        Unsupported,
        Unavailable,
        TimedOut,
        TooLarge,
        UnsupportedMedia,
        PreconditionFailed,
        Unauthenticated,
        RateLimited,
        ModelFailed,
        ModelTimeout,
        QueueFull,
    )
}


def from_code(code: str) -> type[ChopmarkError]:
    """Class of the error with this stable code (`ChopmarkError` for one we do not know)."""
    return _BY_CODE.get(code, ChopmarkError)
