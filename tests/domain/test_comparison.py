"""Comparing what is recorded of versions."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from chopmark.domain.comparison import Change, VersionComparison, change_of
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.manifest import Environment, FileEntry, Manifest
from chopmark.domain.recommendation import Recommendation
from chopmark.domain.side_by_side import Subject, compare_versions
from chopmark.domain.signature import Field, Signature
from chopmark.domain.versions import Evaluation
from tests.domain.records import NOON, a_version

NOTHING = Recommendation(winner="", basis="none", sentence="No clear winner: nobody looked.")


def a_subject(number: int, files: dict[str, str] | None = None, evaluations: Any = (), **fields: Any) -> Subject:
    entries = tuple(FileEntry(p, "weights", 100, f"sha256:{d * 64}") for p, d in (files or {}).items())
    version = a_version(
        id=UUID(int=number), number=number, file_count=len(entries), size_bytes=100 * len(entries), **fields
    )
    return Subject(version, Manifest("artifact", files=entries), evaluations)


def compared(*subjects: Subject, baseline: int = 0, **options: Any) -> VersionComparison:
    return compare_versions(subjects, baseline, NOTHING, **options)


def test_changes_know_their_direction() -> None:
    change = change_of(0.9, 0.8, "maximize")
    assert change.difference == pytest.approx(0.1)
    assert change.percent == pytest.approx(12.5)
    assert change.verdict == "better"
    assert change_of(0.9, 0.8, "minimize").verdict == "worse"
    assert change_of(0.9, 0.8, None).verdict == "unknown"
    assert change_of(0.1 + 0.2, 0.3, "maximize").verdict == "same"
    assert change_of(1.0, 0.0, "minimize") == Change(1.0, None, "worse")
    assert change_of(-1.0, -2.0, "maximize") == Change(1.0, 50.0, "better")
    assert change_of(1e308, 5e-324, "maximize").percent is None


def test_metrics_against_a_baseline() -> None:
    c = compared(
        a_subject(1, metrics={"f1": 0.8, "loss": 1.0}),
        a_subject(2, metrics={"f1": 0.9, "loss": 1.0, "new": 3.0}),
        baseline=1,
    )
    f1 = c.row("metrics", "f1")
    assert c.baseline == "fraud:2"
    assert f1.values == (0.8, 0.9)
    assert f1.changes[1] is None
    assert f1.changes[0] is not None
    assert f1.changes[0].verdict == "worse"
    assert not c.row("metrics", "loss").differs
    new = c.row("metrics", "new")
    assert new.values == (None, 3.0)
    assert new.differs
    assert new.changes == (None, None)
    with pytest.raises(LookupError, match="no metrics 'nothing'"):
        c.row("metrics", "nothing")


def test_directions_can_be_said() -> None:
    c = compared(a_subject(1, metrics={"odd": 1.0}), a_subject(2, metrics={"odd": 2.0}), directions={"odd": "minimize"})
    change = c.row("metrics", "odd").changes[1]
    assert change is not None
    assert change.verdict == "worse"


def test_parameters_configuration_and_facts() -> None:
    c = compared(
        a_subject(1, params={"depth": 3, "warm": True}, config={"temperature": 0.2}, task="t", tags={"a": "x"}),
        a_subject(2, params={"depth": 3.0, "warm": 1}, config={"temperature": 0.7}, task="t", tags={"b": "x"}),
    )
    assert not c.row("params", "depth").differs
    assert c.row("params", "warm").differs  # a switch is no number
    assert c.row("config", "temperature").values == (0.2, 0.7)
    assert not c.row("facts", "task").differs
    assert [r.key for r in c.section("tags")] == ["a", "b"]
    assert {(r.section, r.key) for r in c.rows if r.differs} >= {("tags", "a"), ("tags", "b")}


def test_signatures_and_who_breaks() -> None:
    old = Signature((Field("amount", "float", "float64"),), (Field("score", "float"),))
    new = Signature((Field("amount", "float", "float64"), Field("country", "string")), (Field("score", "float"),))
    wide = Signature((Field("amount", "float", "float64", nullable=True),), (Field("score", "float"),))
    c = compared(a_subject(1, signature=old), a_subject(2, signature=new), a_subject(3, signature=wide))
    breaking, compatible = c.signatures
    assert breaking.breaking == ("input 'country' is new and required",)
    assert compatible.breaking == ()
    assert compatible.changed == ("amount",)
    assert c.row("signature", "input amount").values == ("float64", "float64", "float64, may be missing")


def test_files_by_path_and_shared_bytes() -> None:
    c = compared(
        a_subject(1, {"model/a": "1", "model/b": "2", "model/c": "3"}),
        a_subject(2, {"model/a": "1", "model/b": "9", "model/d": "3"}),
    )
    (files,) = c.files
    assert files.added == ("model/d",)
    assert files.removed == ("model/c",)
    assert files.changed == ("model/b",)
    assert (files.shared_bytes, files.own_bytes) == (200, 100)  # moved bytes are shared too


def test_environment_and_data() -> None:
    data = DatasetRef("march", digest="sha256:" + "d" * 64, split="train", row_count=10)
    c = compared(
        a_subject(1, environment=Environment("3.11", "linux", "sk", "1", {"numpy": "2"}), datasets=(data,)),
        a_subject(2, environment=Environment("3.11", "linux", "sk", "2")),
    )
    assert c.row("environment", "framework_version").differs
    assert c.row("environment", "dependencies.numpy").values == ("2", None)
    assert c.row("datasets", "trained_on train").values == (["march 10 rows sha256:dddddddddddd"], None)


def an_evaluation(number: int, name: str, digest: str = "", **metrics: float) -> Evaluation:
    data = DatasetRef(name, digest=digest, split="test", relation="evaluated_on")
    return Evaluation(
        id=UUID(int=7),
        project="default",
        model="fraud",
        number=number,
        dataset=data,
        metrics=metrics,
        actor="a",
        at=NOON,
    )


def test_evaluations_on_the_same_data_only() -> None:
    c = compared(
        a_subject(
            1,
            evaluations=[an_evaluation(1, "march", "sha256:1", f1=0.8), an_evaluation(1, "march", "sha256:1", f1=0.1)],
        ),
        a_subject(2, evaluations=[an_evaluation(2, "renamed", "sha256:1", f1=0.9, extra=1.0)]),
        a_subject(3, evaluations=[an_evaluation(3, "march", "sha256:2", f1=0.95)]),
    )
    (row,) = c.section("evaluations")
    assert row.key == "f1 on march test"
    assert row.values == (0.8, 0.9, None)  # the newest of each; other bytes of one name are other data
    assert row.direction == "maximize"


def test_two_data_sets_of_one_name_keep_apart() -> None:
    def evaluated(number: int) -> Subject:
        both = [an_evaluation(number, "march", d, f1=0.5) for d in ("sha256:1", "sha256:2")]
        return a_subject(number, evaluations=both)

    c = compared(evaluated(1), evaluated(2))
    assert [r.key for r in c.section("evaluations")] == ["f1 on march test sha256:1", "f1 on march test sha256:2"]


def test_it_prints_and_travels() -> None:
    c = compared(a_subject(1, metrics={"f1": 0.8}), a_subject(2, metrics={"f1": 0.9}))
    assert repr(c) == "<comparison of fraud:1, fraud:2 · 1 difference: metrics 1>\n  No clear winner: nobody looked."
    assert msgspec.json.decode(msgspec.json.encode(c), type=VersionComparison) == c


def test_a_change_beyond_the_greatest_number_is_still_a_number() -> None:
    change = change_of(-1.7e308, 1.7e308, "minimize")
    assert change == Change(-1.7976931348623157e308, None, "better")
    assert msgspec.json.decode(msgspec.json.encode(change), type=Change) == change
