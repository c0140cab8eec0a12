"""Every reference case: what the package answers is what other libraries answered, within the tolerance of the file."""

from pathlib import Path

import msgspec
import pytest

from chopmark.stats.reference import methods
from chopmark.stats.reference.__main__ import shortfalls
from chopmark.stats.reference.cases import ReferenceCase, cases_of, passed_over, without_cases

FILES = sorted(Path(__file__).parent.glob("*/*.json"))
DECODED = {path: msgspec.json.decode(path.read_bytes()) for path in FILES}
CASES = [case for content in DECODED.values() for case in cases_of(content)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method}-{case.name}")
def test_the_answer_is_the_expected_one(case: ReferenceCase) -> None:
    assert shortfalls(case) == []


def test_every_file_has_cases_or_has_none_by_design() -> None:
    assert len(FILES) == 37
    assert [path.name for path, content in DECODED.items() if not cases_of(content)] == [
        "datasets_offline.json",
        "training_expectations_public.json",
    ]
    assert all(without_cases(content) for content in DECODED.values() if not cases_of(content))


def test_no_case_is_left_out() -> None:
    experiments = [c for p, c in DECODED.items() if p.parent.name == "experiments"]
    assert sum(content["n_cases"] for content in experiments) == sum(len(cases_of(c)) for c in experiments)
    monitoring = [c for p, c in DECODED.items() if p.parent.name == "monitoring"]
    assert sum(len(cases_of(c)) for c in monitoring) == 3 + 11 + 7


def test_what_nobody_can_check_is_named_and_no_more_than_this() -> None:
    """Arrays that the file describes by scripts that it does not hold; brought along they are checked."""
    [drift] = [content for path, content in DECODED.items() if path.name == "drift_reference_public.json"]
    assert [what for content in DECODED.values() for what in passed_over(content)] == [
        "performance.nannyml_dle",
        "multivariate.mmd",
        "multivariate.nannyml_pca_reconstruction",
        "multivariate.nannyml_domain_classifier_auroc",
    ]
    brought = {"multivariate": {**drift["multivariate"], "reference": [[0.0]], "chunks": [[[0.0]]]}}
    assert passed_over(brought) == []
    assert [set(case.expected) for case in cases_of(brought)] == [
        {"mmd", "nannyml_pca_reconstruction", "nannyml_domain_classifier_auroc"}
    ]


def test_every_case_expects_something() -> None:
    assert [case.name for case in CASES if not case.expected] == []


def test_every_method_that_is_there_has_a_case() -> None:
    assert set(methods()) - {case.method for case in CASES} == {"multivariate"}, "of which the file holds no inputs"
