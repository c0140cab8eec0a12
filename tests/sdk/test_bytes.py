"""From bytes to models and back: kinds, artifacts, trust, integrity, downloads."""

import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import chopmark as cm
from chopmark.domain.llm import LlmConfig
from chopmark.errors import (
    Conflict,
    Denied,
    DeprecatedVersion,
    FrameworkMismatch,
    GateRefused,
    IntegrityFailure,
    InvalidRequest,
    NotFound,
    Unsupported,
)
from chopmark.sdk import loading
from tests.stored_bytes import change_stored


@pytest.fixture(scope="module")
def rows() -> tuple[pd.DataFrame, pd.Series]:
    """Breast cancer as a data frame."""
    return load_breast_cancer(return_X_y=True, as_frame=True)


@pytest.fixture(scope="module")
def pipeline(rows: tuple[pd.DataFrame, pd.Series]) -> object:
    """A scaler and a classifier."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(*rows)


def blobs_of(registry: cm.Registry) -> Path:
    """Where the local store is."""
    return Path(registry.location) / "blobs"


def flip(data: bytes, at: int = -1) -> bytes:
    """One bit is another."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def test_a_pipeline_with_all_that_belongs_to_it(registry: cm.Registry, rows: tuple, pipeline: object) -> None:
    inputs, truth = rows
    scaler = StandardScaler().fit(inputs)
    version = registry.register(
        "cancer",
        pipeline,
        metrics={"accuracy": 0.98},
        dataset=cm.dataset((inputs, truth), name="breast-cancer", split="train"),
        example=inputs,
        artifacts={
            "preprocessor": scaler,
            "explainer/shap.npy": np.arange(6.0).reshape(2, 3),
            "evaluation/report.json": {"rows": 569},
            "card/README.md": b"# Cancer",
        },
    )
    assert (version.format, version.runs_code, version.untrusted) == ("skops", False, ())
    assert version.environment.framework == "scikit-learn"
    assert version.params
    assert version.signature is not None
    assert len(version.signature.inputs) == 30
    assert version.datasets[0].row_count == 569
    loaded = registry.load(version)
    assert np.array_equal(loaded.predict(inputs), pipeline.predict(inputs))
    assert {f.path: f.role for f in registry.files.list(version)} == {
        "card/README.md": "card",
        "evaluation/report.json": "evaluation",
        "explainer/shap.npy": "explainer",
        "model/model.skops": "weights",
        "preprocessor/model.skops": "preprocessor",
        "profile/breast-cancer.json": "profile",
    }
    assert np.allclose(registry.files.load(version, "preprocessor").mean_, scaler.mean_)
    assert registry.files.load(version, "explainer/shap.npy").shape == (2, 3)
    assert registry.files.load(version, "evaluation/report.json") == {"rows": 569}
    with registry.files.open(version, "card/README.md") as stream:
        assert stream.read() == b"# Cancer"
    with pytest.raises(NotFound, match=r"no artifact 'card/README\.md'"):
        registry.files.load(version, "card/README.md")
    assert registry.files.verify(version).ok


def test_prediction_checks_the_input_first(registry: cm.Registry, rows: tuple, pipeline: object) -> None:
    inputs, _ = rows
    registry.register("cancer", pipeline, example=inputs)
    assert len(registry.versions.predict("cancer", inputs.head(3))) == 3
    with pytest.raises(InvalidRequest) as caught:
        registry.versions.predict("cancer", inputs.head(3).drop(columns="mean radius").assign(**{"mean area": "big"}))
    assert len(caught.value.details["faults"]) == 2


def test_the_recipe_decides_the_bump(registry: cm.Registry, rows: tuple, pipeline: object) -> None:
    inputs, truth = rows
    registry.register("cancer", pipeline, example=inputs)
    again = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(inputs.head(400), truth.head(400))
    patch = registry.register("cancer", again, example=inputs)
    assert patch.semver == "1.0.1"
    other = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.1)).fit(inputs, truth)
    minor = registry.register("cancer", other, example=inputs)
    assert minor.semver == "1.1.0"
    assert any("C" in reason for reason in minor.bump_reasons)
    wider = inputs.assign(extra=1.0)
    grown = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(wider, truth)
    with pytest.raises(GateRefused, match="'extra' is new and required"):
        registry.register("cancer", grown, example=wider, bump="minor")
    assert registry.register("cancer", grown, example=wider).semver == "2.0.0"
    assert registry.register("cancer", grown, example=wider, bump="minor", allow_twin=True).semver == "2.1.0"


def test_models_of_the_other_kinds(registry: cm.Registry, rows: tuple, pipeline: object) -> None:
    inputs, truth = rows
    config = {"provider": "openai", "model": "gpt-x", "temperature": 0.1, "fallback": "gpt-mini"}
    llm = registry.register("assistant", config=config)
    assert registry.load(llm) == LlmConfig(provider="openai", model="gpt-x", temperature=0.1, fallback="gpt-mini")
    with pytest.raises(InvalidRequest, match="temperature"):
        registry.register("assistant", config={**config, "temperature": 9})
    outside = registry.register("vendor", uri="s3://elsewhere/model.bin", digest="sha256:" + "1" * 64)
    assert (outside.kind, outside.file_count) == ("external", 0)
    with pytest.raises(Unsupported, match=r"s3://elsewhere/model\.bin"):
        registry.load(outside)
    with pytest.raises(InvalidRequest, match="needs the address"):
        registry.register("vendor", uri="nowhere")
    with pytest.raises(InvalidRequest, match="not the digest"):
        registry.register("vendor", uri="s3://x/y", digest="md5:1")
    with pytest.raises(Conflict, match="of kind 'llm_config'"):
        registry.register("assistant", pipeline)
    one = registry.register("cancer", pipeline)
    two = registry.register("cancer", make_pipeline(StandardScaler(), LogisticRegression(C=0.01)).fit(inputs, truth))
    both = registry.register("both", members={one: 3.0, two: 1.0}, combine="mean")
    loaded = registry.load(both)
    expected = (3 * registry.load(one).predict_proba(inputs) + registry.load(two).predict_proba(inputs)) / 4
    assert np.allclose(loaded.predict_proba(inputs), expected)
    vote = registry.load(registry.register("vote", members=[one, two], combine="vote"))
    assert set(np.unique(vote.predict(inputs))) <= {0, 1}
    with pytest.raises(InvalidRequest, match="no probabilities"):
        vote.predict_proba(inputs)
    with pytest.raises(InvalidRequest, match="no way of combining"):
        registry.register("x", members=[one], combine="average")
    with pytest.raises(NotFound):
        registry.register("x", members=["cancer:99"])


class Custom:
    """A class of the test's own, which no safe format can hold."""

    def predict(self, inputs: list[int]) -> list[int]:
        """Answer what was asked."""
        return inputs


@pytest.fixture
def modes(tmp_path: Path) -> Iterator[dict[str, cm.Registry]]:
    """One registry, opened with each trust setting."""
    opened = {
        mode: cm.open(tmp_path / "registry", trust=mode, actor="ada")
        for mode in ("own_registry", "marked_only", "never")
    }
    yield opened
    for registry in opened.values():
        registry.close()


def test_code_runs_only_with_a_recorded_decision(modes: dict[str, cm.Registry]) -> None:
    version = modes["own_registry"].register("custom", Custom())
    assert version.runs_code
    assert "runs code on load" in repr(version)
    for mode in ("marked_only", "never"):
        with pytest.raises(Denied, match="runs code"):
            modes[mode].load(version)
    assert len(modes["never"].trust.list(version)) == 0
    assert modes["own_registry"].load(version).predict([1]) == [1]
    modes["own_registry"].load(version)
    decisions = modes["own_registry"].trust.list(version)
    assert [(d.basis, d.actor) for d in decisions] == [("own_registry", "ada")]
    with pytest.raises(Denied, match="nobody has recorded trust"):
        modes["marked_only"].load(version)
    modes["marked_only"].trust.grant(version, reason="read the code")
    assert modes["marked_only"].load(version).predict([1]) == [1]
    assert [e.event for e in modes["never"].audit.list(event="version.trusted")] == ["version.trusted"] * 2
    modes["never"].trust.revoke(version, reason="changed my mind")
    with pytest.raises(Denied):
        modes["marked_only"].load(version)
    with pytest.raises(Conflict, match="needs no trust"):
        modes["never"].trust.grant(modes["never"].register("safe", {"a": 1}), reason="r")


@pytest.mark.parametrize("at", [0, 10, -1])
def test_a_changed_byte_is_never_loaded(local: cm.Registry, pipeline: object, at: int, tmp_path: Path) -> None:
    version = local.register("cancer", pipeline)
    change_stored(blobs_of(local), local.files.list(version)[0].digest, lambda data: flip(data, at))
    for attempt in (
        lambda: local.load(version),
        lambda: local.files.open(version, "model/model.skops"),
        lambda: local.files.download(version, tmp_path / "out"),
    ):
        with pytest.raises(IntegrityFailure):
            attempt()
    assert not (tmp_path / "out").exists()
    assert list(tmp_path.glob(".out-*")) == []
    verification = local.files.verify(version)
    assert not verification.ok
    assert verification.faults[0].path == "model/model.skops"


def test_missing_and_swapped_bytes_are_found(local: cm.Registry) -> None:
    one = local.register("a", {"x": 1}, artifacts={"other/f.bin": b"one" * 99})
    two = local.register("b", {"x": 2}, artifacts={"other/f.bin": b"two" * 99})
    digests = [next(f.digest for f in local.files.list(v) if f.role == "other") for v in (one, two)]
    for digest in digests:
        change_stored(blobs_of(local), digest, {b"two" * 99: b"one" * 99, b"one" * 99: b"two" * 99}.__getitem__)
    assert not local.files.verify(one).ok
    assert not local.files.verify(two).ok
    local._transport.store.delete(digests[0])
    assert "missing" in local.files.verify(one).faults[0].reason


def test_a_download_appears_whole_or_not_at_all(local: cm.Registry, tmp_path: Path) -> None:
    version = local.register("a", {"x": 1}, artifacts={"card/README.md": b"# A"})
    target = local.files.download(version, tmp_path / "deep" / "out")
    assert sorted(p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()) == [
        "card/README.md",
        "model/model.json",
    ]
    (target / "card/README.md").write_text("mine to change")
    assert local.files.verify(version).ok
    with pytest.raises(Conflict, match="something"):
        local.files.download(version, target)


def test_files_and_directories_are_registered_as_they_are(local: cm.Registry, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    (directory / "sub").mkdir(parents=True)
    (directory / "a.txt").write_text("a")
    (directory / "sub" / "b.bin").write_bytes(b"b" * 1000)
    version = local.register("dir", path=directory)
    assert [f.path for f in local.files.list(version)] == ["model/a.txt", "model/sub/b.bin"]
    assert version.format == "raw"
    single = local.register("one", path=directory / "a.txt")
    assert [f.path for f in local.files.list(single)] == ["model/a.txt"]
    named = local.register("named", files={"x/y.txt": directory / "a.txt", "z.bin": directory / "sub" / "b.bin"})
    assert [f.path for f in local.files.list(named)] == ["model/x/y.txt", "model/z.bin"]
    digests = {f.digest for v in (version, single, named) for f in local.files.list(v)}
    assert len(digests) == 2  # equal bytes are stored once


def test_nothing_is_visible_before_the_end_of_a_draft(registry: cm.Registry) -> None:
    with registry.draft("fraud", description="by hand") as draft:
        draft.add_model({"threshold": 1})
        draft.metrics["f1"] = 0.5
        draft.add_artifact("evaluation/notes.txt", b"fine")
        assert len(registry.models.list()) == 0
    assert draft.created
    assert draft.version is not None
    assert registry.get("fraud").metrics == {"f1": 0.5}
    failed = registry.draft("other")
    failed.add_model({"threshold": 2})
    with pytest.raises(ZeroDivisionError), failed:
        raise ZeroDivisionError
    assert failed.version is None
    assert [m.name for m in registry.models.list()] == ["fraud"]


def test_another_framework_version_is_told(
    local: cm.Registry, pipeline: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = local.register("cancer", pipeline)
    older = msgspec.structs.replace(version.environment, framework_version="0.1.0")
    monkeypatch.setattr(loading, "installed_environment", lambda _: older)
    with pytest.warns(FrameworkMismatch, match=r"cancer:1.*scikit-learn"):
        local.load(version)
    with cm.open(local.location, framework_mismatch="error") as strict, pytest.raises(Conflict, match="scikit-learn"):
        strict.load(version)
    with cm.open(local.location, framework_mismatch="ignore") as lax, warnings.catch_warnings():
        warnings.simplefilter("error")
        lax.load(version)


def test_loading_a_deprecated_version_is_told(registry: cm.Registry) -> None:
    old, new = registry.register("fraud", {"t": 1}), registry.register("fraud", {"t": 2})
    registry.stages.deprecate(old, reason="slow", successor=new, at=datetime(2027, 1, 2, tzinfo=UTC))
    with pytest.warns(DeprecatedVersion, match=r"fraud:1 is deprecated from 2027-01-02: slow; use fraud:2"):
        registry.load(old)


def test_a_notebook_shows_what_tells_versions_apart(local: cm.Registry) -> None:
    metrics = {"f1": 0.91234567, "recall": 0.5, "a": 1, "b": 2, "c": 3}
    local.register("fraud", {"t": 1}, metrics=metrics, tags={"team": "<risk>", "eu": ""})
    local.register("fraud", {"t": 2})
    local.alias("fraud@champion", "fraud:1")
    shown = local.search("order by number")._repr_html_()
    digest = local.get("fraud:1").digest
    for cell in (
        "<th>reference</th>",
        "<td>fraud:1</td>",
        "<td>@champion</td>",
        "<td>f1 = 0.912346, recall = 0.5, a = 1, b = 2, … 1 more</td>",
        "<td>team = &lt;risk&gt;, eu</td>",
        "<td>ada</td>",
        f"<td>{digest[:19]}</td>",
    ):
        assert cell in shown, cell
    assert digest not in shown
    assert "()" not in shown
    assert "<th>state</th>" not in shown
    assert "<td>fraud</td>" in local.models.list()._repr_html_()
    for t in range(3, 24):
        local.register("fraud", {"t": t})
    assert "<p>… 3 more</p>" in local.search()._repr_html_()


def test_lists_become_frames(local: cm.Registry) -> None:
    for i in range(3):
        local.register("fraud", {"t": i}, metrics={"f1": i / 10} if i else {}, tags={"k": str(i)})
    page = local.versions.list("fraud")
    frame = page.to_pandas()
    assert list(frame["number"]) == [3, 2, 1]
    assert frame["metrics.f1"].isna().tolist() == [False, False, True]
    assert page.to_polars()["tags.k"].to_list() == ["2", "1", "0"]
    assert page.to_arrow().column("number").to_pylist() == [3, 2, 1]
    assert page[0:2][1].number == 2
    assert "3 results" in repr(page)
    empty = local.search('name = "nothing"')
    assert "<th>" not in empty._repr_html_()
    assert len(empty.to_pandas()) == 0
    assert empty.to_arrow().num_rows == 0
    assert "<strong>fraud:3" in page[0]._repr_html_()
