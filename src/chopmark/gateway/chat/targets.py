"""Whom a configuration asks: its own model first, then what it falls back to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from chopmark.domain.llm import LlmConfig, is_reference
from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest, Unsupported
from chopmark.gateway.chat.asked import check_params
from chopmark.gateway.chat.providers import Provider

__all__ = ["FALLBACKS_MAX", "LoadConfig", "Target", "targets_of"]

FALLBACKS_MAX = 3

LoadConfig = Callable[[str], LlmConfig]
"""Gives the configuration that a reference means; may block."""


class Target(NamedTuple):
    """A model at its provider.

    Attributes
    ----------
    provider
        Who serves it.
    config
        How it is asked.
    timeout_s
        How long the whole answer may take.
    """

    provider: Provider
    config: LlmConfig
    timeout_s: float

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.provider.name} {self.config.model}"


def targets_of(
    config: LlmConfig, providers: Mapping[str, Provider], load_config: LoadConfig, timeout_s: float
) -> tuple[Target, ...]:
    """Everybody who may be asked, in their order.

    Raises
    ------
    Unsupported
        When nobody has said where a provider is.
    InvalidRequest
        When fallbacks go round in a circle or too far, or params set what is not theirs.
    Exception
        What ``load_config`` raises.
    """
    targets = [_target(config, providers, timeout_s)]
    while config.fallback:
        if is_reference(config.fallback):
            config = load_config(config.fallback)
        else:
            # What the other model costs is not what this one does, and nobody has said.
            config = msgspec.structs.replace(
                config,
                model=config.fallback,
                model_version="",
                fallback="",
                cost_per_1k_input_tokens=None,
                cost_per_1k_output_tokens=None,
            )
        target = _target(config, providers, timeout_s)
        if any(known.config == config for known in targets):
            raise InvalidRequest(f"The fallbacks come back to {target.words}.", hint="Let one of them name none.")
        targets.append(target)
        if len(targets) > FALLBACKS_MAX + 1:
            raise InvalidRequest(f"There are more than {FALLBACKS_MAX} fallbacks behind each other.")
    return tuple(targets)


def _target(config: LlmConfig, providers: Mapping[str, Provider], timeout_s: float) -> Target:
    provider = providers.get(config.provider.strip().casefold())
    if provider is None:
        msg = f"Where the provider {shown(config.provider)} is, this gateway was not told."
        raise Unsupported(msg, hint=f"Set llm_providers = '{config.provider.strip()[:60]}=https://…/v1' where it runs.")
    check_params(config)
    return Target(provider, config, timeout_s if config.timeout_s is None else config.timeout_s)
