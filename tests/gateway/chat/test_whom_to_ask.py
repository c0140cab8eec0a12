"""Where providers are, what falls back to what, and keys that nobody sees."""

import asyncio
import builtins
import subprocess
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from chopmark.base.jsons import decode
from chopmark.base.settings import named_secrets, pairs_in
from chopmark.domain.endpoints import Endpoint
from chopmark.domain.llm import LlmConfig, TokenUsage, cost_usd, is_reference
from chopmark.domain.traffic import PinnedVersion, Variant
from chopmark.errors import InvalidRequest, NotFound, Unsupported
from chopmark.gateway.chat import ChatLimits, Provider, listed, listed_one, open_chat, providers_of
from chopmark.gateway.chat.judging import PAUSE_MAX_S, pause_s
from chopmark.gateway.chat.targets import targets_of

KEY = "sk-secret"
PROVIDERS = providers_of({"openai": "https://api.example.com/v1/", "vllm": "http://10.0.0.5:8000/v1"}, {"OpenAI": KEY})
CONFIG = LlmConfig(provider="openai", model="gpt-x", cost_per_1k_input_tokens=1.0)


def no_configs(ref: str) -> LlmConfig:
    raise NotFound(f"There is no {ref}.")


def words(config: LlmConfig, configs: Mapping[str, LlmConfig] | None = None) -> list[str]:
    load = no_configs if configs is None else configs.__getitem__
    return [target.words for target in targets_of(config, PROVIDERS, load, 10.0)]


def test_providers_are_read_and_a_key_is_shown_nowhere() -> None:
    provider = PROVIDERS["openai"]
    assert provider.completions_url == "https://api.example.com/v1/chat/completions"
    assert provider.key == KEY
    assert PROVIDERS["vllm"].key == ""
    target = targets_of(CONFIG, PROVIDERS, no_configs, 10.0)[0]
    for text in (repr(provider), str(provider), repr(target), f"{PROVIDERS}"):
        assert KEY not in text


@pytest.mark.parametrize(
    "url",
    [
        "api.example.com/v1",
        "ftp://x/v1",
        "http://",
        "http://x:0/v1",
        "http://x:99999/v1",
        "http://x/v1?a=b",
        "http://x/#a",
    ],
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match="llm_providers"):
        providers_of({"openai": url}, {})


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidRequest) as caught:
        providers_of({"openai": "https://me:sk-secret@example.com/v1"}, {})
    assert KEY not in str(caught.value)


def test_a_key_for_nobody_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        providers_of({}, {"openai": KEY})
    assert KEY not in str(caught.value)


def test_keys_come_from_the_environment() -> None:
    environ = {"OPENAI_API_KEY": " sk-secret\n", "EMPTY": " ", "ODD": "a\nb", "FOREIGN": "schlüssel"}
    assert named_secrets("llm_keys", "openai=OPENAI_API_KEY", environ=environ) == {"openai": KEY}
    assert named_secrets("llm_keys", "", environ=environ) == {}
    for wrong in ("openai=MISSING", "openai=EMPTY", "openai=ODD", "openai=FOREIGN", "openai", "openai=", "=A"):
        with pytest.raises(InvalidRequest):
            named_secrets("llm_keys", wrong, environ=environ)


def test_a_key_where_a_variable_s_name_should_be_is_not_repeated() -> None:
    for text in ("openai=sk-secret", "openai=0123abcdef"):
        with pytest.raises(InvalidRequest) as caught:
            named_secrets("llm_keys", text, environ={})
        assert text.partition("=")[2] not in str(caught.value)


def test_a_setting_names_each_once() -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        pairs_in("llm_providers", "a=http://x, a=http://y")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("small@champion", True),
        ("team/small:3", True),
        ("small:1.2.0", True),
        ("small:^1", True),
        ("small#production", True),
        ("models:/small/3", True),
        ("gpt-4o-mini", False),
        ("meta-llama/Llama-3.1-8B", False),
        ("llama3:latest", False),
        ("qwen3:8b", False),
        ("ft:gpt-4o:org::id", False),
        ("claude-3-5@20240620", False),
    ],
)
def test_names_of_models_and_references_are_told_apart(text: str, expected: bool) -> None:
    assert is_reference(text) is expected


def test_a_name_is_asked_of_the_same_provider_as_the_configuration_is() -> None:
    config = msgspec.structs.replace(CONFIG, fallback="gpt-mini", temperature=0.3, system_prompt="p", model_version="1")
    first, second = targets_of(config, PROVIDERS, no_configs, 10.0)
    assert (first.config, first.timeout_s) == (config, 10.0)
    assert second.config == LlmConfig(provider="openai", model="gpt-mini", temperature=0.3, system_prompt="p")
    assert cost_usd(second.config, TokenUsage(1, 1)) is None


def test_fallbacks_follow_each_other() -> None:
    configs = {
        "b:1": LlmConfig(provider="vllm", model="b", fallback="c@x", timeout_s=3.0),
        "c@x": LlmConfig(provider="openai", model="c", fallback="d"),
    }
    config = msgspec.structs.replace(CONFIG, fallback="b:1")
    assert words(config, configs) == ["openai gpt-x", "vllm b", "openai c", "openai d"]
    assert targets_of(config, PROVIDERS, configs.__getitem__, 10.0)[1].timeout_s == 3.0


def test_a_circle_of_fallbacks_is_refused() -> None:
    configs = {
        "a:1": msgspec.structs.replace(CONFIG, fallback="b:1"),
        "b:1": LlmConfig(provider="vllm", model="b", fallback="a:1"),
    }
    with pytest.raises(InvalidRequest, match="come back"):
        words(configs["a:1"], configs)


def test_a_long_row_of_fallbacks_is_refused() -> None:
    configs = {f"m:{n}": LlmConfig(provider="vllm", model=str(n), fallback=f"m:{n + 1}") for n in range(1, 9)}
    with pytest.raises(InvalidRequest, match="more than 3"):
        words(configs["m:1"], configs)


def test_what_a_fallback_refers_to_has_to_be_there() -> None:
    with pytest.raises(NotFound):
        words(msgspec.structs.replace(CONFIG, fallback="gone:1"))


def test_a_provider_that_nobody_told_of_is_refused_with_what_to_set() -> None:
    for config in (LlmConfig(provider="acme", model="m"), LlmConfig(provider="openai", model="m", fallback="a:1")):
        with pytest.raises(Unsupported, match="llm_providers = 'acme=https"):
            words(config, {"a:1": LlmConfig(provider="acme", model="m")})


def test_params_of_a_fallback_are_looked_at_too() -> None:
    with pytest.raises(InvalidRequest, match="params hold model"):
        words(
            msgspec.structs.replace(CONFIG, fallback="b:1"),
            {"b:1": msgspec.structs.replace(CONFIG, params={"model": 1})},
        )


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def missing(name: str, *arguments: Any) -> Any:
        if name == "chopmark.gateway.chat.upstream":
            raise ImportError("No module named 'aiohttp'")
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(Unsupported, match=r"chopmark\[llm\]"):
        asyncio.run(open_chat(CONFIG, PROVIDERS, no_configs, ChatLimits()))


def test_pauses_grow_and_are_spread_and_end() -> None:
    assert [pause_s(n, None, 1.0) for n in range(6)] == [0.25, 0.5, 1.0, 2.0, 4.0, PAUSE_MAX_S]
    assert pause_s(0, None, 0.0) == 0.125
    assert pause_s(0, 2.0, 0.0) == 2.125
    assert pause_s(0, PAUSE_MAX_S + 0.1, 0.0) is None


def test_a_price_that_is_not_configured_is_nothing() -> None:
    assert cost_usd(CONFIG, TokenUsage(500, 99)) == pytest.approx(0.5)
    assert cost_usd(LlmConfig(provider="p", model="m"), TokenUsage(500, 99)) is None


def test_models_are_listed_as_openai_does() -> None:
    version = PinnedVersion(id=UUID(int=1), model="m", number=1, digest="sha256:00", kind="llm_config")
    at = datetime(2026, 3, 1, tzinfo=UTC)
    made = [
        Endpoint(
            id=UUID(int=2),
            project=project,
            name=name,
            variants=(Variant(name="stable", version=version, weight=10_000),),
            created_at=at,
            created_by="a",
            updated_at=at,
            updated_by="a",
        )
        for project, name in (("risk", "b"), ("default", "a"))
    ]
    one = {"id": "a", "object": "model", "created": int(at.timestamp()), "owned_by": "default"}
    answer = decode(listed(made), dict[str, Any])
    assert answer["object"] == "list"
    assert answer["data"] == [one, {**one, "id": "risk/b", "owned_by": "risk"}]
    assert decode(listed_one(made[1]), dict[str, Any]) == one


def test_what_fails_on_the_way_holds_no_key() -> None:
    """The errors of the client of HTTP know the headers that were sent; ours come without them, and without their causes."""
    from chopmark.gateway.chat.judging import UpstreamFailed
    from tests.gateway.chat.stand_in import Asked, stand_in

    async def no_http(asked: Asked) -> None:
        await asked.raw(b"nonsense\r\n\r\n")
        asked.abort()

    async def main() -> UpstreamFailed:
        from chopmark.gateway.chat.upstream import Upstream

        async with stand_in(no_http) as stand:
            upstream = Upstream(ChatLimits())
            try:
                async with upstream.ask(Provider("openai", stand.url, KEY), b"{}", stream=False):
                    raise AssertionError
            except UpstreamFailed as failure:
                return failure
            finally:
                await upstream.close()

    failure = asyncio.run(main())
    said = "".join(traceback.format_exception(failure)) + repr(failure)
    assert "is no HTTP" in said
    assert KEY not in said
    assert failure.__cause__ is None
    assert failure.__suppress_context__


def test_the_client_of_http_is_imported_only_when_a_language_model_is_loaded() -> None:
    code = "import sys, chopmark.gateway.app, chopmark.gateway.chat; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
