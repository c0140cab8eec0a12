"""Aliases over HTTP: an ETag when one is read, and If-Match when it is moved."""

import json
import threading

import pytest

from chopmark.ops.requests import GetAlias
from tests.server.conftest import Plain

API = "/api/v1"
EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.fixture
def moved(plain: Plain) -> Plain:
    """A model with two versions and an alias to the first."""
    plain.ask("PUT", f"{API}/blobs/{EMPTY}", b"")
    for threshold in (1, 2):
        file = {"path": f"{threshold}.bin", "role": "weights", "size_bytes": 0, "digest": EMPTY}
        manifest = {"kind": "artifact", "format": "raw", "files": [file]}
        made = plain.ask("POST", f"{API}/versions", json.dumps({"model": "fraud", "manifest": manifest}).encode())
        assert made.status == 201, made.data
    assert plain.ask("PUT", f"{API}/aliases/fraud@champion", b'{"target": "fraud:1"}').status == 200
    return plain


def test_an_alias_moves_only_while_it_is_what_was_seen(moved: Plain) -> None:
    path = f"{API}/aliases/fraud@champion"
    seen = moved.ask("GET", path)
    assert (seen.status, seen.json()["number"]) == (200, 1)
    tag = seen.headers["etag"]
    assert moved.ask("GET", path, if_none_match=tag).status == 304
    assert moved.ask("PUT", path, b'{"target": "fraud:2"}', if_match=tag).status == 200
    late = moved.ask("PUT", path, b'{"target": "fraud:1"}', if_match=tag)
    assert (late.status, late.json()["code"]) == (412, "precondition_failed")
    assert moved.ask("DELETE", path, if_match=tag).status == 412
    assert moved.behind.call(GetAlias(alias="fraud@champion")).number == 2
    now = moved.ask("GET", path).headers["etag"]
    assert now != tag
    assert moved.ask("DELETE", path, if_match=now).status == 200
    assert moved.ask("GET", path).status == 404


def test_what_was_removed_meanwhile_is_not_made_again(moved: Plain) -> None:
    path = f"{API}/aliases/fraud@champion"
    tag = moved.ask("GET", path).headers["etag"]
    moved.ask("DELETE", path)
    for expected in (tag, "*"):
        refused = moved.ask("PUT", path, b'{"target": "fraud:2"}', if_match=expected)
        assert (refused.status, refused.json()["code"]) == (412, "precondition_failed")
    assert moved.ask("DELETE", path, if_match=tag).status == 404
    assert moved.ask("PUT", path, b'{"target": "fraud:2"}').status == 200


def test_what_is_only_to_be_made_is_not_moved(moved: Plain) -> None:
    path = f"{API}/aliases/fraud@champion"
    refused = moved.ask("PUT", path, b'{"target": "fraud:2"}', if_none_match="*")
    assert (refused.status, refused.json()["code"]) == (412, "precondition_failed")
    assert moved.behind.call(GetAlias(alias="fraud@champion")).number == 1
    assert moved.ask("PUT", f"{path}?dry_run=true", b'{"target": "fraud:2"}', if_none_match="*").status == 412
    statuses: list[int] = []

    def make() -> None:
        answer = moved.ask("PUT", f"{API}/aliases/fraud@new", b'{"target": "fraud:2"}', if_none_match="*")
        statuses.append(answer.status)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [412] * 7
    assert moved.ask("PUT", f"{API}/aliases/other@new", b'{"target": "other:1"}', if_none_match="*").status == 404
    by_tag = moved.ask("PUT", f"{API}/aliases/fraud@new", b'{"target": "fraud:2"}', if_none_match='"abc"')
    assert by_tag.status == 400
    no_such = moved.ask("PATCH", f"{API}/models/fraud", b'{"owner": "eve"}', if_none_match="*")
    assert (no_such.status, no_such.json()["code"]) == (400, "invalid_request")


def test_of_many_who_saw_the_same_one_moves_it(moved: Plain) -> None:
    path = f"{API}/aliases/fraud@champion"
    tag = moved.ask("GET", path).headers["etag"]
    statuses: list[int] = []

    def move() -> None:
        statuses.append(moved.ask("PUT", path, b'{"target": "fraud:2"}', if_match=tag).status)

    threads = [threading.Thread(target=move) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + 7 * [412]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("W/{tag}", "is a weak tag"),
        ('"other", W/{tag}', "is a weak tag"),
        ("{bare}", "is no entity tag"),
        ('"', "is no entity tag"),
    ],
)
def test_a_tag_that_could_never_match_is_told_as_that(moved: Plain, sent: str, words: str) -> None:
    path = f"{API}/aliases/fraud@champion"
    tag = moved.ask("GET", path).headers["etag"]
    said = sent.format(tag=tag, bare=tag.strip('"'))
    refused = moved.ask("PUT", path, b'{"target": "fraud:2"}', if_match=said)
    assert refused.status == 412
    assert words in refused.json()["detail"]


@pytest.mark.parametrize("said", ["", " ", ", ,"])
def test_a_header_that_names_no_tag_is_no_leave_to_write(moved: Plain, said: str) -> None:
    """A caller's variable was empty."""
    path = f"{API}/aliases/fraud@champion"
    assert moved.ask("PUT", path, b'{"target": "fraud:2"}', if_match=said).status == 412
    assert moved.behind.call(GetAlias(alias="fraud@champion")).number == 1
