"""LLM configurations: which model of which provider, and how it is asked."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec

from chopmark.base.jsons import converted
from chopmark.domain.names import shown
from chopmark.domain.refs import parse_ref
from chopmark.errors import InvalidRequest

__all__ = ["LlmConfig", "TokenUsage", "cost_usd", "is_reference", "parse_llm_config", "tokens_about"]

_BYTES_PER_TOKEN = 4


class LlmConfig(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a language model is asked; registered, versioned and promoted like any other model.

    Attributes
    ----------
    provider
        Who serves it, for example ``openai``, ``anthropic``, ``bedrock``, ``vllm``.
    model
        The provider's name of the model.
    model_version
        Snapshot or revision, when the provider has one: recorded, and not sent. Where the provider names snapshots, ``model`` is
        the snapshot's name.
    temperature, top_p
        Sampling; 0 ≤ temperature ≤ 2, 0 < top_p ≤ 1.
    max_tokens
        Most tokens of an answer.
    timeout_s
        Longest wait for an answer, in seconds.
    system_prompt
        What every conversation starts with.
    params
        Anything else the provider takes.
    fallback
        Model asked when this one fails: a name at the same provider, or a reference to another
        registered configuration (see `is_reference`).
    cost_per_1k_input_tokens, cost_per_1k_output_tokens
        Price in US dollars.
    """

    provider: str
    model: str
    model_version: str = ""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    timeout_s: float | None = None
    system_prompt: str = ""
    params: dict[str, Any] = {}
    fallback: str = ""
    cost_per_1k_input_tokens: float | None = None
    cost_per_1k_output_tokens: float | None = None


class TokenUsage(NamedTuple):
    """Tokens of a request and its answer.

    Attributes
    ----------
    input_tokens, output_tokens
        How many.
    is_estimated
        Whether they were guessed from the length of the texts, as the provider did not say.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    is_estimated: bool = False


_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0.0, 2.0),
    "top_p": (1e-9, 1.0),
    "max_tokens": (1, 10_000_000),
    "timeout_s": (1e-3, 86_400.0),
    "cost_per_1k_input_tokens": (0.0, 1e6),
    "cost_per_1k_output_tokens": (0.0, 1e6),
}


def parse_llm_config(config: dict[str, Any]) -> LlmConfig:
    """Read and check a configuration.

    Raises
    ------
    InvalidRequest
        When a field is missing, unknown, of the wrong type or out of range.
    """
    try:
        parsed = converted(config, LlmConfig)
    except msgspec.ValidationError as error:
        msg = f"The LLM configuration is not valid: {error}."
        known = ", ".join(LlmConfig.__struct_fields__)
        raise InvalidRequest(msg, hint=f"Fields are {known}; others go into params.") from error
    if not parsed.provider.strip() or not parsed.model.strip():
        msg = "An LLM configuration needs a provider and a model."
        raise InvalidRequest(msg)
    for field, (low, high) in _RANGES.items():
        value = getattr(parsed, field)
        if value is not None and not (math.isfinite(value) and low <= value <= high):
            msg = f"{field} is {shown(value)}; it must be between {low:g} and {high:g}."
            raise InvalidRequest(msg)
    return parsed


def is_reference(fallback: str) -> bool:
    """Whether a fallback is a reference to a registered configuration; else it is a model's name at the same provider.

    A reference says which version: by alias, number, SemVer, range, stage or digest, or in a form of MLflow's. Names of models hold
    slashes, colons and ``@`` too, and so a bare name, and one that ends with ``:latest``, is a model's.

    >>> [is_reference(text) for text in ("summary@champion", "summary:3", "models:/summary/3", "gpt-4o-mini", "llama3:latest", "qwen3:8b")]
    [True, True, True, False, False, False]
    """
    if fallback.startswith("models:/"):
        return True
    try:
        return parse_ref(fallback).kind != "latest"
    except InvalidRequest:
        return False


def tokens_about(size_bytes: int) -> int:
    """Tokens of a text of so many bytes in UTF-8, as a guess: four to a token.

    >>> tokens_about(10)
    3
    """
    return -(-size_bytes // _BYTES_PER_TOKEN)


def cost_usd(config: LlmConfig, usage: TokenUsage) -> float | None:
    """What a request cost by the configured prices; None where there are none. Of two prices one that is not configured is nothing.

    >>> prices = {"cost_per_1k_input_tokens": 0.01, "cost_per_1k_output_tokens": 0.03}
    >>> cost_usd(LlmConfig(provider="openai", model="gpt-x", **prices), TokenUsage(2_000, 1_000))
    0.05
    """
    price_in, price_out = config.cost_per_1k_input_tokens, config.cost_per_1k_output_tokens
    if price_in is None and price_out is None:
        return None
    return (usage.input_tokens * (price_in or 0.0) + usage.output_tokens * (price_out or 0.0)) / 1_000
