"""What a request has to be, and what becomes of it."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.llm import LlmConfig
from chopmark.errors import ChopmarkError, InvalidRequest, NotFound, QueueFull, TooLarge, Unauthenticated
from chopmark.gateway.chat import read, refused
from chopmark.gateway.chat.asked import check_params, sent_for, text_bytes

MESSAGES = [{"role": "user", "content": "Hi"}]
CONFIG = LlmConfig(provider="openai", model="gpt-x")


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "assistant", "messages": MESSAGES, **fields}).encode()


def sent(config: LlmConfig, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(sent_for(read(body(**fields)), config))
    return found


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"[]",
        b"{",
        b"null",
        b'{"model": "a"}',
        b'{"messages": [{"role": "user"}]}',
        b'{"model": 1, "messages": [{"role": "user"}]}',
        b'{"model": "a", "messages": []}',
        b'{"model": "a", "messages": "Hi"}',
        b'{"model": "a", "messages": ["Hi"]}',
        b'{"model": "a", "messages": [{"content": "Hi"}]}',
        b'{"model": "a", "messages": [{"role": 1}]}',
        b'{"model": "a", "messages": [{"role": "user"}], "stream": "yes"}',
        b'{"model": "a", "messages": [{"role": "user"}], "stream_options": 1}',
        b'{"model": "a", "messages": [{"role": "user"}], "temperature": NaN}',
        b'{"model": "\xff", "messages": [{"role": "user"}]}',
        b'{"model": "a", "messages": [{"role": "user"}], "user": "\xff"}',
        b'{"model": "a", "messages": [{"role": "user"}], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_mistakes_are_the_client_s(wrong: bytes) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(wrong)
    status, answered = refused(caught.value)
    assert status == 400
    assert json.loads(answered.body)["error"]["type"] == "invalid_request_error"


@given(st.binary(max_size=60))
def test_no_garbage_raises_anything_else(garbage: bytes) -> None:
    for data in (garbage, b'{"model":"a","messages":[{"role":"user"}],"x":' + garbage + b"}"):
        try:
            request = read(data)
        except InvalidRequest:
            continue
        assert request.model
        assert isinstance(json.loads(sent_for(request, CONFIG)), dict)


def test_what_the_gateway_does_not_know_is_passed_on_byte_for_byte() -> None:
    number, text = "1234567890.12345678901234567890e-30", '"\\ud83c\\udf88 \\u0041"'
    data = f'{{"model":"a","messages":[ {{"role":"user","content":{text}}} ],"seed":{number}}}'.encode()
    made = sent_for(read(data), CONFIG)
    assert number.encode() in made
    assert f'[ {{"role":"user","content":{text}}} ]'.encode() in made


def test_what_is_said_twice_counts_as_the_gateway_read_it() -> None:
    data = b'{"model":"a","messages":[{"role":"user"}],"stream":true,"stream":false,"n":1,"n":2}'
    made = sent_for(read(data), CONFIG)
    assert made.count(b'"stream"') == made.count(b'"n"') == 1
    assert json.loads(made)["stream"] is False


def test_a_request_overrides_but_not_the_model() -> None:
    config = msgspec.structs.replace(CONFIG, temperature=0.1, top_p=0.5, params={"seed": 1, "stop": ["x"]})
    made = sent(config, model="gpt-huge", temperature=None, seed=2)
    assert made == {
        "model": "gpt-x",
        "messages": MESSAGES,
        "temperature": None,
        "top_p": 0.5,
        "seed": 2,
        "stop": ["x"],
    }


@pytest.mark.parametrize("asked", ["max_tokens", "max_completion_tokens"])
def test_of_two_names_of_the_longest_answer_one_is_sent(asked: str) -> None:
    by_field = msgspec.structs.replace(CONFIG, max_tokens=100)
    by_param = msgspec.structs.replace(CONFIG, params={"max_completion_tokens": 100})
    for config in (by_field, by_param):
        made = sent(config, **{asked: 5})
        assert [made[n] for n in ("max_tokens", "max_completion_tokens") if n in made] == [5]
    assert sent(by_field)["max_tokens"] == sent(by_param)["max_completion_tokens"] == 100


@pytest.mark.parametrize(
    ("configured", "asked", "made"),
    [
        ({}, None, {"include_usage": True}),
        ({}, {"include_usage": False, "x": 1}, {"include_usage": True, "x": 1}),
        ({"stream_options": None}, None, None),
        ({"stream_options": None}, {"include_usage": True}, {"include_usage": True}),
        ({"stream_options": {"x": 2}}, {"y": 3}, {"x": 2, "y": 3}),
    ],
)
def test_usage_is_asked_for_unless_the_configuration_says_otherwise(
    configured: dict[str, Any], asked: dict[str, Any] | None, made: dict[str, Any] | None
) -> None:
    config = msgspec.structs.replace(CONFIG, params=configured)
    options = {} if asked is None else {"stream_options": asked}
    assert sent(config, stream=True, **options).get("stream_options") == made
    assert "stream_options" not in sent(config)


def test_params_may_not_set_what_is_the_request_s() -> None:
    for name in ("model", "messages", "stream"):
        with pytest.raises(InvalidRequest, match=name):
            check_params(msgspec.structs.replace(CONFIG, params={name: 1}))
    with pytest.raises(InvalidRequest, match="no mapping"):
        check_params(msgspec.structs.replace(CONFIG, params={"stream_options": True}))


def test_texts_are_measured_and_pictures_are_not() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "größe"}, picture, "odd"]},
        {"role": "assistant", "content": None},
        {"role": "user", "content": "four"},
    ]
    config = msgspec.structs.replace(CONFIG, system_prompt="prompt")
    assert text_bytes(read(body(messages=messages)), config) == 7 + 4 + 6


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (NotFound("x"), 404, "invalid_request_error"),
        (TooLarge("x"), 413, "invalid_request_error"),
        (Unauthenticated("x"), 401, "authentication_error"),
        (QueueFull("x", retry_after_s=7), 503, "server_error"),
    ],
)
def test_refusals_have_openai_s_form(error: ChopmarkError, status: int, kind: str) -> None:
    told, answered = refused(error)
    assert told == status
    assert json.loads(answered.body) == {"error": {"message": "x", "type": kind, "param": None, "code": error.code}}
    headers = dict(answered.headers)
    assert headers.get(b"retry-after") == (b"7" if status == 503 else None)
    assert (b"www-authenticate" in headers) == (status == 401)
