"""A version of an LLM configuration, made ready to be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from chopmark.domain.llm import LlmConfig
from chopmark.errors import Unsupported
from chopmark.gateway.chat.limits import ChatLimits
from chopmark.gateway.chat.providers import Provider
from chopmark.gateway.chat.targets import LoadConfig, targets_of

if TYPE_CHECKING:
    from chopmark.gateway.chat.chat import Chat

__all__ = ["open_chat"]


async def open_chat(
    config: LlmConfig, providers: Mapping[str, Provider], load_config: LoadConfig, limits: ChatLimits
) -> Chat:
    """Make a version ready. Nobody is asked yet: that a provider is down is no reason not to load, as it may be up when it is needed.

    Parameters
    ----------
    config
        The version's.
    providers
        Of this installation, by name.
    load_config
        Gives the configuration that a fallback refers to; called on a thread.
    limits
        What providers may take.

    Raises
    ------
    Unsupported
        When the extra ``llm`` is not installed, or a provider is not known here.
    InvalidRequest
        When the configuration cannot be asked with.
    """
    targets = await asyncio.to_thread(targets_of, config, providers, load_config, limits.timeout_s)
    await asyncio.to_thread(_import)
    from chopmark.gateway.chat.chat import Chat
    from chopmark.gateway.chat.upstream import Upstream

    return Chat(targets, Upstream(limits), limits)


def _import() -> None:
    """Import the client of HTTP, which takes longer than the event loop should wait."""
    try:
        import chopmark.gateway.chat.upstream  # noqa: F401
    except ImportError as error:
        msg = "Endpoints of language models need aiohttp, which is not installed."
        raise Unsupported(msg, hint="pip install 'chopmark[llm]'") from error
