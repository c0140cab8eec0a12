"""What ``tritonclient[http]`` asks a gateway; run in its own environment, with what it is to get on standard input."""

import json
import sys
from typing import Any

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException


def numbers(client: Any, told: dict[str, Any]) -> None:
    rows = np.array(told["rows"])
    for dtype, name in ((np.float64, "FP64"), (np.float32, "FP32")):
        for sent_as_bytes in (True, False):
            for answered_as_bytes in (True, False):
                sent = triton.InferInput("anything", list(rows.shape), name)
                sent.set_data_from_numpy(rows.astype(dtype), binary_data=sent_as_bytes)
                wanted = [
                    triton.InferRequestedOutput(told["output"], binary_data=answered_as_bytes),
                    triton.InferRequestedOutput("predict_proba", binary_data=not answered_as_bytes),
                ]
                answer = client.infer("fraud-api", [sent], outputs=wanted, request_id="mine", model_version="1")
                assert answer.as_numpy(told["output"]).tolist() == told["labels"]
                assert np.allclose(answer.as_numpy("predict_proba"), told["probabilities"], atol=1e-4)
                assert answer.get_response()["id"] == "mine"
                assert answer.get_response()["parameters"]["digest"].startswith("sha256:")


def by_itself(client: Any, told: dict[str, Any]) -> None:
    """Without outputs named the client asks for all of them as bytes; and packs, and does not wait."""
    rows = np.array(told["rows"])
    sent = triton.InferInput("anything", list(rows.shape), "FP64")
    sent.set_data_from_numpy(rows)
    assert client.infer("fraud-api", [sent]).as_numpy(told["output"]).tolist() == told["labels"]
    packed = client.infer(
        "fraud-api", [sent], request_compression_algorithm="gzip", response_compression_algorithm="gzip"
    )
    assert packed.as_numpy(told["output"]).tolist() == told["labels"]
    waiting = [client.async_infer("fraud-api", [sent]) for _ in range(8)]
    assert all(each.get_result().as_numpy(told["output"]).tolist() == told["labels"] for each in waiting)


def columns(client: Any, told: dict[str, Any]) -> None:
    """A table: a tensor for each column, texts among them."""
    amounts, countries = np.array(told["amounts"]), np.array(told["countries"], dtype=object)
    for as_bytes in (True, False):
        amount = triton.InferInput("amount", [len(amounts), 1], "FP64")
        amount.set_data_from_numpy(amounts.reshape(-1, 1), binary_data=as_bytes)
        country = triton.InferInput("country", [len(countries)], "BYTES")
        country.set_data_from_numpy(countries, binary_data=as_bytes)
        wanted = [triton.InferRequestedOutput(told["mixed_output"], binary_data=as_bytes)]
        answer = client.infer("mixed-api", [amount, country], outputs=wanted)
        texts = [t.decode() if isinstance(t, bytes) else t for t in answer.as_numpy(told["mixed_output"]).tolist()]
        assert texts == told["kinds"]


def told_of(client: Any, told: dict[str, Any]) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("fraud-api")
    assert client.is_model_ready("fraud-api", "1")
    assert not client.is_model_ready("fraud-api", "9")
    assert client.get_server_metadata()["name"] == "chopmark"
    metadata = client.get_model_metadata("fraud-api", "1")
    assert metadata["versions"] == ["1"]
    assert (metadata["inputs"][0]["datatype"], metadata["inputs"][0]["shape"]) == ("FP64", [-1, 10])
    assert told["output"] in {output["name"] for output in metadata["outputs"]}
    assert {"fraud-api", "mixed-api"} <= {line["name"] for line in client.get_model_repository_index()}


def refused(client: Any) -> None:
    sent = triton.InferInput("x", [1, 9], "FP64")
    sent.set_data_from_numpy(np.zeros((1, 9)))
    for model, status, words in (("fraud-api", "400", "the model takes [-1, 10]"), ("none", "404", "no endpoint")):
        refusal = None
        try:
            client.infer(model, [sent])
        except InferenceServerException as error:
            refusal = error
        assert refusal is not None
        assert (refusal.status(), words in refusal.message()) == (status, True), refusal


def main() -> None:
    told = json.load(sys.stdin)
    with triton.InferenceServerClient(told["url"].removeprefix("http://"), concurrency=4) as client:
        told_of(client, told)
        numbers(client, told)
        by_itself(client, told)
        columns(client, told)
        refused(client)
    sys.stdout.write("well\n")


main()
