"""Cases of streams, of performance without labels, of many columns together, and of anomaly scores.

The files tell how their inputs are made but for the seeds, which were found by the digests that they give. A case may also bring its
inputs along: ``values`` or ``pieces`` for a stream, ``seeds`` for performance, and arrays for what no words tell how to make.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from chopmark.errors import InvalidRequest
from chopmark.stats import agreement, calibration, scores
from chopmark.stats.detectors import Adwin, Cusum, Ddm, Detector, Eddm, HddmA, HddmW, Kswin, PageHinkley
from chopmark.stats.direct_loss import DirectLoss
from chopmark.stats.estimated_performance import expected_performance
from chopmark.stats.multivariate import (
    PcaReconstruction,
    domain_classifier,
    maximum_mean_discrepancy,
    usual_range,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["METHODS"]

_RIVER: Mapping[str, Detector] = {
    "ADWIN": Adwin(),
    "ADWIN_delta_1e_4": Adwin(delta=1e-4),
    "PageHinkley": PageHinkley(),
    "PageHinkley_both_30": PageHinkley(delta=0.05, threshold=20.0, alpha=1.0),
    "KSWIN_seed42": Kswin(seed=42),
}
_RIVER_OF_MISTAKES: Mapping[str, Detector] = {"DDM": Ddm(), "EDDM": Eddm(), "HDDMA": HddmA(), "HDDMW": HddmW()}
_FROUROS: Mapping[str, Detector] = {
    "PageHinkley": PageHinkley(definition="frouros"),
    "CUSUM": Cusum(),
    "ADWIN": Adwin(definition="frouros"),
}
# Digest of a stream → its pieces: [name, seed, n, parameters…].
_STREAMS: Mapping[str, Sequence[Sequence[Any]]] = {
    "1e30c244096c46e0": (("binary", 951, 700, 0.15), ("binary", 952, 700, 0.5)),
    "8a7c92df44d4ca89": (("normal", 953, 900, 0.0, 1.0), ("normal", 954, 900, 2.0, 1.0)),
    "ee06c32f11a84964": (("normal", 955, 2500, 0.0, 1.0),),
}
_CHUNK_MEANS = ((0.0, 0.0), (0.0, 0.0), (0.6, 0.0), (0.0, -0.8), (-1.0, 1.0))  # of the reference, then of the chunks
_REFERENCE_N, _CHUNK_N = 4_000, 1_000
_FIRST_SEED = 991
_ESTIMATED = ("roc_auc", "f1", "precision", "recall", "specificity", "accuracy", "average_precision")
_MMD_ROWS = 400
_NANNYML_SPLITS, _NANNYML_TEST_SHARE, _NANNYML_SEED = 10, 0.1, 42


# Streams


def stream(case: Mapping[str, Any]) -> dict[str, Any]:
    """Detections on a stream, of which the case brings ``values``, or ``pieces`` ([name, seed, n, parameters…]), or the digest."""
    values, changes = _stream_of(case)
    listed = values.tolist()
    detectors = {**_RIVER, **(_RIVER_OF_MISTAKES if set(listed) <= {0.0, 1.0} else {})}
    river: dict[str, Any] = {"length": len(listed), "true_changes": changes, "sha256_16": _digest(values)}
    for name, detector in detectors.items():
        after, detections = detector.observe_all(listed)
        river[name] = {"detections": list(detections)}
        if isinstance(after, Adwin):
            river[name] |= {"final_width": after.width, "final_estimation": after.mean}
    return {
        "river": river,
        "frouros": {
            name: _with_frouros_limit(detector, listed) if name == "ADWIN" else list(detector.observe_all(listed)[1])
            for name, detector in _FROUROS.items()
        },
    }


def _with_frouros_limit(detector: Detector, values: Sequence[float]) -> list[int] | str:
    """Detections, or what frouros says when the sum of its window falls below 0, which it does not allow."""
    found = []
    state = detector
    for index, value in enumerate(values):
        state = state.observe(value)
        if isinstance(state, Adwin) and state.mean < 0:
            return f"error at value {index}: total value must be greater or equal than 0.0."
        if state.detected:
            found.append(index)
    return found


def _stream_of(case: Mapping[str, Any]) -> tuple[NDArray[np.float64], list[int]]:
    import numpy as np

    told = case.get("river", {})
    if "values" in case:
        return np.asarray(case["values"], dtype=np.float64), list(
            case.get("true_changes", told.get("true_changes", ()))
        )
    digest = case.get("sha256_16", told.get("sha256_16"))
    pieces = case.get("pieces", case.get("spec", _STREAMS.get(digest)))
    if pieces is None:
        raise InvalidRequest(
            f"Nobody knows the stream of digest {digest}.",
            hint="Give its values, or pieces of [name, seed, n, parameters…].",
        )
    made = [_piece(*piece) for piece in pieces]
    return np.concatenate(made), np.cumsum([len(part) for part in made])[:-1].tolist()


def _piece(name: str, seed: int, n: int, *parameters: float) -> NDArray[np.float64]:
    import numpy as np

    source = np.random.RandomState(seed)
    if name == "normal":
        return np.asarray(source.normal(parameters[0], parameters[1], n))
    if name == "binary":
        return (source.random_sample(n) < parameters[0]).astype(np.float64)
    raise InvalidRequest(f"There is no piece {name!r}.", hint="Use one of: binary, normal.")


def _digest(values: NDArray[np.float64]) -> str:
    return hashlib.sha256(values.astype("<f8").tobytes()).hexdigest()[:16]


# Performance without labels


def performance(case: Mapping[str, Any]) -> dict[str, Any]:
    """Expected and realised performance of the reference and its chunks, from ``seeds``; with ``regression``, estimated errors too."""
    seeds = case.get("seeds", range(_FIRST_SEED, _FIRST_SEED + len(_CHUNK_MEANS)))
    given = [
        _binary(seed, _REFERENCE_N if place == 0 else _CHUNK_N, means)
        for place, (seed, means) in enumerate(zip(seeds, _CHUNK_MEANS, strict=True))
    ]
    _check_digests(given, case.get("closed_form", {}).get("values", ()))
    found: dict[str, Any] = {
        "closed_form": {"values": [_closed_form(*rows) for rows in given]},
        "nannyml_cbpe": _cbpe(given),
        "nannyml_realized": _by_metric([_realized(*rows) for rows in given[1:]]),
    }
    if "regression" in case:
        found["nannyml_dle"] = _direct_loss(case["regression"])
    return found


def _binary(seed: int, n: int, means: tuple[float, float]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores that are probabilities, and outcomes by them."""
    import numpy as np

    source = np.random.RandomState(seed)
    first, second = source.normal(means[0], 1.0, n), source.normal(means[1], 1.0, n)
    chances = np.round(1 / (1 + np.exp(-(1.2 * first - 0.8 * second + 0.3))), 12)
    return chances, source.random_sample(n) < chances


def _check_digests(given: Sequence[tuple[NDArray[np.float64], Any]], told: Sequence[Mapping[str, Any]]) -> None:
    for place, ((chances, _), values) in enumerate(zip(given, told, strict=False)):
        if values.get("sha256_16", digest := _digest(chances)) != digest:
            raise InvalidRequest(
                f"The scores of chunk {place} have the digest {digest}, not {values['sha256_16']}.",
                hint="Give other seeds.",
            )


def _closed_form(chances: NDArray[np.float64], outcomes: NDArray[np.bool_]) -> dict[str, Any]:
    expected, checked = expected_performance(chances), calibration.calibration(outcomes, chances)
    realized = _realized(chances, outcomes)
    return {
        "n": expected.n,
        **{
            f"expected_{name}": getattr(expected, name) for name in ("accuracy", "precision", "recall", "f1", "roc_auc")
        },
        **{f"realized_{name}": realized[name] for name in ("accuracy", "f1", "roc_auc")},
        "expected_calibration_error_10bins": checked.expected_calibration_error,
        "brier": checked.brier,
        "log_loss": checked.log_loss,
        "sha256_16": _digest(chances),
    }


def _realized(chances: NDArray[np.float64], outcomes: NDArray[np.bool_]) -> dict[str, float | None]:
    import numpy as np

    answers = chances >= 0.5  # noqa: PLR2004
    negatives = ~outcomes
    return {
        **agreement.class_metrics(outcomes, answers, positive=True),
        "specificity": float((~answers)[negatives].mean()) if negatives.any() else 0.0,
        "roc_auc": agreement.roc_auc(outcomes, chances),
        "average_precision": agreement.average_precision(outcomes, np.asarray(chances)),
    }


def _by_metric(of_chunks: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [chunk[name] for chunk in of_chunks] for name in _ESTIMATED}


def _cbpe(given: Sequence[tuple[NDArray[np.float64], NDArray[np.bool_]]]) -> dict[str, Any]:
    """As NannyML does it: calibrated if ten random splits say that it helps, limits by the reference's own chunks."""
    import numpy as np
    from sklearn.model_selection import StratifiedShuffleSplit

    (chances, outcomes), *chunks = given
    divider = StratifiedShuffleSplit(
        n_splits=_NANNYML_SPLITS, test_size=_NANNYML_TEST_SHARE, random_state=_NANNYML_SEED
    )
    needed = calibration.calibration_helps(
        outcomes, chances, splits=divider.split(chances, outcomes), judge="pooled_ece"
    )
    fitted = calibration.Isotonic.fit(outcomes, chances)
    expected = [expected_performance(fitted.apply(chunk) if needed else chunk, scores=chunk) for chunk, _ in chunks]
    whole = _by_metric(
        [
            _realized(chances[start : start + _CHUNK_N], outcomes[start : start + _CHUNK_N])
            for start in range(0, len(chances), _CHUNK_N)
        ]
    )
    usual = {name: usual_range(np.asarray(values)) for name, values in whole.items()}
    return {
        **{name: [getattr(chunk, name) for chunk in expected] for name in _ESTIMATED},
        "needs_calibration": needed,
        "chunk_size": _CHUNK_N,
        "thresholds": {name: [max(0.0, limits.low), min(1.0, limits.high)] for name, limits in usual.items()},
    }


def _direct_loss(given: Mapping[str, Any]) -> dict[str, Any]:
    """From arrays: ``reference`` and ``chunks`` of ``features``, ``truth`` and ``predictions``."""
    import numpy as np

    reference = given["reference"]
    known = DirectLoss(reference["features"], reference["truth"], reference["predictions"])
    chunks = given["chunks"]
    estimated = [known.estimate(chunk["features"], chunk["predictions"]) for chunk in chunks]
    errors = [np.asarray(chunk["truth"]) - np.asarray(chunk["predictions"]) for chunk in chunks]
    return {
        **{name: [getattr(chunk, name) for chunk in estimated] for name in ("mae", "mse", "rmse")},
        "realized_mae": [float(np.abs(error).mean()) for error in errors],
        "realized_rmse": [float(np.sqrt(np.square(error).mean())) for error in errors],
    }


# Many columns together


def multivariate(case: Mapping[str, Any]) -> dict[str, Any]:
    """Drift of chunks from a reference, which the case brings as arrays: ``reference`` and ``chunks``, shapes (n, columns)."""
    import numpy as np

    if "reference" not in case or "chunks" not in case:
        raise InvalidRequest(
            "The file does not tell how its rows are made.", hint="Give them as arrays: reference, and chunks."
        )
    reference, chunks = np.asarray(case["reference"]), [np.asarray(chunk) for chunk in case["chunks"]]
    size = case.get("chunk_size", len(chunks[0]))
    discrepancies = [maximum_mean_discrepancy(reference[:_MMD_ROWS], chunk[:_MMD_ROWS]) for chunk in chunks]
    directions = PcaReconstruction.fit(reference)
    usual = usual_range(
        [directions.error(reference[start : start + size]).mean for start in range(0, len(reference), size)]
    )
    return {
        "mmd": {
            "values": [{"sigma_squared": d.sigma_squared, "mmd2_unbiased": d.mmd2} for d in discrepancies],
            "sha_reference": _digest(reference),
        },
        "nannyml_pca_reconstruction": {
            "value": [directions.error(chunk).mean for chunk in chunks],
            "upper_threshold": usual.high,
            "lower_threshold": max(0.0, usual.low),
        },
        "nannyml_domain_classifier_auroc": [domain_classifier(reference, chunk).roc_auc for chunk in chunks],
    }


# Anomaly scores


def anomaly_metrics(case: Mapping[str, Any]) -> dict[str, Any]:
    """Metrics of ``scores`` against ``labels``."""
    found = scores.anomaly_metrics(case["labels"], case["scores"])
    return {
        "roc_auc": found.roc_auc,
        "average_precision": found.average_precision,
        "pr_auc_trapezoid": found.pr_auc,
        "precision_at_n_pyod": found.precision_at_n,
        "predict_minus1_plus1": {
            "rule": "-1 where score > quantile(score, 0.9) (linear interpolation), else +1",
            "count_minus1": int((scores.outlier_labels(case["scores"]) == -1).sum()),
        },
    }


def combination(case: Mapping[str, Any]) -> dict[str, Any]:
    """One score from several detectors' ``scores``, shape (n, detectors), and how the first two of them agree."""
    import numpy as np

    table = np.asarray(case["scores"], dtype=np.float64)
    first, second = table[:, 0], table[:, min(1, table.shape[1] - 1)]
    return {
        "z_average": scores.combined(table, "average").tolist(),
        "z_maximum": scores.combined(table, "maximum").tolist(),
        "z_median": scores.combined(table, "median").tolist(),
        "rank_average": scores.combined(table, "rank").tolist(),
        "spearman_col0_col1": agreement.spearman(first, second),
        "kendall_col0_col1": scores.kendall(first, second),
    }


METHODS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "stream": stream,
    "performance": performance,
    "multivariate": multivariate,
    "anomaly_metrics": anomaly_metrics,
    "combination": combination,
}
