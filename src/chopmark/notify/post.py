"""The one sender: whatever is made for others goes through here, and whatever goes wrong is told without a secret."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import structs

from chopmark.base.settings import Settings
from chopmark.domain.addresses import check_addresses, parse_allowed, parse_place
from chopmark.domain.deliveries import Answer
from chopmark.domain.notices import ForLibrary, HttpMessage, Letter, Message, TargetKind
from chopmark.domain.receivers import Hidden
from chopmark.errors import ChopmarkError, Denied, InvalidRequest, Unsupported
from chopmark.notify.seals import key_from, seal, unseal

if TYPE_CHECKING:
    import ssl

    from chopmark.notify.connections import Resolver

__all__ = ["CheckedPost"]

_ERROR_LENGTH_MAX = 300


class CheckedPost:
    """`chopmark.abc.notify.Post` over the network.

    Parameters
    ----------
    settings
        ``webhook_allow``, ``webhook_timeout_s``, ``webhook_connect_timeout_s``, ``webhook_key``, ``webhook_apprise``.
    directory
        Of the registry, where the key is when no setting has it; None where there is none.
    resolver, context
        Instead of the system's, in tests.
    """

    def __init__(
        self,
        settings: Settings,
        directory: Path | None,
        *,
        resolver: Resolver | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._resolver = resolver
        self._given_context = context
        self._allowed = parse_allowed(settings.webhook_allow)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        import ssl

        return self._given_context or ssl.create_default_context()

    @cached_property
    def _key(self) -> bytes:
        return key_from(self._settings.webhook_key, self._directory)

    def seal(self, webhook: UUID, hidden: Hidden) -> str:
        """See the interface."""
        return seal(self._key, webhook, hidden)

    def unseal(self, webhook: UUID, sealed: str) -> Hidden:
        """See the interface."""
        return unseal(self._key, webhook, sealed)

    def check(self, kind: TargetKind, url: str) -> None:
        """See the interface."""
        if kind == "apprise":
            self._check_library()
            return
        place = parse_place(url, ("smtp", "smtps") if kind == "email" else ("https", "http"))
        try:
            literal = [place.host]
            check_addresses(place, literal, self._allowed)
        except ValueError:  # a name, which is looked up when something is sent
            check_addresses(place, [], self._allowed)

    def send(self, message: Message) -> Answer:
        """See the interface."""
        began_s = time.monotonic()
        answer = self._sent(message)
        return structs.replace(answer, duration_ms=round(1_000 * (time.monotonic() - began_s), 3))

    def _sent(self, message: Message) -> Answer:
        import http.client
        import smtplib
        import ssl

        try:
            match message:
                case HttpMessage():
                    from chopmark.notify.posting import posted

                    return posted(message, **self._limits)
                case Letter():
                    from chopmark.notify.letters import mailed

                    return mailed(message, **self._limits)
                case ForLibrary():
                    return self._by_library(message)
        except ChopmarkError as error:
            return Answer(error=f"{error.message} {error.hint}".strip())
        except smtplib.SMTPResponseException as error:
            text = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else ""
            return Answer(status=error.smtp_code, error="The mail server refused.", body=text[:_ERROR_LENGTH_MAX])
        except smtplib.SMTPRecipientsRefused as error:
            codes = ", ".join(sorted({str(code) for code, _ in error.recipients.values()}))
            return Answer(error=f"The mail server refused all recipients ({codes}).")
        except smtplib.SMTPException as error:
            return Answer(error=f"The mail server refused: {_told(error)}.")
        except ssl.SSLCertVerificationError as error:
            return Answer(error=f"Its certificate is not trusted: {error.verify_message}.")
        except TimeoutError as error:
            return Answer(error=f"It did not answer in time: {_told(error)}.")
        except (OSError, http.client.HTTPException, ValueError) as error:
            return Answer(error=f"There was no answer: {_told(error)}.")

    @cached_property
    def _limits(self) -> dict[str, Any]:
        from chopmark.notify.connections import looked_up

        return {
            "allowed": self._allowed,
            "timeout_s": self._settings.webhook_timeout_s,
            "connect_timeout_s": self._settings.webhook_connect_timeout_s,
            "context": self._context,
            "resolver": self._resolver or looked_up,
        }

    def _check_library(self) -> None:
        if not self._settings.webhook_apprise:
            msg = "The library apprise connects by itself, to whatever address it is given."
            hint = "Say webhook_apprise = 'yes, to any address' where everybody who may make webhooks may reach all."
            raise Denied(msg, hint=hint)
        try:
            import apprise  # noqa: F401 - whether it is there
        except ImportError as error:
            msg = "Receivers of the kind apprise need the library of that name."
            raise Unsupported(msg, hint="pip install 'chopmark[apprise]'") from error

    def _by_library(self, message: ForLibrary) -> Answer:
        self._check_library()
        import apprise

        messenger = apprise.Apprise()
        if not messenger.add(message.url):
            raise InvalidRequest("The library apprise does not know such an address.")
        done = _within(
            self._settings.webhook_timeout_s,
            lambda: messenger.notify(title=message.title, body=message.text, notify_type=message.kind),
        )
        return (
            Answer(status=200) if done else Answer(error="The library apprise could not send it, and does not say why.")
        )


def _within(timeout_s: float, call: Callable[[], object]) -> bool:
    """Whether a call says yes in time; one that hangs is left on its thread."""
    said: list[object] = []
    thread = threading.Thread(target=lambda: said.append(call()), name="chopmark-apprise", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return bool(said and said[0])


def _told(error: Exception) -> str:
    return (str(error).rpartition("] ")[2].strip().rstrip(".") or type(error).__name__)[:_ERROR_LENGTH_MAX]
