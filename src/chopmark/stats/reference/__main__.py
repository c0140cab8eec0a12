"""``python -m chopmark.stats.reference FILE…``: passed and failed cases of each file; 1 when one fails."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import msgspec

from chopmark.errors import InvalidRequest, NotFound
from chopmark.stats.reference import compute
from chopmark.stats.reference.cases import ReferenceCase, cases_of, passed_over, without_cases
from chopmark.stats.reference.comparing import differences

__all__ = ["main", "shortfalls"]

_SHOWN_MAX = 5


def main(arguments: Sequence[str]) -> int:
    """Check files and print what was found.

    Returns
    -------
    int
        0 when every case of every file passed, 1 when one failed or a file could not be checked, 2 without files.
    """
    if not arguments:
        sys.stderr.write("usage: python -m chopmark.stats.reference FILE…\n")
        return 2
    passed = [_is_passed(path) for path in arguments]
    return 0 if all(passed) else 1


def shortfalls(case: ReferenceCase) -> list[str]:
    """In what the package's answer to a case falls short, in words; empty when it passes."""
    try:
        got = compute(case.method, case.given)
    except NotFound as error:
        return [error.message]
    except InvalidRequest as error:
        return [] if "raises" in case.expected else [f"refused: {error.message}"]
    except Exception as error:  # noqa: BLE001 - whatever it is, the case failed and the others should still run
        return [f"raised {type(error).__name__}: {error}".splitlines()[0]]
    return [str(one) for one in differences(case.expected, got, case.tolerance)]


def _is_passed(path: str) -> bool:
    failed = False
    for line, is_failure in _lines(path):
        failed = failed or is_failure
        sys.stdout.write(f"{line}\n")
    return not failed


def _lines(path: str) -> Iterator[tuple[str, bool]]:
    """What to say of a file, and whether it is a failure."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - statistics know no paths
            content = msgspec.json.decode(file.read())  # noqa: TID251 - no type is read
    except (OSError, msgspec.DecodeError) as error:
        yield f"{path}: cannot be read: {error}", True
        return
    cases = cases_of(content) if isinstance(content, dict) else []
    if not cases:
        why = without_cases(content) if isinstance(content, dict) else None
        yield f"{path}: {why or 'no case that is known here'}", why is None
        return
    failures = {f"{case.method} {case.name}": found for case in cases if (found := shortfalls(case))}
    yield f"{path}: {len(cases) - len(failures)} passed, {len(failures)} failed", bool(failures)
    if not_told := passed_over(content):
        yield f"  not checked, since the file does not tell how the inputs are made: {', '.join(not_told)}", False
    for name, found in failures.items():
        for words in found[:_SHOWN_MAX]:
            yield f"  FAILED {name}: {words}", True
        if len(found) > _SHOWN_MAX:
            yield f"  FAILED {name}: and {len(found) - _SHOWN_MAX} more", True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
