import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.errors import InvalidRequest
from chopmark.formats.ubjson import check_ubjson
from tests.formats.cases import xgboost_booster

WHOLE = bytes(xgboost_booster().save_raw("ubj"))


@pytest.mark.parametrize(
    "value",
    [b"Z", b"i\x05", b"Si\x02ab", b"[i\x01T]", b"[$d#i\x02" + bytes(8), b"{i\x01aZ}", b"[#i\x02TF", b"{#i\x01i\x01aF"],
)
def test_whole_values_pass(value: bytes) -> None:
    check_ubjson(value)


@pytest.mark.parametrize(
    "value", [b"", b"x", b"[", b"Si\x09ab", b"[$d#L" + b"\x7f" + b"\xff" * 7, b"ZZ", b"Si\xffab", b"[" * 1000]
)
def test_others_are_refused(value: bytes) -> None:
    with pytest.raises(InvalidRequest):
        check_ubjson(value)


def test_every_cut_of_a_model_is_refused() -> None:
    check_ubjson(WHOLE)
    for length in range(0, len(WHOLE), 7):
        with pytest.raises(InvalidRequest):
            check_ubjson(WHOLE[:length])


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        check_ubjson(data)
    except InvalidRequest as error:
        assert "UBJSON" in error.message  # noqa: PT017
