"""Lineage on the command line: trees, pictures, impact, links, data sets."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.cli.running import Program


@pytest.fixture
def story(program: Program, tmp_path: Path) -> Program:
    """Three versions on one data set, of which the last is champion."""
    rows = tmp_path / "march.csv"
    rows.write_text("a,b\n1,2\n3,4\n")
    program.register("fraud", '{"t": 1}', "--dataset", str(rows))
    program.register("fraud", '{"t": 2}', "--parent", "retrained_from=fraud:1")
    program.register("fraud", '{"t": 3}', "--parent", "fine_tuned_from=fraud:2")
    program.ok("alias", "set", "fraud@champion", "fraud:3")
    return program


def test_a_tree(story: Program) -> None:
    ran = story.ok("lineage", "fraud:2")
    assert ran.out.splitlines()[0] == "fraud:2  1.0.1 · development"
    assert "   └─ fine-tuned as fraud:3  1.0.2 · development · @champion" in ran.out
    assert "trained on data set march.csv" in ran.out
    assert "leads to" not in story.ok("lineage", "fraud:2", "--up").out
    assert "comes from" not in story.ok("lineage", "fraud:2", "--down").out
    assert "march" not in story.ok("lineage", "fraud:2", "--depth", "1").out
    assert story.ok("lineage", "fraud:2", "-q").out.split() == ["fraud:2", "fraud:1", "fraud:3"]
    cut = story.ok("lineage", "fraud:2", "--limit", "1")
    assert "there is more" in cut.out
    assert "more edges than the limit of 1" in cut.err


def test_other_forms(story: Program, tmp_path: Path) -> None:
    graph = story.ok("lineage", "fraud", "--json").json
    assert {node["label"] for node in graph["nodes"]} >= {"fraud:1", "fraud:2", "fraud:3"}
    assert json.loads(story.ok("lineage", "fraud", "--format", "json").out) == graph
    events = [json.loads(line) for line in story.ok("lineage", "fraud", "--format", "openlineage").out.splitlines()]
    assert [event["outputs"][0]["name"] for event in events] == [f"default/fraud:{n}" for n in (1, 2, 3)]
    assert ET.fromstring(story.ok("lineage", "fraud", "--format", "svg").out).tag.endswith("svg")
    for name, begins in (("a.svg", "<svg"), ("a.json", "{"), ("a.jsonl", '{"eventType"'), ("a.txt", "fraud:3")):
        assert story.ok("lineage", "fraud", "-o", tmp_path / name).out.strip() == str(tmp_path / name)
        assert (tmp_path / name).read_text().startswith(begins)
    told = story.ok("lineage", "fraud", "-o", tmp_path / "b.svg", "--json").json
    assert told == {"path": str(tmp_path / "b.svg"), "nodes": 4, "edges": 3}
    assert story("lineage", "fraud", "-o", tmp_path / "a.png").code == 2
    assert story("lineage", "fraud", "-o", tmp_path / "nowhere" / "a.svg").code == 2
    assert story("lineage", "dataset:nothing").code == 3


def test_impact(story: Program) -> None:
    ran = story.ok("impact", "dataset:march.csv")
    lines = ran.out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["fraud:3", "fraud:1", "fraud:2"]
    assert "fine_tuned_from fraud:2" in lines[1]
    assert "3 versions, 1 of them live" in ran.err
    assert story.ok("impact", "fraud:2", "-q").out == "fraud:3\n"
    assert [a["live"] for a in story.ok("impact", "dataset:march.csv", "--json").json["affected"]] == [
        True,
        False,
        False,
    ]
    story.ok("evaluate", "fraud:2", "--dataset", "holdout", "--metric", "f1=0.5")
    ran = story.ok("impact", "dataset:holdout")
    assert ran.out == ""
    assert "Nothing comes from dataset:holdout." in ran.err
    assert "Only evaluated on it: fraud:2." in ran.err


def test_links(story: Program) -> None:
    arguments = ("fraud:3", "replaces", "fraud:2")
    assert story("link", *arguments).code == 2
    rehearsed = story.ok("link", *arguments, "--reason", "same callers", "--dry-run")
    assert "nothing was changed" in rehearsed.err
    assert story.ok("link", *arguments, "--reason", "same callers").out == "fraud:3 replaces fraud:2\n"
    assert story("link", *arguments, "--reason", "again").code == 4
    refused = story("link", "fraud:1", "derived_from", "fraud:3", "--reason", "r")
    assert (refused.code, "would close a cycle" in refused.err) == (4, True)
    kept = story("unlink", "fraud:2", "retrained_from", "fraud:1", "--reason", "r")
    assert (kept.code, "the manifest of fraud:2" in kept.err) == (4, True)
    assert "no longer replaces fraud:2" in story.ok("unlink", *arguments, "--reason", "no").out
    assert story("unlink", *arguments, "--reason", "no").code == 3


def test_data_sets(story: Program) -> None:
    assert story.ok("dataset", "list").out.splitlines()[1].split()[0] == "march.csv"
    assert "No data sets found." in story.ok("dataset", "list", "april").err
    found = story.ok("dataset", "get", "march.csv", "--json").json
    assert found["dataset"]["columns"][0]["name"] == "a"
    told = story.ok("dataset", "get", found["node"].removeprefix("dataset:")[:14]).out
    assert found["dataset"]["digest"] in told
    assert "a, b" in told
    assert story("dataset", "get", "nothing").code == 3
