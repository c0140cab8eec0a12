"""LLM configurations: which model of which provider, and how it is asked."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from chopmark.base.jsons import converted
from chopmark.domain.names import shown
from chopmark.errors import InvalidRequest

__all__ = ["LlmConfig", "parse_llm_config"]


class LlmConfig(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How a language model is asked; registered, versioned and promoted like any other model.

    Attributes
    ----------
    provider
        Who serves it, for example ``openai``, ``anthropic``, ``bedrock``, ``vllm``.
    model
        The provider's name of the model.
    model_version
        Snapshot or revision, when the provider has one.
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
        registered configuration.
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
