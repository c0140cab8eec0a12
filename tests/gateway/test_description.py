"""The description of the protocols holds: schemathesis asks a gateway all that it allows, and much that it forbids."""

import json
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from chopmark.gateway.protocols.description import described
from tests.gateway.conftest import Served

HERE = Path(__file__).parent / "schema"
HOOKS = Path(__file__).parents[1] / "server" / "schema"
ENDPOINTS = ("fraud-api", "odd-api")


ROW = [0.5] * 10
TENSOR = {"name": "x", "shape": [1, 10], "datatype": "FP64", "data": ROW}
GOOD = {
    "/v2/models/{endpoint}/infer": {"id": "mine", "inputs": [TENSOR]},
    "/v2/models/{endpoint}/versions/{version}/infer": {"inputs": [TENSOR], "parameters": {"binary_data_output": True}},
    "/predict/{endpoint}": {"rows": [ROW, ROW]},
    "/endpoints/{endpoint}/invocations": {"instances": [ROW]},
    "/v2/repository/index": {"ready": True},
}


def schemathesis(
    document: dict[str, Any], url: str, directory: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run it with all checks."""
    file = directory / "openapi.json"
    file.write_text(json.dumps(document))
    return subprocess.run(
        [
            Path(sysconfig.get_path("scripts")) / "st", "--config-file", HERE / "schemathesis.toml", "--no-color", "run",
            file, "--url", url, "--checks", "all", "--seed", "1", *arguments,
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "formats", "PYTHONPATH": str(HOOKS)},
        cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip


def of_this_gateway() -> dict[str, Any]:
    """The description, with what is told of the endpoints: requests that they answer."""
    document = described("0", ENDPOINTS)
    document["components"]["parameters"]["version"]["schema"]["enum"] = ["1"]
    for path, body in GOOD.items():
        document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"] = {
            "good": {"value": body}
        }
    return document


def operations(document: dict[str, Any]) -> int:
    return sum(len(methods.keys() - {"parameters"}) for methods in document["paths"].values())


def test_the_gateway_keeps_to_its_description(gateway_url: str, tmp_path: Path) -> None:
    document = of_this_gateway()
    ran = schemathesis(document, gateway_url, tmp_path, "--phases", "examples,fuzzing", "--max-examples", "10")
    assert ran.returncode == 0, ran.stdout[-8_000:] + ran.stderr[-2_000:]
    assert f"Tested: {operations(document)}" in ran.stdout


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_the_gateway_keeps_to_its_description_at_every_boundary(gateway_url: str, tmp_path: Path) -> None:
    document = of_this_gateway()
    ran = schemathesis(document, gateway_url, tmp_path, "--max-examples", "100")
    assert ran.returncode == 0, ran.stdout[-8_000:] + ran.stderr[-2_000:]
    assert f"Tested: {operations(document)}" in ran.stdout


def test_a_gateway_that_does_not_keep_to_it_is_found_out(gateway_url: str, tmp_path: Path) -> None:
    document = of_this_gateway()
    document["components"]["schemas"]["Server"]["required"].append("wheels")
    ran = schemathesis(document, gateway_url, tmp_path, "--phases", "examples,fuzzing", "--include-path", "/v2")
    assert ran.returncode == 1
    assert "wheels" in ran.stdout


def test_what_the_examples_ask_is_answered(gateway: Served, gateway_url: str) -> None:  # noqa: ARG001
    for path, body in GOOD.items():
        told = gateway.ask(path.format(endpoint="fraud-api", version="1"), body)
        assert told.status == 200, (path, told.data)


def test_a_method_that_a_path_does_not_take_is_told_which_it_takes(gateway: Served, gateway_url: str) -> None:  # noqa: ARG001
    for path, allow in (
        ("/v2", "GET, HEAD, OPTIONS"),
        ("/v2/models", "GET, HEAD, OPTIONS, POST"),
        ("/v2/models/fraud-api/ready", "GET, HEAD, OPTIONS"),
        ("/v2/models/fraud-api/infer", "OPTIONS, POST"),
        ("/predict/fraud-api", "OPTIONS, POST"),
        ("/predict/none", "OPTIONS, POST"),
        ("/invocations", "OPTIONS, POST"),
    ):
        refused, told = gateway.ask(path, method="DELETE"), gateway.ask(path, method="OPTIONS")
        assert (refused.status, refused.headers["allow"], refused.json()["code"]) == (405, allow, "invalid_request")
        assert (told.status, told.headers["allow"], told.data) == (200, allow, b"")
    assert gateway.ask("/v2/other", method="DELETE").status == 404
