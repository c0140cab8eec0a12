"""What one end writes of a request the other reads; garbage is refused in words."""

import contextlib
import string
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.errors import ChopmarkError, GateRefused, InvalidRequest, NotFound, Unavailable
from chopmark.ops import requests as q
from chopmark.ops.comparing import CompareVersions
from chopmark.ops.http import HttpCall, check_reply, error_of, from_http, in_query, path_fields, problem_of, to_http
from chopmark.ops.jobs import RetryJob, SetSchedule
from chopmark.ops.table import BY_REQUEST, OPS, Op
from chopmark.server.routes import Routes

ROUTES = Routes((op.method, op.path, op) for op in OPS.values())


def arrived(sent: HttpCall) -> q.Request:
    """What the server makes of a call."""
    found = ROUTES.find(sent.path)
    assert found is not None, sent.path
    return from_http(found.by_method[sent.method], found.places, sent.query, sent.body)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


def _values(hint: Any) -> st.SearchStrategy[Any]:
    """Values that a field of this type may have; structs are tried by examples below."""
    if get_origin(hint) is Annotated:
        base, meta = get_args(hint)
        return _numbers(base, meta) if base in {int, float} else _values(base)
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    if get_origin(hint) is tuple:
        return st.lists(TEXTS, max_size=4).map(tuple)
    if get_origin(hint) is dict:
        return st.dictionaries(TEXTS, st.sampled_from(["maximize", "minimize"]), max_size=3)
    if get_args(hint):
        return st.one_of(*(_values(each) for each in get_args(hint)))
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXTS,
        int: st.integers(0, 2**53),
        float: st.floats(0, 36_500),
        bool: st.booleans(),
        type(None): st.none(),
        datetime: st.datetimes(timezones=st.just(UTC)),
        UUID: st.uuids(),
    }
    return plain.get(hint, st.nothing())


def _numbers(kind: type, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    least = meta.ge if meta.ge is not None else meta.gt or 0
    most = meta.le if meta.le is not None else 36_500
    if kind is int:
        return st.integers(int(least) + (meta.gt is not None), int(most))
    return st.floats(least, most, exclude_min=meta.gt is not None)


def _reading(op: Op) -> st.SearchStrategy[q.Request]:
    hints = {name: _values(hint) for name, hint in get_type_hints(op.request, include_extras=True).items()}
    needed = {f.name for f in msgspec.structs.fields(op.request) if f.required}
    return st.fixed_dictionaries(
        {name: hints[name] for name in needed},
        optional={name: values for name, values in hints.items() if name not in needed and not values.is_empty},
    ).map(lambda fields: op.request(**fields))


@pytest.mark.parametrize("op", [op for op in OPS.values() if in_query(op)], ids=lambda op: op.name)
@given(data=st.data())
def test_what_is_asked_in_a_path_and_a_query_arrives(op: Op, data: st.DataObject) -> None:
    request = data.draw(_reading(op))
    assert arrived(to_http(op, request)) == request


@pytest.mark.parametrize(
    "request_",
    [
        q.CreateModel(model="risk/fraud", tags={"a": "b"}),
        q.UpdateModel(model="ä/ö ü%2F", card="", remove_tags=("x",)),
        q.UpdateModel(model="m", retention=None),
        q.PromoteVersion(ref="risk/fraud@sha256:ab#c?d&e=f", stage="staging", reason="100 % \n"),
        q.DeprecateVersion(ref="fraud:3", reason="r", at=datetime(2026, 1, 1, tzinfo=UTC)),
        q.SetAlias(alias="fraud@champion", target="fraud:^1.2", protected=False),
        CompareVersions(refs=(), directions={"f1": "maximize"}),
        RetryJob(job=UUID(int=7), reason="r"),
        SetSchedule(name="s", kind="backup", cron="@daily", arguments={"place": "/ä", "verify": True}),
    ],
    ids=lambda request: type(request).__name__,
)
def test_what_is_to_be_changed_arrives(request_: q.Request) -> None:
    assert arrived(to_http(BY_REQUEST[type(request_)], request_)) == request_


def test_every_op_has_a_path_of_its_own_whose_places_are_fields() -> None:
    places = [(op.method, op.path) for op in OPS.values()]
    assert len(set(places)) == len(places)
    for op in OPS.values():
        assert set(path_fields(op)) <= set(op.request.__struct_fields__), op.name


@pytest.mark.parametrize(
    ("name", "query", "body", "says"),
    [
        ("version.get", [("deleted", "perhaps")], b"", "deleted is a text; it may be true or false"),
        ("version.get", [("nonsense", "1")], b"", "unknown field `nonsense`"),
        ("version.get", [("ref", "other:2")], b"", "ref stands in the path"),
        ("version.get", [], b"{}", "takes no body"),
        ("version.get", [("deleted", "true"), ("deleted", "true")], b"", "said twice"),
        ("version.search", [("limit", "1.5")], b"", "limit is a text"),
        ("version.stage_at", [("at", "yesterday")], b"", "at is no time"),
        ("version.promote", [], b"", "missing required field `stage`"),
        ("version.promote", [("stage", "staging")], b"", "Say it in the body"),
        ("version.promote", [], b"[1]", "the value is a list"),
        ("version.promote", [], b'{"stage": 1, "reason": "r"}', "stage is a whole number"),
        ("version.promote", [], b'{"stage": "staging"', "does not have the form"),
        ("version.promote", [], b"\xff\xfe", "does not have the form"),
        ("version.promote", [], b"[" * 100_000, "does not have the form"),
    ],
)
def test_garbage_is_refused_in_words(name: str, query: list[tuple[str, str]], body: bytes, says: str) -> None:
    op = OPS[name]
    with pytest.raises(InvalidRequest) as caught:
        from_http(op, dict.fromkeys(path_fields(op), "fraud"), query, body)
    assert says in str(caught.value)


def test_errors_arrive_as_they_were_raised() -> None:
    for error in (
        NotFound("There is no model 'x'.", hint="Look again."),
        GateRefused("Two rules refuse.", findings=["a", "b"]),
        Unavailable("Not now.", retry_after_s=3),
    ):
        with pytest.raises(type(error)) as caught:
            check_reply(problem_of(error).status, msgspec.json.encode(problem_of(error, "r-1")), "https://registry")
        assert (caught.value.message, caught.value.hint, caught.value.details) == (
            error.message,
            error.hint,
            error.details,
        )
    assert error_of(problem_of(GateRefused("no", findings=["a"]))).findings == ["a"]


@pytest.mark.parametrize(
    ("status", "kind"), [(502, "unavailable"), (404, "unavailable"), (401, "denied"), (407, "denied")]
)
def test_a_proxy_that_answers_instead_is_told_apart(status: int, kind: str) -> None:
    with pytest.raises(ChopmarkError, match="another server or a proxy") as caught:
        check_reply(status, b"<html>Bad Gateway</html>", "https://registry")
    assert caught.value.code == kind


class TestRoutes:
    routes = Routes(
        [
            ("GET", "/a/{x}", 1),
            ("POST", "/a/plan", 2),
            ("GET", "/a/{x}/b", 3),
            ("GET", "/a/{x}/files/{*path}", 4),
            ("GET", "/", 5),
        ]
    )

    @pytest.mark.parametrize(
        ("path", "method", "what", "places"),
        [
            ("/a/risk%2Ffraud", "GET", 1, {"x": "risk/fraud"}),
            ("/a/plan", "POST", 2, {}),
            ("/a/plan/b", "GET", 3, {"x": "plan"}),
            ("/a/v:1/files/model/x%20y.bin", "GET", 4, {"x": "v:1", "path": "model/x y.bin"}),
            ("/", "GET", 5, {}),
        ],
    )
    def test_found(self, path: str, method: str, what: int, places: dict[str, str]) -> None:
        found = self.routes.find(path)
        assert found is not None
        assert (found.by_method[method], found.places) == (what, places)

    @pytest.mark.parametrize("path", ["/b", "/a", "/a/", "/a/x/", "/a//b", "/a/x/c", "/a/x/files", "/a/x/files/", ""])
    def test_nothing_there(self, path: str) -> None:
        assert self.routes.find(path) is None or path == ""

    def test_what_is_not_utf8(self) -> None:
        with pytest.raises(InvalidRequest, match="not UTF-8"):
            self.routes.find("/a/%ff")

    def test_two_of_one_path(self) -> None:
        with pytest.raises(ValueError, match="there already"):
            Routes([("GET", "/a/{x}", 1), ("GET", "/a/{x}", 2)])
        with pytest.raises(ValueError, match="another name"):
            Routes([("GET", "/a/{x}", 1), ("PUT", "/a/{y}", 2)])

    @given(st.text(string.printable, max_size=80))
    def test_no_path_does_harm(self, path: str) -> None:
        with contextlib.suppress(InvalidRequest):
            self.routes.find(path)
