"""The grammar of references: what is read, what it means, what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.endpoints import parse_endpoint
from chopmark.domain.experiments import parse_experiment
from chopmark.domain.lifecycle import STAGES
from chopmark.domain.refs import DEFAULT_PROJECT, ModelRef, Ref, parse_model, parse_ref
from chopmark.errors import InvalidRequest

HEX = "ab12cd" + "0" * 58


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fraud", Ref("default", "fraud")),
        ("fraud:latest", Ref("default", "fraud")),
        ("fraud:7", Ref("default", "fraud", "number", "7")),
        ("fraud:1.4.2", Ref("default", "fraud", "semver", "1.4.2")),
        ("fraud:1.4.2-rc.1+b5", Ref("default", "fraud", "semver", "1.4.2-rc.1+b5")),
        ("fraud:^1.4", Ref("default", "fraud", "range", "^1.4")),
        ("fraud:~1.4.2", Ref("default", "fraud", "range", "~1.4.2")),
        ("fraud@champion", Ref("default", "fraud", "alias", "champion")),
        ("fraud#production", Ref("default", "fraud", "stage", "production")),
        (f"fraud@sha256:{HEX}", Ref("default", "fraud", "digest", f"sha256:{HEX}")),
        ("fraud@sha256:ab12cd", Ref("default", "fraud", "digest", "sha256:ab12cd")),
        ("risk/fraud:7", Ref("risk", "fraud", "number", "7")),
        ("models:/fraud/7", Ref("default", "fraud", "number", "7")),
        ("models:/fraud/Production", Ref("default", "fraud", "stage", "production")),
        ("models:/fraud/latest", Ref("default", "fraud")),
        ("models:/fraud@champion", Ref("default", "fraud", "alias", "champion")),
        ("models:/risk/fraud/7", Ref("risk", "fraud", "number", "7")),
    ],
)
def test_every_form_is_read(text: str, expected: Ref) -> None:
    assert parse_ref(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "fraud:",
        "fraud@",
        "fraud#",
        "fraud:0",
        "fraud:-1",
        "fraud:07",
        "fraud:1.4",
        "fraud:01.2.3",
        "fraud:^",
        "fraud:^1.x",
        "fraud:champion",
        "fraud@latest",
        "fraud@Production",
        "fraud@7",
        "fraud@1.4.2",
        "fraud@v2",
        "fraud#prod",
        "fraud@sha256:xyz",
        "fraud@sha256:ab",
        "fraud@sha256:" + "a" * 65,
        "a/b/c",
        "/fraud",
        "fraud/",
        "../fraud",
        "fra..ud",
        "fraud:7:8",
        "fraud@a@b",
        "frаud",
        "fraud\u200b",
        "fraud:٧",  # an Arabic digit
        "models:/fraud",
        "models:/",
        "models://7",
        "x" * 129,
        "x" * 1_000_000,
        "fraud:" + "9" * 30,
        "fraud\n",
        "-fraud",
        ".fraud",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_ref(text)
    assert len(str(caught.value)) < 700
    assert str(caught.value).isprintable() or "\n" in str(caught.value)


def test_the_session_project_fills_in() -> None:
    assert parse_ref("fraud:3", "risk") == Ref("risk", "fraud", "number", "3")
    assert parse_ref("ads/fraud:3", "risk").project == "ads"
    assert parse_model("fraud", "risk") == ModelRef("risk", "fraud")


@pytest.mark.parametrize(
    ("read", "called", "example"),
    [
        (parse_model, "model", "fraud-detector"),
        (parse_endpoint, "endpoint", "fraud-api"),
        (parse_experiment, "experiment", "ranker-test"),
    ],
)
def test_what_a_name_is_of_is_said_with_an_example(read: Any, called: str, example: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read("z api")
    assert caught.value.message.startswith(f"The {called} name 'z api' must be letters")
    assert caught.value.hint == f"{'A' if called == 'model' else 'An'} {called} name that would do: '{example}'."
    assert read(example).name == example
    with pytest.raises(InvalidRequest, match=f"is not an? {called}: it has more"):
        read("a/b/c")


def test_something_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="not a int"):
        parse_ref(7)  # type: ignore[arg-type]


names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,20}[A-Za-z0-9])?", fullmatch=True)
selectors = st.one_of(
    st.just(("latest", "")),
    st.integers(1, 10**12).map(lambda n: ("number", str(n))),
    st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)).map(
        lambda t: ("semver", f"{t[0]}.{t[1]}.{t[2]}")
    ),
    st.integers(0, 99).map(lambda n: ("range", f"^{n}")),
    st.sampled_from(STAGES).map(lambda s: ("stage", s)),
    st.just(("alias", "champion")),
    st.text("0123456789abcdef", min_size=6, max_size=64).map(lambda h: ("digest", f"sha256:{h}")),
)


@given(st.one_of(st.just(DEFAULT_PROJECT), names), names, selectors)
def test_a_printed_reference_reads_back(project: str, name: str, selector: tuple) -> None:
    ref = Ref(project, name, *selector)
    assert parse_ref(str(ref)) == ref


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        ref = parse_ref(text)
    except InvalidRequest:
        return
    assert parse_ref(str(ref)) == ref
