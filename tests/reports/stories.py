"""A story with something in every part, and hostile texts wherever somebody may write one."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from chopmark.domain.audit import AuditEvent
from chopmark.domain.datasets import ColumnProfile, DatasetRef
from chopmark.domain.lifecycle import StageMove
from chopmark.domain.lineage import Edge
from chopmark.domain.lineage_graph import LineageGraph, LineageNode
from chopmark.domain.manifest import Environment, FileEntry, Manifest, Member
from chopmark.domain.signature import Field, Signature
from chopmark.domain.story import Sibling, VersionStory
from chopmark.domain.usage import LoadCount
from chopmark.domain.versions import AliasMove, Evaluation, Model, TrustDecision
from tests.domain.records import NOON, a_version

EVIL = "<script>alert(1)</script>"
EVIL_ATTRIBUTE = '" onload="alert(1)'


def an_evaluation(name: str = "march", **fields: Any) -> Evaluation:
    data = DatasetRef(name, digest="sha256:" + "e" * 64, split="test", relation="evaluated_on", row_count=100)
    base: dict[str, Any] = {"metrics": {"roc_auc": 0.93, "f1": 0.5}, "comment": EVIL}
    return Evaluation(
        id=UUID(int=3),
        project="default",
        model="fraud",
        number=2,
        dataset=data,
        actor="ada",
        at=NOON,
        **{**base, **fields},
    )


def a_move(from_stage: str, to_stage: str, hours: int) -> StageMove:
    return StageMove(
        project="default",
        model="fraud",
        number=2,
        from_stage=from_stage,
        to_stage=to_stage,
        actor="ada",
        at=NOON + timedelta(hours=hours),
        reason=EVIL,
    )


def a_story(**fields: Any) -> VersionStory:
    """The story of ``fraud:2``; ``fields`` are fields of the version."""
    data = DatasetRef(
        "february",
        digest="sha256:" + "d" * 64,
        split="train",
        row_count=1_000,
        columns=(
            ColumnProfile("amount", "float", minimum=0.0, maximum=9.5, mean=2.0, standard_deviation=1.0),
            ColumnProfile(EVIL, "int", minimum=1, maximum=1, mean=1),
            ColumnProfile("country", "string", distinct=4),
        ),
    )
    base: dict[str, Any] = {
        "number": 2,
        "semver": "1.1.0",
        "format": "skops",
        "size_bytes": 3_000,
        "file_count": 2,
        "metrics": {"roc_auc": 0.95, "latency_ms_p95": 12.0},
        "params": {"depth": 3, "note": EVIL},
        "environment": Environment("3.11", "linux", "scikit-learn", "1.7", {"numpy": "2.0"}),
        "signature": Signature((Field("amount", "float"), Field(EVIL, "int", nullable=True)), (Field("y", "float"),)),
        "parents": (Member("fine_tuned_from", "fraud:1", "sha256:" + "b" * 64),),
        "datasets": (data,),
        "task": "binary_classification",
        "tags": {"license": "apache-2.0", "language": "en, de", "evil": EVIL, "yes": "no", "n:o": "#: {x}"},
        "description": f"The March model {EVIL} {EVIL_ATTRIBUTE}",
        "annotations": {"seen": EVIL},
        "aliases": ("champion",),
    }
    version = a_version(**{**base, **fields})
    files = tuple(
        FileEntry(f"model/{n}", "weights", 1_000 * (i + 1), "sha256:" + "c" * 64) for i, n in enumerate(("a", EVIL))
    )
    return VersionStory(
        told_at=NOON + timedelta(days=3),
        version=version,
        model=Model(
            id=UUID(int=2),
            project="default",
            name="fraud",
            kind="artifact",
            created_at=NOON,
            created_by="ada",
            updated_at=NOON,
        ),
        manifest=Manifest("artifact", files=files),
        evaluations=(an_evaluation(), an_evaluation("april")),
        stage_moves=(a_move("staging", "production", 5), a_move("development", "staging", 2)),
        alias_moves=(
            AliasMove(
                project="default",
                model="fraud",
                name="champion",
                number=2,
                previous=1,
                actor="ada",
                at=NOON,
                reason=EVIL,
            ),
        ),
        trust=(TrustDecision(digest=version.digest, names=(EVIL,), actor="ada", at=NOON, reason=EVIL),),
        events=(
            AuditEvent(
                seq=7,
                id=UUID(int=9),
                at=NOON,
                actor="ada",
                event="version.promoted",
                target="fraud:2",
                data={"from_stage": "staging", "to_stage": "production", "reason": EVIL},
            ),
        ),
        loads=tuple(
            LoadCount(project="default", model="fraud", number=2, day=(NOON - timedelta(days=back)).date(), count=n)
            for back, n in ((0, 1_200), (7, 34))
        ),
        uses=("fraud:2 is in production", EVIL),
        lineage=LineageGraph(
            roots=("version:2",),
            direction="both",
            nodes=(
                LineageNode(id="version:2", kind="version", label="fraud:2", semver="1.1.0", stage="production"),
                LineageNode(id="version:1", kind="version", label="fraud:1", semver="1.0.0", stage="archived"),
                LineageNode(id="dataset:d", kind="dataset", label=EVIL),
            ),
            edges=(
                Edge(source="version:2", relation="fine_tuned_from", target="version:1", at=NOON),
                Edge(source="version:1", relation="trained_on", target="dataset:d", at=NOON),
            ),
        ),
        siblings=tuple(
            Sibling(
                number=n, semver=f"1.{n}.0", stage="development", created_at=NOON, metrics={"roc_auc": 0.9 + n / 50}
            )
            for n in (1, 2, 3)
        ),
    )
