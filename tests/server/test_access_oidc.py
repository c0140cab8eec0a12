"""Tokens of an issuer: a local one with keys of its own, and everything that somebody may try with its tokens."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
import urllib3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from chopmark.base.settings import load_settings
from chopmark.domain.access import Actor
from chopmark.errors import InvalidRequest, Unauthenticated, Unavailable
from chopmark.ops.access import SetMember
from chopmark.ops.requests import CreateProject
from chopmark.server.oidc import Issuer, Person, fetch_json
from chopmark.server.serving import application, served
from chopmark.testing.registry import memory_transport

AUDIENCE = "chopmark"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def jwk_of(key: Any, kid: str, **more: str) -> dict[str, Any]:
    kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", **more}


class LocalIssuer:
    """Serves its description and its keys, and signs."""

    def __init__(self) -> None:
        self.keys = [jwk_of(RSA_KEY, "r1", alg="RS256"), jwk_of(EC_KEY, "e1", alg="ES256")]
        self.asked: list[str] = []
        self.answers: dict[str, bytes | int] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                known: dict[str, bytes | int] = {
                    "/.well-known/openid-configuration": json.dumps(
                        {"issuer": outer.url, "jwks_uri": outer.url + "/keys"}
                    ).encode(),
                    "/keys": json.dumps({"keys": outer.keys}).encode(),
                }
                found = (known | outer.answers).get(self.path, 404)
                self.send_response(found if isinstance(found, int) else 200)
                if found == 302:
                    self.send_header("location", outer.url + "/keys")
                body = b"" if isinstance(found, int) else found
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def sign(
        self, key: Any = RSA_KEY, algorithm: str = "RS256", *, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        now = time.time()
        given = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 300, **claims}
        kid = {"RS256": "r1", "ES256": "e1"}.get(algorithm, "r1")
        return jwt.encode(
            {k: v for k, v in given.items() if v is not None}, key, algorithm, headers={"kid": kid} | (header or {})
        )


class Ticks:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    made = LocalIssuer()
    yield made
    made.close()


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def checks(issuer: LocalIssuer, ticks: Ticks) -> Issuer:
    return Issuer(issuer.url, AUDIENCE, now=ticks)


def test_a_token_of_the_issuer_tells_who_and_of_which_groups(issuer: LocalIssuer, checks: Issuer) -> None:
    assert checks.person(issuer.sign(groups=["a", "b", "a", 3])) == Person("ada", ("a", "b"))
    assert checks.person(issuer.sign(EC_KEY, "ES256", groups="a")) == Person("ada", ("a",))
    assert checks.person(issuer.sign()) == Person("ada", ())
    assert checks.person(issuer.sign(aud=["other", AUDIENCE])) == Person("ada", ())
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"},
        {"aud": None},
        {"iss": "https://evil.example"},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"nbf": 4_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "x" * 300},
        {"groups": 7},
    ],
    ids=str,
)
def test_claims_that_do_not_hold_are_refused(issuer: LocalIssuer, checks: Issuer, claims: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        checks.person(issuer.sign(**claims))


def test_clocks_may_differ_by_a_minute(issuer: LocalIssuer, checks: Issuer) -> None:
    now = time.time()
    assert checks.person(issuer.sign(exp=now - 50)).name == "ada"
    assert checks.person(issuer.sign(nbf=now + 50)).name == "ada"
    with pytest.raises(Unauthenticated, match="expired"):
        checks.person(issuer.sign(exp=now - 70))
    with pytest.raises(Unauthenticated):
        checks.person(issuer.sign(nbf=now + 70))


def test_keys_of_others_are_refused(issuer: LocalIssuer, checks: Issuer) -> None:
    with pytest.raises(Unauthenticated, match="InvalidSignature"):
        checks.person(issuer.sign(OTHER_RSA_KEY))
    own = jwk_of(OTHER_RSA_KEY, "mine")
    for header in (
        {"jwk": own, "kid": "mine"},
        {"jku": issuer.url + "/evil", "kid": "mine"},
        {"x5u": issuer.url + "/evil", "kid": "r1"},
        {"kid": "../../keys/evil"},
        {"kid": "' OR 1=1 --"},
    ):
        issuer.answers["/evil"] = json.dumps({"keys": [own]}).encode()
        with pytest.raises(Unauthenticated):
            checks.person(issuer.sign(OTHER_RSA_KEY, header=header))
    assert "/evil" not in issuer.asked


def test_algorithms_are_not_confused(issuer: LocalIssuer, checks: Issuer) -> None:
    claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": "ada", "exp": time.time() + 300}
    public = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for algorithm, secret in (("none", b""), ("HS256", public), ("HS256", json.dumps(issuer.keys[0]).encode())):
        header = _part({"alg": algorithm, "kid": "r1", "typ": "JWT"})
        signed = header + b"." + _part(claims)
        signature = hmac.new(secret, signed, hashlib.sha256).digest() if secret else b""
        forged = (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()
        with pytest.raises(Unauthenticated, match="RS256 or ES256"):
            checks.person(forged)
    with pytest.raises(Unauthenticated, match="not for ES256"):
        checks.person(issuer.sign(EC_KEY, "ES256", header={"kid": "r1"}))
    with pytest.raises(Unauthenticated, match="not for RS256"):
        checks.person(issuer.sign(header={"kid": "e1"}))
    with pytest.raises(Unauthenticated, match="RS256 or ES256"):
        checks.person(issuer.sign(RSA_KEY, "RS512"))
    for garbage in ("a.b.c", "..", issuer.sign() + "x", "x" * 20_000 + ".y.z", issuer.sign().rsplit(".", 1)[0] + "."):
        with pytest.raises(Unauthenticated):
            checks.person(garbage)


def _part(values: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=")


def test_a_new_key_is_fetched_once_a_minute_at_most(issuer: LocalIssuer, checks: Issuer, ticks: Ticks) -> None:
    assert checks.person(issuer.sign()).name == "ada"
    fetched = issuer.asked.count("/keys")
    for n in range(20):
        with pytest.raises(Unauthenticated, match="no such key"):
            checks.person(issuer.sign(header={"kid": f"unknown-{n}"}))
    assert issuer.asked.count("/keys") == fetched
    issuer.keys = [jwk_of(OTHER_RSA_KEY, "r2")]
    rotated = issuer.sign(OTHER_RSA_KEY, header={"kid": "r2"})
    with pytest.raises(Unauthenticated):
        checks.person(rotated)
    ticks.at += 61
    assert checks.person(rotated).name == "ada"
    assert issuer.asked.count("/keys") == fetched + 1
    with pytest.raises(Unauthenticated):
        checks.person(issuer.sign())  # a key that the issuer withdrew


def test_keys_are_kept_while_the_issuer_is_away(issuer: LocalIssuer, checks: Issuer, ticks: Ticks) -> None:
    issuer.answers["/keys"] = 500
    with pytest.raises(Unavailable, match="500"):
        checks.person(issuer.sign())
    issuer.answers.clear()
    with pytest.raises(Unavailable, match="a moment ago"):
        checks.person(issuer.sign())
    ticks.at += 5
    assert checks.person(issuer.sign()).name == "ada"
    issuer.answers["/keys"] = 500
    ticks.at += 3_700
    assert checks.person(issuer.sign()).name == "ada"
    assert issuer.asked.count("/keys") == 3


def test_documents_are_small_and_where_they_are_said_to_be(issuer: LocalIssuer) -> None:
    for answer in (b"[" + b" " * 600_000 + b"]", 302, b"[]", b"no json"):
        issuer.answers["/keys"] = answer
        with pytest.raises(Unavailable):
            fetch_json(issuer.url + "/keys")
    issuer.answers["/.well-known/openid-configuration"] = json.dumps(
        {"issuer": "https://other.example", "jwks_uri": issuer.url + "/keys"}
    ).encode()
    with pytest.raises(Unavailable, match="another issuer"):
        Issuer(issuer.url, AUDIENCE, now=Ticks()).person(issuer.sign())
    issuer.answers["/.well-known/openid-configuration"] = json.dumps(
        {"issuer": issuer.url, "jwks_uri": "http://10.0.0.1/keys"}
    ).encode()
    with pytest.raises(Unavailable, match="no address to fetch keys from"):
        Issuer(issuer.url, AUDIENCE, now=Ticks()).person(issuer.sign())
    for url in ("http://issuer.example", "ftp://issuer.example", "issuer.example"):
        with pytest.raises(InvalidRequest):
            Issuer(url, AUDIENCE, now=Ticks())
    with pytest.raises(InvalidRequest, match="audience"):
        Issuer(issuer.url, "", now=Ticks())


def test_an_address_names_somebody_only_when_it_was_verified(issuer: LocalIssuer) -> None:
    checks = Issuer(issuer.url, AUDIENCE, name_claim="email", now=Ticks())
    assert checks.person(issuer.sign(email="a@b.example", email_verified=True)).name == "a@b.example"
    for verified in (False, None, "true"):
        with pytest.raises(Unauthenticated, match="verified"):
            checks.person(issuer.sign(email="a@b.example", email_verified=verified))


def test_people_of_the_issuer_hold_what_their_groups_hold(issuer: LocalIssuer) -> None:
    settings = load_settings(
        {"actor": "root", "oidc_issuer": issuer.url, "oidc_audience": AUDIENCE, "oidc_group_roles": "ops=*:viewer"},
        environ={},
    ).settings
    behind = memory_transport(settings)
    root = Actor("root")
    for name in ("risk", "other"):
        behind.act(CreateProject(name=name), root)
    behind.act(SetMember(project="risk", member="risk-team", kind="group", role="maintainer"), root)
    behind.act(SetMember(project="other", member="ada", role="viewer"), root)

    def ask(token: str, path: str) -> Any:
        headers = {"authorization": f"Bearer {token}"}
        return urllib3.request("GET", f"{url}/api/v1{path}", headers=headers, retries=False, timeout=60)

    with served(application(behind, settings)) as url:
        grants = ask(issuer.sign(groups=["risk-team", "unknown"]), "/whoami").json()["grants"]
        assert "promote" in grants["risk"]
        assert grants["other"] == ["read", "token"]
        assert "*" not in grants
        assert ask(issuer.sign(sub="eve", groups=["ops"]), "/whoami").json()["grants"] == {"*": ["read", "token"]}
        assert ask(issuer.sign(sub="eve"), "/whoami").status == 403  # known, and a member of nothing
        assert ask(issuer.sign(sub="risk-team"), "/projects/risk").status == 403  # a group's name makes no actor
        assert ask(issuer.sign(OTHER_RSA_KEY), "/whoami").status == 401
    behind.close()
