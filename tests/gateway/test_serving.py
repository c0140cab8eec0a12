"""A registry with its gateway, real models, a real socket: what is set is what is live."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import chopmark as cm
from tests.cli.running import Program
from tests.gateway.conftest import Served, rows, until


def test_what_the_gateway_answers_is_what_the_model_predicts(gateway: Served, gateway_url: str) -> None:  # noqa: ARG001
    data = rows(50, seed=1)
    with cm.open(gateway.directory) as own:
        models = {"fraud-api": own.load("fraud:1"), "odd-api": own.load("odd:1")}
    for name, model in models.items():
        told = gateway.ask(f"/predict/{name}", {"rows": data.tolist()})
        assert told.status == 200, told.data
        assert told.json()["predictions"] == model.predict(data).tolist()
    told = gateway.ask(
        "/v2/models/fraud-api/infer",
        {
            "inputs": [{"name": "x", "shape": [50, 10], "datatype": "FP64", "data": data.ravel().tolist()}],
            "outputs": [{"name": "predict_proba"}],
        },
    )
    (output,) = told.json()["outputs"]
    assert np.allclose(
        np.reshape(output["data"], output["shape"]), gateway.registry.load("fraud:1").predict_proba(data)
    )


def test_a_split_is_live_as_soon_as_the_routers_say_so(gateway: Served, gateway_url: str) -> None:  # noqa: ARG001
    endpoints = gateway.registry.endpoints
    changed = endpoints.split("fraud-api", {"fraud:1": 70, "fraud:2": 30}, reason="a first look")

    def is_live() -> bool:
        (live,) = endpoints.live("fraud-api").endpoints
        return {v.served.generation for v in live.variants} == {changed.generation} and not live.findings

    until(is_live)
    asked = {"rows": rows(1).tolist()}
    versions = [
        gateway.ask("/predict/fraud-api", asked, x_chopmark_key=f"u{i}").headers["x-chopmark-version"]
        for i in range(60)
    ]
    assert 5 < versions.count("2") < 35
    endpoints.split("fraud-api", "fraud:2", reason="it does better")
    until(lambda: gateway.ask("/predict/fraud-api", asked).headers["x-chopmark-version"] == "2")


def test_an_endpoint_that_is_deleted_answers_no_more(gateway: Served, gateway_url: str) -> None:  # noqa: ARG001
    gateway.registry.endpoints.delete("fraud-api", reason="nobody calls it")
    until(lambda: gateway.ask("/predict/fraud-api", {"rows": rows(1).tolist()}).status == 404)


def test_requests_are_counted_where_the_registry_keeps_them(gateway: Served, gateway_url: str) -> None:  # noqa: ARG001
    asked = {"rows": rows(2).tolist()}
    for _ in range(20):
        gateway.ask("/predict/odd-api", asked)
    gateway.ask("/predict/odd-api", b"{")

    def rate() -> float:
        (live,) = gateway.registry.endpoints.live("odd-api").endpoints
        return sum(v.served.requests_per_s for v in live.variants)

    until(lambda: rate() > 0)

    def exposed(name: str, **labels: str) -> float:
        return gateway.counter(name, endpoint="odd-api", variant="stable", **labels)

    until(lambda: exposed("requests_total", outcome="answered") == 20)
    assert exposed("requests_total", outcome="unreadable") == 1
    assert exposed("rows_total") == 40
    assert exposed("request_duration_seconds_bucket", le="+Inf") == 20
    assert 0 < exposed("request_duration_seconds_sum") < 20


def test_a_shadow_is_asked_and_changes_no_answer(gateway: Served, gateway_url: str) -> None:  # noqa: ARG001
    gateway.registry.endpoints.split("fraud-api", "fraud:1", shadows="fraud:2", reason="look")
    asked = {"rows": rows(5).tolist()}
    until(lambda: gateway.ask("/predict/fraud-api", asked).headers["x-chopmark-generation"] == "3")
    before = gateway.ask("/predict/fraud-api", asked).json()["predictions"]
    assert before == gateway.registry.load("fraud:1").predict(rows(5)).tolist()


def test_metadata_is_that_of_the_signature(gateway: Served, gateway_url: str) -> None:  # noqa: ARG001
    told = gateway.ask("/v2/models/fraud-api", method="GET").json()
    assert told["versions"] == ["1"]
    assert told["inputs"][0]["shape"] == [-1, 10]
    assert json.loads(gateway.ask("/v2", method="GET").data)["name"] == "chopmark"


def test_rows_are_asked_about_from_python(gateway: Served, gateway_url: str) -> None:  # noqa: ARG001
    data = rows(3)
    found = gateway.registry.endpoints.predict("fraud-api", data, key="ada")
    assert (found.model, found.version, found.variant) == ("fraud", 1, "stable")
    assert len(found.predictions) == 3
    by_name = gateway.registry.endpoints.predict(
        "fraud-api", [{f"x{i}": v for i, v in enumerate(r)} for r in data.tolist()]
    )
    assert by_name.predictions == found.predictions
    both = gateway.registry.endpoints.predict("fraud-api", data, outputs=["output-0", "predict_proba"])
    assert set(both.predictions) == {"output-0", "predict_proba"}
    with pytest.raises(cm.errors.InvalidRequest, match="takes 10"):
        gateway.registry.endpoints.predict("fraud-api", [[1.0]])
    with pytest.raises(cm.errors.NotFound):
        gateway.registry.endpoints.predict("nobody", data)


def test_rows_are_asked_about_from_the_terminal(
    gateway: Served, gateway_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = rows(3)
    wanted = gateway.registry.endpoints.predict("fraud-api", data).predictions
    program = Program(tmp_path, capsys)
    program.place = gateway_url  # type: ignore[assignment]
    header = ",".join(f"x{i}" for i in range(10))
    files = {
        "rows.jsonl": "\n".join(map(json.dumps, data.tolist())),
        "rows.json": json.dumps(data.tolist()),
        "rows.csv": "\n".join([header, *(",".join(map(repr, row)) for row in data.tolist())]),
    }
    for name, content in files.items():
        ran = program.ok("predict", "fraud-api", "--file", program.file(name, content))
        assert [int(line) for line in ran.out.split()] == wanted, name
        assert "fraud:1, stable of fraud-api" in ran.err
    ran = program.ok("predict", "fraud-api", "--row", json.dumps(data[0].tolist()), "--json")
    assert ran.json["predictions"] == wanted[:1]
    assert program("predict", "fraud-api", "--row", "{").code == 2
    assert program("predict", "nobody", "--row", "[1]").code == 3
    assert program("predict", "fraud-api", "--row", "[1]", at="http://127.0.0.1:9").code == 8


def test_texts_of_digits_in_a_file_stay_texts(
    gateway: Served, gateway_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = pd.DataFrame({"code": ["0123", "123", "0123", "123"], "amount": [1.0, 2.0, 3.0, 4.0]})
    encoded = ColumnTransformer([("code", OneHotEncoder(), ["code"])], remainder="passthrough")
    model = make_pipeline(encoded, LogisticRegression(C=100.0)).fit(codes, [1, 0, 1, 0])
    gateway.registry.register("codes", model, example=codes)
    gateway.registry.endpoints.create("codes-api", "codes:1")
    until(lambda: gateway.ask("/v2/models/codes-api/ready", method="GET").status == 200)
    text = 'amount,code,more\n1,"0123",x\n1,123,\n2,0123,"a, b"\n'
    program = Program(tmp_path, capsys)
    program.place = gateway_url  # type: ignore[assignment]
    file = program.file("codes.csv", text)
    assert program.ok("predict", "codes-api", "--file", file).out.split() == ["1", "0", "1"]
    asked = program.ok("predict", "codes-api", "--file", file, "--output", "predict_proba", "--json").json
    assert [round(row[1]) for row in asked["predictions"]] == [1, 0, 1]
    assert gateway.registry.endpoints.predict("codes-api", text.encode()).predictions == [1, 0, 1]
    curled = gateway.ask("/predict/codes-api", text.encode(), content_type="text/csv")
    assert (curled.status, curled.json()["predictions"]) == (200, [1, 0, 1])
    refused = gateway.ask("/predict/codes-api", b"amount,code\nx,0123\n", content_type="text/csv")
    assert (refused.status, refused.json()["error"]) == (400, "The column 'amount' holds 'x', which is not a number.")


def test_a_registry_in_a_directory_finds_who_serves_it(gateway: Served, gateway_url: str) -> None:
    resolved = gateway.directory
    with cm.open(resolved) as own:
        assert own.endpoints.routers()[0].report.address == "here"
        with cm.open(resolved, gateway_url=gateway_url) as named:
            assert named.endpoints.predict("odd-api", rows(1)).version == 1
