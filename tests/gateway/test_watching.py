"""A live model watched: what a real gateway answered, what turned out to be true of it, and what requests looked like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from chopmark.abc.outcomes import ReportedProfile
from chopmark.base.settings import load_settings
from chopmark.wiring import connect
from tests.gateway.conftest import Served, rows, until

NAMES = [f"x{n}" for n in range(10)]


def told(gateway: Served) -> Any:
    found = gateway.registry.outcomes.summary("fraud-api", over="10m").variants
    return found[0] if found else None


def test_the_truth_joins_what_a_gateway_answered(gateway: Served, gateway_url: str) -> None:
    registry = gateway.registry
    truth = registry.load("fraud:1").predict(rows(40)).tolist()
    for n, row in enumerate(rows(40).tolist()):
        answer = gateway.ask("/predict/fraud-api", {"rows": [row]})
        prediction = answer.json()["predictions"][0]
        assert prediction == truth[n]
        said = {"request_id": answer.headers["x-chopmark-request-id"], "label": n % 2, "prediction": prediction}
        if n < 30:
            assert gateway.ask("/feedback", said).status == 202
        elif n < 32:
            registry.feedback.record(said["request_id"], label=said["label"], prediction=prediction)
    right = sum(truth[n] == n % 2 for n in range(32))
    until(lambda: told(gateway) is not None and told(gateway).requests == 40 and told(gateway).labels is not None)
    until(lambda: told(gateway).labels.labels == 32)
    found = told(gateway)
    assert (found.labels.coverage, found.labels.accuracy) == (0.8, right / 32)
    assert gateway.ask("/feedback", {"request_id": "AAAA", "label": 1}).status == 400
    assert gateway.ask("/feedback", method="GET").status == 405
    assert gateway_url


def test_samples_are_counted_in_the_bins_of_the_profile(gateway: Served, gateway_url: str) -> None:
    registry, data = gateway.registry, rows(400)
    model = LogisticRegression().fit(data, data[:, 0] > 0)
    table = {name: data[:, n] for n, name in enumerate(NAMES)} | {"bought": (data[:, 0] > 0).astype(int)}
    version = registry.register("fraud", model, example=data, dataset=table)
    registry.endpoints.split("fraud-api", version, reason="r")
    registry.endpoints.update("fraud-api", config={"sample_share": 1.0})

    def is_sampled() -> bool:
        told = gateway.ask("/predict/fraud-api", {"rows": data[:1].tolist()})
        samples = gateway.ask("/endpoints/fraud-api/samples", method="GET")
        return told.headers["x-chopmark-version"] == "3" and samples.status == 200

    until(is_sampled)
    shifted = data[:100] + 3.0
    gateway.ask("/predict/fraud-api", {"rows": shifted.tolist()})
    endpoint, now = registry.endpoints.get("fraud-api").id, datetime.now(UTC)
    transport = connect(load_settings({"url": str(gateway.directory), "actor": "ada"}, environ={}))

    def counted() -> list[ReportedProfile]:
        between = {"since": now - timedelta(hours=2), "until": now + timedelta(hours=2)}
        with transport._dispatch.catalog.reading() as tx:
            return tx.profile_counts.list(endpoint, **between, limit=9)

    until(lambda: sum(each.window.counts.rows for each in counted()) >= 101)
    window = counted()[-1].window
    transport.close()
    assert (window.version, window.variant) == (version.id, "stable")
    assert [column.name for column in window.counts.columns] == NAMES
    x5 = window.counts.column("x5")
    assert sum(x5.counts) == window.counts.rows
    assert x5.counts[-2] == int((shifted[:, 5] > data[:, 5].max()).sum()) > 0  # above all that the profile has seen
    assert gateway_url


def test_accuracy_is_estimated_of_what_was_answered_with_probabilities(gateway: Served, gateway_url: str) -> None:
    registry, data = gateway.registry, rows(4_000)
    truth = np.random.default_rng(3).random(4_000) < 1 / (1 + np.exp(-2 * data[:, 0]))
    model = LogisticRegression().fit(data[:2_000], truth[:2_000])
    held_out, labels = data[2_000:], truth[2_000:].astype(int)
    scores = model.predict_proba(held_out)[:, 1]
    table = {name: held_out[:, n] for n, name in enumerate(NAMES)}
    version = registry.register("fraud", model, example=data, dataset=table, scores=scores, labels=labels)
    registry.endpoints.split("fraud-api", version, reason="r")
    registry.endpoints.update("fraud-api", config={"sample_share": 1.0})

    def outcome() -> Any:
        found = registry.outcomes.summary("fraud-api", over="10m").variants
        return next((each for each in found if each.version == version.ref), None)

    def ask(asked: Any, **more: Any) -> str:
        answer = gateway.ask("/predict/fraud-api", {"rows": asked.tolist(), **more})
        assert answer.status == 200, answer.data
        return answer.headers["x-chopmark-version"]

    until(
        lambda: ask(held_out[:1]) == str(version.number)
    )  # answered with a class, which says nothing of how sure it was
    until(lambda: outcome() is not None and outcome().estimated.since is not None)
    assert outcome().estimated.why == "No answers with a probability were sampled."
    unsure = data[np.abs(data[:, 0]) < 0.3][:400]
    for first in range(0, len(unsure), 50):
        ask(unsure[first : first + 50], outputs=["predict_proba"])
    until(lambda: outcome().estimated.rows == len(unsure))
    found = outcome().estimated
    expected = model.predict_proba(unsure).max(axis=1).mean()
    assert found.accuracy == pytest.approx(expected, abs=0.05)
    assert found.accuracy < np.maximum(scores, 1 - scores).mean() - 0.1
    assert found.low < expected < found.high
    assert outcome().labels is None
    assert gateway_url
