"""Searching in the terminal: words, keys that nobody has, the best one, in all three shapes."""

import pytest

from tests.cli.running import Program


@pytest.fixture
def filled(program: Program) -> Program:
    program.register("fraud", '{"n": 1}', "--metric", "loss=0.3", "--description", "Isolation forest")
    program.register("fraud", '{"n": 2}', "--metric", "loss=0.2", "--tag", "team=risk")
    program.ok("model", "update", "fraud", "--owner", "ben", "--description", "Card payments")
    return program


def test_words_in_all_three_shapes(filled: Program) -> None:
    assert filled.ok("search", "--text", "fores* ISOLATION", "-q").out == "fraud:1\n"
    assert [v["number"] for v in filled.ok("search", "--text", "team", "--json").json["items"]] == [2]
    table = filled.ok("search", "number > 0 order by number", "--text", "fraud").out.splitlines()
    assert [row.split()[0] for row in table] == ["REFERENCE", "fraud:1", "fraud:2"]
    assert filled.ok("search", 'text ~ "fraud" and not tags.team', "-q").out == "fraud:1\n"


def test_a_text_without_a_word(filled: Program) -> None:
    ran = filled("search", "--text", "--")
    assert (ran.code, ran.out) == (2, "")
    assert "holds no word to look for" in ran.err
    ran = filled("search", 'number > 0 and text ~ "--"')
    assert "character 23" in ran.err


@pytest.mark.parametrize("shape", [(), ("-q",), ("--json",)])
def test_keys_that_no_version_has_are_told_on_standard_error(filled: Program, shape: tuple[str, ...]) -> None:
    ran = filled.ok("search", "metrics.los < 1 and tags.other", *shape)
    assert "No version has metrics.los. Did you mean metrics.loss?" in ran.err
    assert "No version has tags.other.\n" in ran.err
    assert "No version has" not in ran.out
    assert "No version has" not in filled.ok("search", "metrics.loss > 9", *shape).err
    assert "No version has metrics.lost." in filled.ok("search", "order by metrics.lost", *shape).err


def test_keys_that_no_version_has_are_in_the_document(filled: Program) -> None:
    answer = filled.ok("search", "metrics.los < 1 and tags.other", "--json").json
    assert answer == {"items": [], "cursor": "", "unknown": {"metrics.los": ["metrics.loss"], "tags.other": []}}
    answer = filled.ok("search", "order by metrics.lost", "--json").json
    assert ([v["number"] for v in answer["items"]], answer["unknown"]) == ([2, 1], {"metrics.lost": ["metrics.loss"]})
    for known in ("metrics.loss > 9", "metrics.loss > 0"):
        assert set(filled.ok("search", known, "--json").json) == {"items", "cursor"}


def test_the_best_by_the_name_of_the_metric(filled: Program) -> None:
    assert filled.ok("best", "fraud", "loss", "-q").out == "fraud:2\n"
    assert filled.ok("best", "fraud", "loss", "--maximize", "-q").out == "fraud:1\n"
    assert filled.ok("best", "fraud", "loss", "--minimize", "--json").json["number"] == 2
    ran = filled("best", "fraud", "los")
    assert (ran.code, "Did you mean metrics.loss?" in ran.err) == (3, True)


def test_models_by_words(filled: Program) -> None:
    filled.register("churn", '{"n": 3}')
    assert filled.ok("model", "list", "--text", "ben pay*", "-q").out == "fraud\n"
    assert filled.ok("model", "list", "--text", "nobody").err == "note: No models found.\n"
