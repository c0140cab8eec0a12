"""What the benchmarks promise can be missed, and is then told."""

import pytest

from benchmarks.__main__ import table
from benchmarks.figures import Figure
from benchmarks.syncs import counted

TRACE = """\
10 kill(10, 0)                       = 0
11 fsync(12)                         = 0
10 fdatasync(6 <unfinished ...>
12 fsync(13)                         = 0
10 <... fdatasync resumed>)          = 0
10 kill(10, 0)                       = 0
12 fsync(11)                         = 0
10 kill(10, 0)                       = 0
10 fdatasync(6)                      = 0
10 kill(10, 0)                       = 0
10 kill(10, 0)                       = 0
"""


def test_syncs_are_counted_within_registrations_and_between_them() -> None:
    assert counted(TRACE) == (2.0, 0.5)


@pytest.mark.parametrize(
    ("limit", "limit_abs", "is_met"),
    [(None, None, True), (2.0, None, True), (1.9, None, False), (None, 6.0, True), (3.0, 5.9, False)],
)
def test_a_figure_keeps_its_promises_or_is_told_to_miss_them(
    limit: float | None, limit_abs: float | None, is_met: bool
) -> None:
    figure = Figure("register", 6.0, "ms", "commit", 3.0, limit, limit_abs)
    assert figure.is_met is is_met
    assert ("missed" in table([figure])) is not is_met
