"""Every built-in format keeps the contract."""

import pytest

from chopmark.formats import format_names
from chopmark.testing.format_suite import FormatCase, FormatSuite
from tests.backends.required import import_backend
from tests.formats.cases import CASES


class TestBuiltInFormats(FormatSuite):
    @pytest.fixture(params=CASES)
    def case(self, request) -> FormatCase:
        if "torch" in request.param:
            import_backend("torch")
        return CASES[request.param]()


def test_every_format_has_a_case() -> None:
    assert {name.partition("-")[0] for name in CASES} == set(format_names())
