"""Nothing that a client sends raises anything but `InvalidRequest`."""

import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Field
from chopmark.errors import InvalidRequest
from chopmark.gateway.protocols import invocations, open_inference, rows
from chopmark.gateway.protocols.asked import Asked, Limits
from tests.gateway.protocols.forms import DELIMITED, FORMS, Case, Sent, cases, tensors, tensors_nested

_LIMITS = Limits(elements_max=1_000)

LAYOUTS = [
    Layout(kind="matrix", inputs=(Field("a", "float", nullable=True), Field("b", "int")), dtype="float64"),
    Layout(kind="matrix", inputs=(Field("a", "float"),), dtype="float32"),
    Layout(kind="matrix", inputs=(Field("a", "bool"), Field("b", "bool")), dtype="bool"),
    Layout(kind="matrix", inputs=(Field("a", "string"), Field("b", "datetime")), dtype="object"),
    Layout(kind="table", inputs=(Field("a", "datetime"), Field("b", "bytes"), Field("c", "object"))),
    Layout(
        kind="table",
        inputs=(Field("a", "bool", nullable=True), Field("b", "int", nullable=True), Field("c", "category")),
    ),
    Layout(kind="tensors", inputs=(Field("a", "float", "float32", (-1, 2)),)),
    Layout(kind="tensors", inputs=(Field("a", "int", "int64", (-1,)), Field("b", "string", "str", (-1, -1)))),
]
PROTOCOLS = [open_inference, rows, invocations]

_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-3, 3), st.floats(), st.text(max_size=4),
    st.sampled_from(["2026-03-01", "AAAA", 2**53 + 1, 2**63, 2**64, 1e308, -1e-320, "1", "nan", "9999-12-31T23:59:59-23:59"]),
)  # fmt: skip
_values = st.recursive(
    _scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
)
_tensors = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "c", "x"]),
        "shape": st.lists(st.one_of(st.integers(0, 3), st.integers()), max_size=4),
        "datatype": st.sampled_from(["BOOL", "UINT8", "INT8", "UINT64", "INT64", "FP16", "FP32", "FP64", "BYTES", "bytes"]),
    },
    optional={"data": st.one_of(st.lists(_values, max_size=6), _values), "parameters": st.dictionaries(st.sampled_from(["binary_data_size", "x"]), _scalars)},
)  # fmt: skip
_infer = st.fixed_dictionaries(
    {"inputs": st.lists(_tensors, max_size=3)},
    optional={
        "id": _scalars,
        "outputs": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from(["a", "y"])}, optional={"parameters": _values}), max_size=2
        ),
        "parameters": st.one_of(_values, st.fixed_dictionaries({"binary_data_output": _scalars})),
    },
)
_split = st.fixed_dictionaries({"data": st.one_of(_values, st.lists(st.lists(_scalars, max_size=3), max_size=3))}, optional={"columns": st.one_of(_values, st.lists(st.one_of(st.sampled_from("abcd"), st.integers(0, 2)), max_size=4))})  # fmt: skip
_scoring = st.one_of(
    *(
        st.dictionaries(st.just(name), values, min_size=1)
        for name, values in (
            ("dataframe_split", _split),
            ("dataframe_records", _values),
            ("instances", _values),
            ("inputs", _values),
        )
    )
)
_rows = st.one_of(
    _values, st.fixed_dictionaries({}, optional={"rows": _values, "row": _values, "outputs": _values, "id": _values})
)
_bodies = st.one_of(
    st.tuples(st.just(open_inference), _infer),
    st.tuples(st.just(rows), _rows),
    st.tuples(st.just(invocations), _scoring),
)
_content_types = st.sampled_from([b"", b"application/json", b"text/csv", b"text/csv;charset=x", b"\xff"])


def answered(protocol: Any, body: bytes, headers: dict[bytes, bytes], layout: Layout) -> Asked | None:
    """What was read; None where it was refused. Everything else that is raised fails the test."""
    try:
        asked: Asked = protocol.read(body, headers, layout, _LIMITS)
    except InvalidRequest:
        return None
    arrays = asked.inputs.values() if isinstance(asked.inputs, dict) else [asked.inputs]
    assert asked.rows > 0
    assert all(len(array) == asked.rows for array in arrays)
    assert len(list(arrays)) == (len(layout.inputs) if isinstance(asked.inputs, dict) else 1)
    return asked


@given(sent=_bodies, layout=st.sampled_from(LAYOUTS), content_type=_content_types)
def test_bodies_that_look_like_requests(sent: tuple[Any, Any], layout: Layout, content_type: bytes) -> None:
    protocol, value = sent
    answered(protocol, json.dumps(value).encode(), {b"content-type": content_type}, layout)


@given(
    protocol=st.sampled_from(PROTOCOLS), body=st.binary(max_size=64), layout=st.sampled_from(LAYOUTS),
    headers=st.dictionaries(st.sampled_from([b"content-type", b"inference-header-content-length"]), st.one_of(st.binary(max_size=8), st.just(b"text/csv"), st.integers(0, 64).map(lambda n: b"%d" % n))),
)  # fmt: skip
def test_any_bytes(protocol: Any, body: bytes, layout: Layout, headers: dict[bytes, bytes]) -> None:
    answered(protocol, body, headers, layout)


@given(case=cases(), form=st.sampled_from(FORMS), at=st.integers(0), piece=st.binary(max_size=3), cut=st.integers(0, 5))
def test_requests_with_a_piece_replaced(case: Case, form: Any, at: int, piece: bytes, cut: int) -> None:
    sent: Sent = form(case)
    place = at % (len(sent.body) + 1)
    body = sent.body[:place] + piece + sent.body[place + cut :]
    answered(sent.protocol, body, dict(sent.headers), case.layout)


@given(text=st.text(st.sampled_from('ab,"\r\n1.x \0'), max_size=40), layout=st.sampled_from(LAYOUTS))
def test_any_text_as_csv(text: str, layout: Layout) -> None:
    answered(invocations, b"a,b\n" + text.encode(), {b"content-type": b"text/csv"}, layout)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[Case, Sent]:
    """A request with one value of its JSON replaced, wherever it stands."""
    case = draw(cases())
    forms = [tensors, tensors_nested] if draw(st.booleans()) else [form for form in FORMS if form not in DELIMITED]
    sent = draw(st.sampled_from(forms))(case)
    return case, sent._replace(body=json.dumps(_replaced(draw, json.loads(sent.body))).encode())


def _replaced(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, (dict, list)) and value and draw(st.integers(0, 7)):
        key = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        changed = value.copy()
        changed[key] = _replaced(draw, value[key])
        return changed
    return draw(_values)


def test_requests_with_a_value_replaced() -> None:
    taken: Counter[tuple[str, bool]] = Counter()

    @settings(max_examples=300, derandomize=True)  # what it counts is to be the same each time
    @given(made=mutated())
    def reads(made: tuple[Case, Sent]) -> None:
        case, sent = made
        asked = answered(sent.protocol, sent.body, dict(sent.headers), case.layout)
        taken[sent.protocol.__name__.rpartition(".")[2], asked is not None] += 1

    reads()
    # Some are taken and some refused, by every protocol: the checks behind the first are reached.
    assert set(taken) == {
        (name, is_taken) for name in ("open_inference", "rows", "invocations") for is_taken in (True, False)
    }
