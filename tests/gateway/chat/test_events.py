"""Server-sent events, taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.gateway.chat.events import Events, EventTooLong, data_of, event_of

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
TEXTS = st.text(alphabet=st.characters(blacklist_characters="\r\n", blacklist_categories=["Cs"]), max_size=12)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[str]]:
    """A stream of events with any line ends, and the data in it."""
    stream, found = b"", []
    for text in draw(st.lists(TEXTS, min_size=1, max_size=6)):
        end = draw(LINE_ENDS)
        before = draw(st.sampled_from([b"", b": comment", b"event: x", b"id: 3"]))
        stream += (before + end if before else b"") + b"data: " + text.encode() + end + end
        found.append(text)
    return stream, found


@given(streams(), st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_wherever_a_stream_is_cut_the_events_are_the_same(stream: tuple[bytes, list[str]], cuts: list[int]) -> None:
    data, texts = stream
    events, found, at = Events(1_000), [], 0
    while at < len(data):
        step = cuts[at % len(cuts)]
        found += events.fed(data[at : at + step])
        at += step
    assert [data_of(event) for event in found] == [text.encode() for text in texts]
    assert events.rest.strip(b"\r\n") == b""


def test_half_an_event_waits() -> None:
    events = Events(1_000)
    assert events.fed(b"data: a\n\ndata: b\n") == [b"data: a\n\n"]
    assert events.rest == b"data: b\n"
    assert events.fed(b"\n") == [b"data: b\n\n"]


def test_data_of_several_lines_is_one_text_and_a_comment_has_none() -> None:
    assert data_of(b"data: a\r\nid: 1\r\ndata:b\r\n\r\n") == b"a\nb"
    assert data_of(b": nothing\n\n") is None
    assert data_of(event_of(b"{}")) == b"{}"


@pytest.mark.parametrize("end", [b"", b"\n\n"])
def test_an_event_has_a_limit(end: bytes) -> None:
    with pytest.raises(EventTooLong):
        Events(100).fed(b"data: " + b"x" * 100 + end)
    events = Events(100)
    assert sum(len(events.fed(b"data: " + b"x" * 80 + b"\n\n")) for _ in range(10)) == 10


def test_an_event_in_many_pieces_costs_what_its_length_does() -> None:
    """The part that was looked at is not looked at again: only its last bytes, which may be half of an end."""
    events, looked_at = Events(1 << 20), 0
    for _ in range(1_000):
        before = max(0, events._looked_at)
        events.fed(b"x" * 100)
        looked_at += len(events.rest) - before
    assert looked_at <= 1_000 * 110
