"""What a log of predictions costs: CPU of a request to an endpoint that is logged, and to the same without."""

from __future__ import annotations

from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.gateway import servers
from benchmarks.gateway.models import Given
from benchmarks.gateway.servers import cpu_us, infer
from benchmarks.gateway.serving import Way, in_turn

__all__ = ["figures"]

_CLOSE_S = 5


def figures(place: Path, registry: Path, given: Given, rounds: int, *, quick: bool) -> list[Figure]:
    """A tenth of the requests are sampled, and written to files that are closed every five seconds."""
    directory = place / "predictions"
    settings = {"CHOPMARK_GATEWAY_LOG_DIR": str(directory), "CHOPMARK_GATEWAY_LOG_CLOSE_S": str(_CLOSE_S)}
    requests = {
        name: infer(f"/v2/models/{name}/infer", given.row) for name in ("fraud-alone", "fraud-sampled", "fraud-logged")
    }
    with servers.chopmark(place / "logging", str(registry), requests["fraud-logged"], settings=settings) as server:
        ways = {name: Way(server, request, 2_000 if quick else 20_000) for name, request in requests.items()}
        us = {name: cpu_us(loads) for name, loads in in_turn(ways, rounds).items()}
    if not any(directory.rglob("*.parquet")):
        raise RuntimeError("nothing was logged")
    what = "gateway: logistic regression, CPU of all of it"
    return [
        Figure(f"{what}, with a tenth logged", us["fraud-logged"], "µs", "without", us["fraud-alone"]),
        Figure(f"{what}, with a tenth sampled", us["fraud-sampled"], "µs", "without", us["fraud-alone"]),
    ]
