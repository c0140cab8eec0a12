"""The OpenAPI document holds: schemathesis asks the running server all that the document allows, and much that it forbids."""

import json
import os
import re
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

import chopmark as cm
from chopmark.app.context import parse_alias
from chopmark.base.digest import parse_digest
from chopmark.base.settings import load_settings
from chopmark.domain.access import Actor, check_member
from chopmark.domain.endpoints import parse_endpoint
from chopmark.domain.experiments import parse_experiment
from chopmark.domain.names import check_key, check_name
from chopmark.domain.refs import parse_model, parse_ref
from chopmark.domain.semver import SemVer
from chopmark.domain.tokens import check_id
from chopmark.errors import InvalidRequest, Unauthenticated
from chopmark.server.app import App
from chopmark.server.constraints import TEXTS
from chopmark.server.exchange import Exchange
from chopmark.server.openapi import described
from chopmark.server.serving import application, served
from chopmark.testing.registry import memory_transport

HERE = Path(__file__).parent / "schema"
TOKEN = "t0ken"
NOT_ASKED = ("event.hear", "webhook.test")
"""Why stands in schemathesis.toml."""


class OneToken:
    """Knows one token, which no request can revoke; what comes of others is told by `test_access_callers`."""

    def actor(self, exchange: Exchange) -> Actor:
        if exchange.header("authorization") != f"Bearer {TOKEN}":
            raise Unauthenticated("The request does not say who sends it.")
        return Actor("ada")

    def actor_at_once(self, exchange: Exchange) -> Actor | None:
        return Actor("ada") if exchange.header("authorization") == f"Bearer {TOKEN}" else None


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A server of a registry in which there is something."""
    resolved = load_settings({"actor": "ada", "serve_auth": "none"}, environ={}).settings
    behind = memory_transport(resolved)
    with served(application(behind, resolved)) as open_url, cm.open(open_url, cache_dir=str(tmp_path)) as registry:
        version = registry.register("fraud", {"threshold": 0.5}, metrics={"f1": 0.5}, tags={"team": "risk"})
        registry.register("fraud", {"threshold": 0.6}, metrics={"f1": 0.6})
        registry.alias("fraud@champion", version)
    app = App(behind, behind.store, OneToken(), resolved, events=behind, parts={})
    with served(app) as guarded_url:
        yield guarded_url
    behind.close()


def schemathesis(document: str | Path, directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it with all checks."""
    return subprocess.run(
        [
            Path(sysconfig.get_path("scripts")) / "st", "--config-file", HERE / "schemathesis.toml", "--no-color", "run",
            document, "-H", f"Authorization: Bearer {TOKEN}", "--checks", "all", "--seed", "1", *arguments,
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "formats", "PYTHONPATH": str(HERE)},
        cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_server_keeps_to_its_document(url: str, tmp_path: Path) -> None:
    ran = schemathesis(f"{url}/openapi.json", tmp_path, "--phases", "examples,fuzzing", "--max-examples", "1")
    assert ran.returncode == 0, ran.stdout[-8_000:] + ran.stderr[-2_000:]
    assert f"Tested: {_operations() - len(NOT_ASKED)}" in ran.stdout


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_the_server_keeps_to_its_document_at_every_boundary(url: str, tmp_path: Path) -> None:
    ran = schemathesis(f"{url}/openapi.json", tmp_path, "--max-examples", "5")
    assert ran.returncode == 0, ran.stdout[-8_000:] + ran.stderr[-2_000:]
    assert f"Tested: {_operations() - len(NOT_ASKED)}" in ran.stdout


def _operations() -> int:
    return sum(len(methods) for methods in described()["paths"].values())


def test_a_server_that_does_not_keep_to_it_is_found_out(url: str, tmp_path: Path) -> None:
    document = described()
    model = document["components"]["schemas"]["Model"]
    model["properties"]["wheels"] = {"type": "integer"}
    model["required"] = [*model["required"], "wheels"]
    file = tmp_path / "wrong.json"
    file.write_text(json.dumps(document))
    only = ("--phases", "examples", "--include-operation-id", "model.get")
    ran = schemathesis(file, tmp_path, "--url", url, *only)
    assert ran.returncode == 1
    assert "wheels" in ran.stdout


def test_no_request_may_hold_nul(url: str) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    for method, path, body in (
        ("GET", "/models/fr%00aud", None),
        ("GET", "/tokens?owner=%00", None),
        ("PATCH", "/versions/fraud", b'{"annotations": {"note": [{"a\\u0000": 1}]}}'),
        ("PUT", "/members/*/actor/ada", b'{"role": "\\u0000"}'),
    ):
        answer = urllib3.request(method, f"{url}/api/v1{path}", body=body, headers=headers, redirect=False)
        assert (answer.status, "NUL" in answer.json()["detail"]) == (400, True), path
    literal = b'{"description": "a backslash and \\\\u0000"}'  # the text of an escape is no NUL
    assert urllib3.request("PATCH", f"{url}/api/v1/versions/fraud", body=literal, headers=headers).status == 200


def test_a_number_is_no_time(url: str) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    for at, status in (("0.5", 400), ("1700000000", 400), ("2999-01-01T00:00:00Z", 200)):
        assert urllib3.request("GET", f"{url}/api/v1/audit/at?at={at}", headers=headers).status == status, at


READERS: dict[str, Callable[[str], object]] = {
    "Name": lambda text: check_name(text, "name"),
    "ModelName": parse_model,
    "EndpointName": parse_endpoint,
    "ExperimentName": parse_experiment,
    "Reference": parse_ref,
    "AliasReference": parse_alias,
    "SemVer": SemVer.parse,
    "Key": lambda text: check_key(text, "key"),
    "ActorName": check_member,
    "Digest": parse_digest,
    "TokenId": check_id,
}


def _allows(name: str, text: str) -> bool:
    said = TEXTS[name]
    fits = re.search(said["pattern"].replace("$", r"\Z"), text) is not None
    return fits and said["minLength"] <= len(text) <= said.get("maxLength", len(text))


def _is_read(name: str, text: str) -> bool:
    try:
        READERS[name](text)
    except InvalidRequest:
        return False
    return True


ALPHABET = st.text("aZ09._-/:@#^~+ v\n\u00e9", max_size=12)
PIECES = st.lists(
    st.sampled_from(
        ["fraud", "risk", "/", ":", "@", "#", "7", "0", "1.2.3", "^1.4", "~2", "latest", "Latest", "v1", "production", "-rc.1", "+b",
         "champion", "sha256:", "abcdef", "cafe01" * 11, "a" * 127, "..", ".", "-", "_", " ", "\n"]
    ),
    max_size=6,
).map("".join)  # fmt: skip


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=300, deadline=None)
@given(text=ALPHABET | PIECES)
def test_the_document_allows_what_the_rules_allow(name: str, text: str) -> None:
    if name in ("Reference", "AliasReference", "ModelName", "EndpointName", "ExperimentName") and text.startswith(
        "models:/"
    ):
        return  # MLflow's forms are taken, and not told of
    assert _allows(name, text) == _is_read(name, text)


def test_every_example_is_one() -> None:
    for name in READERS:
        assert TEXTS[name]["examples"], name
        assert all(_allows(name, text) and _is_read(name, text) for text in TEXTS[name]["examples"]), name
