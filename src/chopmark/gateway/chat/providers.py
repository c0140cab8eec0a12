"""Who serves language models, and where: what this installation says, never the registry."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest

__all__ = ["Provider", "providers_of"]

_PATH = "/chat/completions"


class Provider:
    """A provider: its name, where it is, and the key that lets us in.

    Parameters
    ----------
    name
        As configurations call it.
    url
        Of its API, as ``https://api.openai.com/v1``.
    key
        A secret, shown nowhere; empty when none is asked for.
    """

    __slots__ = ("key", "name", "url")

    def __init__(self, name: str, url: str, key: str = "") -> None:
        self.name = name
        self.url = url
        self.key = key

    def __repr__(self) -> str:
        return f"<provider {self.name} · {self.url} · {'with' if self.key else 'without'} a key>"

    @property
    def completions_url(self) -> str:
        """Where completions of chats are asked for."""
        return self.url + _PATH


def providers_of(addresses: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, Provider]:
    """The providers of an installation, by their names in small letters.

    Parameters
    ----------
    addresses, keys
        By name.

    Raises
    ------
    InvalidRequest
        When an address cannot be one, or there is a key for none.
    """
    found = {name.casefold(): Provider(name, _checked(name, url)) for name, url in addresses.items()}
    for name, key in keys.items():
        provider = found.get(name.casefold())
        if provider is None:
            msg = f"llm_keys names a key for {shown(name)}, and llm_providers says not where that is."
            raise InvalidRequest(msg, hint=f"Add it: llm_providers = '{name}=https://…/v1'.")
        provider.key = key
    return found


def _checked(name: str, url: str) -> str:
    hint = f"Write it like {name}=https://api.example.com/v1."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidRequest(
            f"The address of {shown(name)} in llm_providers cannot be one: {error}.", hint=hint
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise InvalidRequest(
            f"The address of {shown(name)} in llm_providers is no http:// or https:// address.", hint=hint
        )
    if parts.username is not None or parts.password is not None:
        msg = f"The address of {shown(name)} in llm_providers holds a user or a password."
        raise InvalidRequest(msg, hint="Addresses are shown; name a variable with the key in llm_keys.")
    if parts.query or parts.fragment:
        raise InvalidRequest(f"The address of {shown(name)} in llm_providers holds a query or a fragment.", hint=hint)
    return url.rstrip("/")
