"""The models that are served, in a registry of ours and as MLServer wants them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import chopmark as cm

__all__ = ["AMOUNTS", "COLUMNS", "FOREST", "FRAUD", "Given", "prepared", "registered", "rows"]

COLUMNS = 10
TREES = 100
FRAUD, FOREST, AMOUNTS = "fraud", "anomalies", "amounts"
_FITTED = 2_000


class Given(NamedTuple):
    """What was made.

    Attributes
    ----------
    models
        By name: two logistic regressions; an isolation forest, and the same forest behind a step that copies its rows, so that it is
        asked by its own ``predict``; a logistic regression on logarithms, which raises for a row with an amount below -1.
    rows
        Rows such as they were fitted on.
    """

    models: dict[str, Any]
    rows: Any

    @property
    def row(self) -> list[float]:
        """One of the rows."""
        return [float(value) for value in self.rows[1]]


def rows(count: int, seed: int) -> Any:
    """Rows of numbers, some far from the others."""
    import numpy as np

    drawn = np.random.default_rng(seed)
    found = drawn.normal(size=(count, COLUMNS))
    found[:: max(1, count // 50)] *= 4.0
    return found


def prepared(place: Path) -> Given:
    """Fit the models, and write down those that MLServer serves."""
    import joblib
    import numpy as np
    from sklearn.ensemble import IsolationForest
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    place.mkdir(parents=True, exist_ok=True)
    known = rows(_FITTED, 1)
    labels = (known[:, 0] + known[:, 1] > 0).astype(int)
    forest = IsolationForest(n_estimators=TREES, random_state=0).fit(known)
    models = {
        FRAUD: LogisticRegression().fit(known, labels),
        "fraud-2": LogisticRegression(C=0.1).fit(known, labels),
        FOREST: forest,
        "anomalies-asked": make_pipeline(FunctionTransformer().fit(known), forest),
        AMOUNTS: make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(np.abs(known), labels),
    }
    for name in (FRAUD, FOREST, AMOUNTS):
        joblib.dump(models[name], place / f"{name}.joblib")
    return Given(models, known)


def registered(directory: Path, given: Given) -> None:
    """A registry with the models, and endpoints for all that is measured."""
    with cm.open(directory) as registry:
        versions = {
            name: registry.register(FRAUD if name == "fraud-2" else name, model, example=abs(given.rows[:100]))
            for name, model in given.models.items()
        }
        first, second = versions[FRAUD], versions["fraud-2"]
        create = registry.endpoints.create
        create("fraud-api", {first: 50, second: 50})
        create("fraud-alone", first)
        create("fraud-shadowed", first, shadows=second)
        sampled = {"sample_share": 0.1, "samples_max": 10_000}
        create("fraud-sampled", first, config=sampled)
        create("fraud-logged", first, config=sampled | {"log": True})
        create("anomalies-api", versions[FOREST])
        asked = versions["anomalies-asked"]
        create("anomalies-batched", asked, config={"execution": "thread"})
        create("amounts-batched", versions[AMOUNTS], config={"execution": "thread"})
        create("anomalies-unbatched", asked, config={"execution": "thread", "batch_rows_max": 1})


def mlserver_repository(place: Path, made: Path, name: str, batch_size: int = 0, batch_time_s: float = 0.0) -> Path:
    """A directory from which MLServer serves one of the models."""
    directory = place / name
    directory.mkdir(parents=True)
    settings = {
        "name": name,
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(made / f"{name}.joblib")},
        "max_batch_size": batch_size,
        "max_batch_time": batch_time_s,
    }
    (directory / "model-settings.json").write_text(json.dumps(settings))
    return place
