import platform

import pytest

from chopmark.domain.manifest import Environment
from chopmark.formats import capture_environment, framework_mismatch, installed_environment
from chopmark.formats.environment import framework_of
from tests.formats.cases import linear, online_model


def test_the_environment_is_that_of_this_process() -> None:
    captured = capture_environment("scikit-learn", ("numpy", "no-such-distribution", "xgboost"))
    assert captured.python == platform.python_version()
    assert captured.platform == captured.platform.lower()
    assert captured.framework_version
    assert list(captured.dependencies) == ["numpy", "xgboost"]
    assert framework_mismatch(captured, installed_environment(captured)) == ""


@pytest.mark.parametrize(
    ("was", "here", "says"),
    [
        ("1.7.2", "1.7.0", ""),
        ("1.7.2", "1.8.0", "made with scikit-learn 1.7.2 and here it is 1.8.0"),
        ("1.7.2", "", "not installed here"),
        ("", "1.8.0", ""),
        ("2.13.0+cpu", "2.13.1", ""),
    ],
)
def test_another_minor_version_is_said(was: str, here: str, says: str) -> None:
    recorded = Environment(framework="scikit-learn", framework_version=was)
    installed = Environment(framework="scikit-learn", framework_version=here)
    sentence = framework_mismatch(recorded, installed)
    assert says in sentence
    assert bool(sentence) == bool(says)


def test_python_counts_where_byte_code_is_stored() -> None:
    here = Environment(python="3.12.1")
    assert framework_mismatch(Environment(python="3.11.7"), here) == ""
    recorded = Environment(python="3.11.7", dependencies={"cloudpickle": "3.1"})
    assert "byte code of Python 3.11.7" in framework_mismatch(recorded, here)


def test_the_framework_is_the_distribution_of_the_class() -> None:
    assert framework_of(linear()) == "scikit-learn"
    assert framework_of(online_model()) == "river"
    assert framework_of(object()) == ""
