"""Public clients work with a gateway unchanged, each in an environment of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tests.backends import require
from tests.gateway.clients.environments import client_python
from tests.gateway.conftest import Served, rows, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

HERE = Path(__file__).parent


@pytest.fixture
def told(gateway: Served, gateway_url: str) -> dict[str, Any]:
    """What a client is to send to two endpoints, a matrix of numbers and a table with texts, and what it is to get."""
    frame = pd.DataFrame(
        {"amount": [1.0, 200.0, 3.0, 400.0, np.nan] * 8, "country": ["CH", "DE", "CH", "DE", "CH"] * 8}
    )
    kinds = np.where((frame["amount"] > 100) | frame["amount"].isna(), "fraud", "fine")
    encoded = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["country"]), (SimpleImputer(), ["amount"])
    )
    mixed = make_pipeline(encoded, LogisticRegression(max_iter=1_000)).fit(frame, kinds)
    gateway.registry.register("mixed", mixed, example=frame)
    gateway.registry.endpoints.create("mixed-api", "mixed:1")
    until(lambda: gateway.ask("/v2/models/mixed-api/ready", method="GET").status == 200)
    fraud, asked = gateway.registry.load("fraud:1"), rows(5, seed=3)
    table = frame.iloc[:4]
    missing = pd.DataFrame({"amount": [np.nan], "country": ["CH"]})
    outputs = [
        json.loads(gateway.ask(f"/v2/models/{name}", method="GET").data)["outputs"]
        for name in ("fraud-api", "mixed-api")
    ]
    return {
        "url": gateway_url,
        "rows": asked.tolist(),
        "labels": fraud.predict(asked).tolist(),
        "probabilities": fraud.predict_proba(asked).tolist(),
        "output": outputs[0][0]["name"],
        "amounts": table["amount"].tolist(),
        "countries": table["country"].tolist(),
        "kinds": mixed.predict(table).tolist(),
        "kind_of_missing": mixed.predict(missing).tolist()[0],
        "mixed_output": outputs[1][0]["name"],
    }


@pytest.mark.parametrize("client", ["triton", "kserve", "mlflow"])
def test_a_client_works_unchanged(client: str, told: dict[str, Any]) -> None:
    ran = run_client(client, told)
    assert (ran.returncode, ran.stdout.split()[-1:]) == (0, ["well"]), ran.stdout[-4_000:] + ran.stderr[-4_000:]


@pytest.mark.parametrize("client", ["triton", "kserve", "mlflow"])
def test_a_client_that_gets_something_else_says_so(client: str, told: dict[str, Any]) -> None:
    ran = run_client(client, told | {"labels": [1 - label for label in told["labels"]]})
    assert ran.returncode == 1
    assert "AssertionError" in ran.stderr


def run_client(client: str, told: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Run its calls in its environment."""
    return subprocess.run(
        [client_python(client), "-I", HERE / f"{client}_calls.py"],
        input=json.dumps(told), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def curl(*arguments: str, body: bytes = b"") -> tuple[int, bytes, str]:
    """Status, body and headers of what curl is answered."""
    program = shutil.which("curl") or require("clients", "curl is not installed")
    ran = subprocess.run(
        [program, "-sS", "-D", "/dev/stderr", "-w", "%{stderr}%{http_code}", *arguments],
        input=body,
        capture_output=True,
        check=True,
    )
    return int(ran.stderr[-3:]), ran.stdout, ran.stderr.decode().lower()


def test_curl_needs_no_header(told: dict[str, Any]) -> None:
    tensor = {"name": "x", "shape": [5, 10], "datatype": "FP64", "data": told["rows"]}
    status, body, headers = curl(f"{told['url']}/v2/models/fraud-api/infer", "-d", json.dumps({"inputs": [tensor]}))
    assert (status, json.loads(body)["outputs"][0]["data"]) == (200, told["labels"])
    assert "x-chopmark-version: 1\r\n" in headers
    status, body, _ = curl(f"{told['url']}/predict/fraud-api", "-d", json.dumps({"rows": told["rows"]}))
    assert (status, json.loads(body)["predictions"]) == (200, told["labels"])
    status, body, _ = curl(
        f"{told['url']}/endpoints/fraud-api/invocations", "--json", json.dumps({"instances": told["rows"]})
    )
    assert (status, json.loads(body)["predictions"]) == (200, told["labels"])
    csv = "\n".join(["amount,country", *(f"{a},{c}" for a, c in zip(told["amounts"], told["countries"], strict=True))])
    status, body, _ = curl(
        f"{told['url']}/endpoints/mixed-api/invocations",
        "-H",
        "Content-Type: text/csv",
        "--data-binary",
        "@-",
        body=csv.encode(),
    )
    assert (status, json.loads(body)["predictions"]) == (200, told["kinds"])
    status, body, _ = curl(f"{told['url']}/predict/fraud-api", "-d", "{")
    assert (status, set(json.loads(body))) == (400, {"error", "code"})


def test_curl_sends_and_gets_bytes(told: dict[str, Any]) -> None:
    piece = np.array(told["rows"]).tobytes()
    head = json.dumps(
        {
            "inputs": [
                {"name": "x", "shape": [5, 10], "datatype": "FP64", "parameters": {"binary_data_size": len(piece)}}
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    length = f"Inference-Header-Content-Length: {len(head)}"
    url = f"{told['url']}/v2/models/fraud-api/infer"
    status, body, headers = curl(
        url, "-H", length, "-H", "Content-Type: application/octet-stream", "--data-binary", "@-", body=head + piece
    )
    assert status == 200
    answered = int(headers.split("inference-header-content-length: ")[1].split()[0])
    assert np.frombuffer(body[answered:], "<i8").tolist() == told["labels"]
