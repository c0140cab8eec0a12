"""What MLflow's scoring client asks a gateway; run in its own environment, with what it is to get on standard input."""

import json
import sys
from typing import Any

import numpy as np
import pandas as pd
import requests
from mlflow.models import convert_input_example_to_serving_input
from mlflow.pyfunc.scoring_server.client import ScoringServerClient


def by_the_client(client: Any, told: dict[str, Any]) -> None:
    rows = np.array(told["rows"])
    for data in (rows, rows.tolist(), pd.DataFrame(rows), json.dumps({"instances": rows.tolist()})):
        params = None if isinstance(data, str) else {"temperature": 0.5}
        answered = client.invoke(data, params=params)
        assert answered.get_predictions()[0].tolist() == told["labels"]
        assert json.loads(answered.to_json())["predictions"] == told["labels"]


def by_serving_inputs(url: str, told: dict[str, Any]) -> None:
    """What MLflow writes beside a model, for people to send."""
    mixed = pd.DataFrame({"country": told["countries"], "amount": told["amounts"], "beside": 1})
    mixed.loc[0, "amount"] = np.nan
    expected = [told["kind_of_missing"], *told["kinds"][1:]]
    for path, example, labels in (
        ("fraud-api", np.array(told["rows"]), told["labels"]),
        ("fraud-api", pd.DataFrame(told["rows"]), told["labels"]),
        ("mixed-api", mixed, expected),
    ):
        body = convert_input_example_to_serving_input(example)
        answered = requests.post(
            f"{url}/endpoints/{path}/invocations", body, headers={"content-type": "application/json"}, timeout=20
        )
        assert answered.json()["predictions"] == labels, answered.text
    for body, content_type in (
        (mixed.to_csv(index=False), "text/csv"),
        (json.dumps({"dataframe_split": json.loads(mixed.to_json(orient="split"))}), "application/json"),
        (
            json.dumps({"dataframe_records": json.loads(mixed.to_json(orient="records"))}),
            "application/json; charset=utf-8",
        ),
        (json.dumps({"dataframe_records": mixed.to_dict(orient="records")}), "application/json"),  # with NaN
        (json.dumps({"inputs": mixed.drop(columns="beside").to_dict(orient="list")}), "application/json"),
    ):
        answered = requests.post(
            f"{url}/endpoints/mixed-api/invocations", body, headers={"content-type": content_type}, timeout=20
        )
        assert answered.json()["predictions"] == expected, answered.text


def main() -> None:
    told = json.load(sys.stdin)
    host, _, port = told["url"].removeprefix("http://").partition(":")
    client = ScoringServerClient(host, port)
    client.wait_server_ready(timeout=10)
    client.url_prefix += "/endpoints/fraud-api"  # where there are several endpoints
    by_the_client(client, told)
    by_serving_inputs(told["url"], told)
    refused = requests.post(f"{client.url_prefix}/invocations", json={"instances": [[1]]}, timeout=20)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "BAD_REQUEST"), refused.text
    sys.stdout.write("well\n")


main()
