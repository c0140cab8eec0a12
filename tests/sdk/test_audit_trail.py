"""A version's trail: all that concerns it, nothing else, and told in words."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

import chopmark as cm
from chopmark.domain.audit import AuditEvent
from chopmark.domain.trail import told
from chopmark.errors import NotFound
from chopmark.ops.table import OPS


def events(registry: cm.Registry, ref: str) -> list[str]:
    return [f"{e.event} {e.target}" for e in registry.audit.trail(ref)]


def words(registry: cm.Registry, ref: str) -> list[str]:
    return [told(e, int(ref.rpartition(":")[2])) for e in registry.audit.trail(ref)]


@pytest.fixture
def story(registry: cm.Registry) -> cm.Registry:
    """Two versions of fraud, one of a model with nearly the same name, and some moves."""
    registry.register("fraud", {"a": 1})
    registry.register("fraud-api", {"a": 1})
    registry.register("fraud", {"a": 2})
    registry.alias("fraud@champion", "fraud:1", reason="first")
    registry.promote("fraud:2", "staging", reason="checked")
    registry.alias("fraud@champion", "fraud:2", reason="better")
    registry.alias("fraud-api@champion", "fraud-api:1")
    registry.versions.update("fraud:1", tags={"team": "risk"})
    return registry


def test_what_concerns_a_version(story: cm.Registry) -> None:
    assert events(story, "fraud:1") == [
        "model.created fraud",
        "version.registered fraud:1",
        "alias.set fraud@champion",
        "alias.set fraud@champion",
        "version.updated fraud:1",
    ]
    assert events(story, "fraud@champion") == [
        "model.created fraud",
        "version.registered fraud:2",
        "version.promoted fraud:2",
        "alias.set fraud@champion",
    ]


def test_told_in_words(story: cm.Registry) -> None:
    told_words = words(story, "fraud:1")
    assert told_words[0] == "made the model fraud"
    assert told_words[1].startswith("registered fraud:1 (1.0.0 json, sha256:")
    assert told_words[2:] == [
        "pointed @champion to fraud:1",
        "moved @champion away from fraud:1, to fraud:2",
        "changed tags of fraud:1",
    ]
    assert words(story, "fraud:2")[2:] == [
        "moved fraud:2 from development to staging",
        "moved @champion from fraud:1 to fraud:2",
    ]
    for event in story.audit.list():
        assert "{" not in told(event)
        assert event.event not in told(event)


def test_a_version_that_was_purged(story: cm.Registry) -> None:
    story.versions.delete("fraud:2", force=True, reason="wrong data")
    story.versions.purge("fraud:2", reason="personal data")
    assert words(story, "fraud:2")[-2:] == [
        "deleted fraud:2 although it was used, and with it @champion",
        "purged fraud:2",
    ]
    with pytest.raises(NotFound, match="No event tells of fraud:9"):
        story.audit.trail("fraud:9")
    with pytest.raises(NotFound):
        story.audit.trail("nobody:1")


def test_a_model_that_was_purged_and_came_back(story: cm.Registry) -> None:
    story.models.delete("fraud", force=True, reason="old")
    story.models.purge("fraud", force=True, reason="old")
    story.register("fraud", {"a": 3})
    assert [e.rpartition(" ")[0] for e in events(story, "fraud:2")[-2:]] == ["model.deleted", "model.purged"]
    assert events(story, "fraud:3") == ["model.created fraud", "version.registered fraud:3"]


def test_a_project_called_like_the_model(registry: cm.Registry) -> None:
    registry.projects.create("fraud")
    registry.register("fraud", {"a": 1})
    registry.register("fraud/fraud", {"a": 1})
    assert events(registry, "fraud:1") == ["model.created fraud", "version.registered fraud:1"]
    assert events(registry, "fraud/fraud:1") == ["model.created fraud/fraud", "version.registered fraud/fraud:1"]


def test_trust_and_evaluations(local: cm.Registry) -> None:
    local.register("pk", {1, 2}, format="pickle")
    local.load("pk")
    local.trust.revoke("pk:1", reason="no")
    local.trust.grant("pk:1", reason="yes")
    local.versions.evaluate("pk:1", {"f1": 0.5}, dataset="march")
    assert words(local, "pk:1")[2:] == [
        "trusted the code of pk:1 by loading it, as the settings allow",
        "withdrew all trust in pk:1",
        "trusted the code of pk:1",
        "evaluated pk:1 on march test: f1 0.5",
    ]


def test_pages(story: cm.Registry) -> None:
    whole = list(story.audit.trail("fraud:1"))
    paged: list[AuditEvent] = []
    cursor = ""
    while True:
        page = story.audit.trail("fraud:1", limit=2, cursor=cursor)
        paged += page
        cursor = page.cursor
        if not cursor:
            break
    assert paged == whole


def test_every_event_is_told_in_words() -> None:
    """A verb whose event nobody can read is half a verb; only facts that are not known are left out."""
    for op in OPS.values():
        if op.event is not None and not op.event.startswith("alias."):
            bare = AuditEvent(
                seq=1, id=UUID(int=1), at=datetime.now(UTC), actor="ada", event=op.event, target="fraud:1"
            )
            assert op.event not in told(bare), op.name
    odd = AuditEvent(
        seq=1,
        id=UUID(int=1),
        at=datetime.now(UTC),
        actor="a",
        event="moon.risen",
        target="moon",
        data={"phase": "full"},
    )
    assert told(odd) == "moon.risen moon (phase full)"


def test_links_of_the_lineage(registry: cm.Registry) -> None:
    registry.register("fraud", {"a": 1})
    registry.register("fraud", {"a": 2})
    registry.register("fraud", {"a": 3})
    registry.lineage.link("fraud:2", "retrained_from", "fraud:1", reason="same code")
    registry.lineage.unlink("fraud:2", "retrained_from", "fraud:1", reason="a mistake")
    for number in (1, 2):
        assert words(registry, f"fraud:{number}")[2:] == [
            "linked fraud:2 retrained from fraud:1",
            "took back that fraud:2 retrained from fraud:1",
        ]
    assert len(words(registry, "fraud:3")) == 2
