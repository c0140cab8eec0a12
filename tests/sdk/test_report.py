"""A version's story, on every back end: what happened to it is in it, and nothing of other versions."""

import json
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

import chopmark as cm
from chopmark.base.clock import FakeClock
from chopmark.domain.story import VersionStory
from chopmark.errors import InvalidRequest, NotFound
from chopmark.ops.story import TellStory


@pytest.fixture
def lived(registry: cm.Registry) -> cm.Registry:
    data = pd.DataFrame({"amount": [1.0, 2.0, 4.0]})
    registry.register("fraud", {"t": 1}, metrics={"f1": 0.8}, dataset=data)
    registry.register("fraud", {"t": 2}, metrics={"f1": 0.9}, dataset=data, parents=["fraud:1"])
    registry.register("other", {"t": 3}, metrics={"f1": 0.1})
    registry.versions.evaluate("fraud:2", {"f1": 0.88}, dataset="march")
    registry.promote("fraud:2", "staging", reason="checked")
    registry.promote("fraud:2", "production", reason="better")
    registry.alias("fraud@champion", "fraud:1", reason="first")
    registry.alias("fraud@champion", "fraud:2", reason="second")
    registry.alias("fraud@beta", "fraud:1")
    return registry


def story_of(registry: cm.Registry, ref: str) -> VersionStory:
    told: VersionStory = registry._transport.call(TellStory(ref=ref))
    return told


def test_the_whole_story(lived: cm.Registry) -> None:
    story = story_of(lived, "fraud#production")
    assert story.version == lived.get("fraud:2")
    assert story.model == lived.models.get("fraud")
    assert story.manifest.files == lived.files.manifest("fraud:2").files
    assert [e.metrics for e in story.evaluations] == [{"f1": 0.88}]
    assert [(m.from_stage, m.to_stage) for m in story.stage_moves] == [
        ("staging", "production"),
        ("development", "staging"),
    ]
    assert [(m.name, m.previous, m.number) for m in story.alias_moves] == [("champion", 1, 2)]
    assert [f"{e.event} {e.target}" for e in story.events] == [
        "alias.set fraud@champion",
        "version.promoted fraud:2",
        "version.promoted fraud:2",
        "version.evaluated fraud:2",
        "version.registered fraud:2",
        "model.created fraud",
    ]
    assert story.uses == tuple(lived.versions.uses("fraud:2"))
    assert [(s.number, s.metrics) for s in story.siblings] == [(1, {"f1": 0.8}), (2, {"f1": 0.9})]
    assert story.lineage is not None
    labels = {node.id: node.label for node in story.lineage.nodes}
    edges = {(labels[e.source], e.relation, labels[e.target]) for e in story.lineage.edges}
    assert ("fraud:2", "retrained_from", "fraud:1") in edges or ("fraud:2", "derived_from", "fraud:1") in edges
    assert ("fraud:2", "evaluated_on", "march") in edges
    assert story.told_at > story.stage_moves[0].at
    assert repr(story).startswith("<story of fraud:2 as of ")


def test_a_version_that_left_an_alias_knows_it(lived: cm.Registry) -> None:
    moves = story_of(lived, "fraud:1").alias_moves
    assert [(m.name, m.previous, m.number) for m in moves] == [
        ("beta", None, 1),
        ("champion", 1, 2),
        ("champion", None, 1),
    ]


def test_events_are_the_trail_and_told_in_words(lived: cm.Registry) -> None:
    lived.alias("fraud@champion", "fraud:1", reason="rolled back")
    lived.lineage.link("other:1", "replaces", "fraud:2", reason="one for all")
    lived.models.delete("fraud", force=True, reason="by mistake")
    lived.models.restore("fraud")
    assert story_of(lived, "fraud:2").events == tuple(lived.audit.trail("fraud:2"))[::-1]
    for form in ("html", "markdown"):
        report = lived.versions.report("fraud:2", form)
        for words in (
            "moved @champion away from fraud:2, to fraud:1",
            "linked other:1 replaces fraud:2",
            "restored the model fraud",
            "made the model fraud",
        ):
            assert words in report.replace("\\", ""), (form, words)
        assert "registered fraud:1" not in report


def test_trust_is_among_the_events(local: cm.Registry) -> None:
    local.register("pk", {1, 2}, format="pickle")
    local.load("pk")
    local.trust.revoke("pk:1", reason="no")
    report = local.versions.report("pk:1", "markdown")
    assert "trusted the code of pk:1 by loading it, as the settings allow" in report
    assert "withdrew all trust in pk:1" in report


def test_loads_of_the_last_sixty_days(registry: cm.Registry, clock: FakeClock) -> None:
    registry.register("fraud", {"t": 1})
    registry.register("fraud", {"t": 2})
    first = clock().date()
    registry.load("fraud:1")
    clock.advance(timedelta(days=1))
    registry.load("fraud:1")
    registry.load("fraud:1")
    clock.advance(timedelta(days=59))
    registry.load("fraud:1")
    registry.models.usage("fraud")  # writes down what is counted in memory
    story = story_of(registry, "fraud:1")
    assert [(each.day - first, each.count) for each in story.loads] == [(timedelta(60), 1), (timedelta(1), 2)]
    assert story.use is not None
    assert (story.use.loads, story.use.daily) == (3, (2, *[0] * 58, 1))
    assert (story_of(registry, "fraud:2").loads, story_of(registry, "fraud:2").use) == ((), None)


def test_a_load_is_in_the_report_at_once(lived: cm.Registry) -> None:
    assert "## Loads" not in lived.versions.report("fraud:2", "markdown")
    lived.load("fraud:2")
    assert "## Loads" in lived.versions.report("fraud:2", "markdown")
    assert [each["count"] for each in json.loads(lived.versions.report("fraud:2", "json"))["loads"]] == [1]


def test_the_newest_events_of_a_long_life(registry: cm.Registry) -> None:
    registry.register("fraud", {"t": 1})
    for number in range(205):
        registry.versions.update("fraud:1", tags={"round": str(number)})
    events = story_of(registry, "fraud:1").events
    assert len(events) == 200
    assert [e.seq for e in events] == list(range(events[0].seq, events[0].seq - 200, -1))
    assert events[0].data["after"] == {"tags": {"round": "204"}}


def test_nothing_happened_yet(registry: cm.Registry) -> None:
    registry.register("fresh", {"t": 1})
    story = story_of(registry, "fresh")
    assert (story.evaluations, story.stage_moves, story.alias_moves, story.uses) == ((), (), (), ())
    assert story.lineage is None
    assert [s.number for s in story.siblings] == [1]


def test_the_deleted_have_a_story_and_the_unknown_have_none(lived: cm.Registry) -> None:
    lived.versions.delete("other:1")
    story = story_of(lived, "other:1")
    assert story.version.deleted_at is not None
    assert story.siblings[-1].number == 1
    with pytest.raises(NotFound):
        lived.versions.report("other:2")


def test_every_form_is_written(lived: cm.Registry, tmp_path: Path) -> None:
    page = lived.versions.report("fraud:2", path=tmp_path / "f.html")
    assert (tmp_path / "f.html").read_text() == page
    assert page.startswith("<!doctype html>")
    assert lived.versions.report("fraud:2", path=tmp_path / "f.md").startswith("# fraud:2")
    assert json.loads(lived.versions.report("fraud:2", "json"))["version"]["number"] == 2
    card = lived.versions.report("fraud:2", "card", tmp_path / "README.md")
    assert card.startswith("---\n")
    assert (tmp_path / "README.md").read_text() == card


@pytest.mark.parametrize("form", ["html", "markdown", "card", "json"])
@pytest.mark.parametrize("card", ["", "# Ours \x1b[2J\x07\x9b and\r\nmore"])
def test_what_strangers_wrote_steers_no_terminal(local: cm.Registry, form: str, card: str) -> None:
    local.register("fraud", {"t": 1}, description="a\x1b[31mb\x07", tags={"team": "\x9b2J\x08"}, card=card)
    text = local.versions.report("fraud:1", form)
    assert not [c for c in text if (ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160]
    assert "31mb" in text or card


def test_endings_of_files_name_forms_too(lived: cm.Registry) -> None:
    assert lived.versions.report("fraud:2", "htm").startswith("<!doctype html>")
    assert lived.versions.report("fraud:2", "md").startswith("# fraud:2")


def test_forms_that_are_not_there(lived: cm.Registry, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="'pdf' is no format"):
        lived.versions.report("fraud:2", "pdf")
    with pytest.raises(InvalidRequest, match="cannot be told from its name"):
        lived.versions.report("fraud:2", path=tmp_path / "f.pdf")
    with pytest.raises(InvalidRequest, match="cannot be written"):
        lived.versions.report("fraud:2", path=tmp_path / "no" / "f.html")
    with pytest.raises(InvalidRequest, match="cannot be written"):
        lived.versions.report("fraud:2", "html", tmp_path)
