"""Several who change endpoints, versions and tokens at one time."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import chopmark as cm
from chopmark.base.jsons import encode
from chopmark.domain.access import Actor
from chopmark.domain.endpoints import RoutingMark
from chopmark.errors import ChopmarkError, Conflict, NotFound, PreconditionFailed
from chopmark.ops.endpoints import GetRouting, Share, SplitEndpoint
from chopmark.ops.http import etag_of


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[cm.Registry]:
    url = request.getfixturevalue("postgres_catalog_url") if request.param == "postgres" else ""
    with cm.open(tmp_path / "registry", database_url=url, actor="ada") as opened:
        yield opened


def at_once(*calls: Callable[[], object]) -> list[str]:
    """Do all of them, each in a thread; the name of each one's error, or empty."""
    found = [""] * len(calls)
    ready = threading.Barrier(len(calls))

    def one(place: int) -> None:
        ready.wait()
        try:
            calls[place]()
        except ChopmarkError as error:
            found[place] = type(error).__name__

    threads = [threading.Thread(target=one, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_a_version_is_deleted_or_served_never_both(shared: cm.Registry) -> None:
    seen = set()
    for n in range(12):
        version = shared.register("fraud", {"n": n})
        deleted, made = at_once(
            partial(shared.versions.delete, version),
            partial(shared.endpoints.create, f"api-{n}", version),
        )
        assert (deleted, made) in (("Conflict", ""), ("", "NotFound")), n
        seen.add(deleted)
    served = {e.variants[0].version.number for e in shared.endpoints.list()}
    assert served == {v.number for v in shared.versions.list("fraud")}


def test_generations_are_one_after_the_other(shared: cm.Registry) -> None:
    version = shared.register("fraud", {"n": 1})
    before: RoutingMark = shared._transport.call(GetRouting()).mark
    made = at_once(
        *(lambda n=n: shared.endpoints.create(f"api-{n}", version) for n in range(4)),
        *(lambda n=n: shared.access.create_token(f"t{n}") for n in range(4)),
    )
    assert made == [""] * 8
    after: RoutingMark = shared._transport.call(GetRouting()).mark
    assert after.generation == before.generation + 8
    found = [endpoint.generation for endpoint in shared.endpoints.list()]
    assert len(set(found)) == 4
    assert set(found) <= set(range(before.generation + 1, after.generation + 1))


def test_one_of_two_makes_it(shared: cm.Registry) -> None:
    version = shared.register("fraud", {"n": 1})
    made = at_once(*(lambda: shared.endpoints.create("api", version) for _ in range(4)))
    assert sorted(made) == ["", "Conflict", "Conflict", "Conflict"]
    assert len([e for e in shared.audit.list() if e.event == "endpoint.created"]) == 1


def test_who_saw_another_split_changes_nothing(shared: cm.Registry) -> None:
    """One of several with the same entity tag gets through; the others look again."""
    for n in range(3):
        shared.register("fraud", {"n": n})
    shared.endpoints.create("api", "fraud:1")
    tag = etag_of(encode(shared.endpoints.get("api")))
    act = shared._transport.act

    def split(number: int) -> object:
        request = SplitEndpoint(endpoint="api", split=(Share(version=f"fraud:{number}"),))
        return act(request, Actor("ada"), expected=tag)

    made = at_once(lambda: split(2), lambda: split(3))
    assert sorted(made) == ["", "PreconditionFailed"]
    with pytest.raises(PreconditionFailed):
        split(2)
    shared.endpoints.delete("api")
    with pytest.raises((PreconditionFailed, NotFound)):
        split(2)
    with pytest.raises(Conflict):
        shared.versions.restore("fraud:1")
