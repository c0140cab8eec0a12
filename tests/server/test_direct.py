"""Ways past the server to its object store, with a real one: who gets them, and that bytes are still what they are called."""

import json
import time
import urllib.parse
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest
import urllib3

from chopmark.base.calls import Caller
from chopmark.base.digest import digest_of
from chopmark.base.settings import load_settings
from chopmark.blobs import direct as direct_module
from chopmark.blobs import elsewhere, served
from chopmark.blobs.direct import giver_of
from chopmark.blobs.elsewhere import Elsewhere
from chopmark.blobs.served import ServedStore
from chopmark.domain.access import PERMISSIONS, Actor
from chopmark.errors import IntegrityFailure, Unavailable
from chopmark.ops.access import CreateToken, SetMember
from chopmark.ops.requests import CreateProject
from chopmark.server.serving import application
from chopmark.server.serving import served as serving
from chopmark.wiring import LocalTransport, connect
from tests.backends.s3 import S3Server

API = "/api/v1"
ROOT = Actor("root")
CONTENT = b"".join(n.to_bytes(4, "big") for n in range(1 << 19))  # 2 MiB
DIGEST = digest_of(CONTENT)


class Direct(NamedTuple):
    """A server before a real object store, and what is really in it."""

    url: str
    behind: LocalTransport
    server: S3Server
    prefix: str

    def token(self, name: str, role: str, project: str) -> str:
        self.behind.act(SetMember(project=project, member=name, role=role), ROOT)
        made: str = self.behind.act(CreateToken(name="t", owner=name, scopes=tuple(PERMISSIONS)), ROOT).secret
        return made

    def ask(self, method: str, path: str, token: str, body: bytes | None = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return urllib3.request(
            method, self.url + API + path, body=body, headers={"authorization": f"Bearer {token}", **named},
            redirect=False, retries=False, timeout=30,
        )  # fmt: skip

    def held(self) -> list[str]:
        listed = self.server.client.list_objects_v2(Bucket=self.server.bucket, Prefix=self.prefix + "/")
        return [each["Key"].removeprefix(self.prefix + "/") for each in listed.get("Contents", ())]

    def register(self, token: str, model: str, digest: str, size_bytes: int) -> int:
        file = {"path": "x.bin", "role": "weights", "size_bytes": size_bytes, "digest": digest}
        body = {"model": model, "manifest": {"kind": "artifact", "format": "raw", "files": [file]}}
        status: int = self.ask("POST", "/versions", token, json.dumps(body).encode()).status
        return status


def _served(setting: str, s3_server: S3Server, directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Direct]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_access_key)
    prefix = uuid4().hex
    resolved = load_settings(
        {
            "url": str(directory / "registry"),
            "store_url": f"s3://{s3_server.bucket}/{prefix}",
            "store_endpoint": s3_server.endpoint_url,
            "cache_dir": str(directory / "cache"),
            "serve_direct_urls": setting,
        },
        environ={},
    )
    behind = connect(resolved)
    for project in ("risk", "other"):
        behind.act(CreateProject(name=project), ROOT)
    with serving(application(behind, resolved.settings)) as url:
        yield Direct(url, behind, s3_server, prefix)
    behind.close()


@pytest.fixture
def direct(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Direct]:
    yield from _served("on", s3_server, tmp_path, monkeypatch)


@pytest.fixture
def through(s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Direct]:
    """The same, unless said otherwise."""
    yield from _served("off", s3_server, tmp_path, monkeypatch)


def client(direct: Direct, token: str) -> ServedStore:
    return ServedStore(Caller(direct.url, token=token, sleep=lambda _: None))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is sent past the server."""
    sent: list[tuple[str, str]] = []
    real = Elsewhere._sent

    def counted(self: Elsewhere, method: str, url: str, headers: Any, body: Any) -> Any:
        sent.append((method, url))
        assert not {name.lower() for name in headers} & {"authorization", "cookie"}
        return real(self, method, url, headers, body)

    monkeypatch.setattr(Elsewhere, "_sent", counted)
    return sent


class TestReading:
    def test_who_asks_is_sent_to_the_store(self, direct: Direct) -> None:
        ada = direct.token("ada", "maintainer", "risk")
        assert direct.ask("PUT", f"/blobs/{DIGEST}", ada, CONTENT).status == 200
        answer = direct.ask("GET", f"/blobs/{DIGEST}?direct=true", ada)
        assert (answer.status, answer.data) == (307, b"")
        assert answer.headers["cache-control"] == "no-store"
        address = answer.headers["location"]
        assert address.startswith(direct.server.endpoint_url)
        assert urllib3.request("GET", address).data == CONTENT  # without any token
        part = urllib3.request("GET", address, headers={"range": "bytes=4-7"})
        assert (part.status, part.data) == (206, CONTENT[4:8])
        lifetime_s = int(urllib.parse.parse_qs(urllib.parse.urlsplit(address).query)["X-Amz-Expires"][0])
        assert lifetime_s == 300
        for way in ("PUT", "DELETE"):
            assert urllib3.request(way, address, body=b"x").status == 403, way
        assert direct.ask("GET", f"/blobs/{DIGEST}", ada).data == CONTENT
        assert direct.ask("HEAD", f"/blobs/{DIGEST}?direct=true", ada).status == 200
        tag = f'"{DIGEST}"'
        assert direct.ask("GET", f"/blobs/{DIGEST}?direct=true", ada, if_none_match=tag).status == 304

    def test_a_file_of_a_version(self, direct: Direct) -> None:
        ada = direct.token("ada", "maintainer", "risk")
        direct.ask("PUT", f"/blobs/{DIGEST}", ada, CONTENT)
        assert direct.register(ada, "risk/fraud", DIGEST, len(CONTENT)) == 201
        answer = direct.ask("GET", "/versions/risk%2Ffraud:1/files/x.bin?direct=true", ada)
        assert answer.status == 307
        assert urllib3.request("GET", answer.headers["location"]).data == CONTENT

    def test_who_may_not_see_the_bytes_gets_no_address(self, direct: Direct) -> None:
        ada, eve = direct.token("ada", "maintainer", "risk"), direct.token("eve", "maintainer", "other")
        direct.ask("PUT", f"/blobs/{DIGEST}", ada, CONTENT)
        assert direct.register(ada, "risk/fraud", DIGEST, len(CONTENT)) == 201
        for path in (f"/blobs/{DIGEST}?direct=true", "/versions/risk%2Ffraud:1/files/x.bin?direct=true"):
            refused = direct.ask("GET", path, eve)
            assert (refused.status, "location" in refused.headers) == (404, False)
            assert "X-Amz" not in refused.data.decode()
        none = urllib3.request("GET", f"{direct.url}{API}/blobs/{DIGEST}?direct=true", redirect=False)
        assert (none.status, "location" in none.headers) == (401, False)

    def test_it_is_off_unless_said(self, through: Direct, asked: list[tuple[str, str]]) -> None:
        ada = through.token("ada", "maintainer", "risk")
        through.ask("PUT", f"/blobs/{DIGEST}", ada, CONTENT)
        answer = through.ask("GET", f"/blobs/{DIGEST}?direct=true", ada)
        assert (answer.status, answer.data) == (200, CONTENT)
        assert through.ask("POST", f"/blobs/{DIGEST}/address", ada, b'{"size_bytes": 1}').status == 404
        assert client(through, ada).open(DIGEST).read() == CONTENT
        assert asked == []


class TestReadingByTheClient:
    def test_it_follows_and_hashes(self, direct: Direct, asked: list[tuple[str, str]], tmp_path: Path) -> None:
        ada = direct.token("ada", "maintainer", "risk")
        direct.ask("PUT", f"/blobs/{DIGEST}", ada, CONTENT)
        store = client(direct, ada)
        assert store.open(DIGEST).read() == CONTENT
        store.fetch(DIGEST, tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == CONTENT
        assert [way for way, _ in asked] == ["GET", "GET"]
        other = b"x" + CONTENT[1:]
        key = next(key for key in direct.held() if key.endswith(DIGEST.removeprefix("sha256:")))
        direct.server.client.put_object(Bucket=direct.server.bucket, Key=f"{direct.prefix}/{key}", Body=other)
        with pytest.raises(IntegrityFailure, match="hash to"):
            store.open(DIGEST)

    def test_credentials_that_cannot_sign_are_no_fault(
        self, direct: Direct, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada = direct.token("ada", "maintainer", "risk")
        direct.ask("PUT", f"/blobs/{DIGEST}", ada, CONTENT)

        def refuse(*_: object) -> str:
            raise Unavailable("These credentials sign nothing.")

        monkeypatch.setattr(type(giver_of(direct.behind.store)), "read_address", refuse)
        assert direct.ask("GET", f"/blobs/{DIGEST}?direct=true", ada).data == CONTENT
        assert client(direct, ada).open(DIGEST).read() == CONTENT
        assert asked == []

    def test_small_ones_come_through_the_server(self, direct: Direct, asked: list[tuple[str, str]]) -> None:
        ada = direct.token("ada", "maintainer", "risk")
        direct.ask("PUT", f"/blobs/{digest_of(b'small')}", ada, b"small")
        assert client(direct, ada).open(digest_of(b"small")).read() == b"small"
        assert asked == []

    @pytest.mark.parametrize("fault", ["nobody", "refused"])
    def test_a_store_that_is_not_reached_is_no_fault(
        self, direct: Direct, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, fault: str
    ) -> None:
        ada = direct.token("ada", "maintainer", "risk")
        direct.ask("PUT", f"/blobs/{DIGEST}", ada, CONTENT)
        giver = giver_of(direct.behind.store)
        assert giver is not None
        real = type(giver).read_address

        def wrong(self: Any, digest: str, lifetime_s: float) -> str:
            return "http://127.0.0.1:9/x" if fault == "nobody" else real(self, digest, lifetime_s) + "0"

        monkeypatch.setattr(type(giver), "read_address", wrong)
        store = client(direct, ada)
        assert store.open(DIGEST).read() == CONTENT
        assert store.open(DIGEST).read() == CONTENT
        assert len(asked) == 1  # and is not tried again


def test_what_is_less_protected_than_the_server_is_not_followed() -> None:
    with pytest.raises(Unavailable, match="readable by everybody"):
        Elsewhere("https://registry.example").get("http://127.0.0.1:9/x", 0, 1)
    with pytest.raises(Unavailable, match="readable by everybody"):
        Elsewhere("http://127.0.0.1:8400").get("http://store.example/x", 0, 1)
    with pytest.raises(Unavailable, match=r"^127\.0\.0\.1 does not answer: \w+\.$"):  # and nothing of the address
        Elsewhere("http://127.0.0.1:8400").get("http://127.0.0.1:9/x?X-Amz-Signature=secret", 0, 1)
    assert elsewhere.__doc__


class TestBringing:
    def test_what_arrives_is_hashed_before_it_counts(self, direct: Direct) -> None:
        ada = direct.token("ada", "maintainer", "risk")
        size = json.dumps({"size_bytes": len(CONTENT)}).encode()
        place = direct.ask("POST", f"/blobs/{DIGEST}/address", ada, size).json()
        assert direct.ask("GET", f"/blobs/{DIGEST}/stat", ada).status == 404
        put = urllib3.request("PUT", place["url"], body=CONTENT, headers=place["headers"])
        assert put.status == 200
        assert direct.ask("GET", f"/blobs/{DIGEST}/stat", ada).status == 404  # there, and of no blob yet
        said = json.dumps({"upload": place["upload"], "size_bytes": len(CONTENT)}).encode()
        taken = direct.ask("POST", f"/blobs/{DIGEST}/arrived", ada, said)
        assert (taken.status, taken.json()["digest"]) == (200, DIGEST)
        assert direct.ask("GET", f"/blobs/{DIGEST}", ada).data == CONTENT
        assert not [key for key in direct.held() if key.startswith("uploads/")]
        # Whoever has the address may go on sending until it ends, and changes nothing that counts.
        assert urllib3.request("PUT", place["url"], body=b"x" * 10, headers=place["headers"]).status == 200
        assert direct.ask("GET", f"/blobs/{DIGEST}", ada).data == CONTENT
        assert direct.register(ada, "risk/fraud", DIGEST, len(CONTENT)) == 201

    @pytest.mark.parametrize(
        ("sent", "said_bytes", "status", "code"),
        [
            (b"x" + CONTENT[1:], len(CONTENT), 422, "integrity_failure"),
            (CONTENT[:-1], len(CONTENT), 422, "integrity_failure"),
            (CONTENT, len(CONTENT) - 1, 422, "integrity_failure"),
            (None, len(CONTENT), 404, "not_found"),
        ],
        ids=["other bytes", "too few", "another size", "nothing"],
    )
    def test_what_is_something_else_is_refused_and_leaves_nothing(
        self, direct: Direct, sent: bytes | None, said_bytes: int, status: int, code: str
    ) -> None:
        ada = direct.token("ada", "maintainer", "risk")
        asked = json.dumps({"size_bytes": len(CONTENT)}).encode()
        place = direct.ask("POST", f"/blobs/{DIGEST}/address", ada, asked).json()
        if sent is not None:
            urllib3.request("PUT", place["url"], body=sent, headers=place["headers"])
        said = json.dumps({"upload": place["upload"], "size_bytes": said_bytes}).encode()
        refused = direct.ask("POST", f"/blobs/{DIGEST}/arrived", ada, said)
        assert (refused.status, refused.json()["code"]) == (status, code)
        assert not [key for key in direct.held() if "blobs/" in key or key.startswith("uploads/")]

    def test_what_is_sent_while_it_is_hashed_does_not_count(
        self, direct: Direct, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada = direct.token("ada", "maintainer", "risk")
        asked = json.dumps({"size_bytes": len(CONTENT)}).encode()
        place = direct.ask("POST", f"/blobs/{DIGEST}/address", ada, asked).json()
        urllib3.request("PUT", place["url"], body=CONTENT, headers=place["headers"])
        real = direct_module.download

        def slow(*arguments: Any) -> Iterator[bytes]:
            yield from real(*arguments)
            assert (
                urllib3.request("PUT", place["url"], body=b"!" * len(CONTENT), headers=place["headers"]).status == 200
            )

        monkeypatch.setattr(direct_module, "download", slow)
        said = json.dumps({"upload": place["upload"], "size_bytes": len(CONTENT)}).encode()
        assert direct.ask("POST", f"/blobs/{DIGEST}/arrived", ada, said).status == 200
        key = next(key for key in direct.held() if key.endswith(DIGEST.removeprefix("sha256:")))
        there = direct.server.client.get_object(Bucket=direct.server.bucket, Key=f"{direct.prefix}/{key}")
        assert there["Body"].read() == CONTENT

    def test_who_may_not_register_gets_no_address(self, direct: Direct) -> None:
        eve = direct.token("eve", "viewer", "risk")
        for path, body in (("address", b'{"size_bytes": 1}'), ("arrived", b'{"upload": "", "size_bytes": 1}')):
            refused = direct.ask("POST", f"/blobs/{DIGEST}/{path}", eve, body)
            assert refused.status == 403
            assert "X-Amz" not in refused.data.decode()

    def test_what_cannot_be_meant_is_refused(self, direct: Direct) -> None:
        ada = direct.token("ada", "maintainer", "risk")
        for path, body in (
            ("address", b'{"size_bytes": -1}'),
            ("address", json.dumps({"size_bytes": 6 << 30}).encode()),
            ("arrived", b'{"upload": "../blobs/x", "size_bytes": 1}'),
            ("arrived", b"{}"),
        ):
            assert direct.ask("POST", f"/blobs/{DIGEST}/{path}", ada, body).status == 400, body


class TestBringingByTheClient:
    @pytest.fixture(autouse=True)
    def _smaller(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(served, "_LARGE_BYTES", 1 << 20)

    def test_large_ones_go_to_the_store_itself(self, direct: Direct, asked: list[tuple[str, str]]) -> None:
        ada = direct.token("ada", "maintainer", "risk")
        moved: list[int] = []
        stat = client(direct, ada).put(BytesIO(CONTENT), progress=moved.append)
        assert (stat.digest, stat.size_bytes, sum(moved)) == (DIGEST, len(CONTENT), len(CONTENT))
        assert [way for way, _ in asked] == ["PUT"]
        assert direct.ask("GET", f"/blobs/{DIGEST}", ada).data == CONTENT
        client(direct, ada).put(BytesIO(CONTENT))
        assert len(asked) == 1  # it is there already

    def test_a_store_that_is_not_reached_is_no_fault(
        self, direct: Direct, asked: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ada = direct.token("ada", "maintainer", "risk")
        giver = giver_of(direct.behind.store)
        assert giver is not None
        monkeypatch.setattr(type(giver), "write_address", lambda *_: ("http://127.0.0.1:9/x", {}))
        store = client(direct, ada)
        assert store.put(BytesIO(CONTENT)).digest == DIGEST
        assert store.put(BytesIO(CONTENT + b"x")).digest == digest_of(CONTENT + b"x")
        assert len(asked) == 1
        assert store.open(DIGEST).read() == CONTENT


def test_an_address_ends(direct: Direct) -> None:
    giver = giver_of(direct.behind.store)
    assert giver is not None
    ada = direct.token("ada", "maintainer", "risk")
    direct.ask("PUT", f"/blobs/{DIGEST}", ada, CONTENT)
    address = giver.read_address(DIGEST, 1.0)
    assert urllib3.request("GET", address).status == 200
    time.sleep(2.5)
    assert urllib3.request("GET", address).status == 403
