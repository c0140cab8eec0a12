"""What telling others asks of whatever reaches them."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from chopmark.domain.deliveries import Answer
from chopmark.domain.notices import Message, TargetKind
from chopmark.domain.receivers import Hidden

__all__ = ["Post"]


class Post(Protocol):
    """Sends what is made for others, and keeps what only sending needs."""

    def send(self, message: Message) -> Answer:
        """Send something, within the limits of time; whatever goes wrong is an answer with an error."""
        ...

    def check(self, kind: TargetKind, url: str) -> None:
        """Refuse an address to which nothing could be sent, as far as that can be told without asking anybody.

        Raises
        ------
        Denied
            When it is forbidden.
        Unsupported
            When this installation cannot send there.
        """
        ...

    def seal(self, webhook: UUID, hidden: Hidden) -> str:
        """What is hidden of a webhook, as it may be stored."""
        ...

    def unseal(self, webhook: UUID, sealed: str) -> Hidden:
        """What was sealed.

        Raises
        ------
        IntegrityFailure
            When it was sealed with another key, or for another webhook.
        """
        ...
