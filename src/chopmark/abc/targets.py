"""What a target is: a place other than the local gateways that makes an endpoint answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from chopmark.domain.endpoints import Endpoint
from chopmark.domain.live import LiveEndpoint

__all__ = ["RenderedFile", "Target"]


class RenderedFile(NamedTuple):
    """A file that a target is told by.

    Attributes
    ----------
    name
        Without a directory.
    text
        All of it.
    """

    name: str
    text: str


class Target(Protocol):
    """Makes files of an endpoint, applies them, and sees what came of it.

    Attributes
    ----------
    name
        What `EndpointConfig.target` says.
    options
        A struct of what it takes beside the endpoint; texts that people give are converted to its types.
    """

    name: str
    options: type[msgspec.Struct]

    def render(self, endpoint: Endpoint, options: msgspec.Struct) -> Sequence[RenderedFile]:
        """What it is told by: the same for the same endpoint and options, byte for byte.

        Raises
        ------
        InvalidRequest
            When the options cannot be.
        """
        ...

    def apply(self, endpoint: Endpoint, options: msgspec.Struct) -> str:
        """Make it so, and say what was done. Doing it again changes nothing.

        Raises
        ------
        Unsupported
            When that is for people to do; the hint says how.
        """
        ...

    def observe(self, endpoint: Endpoint, live: LiveEndpoint) -> LiveEndpoint:
        """What is live there.

        Parameters
        ----------
        live
            What routers report of it.
        """
        ...
