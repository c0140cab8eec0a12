"""Request ids: they say what answered, and cannot be made up or changed."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.request_ids import RequestIds, read_request_id
from chopmark.errors import InvalidRequest

SECRET = bytes(range(32))
ENDPOINT, VERSION = UUID(int=1), UUID(int=2)


def _made(secret: bytes = SECRET, at_ms: int = 1_700_000_000_123, sequence: int = 5, variant: str = "stable") -> str:
    return RequestIds(secret, ENDPOINT, VERSION, 7, variant).made(at_ms, sequence)


def test_an_id_says_what_answered() -> None:
    said = read_request_id(_made(), SECRET)
    assert (said.endpoint_id, said.version_id, said.generation, said.variant) == (ENDPOINT, VERSION, 7, "stable")
    assert said.at.isoformat() == "2023-11-14T22:13:20.123000+00:00"


def test_the_form_of_an_id_stays() -> None:
    """Feedback comes weeks later: what was given out must be read by the next release, too."""
    kept = "AQAAAAAAAAAAAAAAAAAAAAEAAAAAAAAAAAAAAAAAAAACAAAAAAcBi8_laHsAAAAAAAVzdGFibGUcVNJMTtvNwHhp-So"
    assert _made() == kept


def test_two_requests_of_one_moment_have_two_ids() -> None:
    assert _made(sequence=1) != _made(sequence=2)


@given(st.data())
def test_an_id_that_was_changed_anywhere_is_refused(data: st.DataObject) -> None:
    made = _made()
    place = data.draw(st.integers(0, len(made) - 1))
    other = data.draw(st.sampled_from("ABCXYZabcxyz0189-_").filter(lambda c: c != made[place]))
    with pytest.raises(InvalidRequest):
        read_request_id(made[:place] + other + made[place + 1 :], SECRET)


@pytest.mark.parametrize("cut", [1, 4, 16, 60])
def test_an_id_that_was_cut_is_refused(cut: int) -> None:
    for text in (_made()[:-cut], _made()[cut:], _made() + "A" * cut):
        with pytest.raises(InvalidRequest):
            read_request_id(text, SECRET)


def test_an_id_of_another_registry_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        read_request_id(_made(secret=bytes(32)), SECRET)


@given(st.text(max_size=400))
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        read_request_id(text, SECRET)
