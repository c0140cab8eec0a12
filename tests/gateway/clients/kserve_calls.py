"""What KServe's ``InferenceRESTClient`` asks a gateway; run in its own environment, with what it is to get on standard input."""

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def numbers(client: Any, told: dict[str, Any]) -> None:
    rows = np.array(told["rows"])
    for as_bytes in (True, False):
        sent = InferInput("anything", list(rows.shape), "FP64")
        sent.set_data_from_numpy(rows, binary_data=as_bytes)
        wanted = [RequestedOutput(name, {"binary_data": as_bytes}) for name in (told["output"], "predict_proba")]
        request = InferRequest("fraud-api", [sent], request_id="mine", request_outputs=wanted)
        headers: dict[str, str] = {}
        answer = await client.infer(told["url"], request, model_name="fraud-api", response_headers=headers)
        by_name = {output.name: output.as_numpy() for output in answer.outputs}
        assert by_name[told["output"]].tolist() == told["labels"]
        assert np.allclose(by_name["predict_proba"], told["probabilities"])
        assert (answer.id, answer.model_name, answer.parameters["model"]) == ("mine", "fraud-api", "fraud")
        assert headers["x-chopmark-version"] == "1"


async def columns(client: Any, told: dict[str, Any]) -> None:
    for as_bytes in (True, False):
        amount = InferInput("amount", [len(told["amounts"])], "FP64")
        amount.set_data_from_numpy(np.array(told["amounts"]), binary_data=as_bytes)
        country = InferInput("country", [len(told["countries"])], "BYTES")
        country.set_data_from_numpy(np.array(told["countries"], dtype=object), binary_data=as_bytes)
        request = InferRequest("mixed-api", [amount, country])
        answer = await client.infer(told["url"], request, model_name="mixed-api")
        assert answer.outputs[0].data == told["kinds"]
    as_written = {"inputs": [{"name": "x", "shape": [1, 10], "datatype": "FP64", "data": told["rows"][0]}]}
    answer = await client.infer(told["url"], as_written, model_name="fraud-api")
    assert answer.outputs[0].data == told["labels"][:1]


async def refused(client: Any, url: str) -> None:
    short = {"inputs": [{"name": "x", "shape": [1, 9], "datatype": "FP64", "data": [0] * 9}]}
    for model, status in (("fraud-api", 400), ("none", 404)):
        refusal = None
        try:
            await client.infer(url, short, model_name=model)
        except httpx.HTTPStatusError as error:
            refusal = error
        assert refusal is not None
        assert refusal.response.status_code == status


async def main() -> None:
    told = json.load(sys.stdin)
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(told["url"]) is True
        assert await client.is_server_ready(told["url"]) is True
        assert await client.is_model_ready(told["url"], "fraud-api") is True
        assert await client.is_model_ready(told["url"], "none") is False
        await numbers(client, told)
        await columns(client, told)
        await refused(client, told["url"])
    sys.stdout.write("well\n")


asyncio.run(main())
