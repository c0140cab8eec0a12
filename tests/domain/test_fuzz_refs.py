"""References against arbitrary text, and against the text that is written of them."""

import string

from hypothesis import example, given
from hypothesis import strategies as st

from chopmark.domain.lifecycle import STAGES
from chopmark.domain.refs import Ref, parse_model, parse_ref
from chopmark.errors import InvalidRequest

PIECES = (
    *("fraud", "risk/", "risk", "/", ":", "@", "#", "^", "~", "models:/", "sha256:", "abcdef012", "latest", "champion"),
    *("7", "0", "1.4.2", "1.4", "-rc.1", "+b", "production", "Production", "..", ".", "-", "_", " ", "\0", "é", "٣"),
)

anything = st.text(max_size=40) | st.text(string.printable, max_size=40)
assembled = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)


def read(text: str) -> Ref | InvalidRequest:
    try:
        return parse_ref(text)
    except InvalidRequest as error:
        return error


@given(anything | assembled)
@example("x" * 513)
@example("fraud:" + "9" * 19)
@example("fraud:^" + "9" * 99)
@example("fraud@sha256:" + "a" * 65)
@example("models:/fraud/")
def test_a_text_is_a_reference_or_an_error(text: str) -> None:
    found = read(text)
    if isinstance(found, InvalidRequest):
        assert found.message
        assert len(found.message) < 500
        return
    assert parse_ref(str(found)) == found
    assert parse_model(str(found.model)) == found.model


names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,10}[A-Za-z0-9])?", fullmatch=True)
numbers = st.integers(1, 10**17).map(str)
parts = st.integers(0, 999)
selectors = st.one_of(
    st.just(("latest", "")),
    st.tuples(st.just("number"), numbers),
    st.tuples(
        st.just("semver"), st.builds("{}.{}.{}{}".format, parts, parts, parts, st.sampled_from(("", "-rc.1", "+b")))
    ),
    st.tuples(st.just("range"), st.builds("{}{}.{}".format, st.sampled_from("^~"), parts, parts)),
    st.tuples(st.just("alias"), st.from_regex(r"[a-z]{1,3}-[a-z]{1,8}", fullmatch=True)),
    st.tuples(st.just("stage"), st.sampled_from(STAGES)),
    st.tuples(st.just("digest"), st.from_regex(r"sha256:[0-9a-f]{6,64}", fullmatch=True)),
)


@given(names, names, selectors)
def test_a_reference_reads_back_from_its_text(project: str, name: str, selector: tuple[str, str]) -> None:
    kind, value = selector
    ref = Ref(project, name, kind, value)  # type: ignore[arg-type]
    assert parse_ref(str(ref)) == ref
