"""Reference profiles: made at registration, kept as artifacts, read back, and other rows held against them."""

import copy
import gc
import pickle
import warnings
import weakref
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

import chopmark as cm
from chopmark.domain.datasets import profile_name, profile_path
from chopmark.domain.manifest import check_path
from chopmark.errors import AlreadyRegistered, IntegrityFailure, InvalidRequest, NotFound, NotProfiled
from chopmark.formats import tables
from chopmark.formats.data import describe_dataset
from chopmark.sdk.registry import Registry
from chopmark.stats.drift import check_drift
from chopmark.stats.profile import Profile
from chopmark.testing.registry import memory_registry

ROWS = 2_000
MODEL = {"threshold": 0.7}


def rows(shift: float = 0.0, count: int = ROWS, seed: int = 1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.normal(40 + shift, 12, count),
            "country": random.choice(["de", "fr", "it"], count, p=[0.6, 0.3, 0.1]),
            "email": random.choice(["ada@x.org", "bob@x.org"], count),
            "label": random.integers(0, 2, count),
            "score": random.random(count),
        }
    )


@pytest.fixture
def quick() -> Registry:
    return memory_registry()


def files(quick: Registry, ref: Any) -> dict[str, str]:
    return {file.path: file.role for file in quick.files.list(ref)}


def stored(registry: Registry) -> set[str]:
    return {stat.digest for stat in registry._transport.store.list()}


def test_rows_given_at_registration_leave_a_profile_on_every_back_end(registry: Registry) -> None:
    version = registry.register("fraud", MODEL, dataset=rows())
    assert files(registry, version) == {"model/model.json": "config", "profile/data.json": "profile"}
    found = registry.profiles.get(version)
    assert isinstance(found, Profile)
    assert found.rows == ROWS
    assert [column.name for column in found.columns] == list(rows().columns)
    (entry,) = registry.profiles.list(version)
    assert (entry.name, entry.path) == ("data", "profile/data.json")
    assert repr(entry).startswith("<profile data · ")
    report = check_drift(found, found.count(rows(shift=12)))
    assert report.drifted == ("age",)


def test_the_same_rows_in_any_order_are_the_same_version_and_one_blob(quick: Registry) -> None:
    first = quick.register("fraud", MODEL, dataset=rows())
    blobs = stored(quick)
    with pytest.warns(AlreadyRegistered):
        again = quick.register("fraud", MODEL, dataset=rows().sample(frac=1, random_state=7))
    assert again.digest == first.digest
    other = quick.register("other", MODEL, dataset=rows())
    assert other.digest == first.digest
    assert stored(quick) == blobs


@pytest.mark.parametrize(
    "data",
    [None, "march-2026", "s3://bucket/march.parquet", describe_dataset(rows(), name="march"), np.zeros((2, 2, 2))],
    ids=["none", "name", "uri", "reference", "cube"],
)
def test_without_rows_there_is_no_profile_and_asking_for_one_is_refused(quick: Registry, data: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        version = quick.register("fraud", MODEL, dataset=data)
    assert list(files(quick, version)) == ["model/model.json"]
    assert not quick.profiles.list(version)
    with pytest.raises(NotFound, match="no profile of its data") as caught:
        quick.profiles.get(version)
    assert "dataset=" in caught.value.hint
    for asked in ({"profile": True}, {"profile_without": ["age"]}, {"scores": np.zeros(2)}):
        before = stored(quick)
        with pytest.raises(InvalidRequest) as refused:
            quick.register("other", {"threshold": 0.1}, dataset=data, **asked)
        assert refused.value.hint
        assert stored(quick) == before


def test_it_can_be_switched_off(quick: Registry) -> None:
    version = quick.register("fraud", MODEL, dataset=rows(), profile=False)
    assert list(files(quick, version)) == ["model/model.json"]
    with pytest.raises(InvalidRequest, match="profile is False"):
        quick.register("fraud", MODEL, dataset=rows(), profile=False, scores="score")


def test_what_it_was_evaluated_on_has_a_profile_only_when_asked(quick: Registry) -> None:
    with quick.draft("fraud") as draft:
        draft.add_model(MODEL)
        draft.add_dataset(rows(), name="held out", relation="evaluated_on")
    assert draft.version is not None
    assert not quick.profiles.list(draft.version)
    with quick.draft("fraud") as draft:
        draft.add_model(MODEL)
        draft.add_dataset(rows(), name="held out", relation="evaluated_on", profile=True)
    assert draft.version is not None
    assert [p.name for p in quick.profiles.list(draft.version)] == ["held out"]


def test_several_data_sets_are_asked_for_by_name(quick: Registry, tmp_path: Path) -> None:
    for month in ("march", "april"):
        (tmp_path / month).mkdir()
        rows(seed=len(month)).to_parquet(tmp_path / month / "rows.parquet")
    with quick.draft("fraud") as draft:
        draft.add_model(MODEL)
        draft.add_dataset(tmp_path / "march" / "rows.parquet")
        draft.add_dataset(tmp_path / "april" / "rows.parquet")
        draft.add_dataset(rows(count=10), name="v2: new?")
    version = draft.version
    assert version is not None
    assert list(draft.profiles) == ["profile/rows.parquet.json", "profile/rows.parquet-2.json", "profile/v2- new-.json"]
    assert [p.name for p in quick.profiles.list(version)] == ["rows.parquet-2", "rows.parquet", "v2- new-"]
    assert quick.profiles.get(version, "v2: new?").rows == 10
    assert quick.profiles.get(version, "rows.parquet") == draft.profiles["profile/rows.parquet.json"]
    with pytest.raises(InvalidRequest, match="3 profiles") as several:
        quick.profiles.get(version)
    assert "rows.parquet-2" in several.value.hint
    with pytest.raises(NotFound, match="no profile of 'may'"):
        quick.profiles.get(version, "may")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("", "data"),
        ("march.parquet", "march.parquet"),
        ("a/b\\c:d", "a-b-c-d"),
        ("con", "data-con"),
        (" . ", "data"),
        ("ü" * 300, "ü" * 100),
        ("u\u0308", "ü"),
        ("\ud800", "-"),
        ("tab\there", "tab-here"),
    ],
)
def test_a_profile_has_a_path_that_every_system_can_store(name: str, path: str) -> None:
    found = profile_path(name)
    assert check_path(found) == found == f"profile/{path}.json"
    assert profile_name(found) == path
    assert profile_path(name, [found.upper()]) == f"profile/{path}-2.json"


def test_scores_and_labels_are_kept(quick: Registry) -> None:
    data = rows()
    version = quick.register("fraud", MODEL, dataset=data, scores="score", labels="label")
    found = quick.profiles.get(version)
    assert found.left_out == {"label": "labels", "score": "scores"}
    assert found.scores is not None
    assert found.calibration is not None
    live = rows(seed=2).drop(columns="label")
    steady = quick.profiles.drift(version, live, scores="score")
    assert steady.scores is not None
    assert steady.verdict == steady.scores.verdict == "ok"
    moved = quick.profiles.drift(version, live, scores=live["score"] ** 3)
    assert moved.verdict == "drift"
    assert moved.drifted == ()
    assert quick.profiles.drift(version, live).scores is None


def test_scores_belong_to_one_data_set(quick: Registry) -> None:
    for datasets in ([rows(), rows()], None):
        with pytest.raises(InvalidRequest, match="one data set"):
            quick.register("fraud", MODEL, dataset=datasets, scores=np.zeros(ROWS))
    with pytest.raises(InvalidRequest, match="no data set to profile"):
        quick.register("fraud", MODEL, profile=True)


def test_of_a_column_left_out_no_value_is_kept_anywhere(quick: Registry) -> None:
    version = quick.register("fraud", MODEL, dataset=rows(), profile_without=["email"])
    with quick.files.open(version, "profile/data.json") as file:
        kept = file.read()
    assert b"@" not in kept
    (described,) = [c for c in version.datasets[0].columns if c.name == "email"]
    assert (described.top, described.distinct) == ({}, None)
    assert quick.profiles.get(version).left_out == {"email": "left out by request"}
    with pytest.raises(InvalidRequest, match="is a text"):
        quick.register("fraud", MODEL, dataset=rows(), profile_without="email")
    with pytest.raises(NotFound, match="'mail'"):
        quick.register("fraud", MODEL, dataset=rows(), profile_without=["mail"])


def test_a_failure_to_profile_refuses_the_registration_and_names_the_column(quick: Registry, tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    rows().to_parquet(file, compression=None)
    broken = bytearray(file.read_bytes())
    start = parquet.read_metadata(file).row_group(0).column(1).data_page_offset
    broken[start : start + 40] = b"\xff" * 40
    file.write_bytes(bytes(broken))
    before = stored(quick)
    with pytest.raises(InvalidRequest, match="'country' cannot be profiled") as caught:
        quick.register("fraud", MODEL, dataset=file)
    assert "profile=False" in caught.value.hint
    assert stored(quick) == before
    assert quick.register("fraud", MODEL, dataset=file, profile=False).datasets[0].row_count == ROWS


def test_a_profile_that_is_not_made_is_told(quick: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows().to_parquet(tmp_path / "rows.parquet")
    monkeypatch.setattr(tables, "FILE_CELLS_MAX", 9_999)
    with pytest.warns(NotProfiled, match=r"rows\.parquet was made: it has 10,000 values.*profile=True"):
        version = quick.register("fraud", MODEL, dataset=tmp_path / "rows.parquet")
    assert not quick.profiles.list(version)
    asked = quick.register("fraud", MODEL, dataset=tmp_path / "rows.parquet", profile=True)
    assert quick.profiles.get(asked).rows == ROWS
    with pytest.warns(NotProfiled, match="it has no rows"):
        quick.register("empty", MODEL, dataset=rows().iloc[:0])
    with pytest.raises(InvalidRequest, match="it has no rows"):
        quick.register("empty", {"t": 1}, dataset=rows().iloc[:0], profile=True)


def test_a_column_of_the_profile_that_is_gone_is_refused_unless_the_model_does_not_take_it(
    quick: Registry,
) -> None:
    live = rows(seed=3).drop(columns=["label"])
    bare = quick.register("bare", MODEL, dataset=rows())
    with pytest.raises(InvalidRequest, match="lack 1 of 5 columns of the profile: 'label'") as caught:
        quick.profiles.drift(bare, live)
    assert "without=['label']" in caught.value.hint
    assert quick.profiles.drift(bare, live, without=["label"]).verdict == "ok"
    known = quick.register("known", MODEL, dataset=rows(), example=rows()[["age", "country", "email", "score"]])
    report = quick.profiles.drift(known, live)
    assert {column.name for column in report.columns} == {"age", "country", "email", "score"}
    with pytest.raises(InvalidRequest, match="'age'"):
        quick.profiles.drift(known, live.drop(columns="age"))
    with pytest.raises(NotFound, match="'agee'"):
        quick.profiles.drift(known, live, without=["agee"])
    with pytest.raises(InvalidRequest, match="is a text"):
        quick.profiles.drift(known, live, without="age")


def test_a_signature_of_an_array_excuses_no_column(quick: Registry) -> None:
    version = quick.register("m", MODEL, dataset=np.ones((600, 2)), example=np.ones((2, 2)))
    assert quick.profiles.drift(version, np.ones((600, 2))).verdict == "ok"
    with pytest.raises(InvalidRequest, match="'column-1'"):
        quick.profiles.drift(version, np.ones((600, 1)))


@pytest.mark.parametrize("form", ["frame", "pair", "array", "dict", "parquet", "csv"])
def test_a_described_data_set_leaves_the_profile_that_its_rows_leave(
    quick: Registry, tmp_path: Path, form: str
) -> None:
    frame = rows()
    data: Any = {
        "frame": frame,
        "pair": (frame, np.arange(ROWS)),
        "array": frame[["age", "score"]].to_numpy(),
        "dict": {"age": frame["age"], "country": frame["country"]},
        "parquet": tmp_path / "rows.parquet",
        "csv": tmp_path / "rows.csv",
    }[form]
    if form == "parquet":
        frame.to_parquet(data)
    if form == "csv":
        frame.to_csv(data, index=False)
    plain = quick.register("plain", MODEL, dataset=data)
    described = quick.register("described", MODEL, dataset=cm.dataset(data, name="march", split="train"))
    assert files(quick, described) == {"model/model.json": "config", "profile/march.json": "profile"}
    assert quick.profiles.get(described) == quick.profiles.get(plain)
    assert described.datasets[0].digest == plain.datasets[0].digest
    assert type(quick.get(described).datasets[0]) is cm.DatasetRef
    assert quick.profiles.drift(described, data).verdict == "ok"


def test_what_is_said_of_the_profile_holds_of_a_described_data_set_too(quick: Registry) -> None:
    without = quick.register("fraud", MODEL, dataset=cm.dataset(rows()), profile=False)
    assert "profile" not in files(quick, without).values()
    evaluated = quick.register("tested", MODEL, dataset=cm.dataset(rows(), relation="evaluated_on"))
    assert "profile" not in files(quick, evaluated).values()
    assert evaluated.datasets[0].relation == "evaluated_on"
    left_out = quick.register("left", MODEL, dataset=cm.dataset(rows()), profile_without=["email"], scores="score")
    assert quick.profiles.get(left_out).left_out == {"email": "left out by request", "score": "scores"}


def test_rows_that_changed_since_they_were_described_are_refused(quick: Registry, tmp_path: Path) -> None:
    frame, file = rows(), tmp_path / "rows.parquet"
    frame.to_parquet(file)
    described = [cm.dataset(frame, name="march"), cm.dataset(file)]
    frame.loc[3, "age"] = 41.0
    frame.to_parquet(file)
    for each in described:
        with pytest.raises(InvalidRequest, match="are not those that were described"):
            quick.register("fraud", MODEL, dataset=each)
    assert [m.name for m in quick.models.list()] == []
    quick.register("fraud", MODEL, dataset=described[0], profile=False)  # the description is true of what was described


def test_a_description_is_worth_the_same_with_its_rows_and_without(quick: Registry) -> None:
    frame = rows()
    held, plain = cm.dataset(frame, name="march"), describe_dataset(frame, name="march")
    assert held == plain
    assert plain == held
    assert held != describe_dataset(frame, name="april")
    assert msgspec.json.encode(held) == msgspec.json.encode(plain)
    assert isinstance(held, cm.DatasetRef)
    copies = (copy.copy(held), pickle.loads(pickle.dumps(held)), msgspec.structs.replace(held, split="train"))
    for number, copied in enumerate(copies):
        version = quick.register("fraud", {"threshold": number}, dataset=copied)
        assert "profile" not in files(quick, version).values(), "copies and what was written keep no rows"
    assert cm.dataset("s3://bucket/rows") == describe_dataset("s3://bucket/rows")


def test_a_described_data_set_holds_its_rows_no_longer_than_it_lives() -> None:
    frame = rows()
    described, gone = cm.dataset(frame), weakref.ref(frame)
    del frame
    gc.collect()
    assert gone() is not None
    del described
    gc.collect()
    assert gone() is None


def test_what_is_material_and_enough_can_be_said(quick: Registry) -> None:
    version = quick.register("fraud", MODEL, dataset=rows())
    live = rows(shift=6, count=400)
    assert quick.profiles.drift(version, live).verdict == "not enough data"
    assert quick.profiles.drift(version, live, minimum=300).verdict == "drift"
    lenient = dict.fromkeys(("psi", "total_variation", "kolmogorov_smirnov", "wasserstein"), 9.0)
    lenient |= {"unseen": 1.0, "missing": 1.0}
    assert quick.profiles.drift(version, live, minimum=300, thresholds=lenient).verdict == "ok"  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="nonsense"):
        quick.profiles.drift(version, live, thresholds={"nonsense": 1.0})  # type: ignore[dict-item]


def test_another_file_of_that_role_is_told_apart_and_keeps_its_place(quick: Registry) -> None:
    version = quick.register("fraud", MODEL, artifacts={"profile/report.json": b'{"made": "elsewhere"}'})
    with pytest.raises(InvalidRequest, match=r"'profile/report\.json' of fraud:1 is no profile"):
        quick.profiles.get(version)
    both = quick.register("fraud", MODEL, dataset=rows(), artifacts={"profile/data.json": b"{}"})
    assert quick.profiles.get(both, "data-2").rows == ROWS
    with quick.draft("fraud") as draft:
        draft.add_dataset(rows())
        with pytest.raises(InvalidRequest, match="in one place"):
            draft.add_artifact("profile/data.json", b"{}")
        draft.add_model(MODEL)


def test_a_profile_whose_bytes_are_gone_is_not_read(quick: Registry) -> None:
    version = quick.register("fraud", MODEL, dataset=rows())
    (entry,) = quick.profiles.list(version)
    quick._transport.store.delete(entry.digest)
    with pytest.raises(IntegrityFailure, match=r"profile/data\.json"):
        quick.profiles.get(version)


def test_a_version_without_files_of_its_own_can_have_one(quick: Registry) -> None:
    version = quick.register("vendor", uri="s3://vendor/1", digest="sha256:" + "0" * 64, dataset=rows())
    assert quick.profiles.drift(version, rows(seed=4)).verdict == "ok"


def mixed(count: int = 2_000) -> pd.DataFrame:
    random = np.random.default_rng(7)
    words = random.choice(["red", "green", "NA"], count).astype(object)
    words[random.random(count) < 0.2] = None
    truth = (random.random(count) < 0.3).astype(object)
    gaps = truth.copy()
    gaps[::5] = None
    return pd.DataFrame(
        {
            "text": words,
            "code": [f"{v:05d}" for v in random.integers(0, 40, count)],
            "day": [f"2026-01-{v:02d}" for v in random.integers(1, 28, count)],
            "truth": truth.astype(bool),
            "gaps": gaps,
            "number": random.normal(size=count),
            "grade": pd.Categorical(random.integers(1, 4, count).astype(float)),
            "empty": random.choice(["", "full"], count),
        }
    )


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("truths", [lambda v: v, lambda v: v.astype("Int64")], ids=["words", "numbers"])
def test_the_same_rows_do_not_drift_between_a_frame_and_a_text(
    quick: Registry, tmp_path: Path, separator: str, truths: Any
) -> None:
    frame = mixed()
    version = quick.register("m", {"a": 1}, dataset=frame)
    written = frame.assign(truth=truths(frame["truth"]), gaps=truths(frame["gaps"].astype("boolean")))
    written.to_csv(tmp_path / "rows.csv", index=False, sep=separator)
    report = quick.profiles.drift(version, tmp_path / "rows.csv")
    assert (report.verdict, report.undecided, len(report.columns)) == ("ok", (), 8)
    assert {m.value for c in report.columns for m in c.measures if m.name in ("missing", "psi", "unseen")} == {0.0}
    assert quick.profiles.drift(version, written).verdict == "ok"


def test_and_between_a_text_and_a_frame(quick: Registry, tmp_path: Path) -> None:
    frame = mixed().drop(columns=["day", "empty"])  # times as texts are times there, and empty texts missing
    frame.to_csv(tmp_path / "rows.csv", index=False)
    version = quick.register("m", {"a": 1}, dataset=tmp_path / "rows.csv")
    for rows_now in (frame, tmp_path / "rows.csv"):
        report = quick.profiles.drift(version, rows_now)
        assert (report.verdict, len(report.columns)) == ("ok", 6), report


def test_another_kind_of_value_is_told(quick: Registry) -> None:
    frame = mixed()
    version = quick.register("m", {"a": 1}, dataset=frame)
    report = quick.profiles.drift(version, frame.assign(code=frame["code"].astype(int)))
    assert report.drifted == ("code",)
    assert "its values are numbers now, and were texts or categories" in report.columns[0].sentence
    with pytest.raises(InvalidRequest, match="'number' holds texts such as 'broken', and numbers in the reference"):
        quick.profiles.drift(version, frame.assign(number=["1.5", "broken"] * 1_000))


def test_texts_that_are_another_case_of_a_truth_value_are_others_in_a_frame(quick: Registry) -> None:
    version = quick.register("m", {"a": 1}, dataset=pd.DataFrame({"x": ["true", "false"] * 1_000}))
    assert quick.profiles.drift(version, pd.DataFrame({"x": ["True", "False"] * 1_000})).drifted == ("x",)


def test_a_text_with_semicolons_drifts(quick: Registry, tmp_path: Path) -> None:
    frame = mixed()[["code", "number"]]
    frame.to_csv(tmp_path / "rows.csv", index=False, sep=";")
    version = quick.register("m", {"a": 1}, dataset=tmp_path / "rows.csv")
    frame.assign(number=frame["number"] + 1).to_csv(tmp_path / "live.csv", index=False, sep="|")
    assert quick.profiles.drift(version, tmp_path / "live.csv").drifted == ("number",)
