"""Which cases a reference file holds, what is expected of each, and how closely.

Files of experiments state a method and a list of cases. Those of monitoring have sections, whose cases hold input and expected
values side by side, and say their tolerances in words; here are the same in numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from chopmark.stats.reference.comparing import FollowsEach

__all__ = ["ReferenceCase", "cases_of", "passed_over", "without_cases"]

_VECTORS = {"rel": 1e-9, "abs": 1e-9}
_DRIFT = {
    "scipy": {"rel": 1e-9, "abs": 1e-9, "pvalue": {"rel": 1e-6, "abs": 0.0}},
    "evidently": {"rel": 1e-9},
    "nannyml": {"rel": 1e-9},
    "alibi": {"rel": 1e-5},
    "frouros": {"rel": 1e-9},
    "river": {"rel": 1e-9},
}
_PERFORMANCE = {
    "closed_form": {"abs": 1e-9, **{f"realized_{m}": {"abs": 1e-12} for m in ("accuracy", "f1", "roc_auc")}},
    "nannyml_cbpe": {"abs": 1e-6},
    "nannyml_realized": {"abs": 1e-12},
    "nannyml_dle": {"abs": 0.02},
}
_MULTIVARIATE = {
    "mmd": {"rel": 1e-9, "abs": 1e-12},
    "nannyml_pca_reconstruction": {"rel": 1e-6},
    "nannyml_domain_classifier_auroc": {"abs": 0.03},
}

# Section → tolerance, and what of a case is input (of the others everything else is expected).
_SECTIONS: Mapping[str, tuple[Mapping[str, Any], frozenset[str]]] = {
    "threshold": (
        {},
        frozenset({"op", "threshold", "for_minutes", "keep_firing_for_minutes", "values_rle", "minutes"}),
    ),
    "burn_rate": ({}, frozenset({"objective", "errors_rle", "total_rle", "minutes"})),
    "numeric": (_DRIFT, frozenset({"reference", "current"})),
    "categorical": (_DRIFT, frozenset({"reference", "current"})),
    "stream": (_DRIFT, frozenset({"pieces", "spec", "values"})),
    "anomaly_metrics": (_VECTORS, frozenset({"labels", "scores"})),
    "combination": (_VECTORS, frozenset({"scores", "note"})),
    "webhook": ({}, frozenset({"secret", "id", "timestamp", "body", "scheme"})),
    "cron": ({}, frozenset({"expression", "after", "zone"})),
}
_WHOLE_SECTIONS: Mapping[str, Mapping[str, Any]] = {"performance": _PERFORMANCE, "multivariate": _MULTIVARIATE}
# What of a section cannot be checked unless the section brings the arrays under this key.
_NOT_TOLD = (
    ("performance", "nannyml_dle", "regression"),
    ("multivariate", "mmd", "reference"),
    ("multivariate", "nannyml_pca_reconstruction", "reference"),
    ("multivariate", "nannyml_domain_classifier_auroc", "reference"),
)
_INPUTS = frozenset({"seeds", "regression", "reference", "chunks", "chunk_size"})
_FACTS = ("burn_pairs", "definitions", "stream_config")
_WORDS = frozenset({"inputs", "definition", "rows", "note", "rule"})
_KSWIN_WITHIN = 300

_WITHOUT_CASES = (
    (frozenset({"loads", "does_not_load"}), "data sets that other libraries load: nothing for statistics to compute"),
    (frozenset({"protocol", "data"}), "what training must reach: nothing for statistics to compute"),
)


class ReferenceCase(msgspec.Struct, frozen=True):
    """One case of a reference file.

    Attributes
    ----------
    method, name
        What computes it, and what the file calls it.
    given
        For `chopmark.stats.reference.compute`.
    expected
        What it should answer.
    tolerance
        For `chopmark.stats.reference.comparing.differences`.
    """

    method: str
    name: str
    given: Mapping[str, Any]
    expected: Mapping[str, Any]
    tolerance: Mapping[str, Any]


def cases_of(file: Mapping[str, Any]) -> list[ReferenceCase]:
    """Every case of a decoded file, in its order; empty when it has none that is known."""
    if "method" in file and "cases" in file:
        stated = file.get("tolerance", {})
        return [ReferenceCase(file["method"], c["id"], c["input"], c["expected"], stated) for c in file["cases"]]
    facts = {key: file[key] for key in _FACTS if key in file}
    sections = ((section, held) for section, held in file.items() if isinstance(held, (Mapping, list)))
    return [case for section, held in sections for case in _of_section(section, held, facts)]


def passed_over(file: Mapping[str, Any]) -> list[str]:
    """What a file expects and nobody can check, since it does not tell how the inputs are made."""
    return [
        f"{section}.{key}"
        for section, key, needed in _NOT_TOLD
        if isinstance(held := file.get(section), Mapping) and key in held and needed not in held
    ]


def without_cases(file: Mapping[str, Any]) -> str | None:
    """Why a file has no case by design, in words; None when it should have some."""
    return next((why for keys, why in _WITHOUT_CASES if keys <= file.keys()), None)


def _of_section(section: str, held: Any, facts: Mapping[str, Any]) -> Iterator[ReferenceCase]:
    if section in _WHOLE_SECTIONS:
        expected = _without_words({k: v for k, v in _reproducible(section, held).items() if k not in _INPUTS})
        if expected:
            yield ReferenceCase(section, section, {**facts, **held}, expected, _WHOLE_SECTIONS[section])
    elif section in _SECTIONS:
        tolerance, inputs = _SECTIONS[section]
        named = (
            held.items() if isinstance(held, Mapping) else ((f"{section}[{i}]", case) for i, case in enumerate(held))
        )
        for name, case in named:
            expected = {key: _without_words(value) for key, value in case.items() if key not in inputs}
            if section == "stream":
                expected = _of_stream(expected)
            yield ReferenceCase(section, name, {**facts, **case}, expected, tolerance)


def _reproducible(section: str, held: Mapping[str, Any]) -> dict[str, Any]:
    """Without what rests on arrays that the section neither brings along nor tells how to make."""
    missing = {key for where, key, needed in _NOT_TOLD if where == section and needed not in held}
    return {key: value for key, value in held.items() if key not in missing}


def _of_stream(expected: Mapping[str, Any]) -> dict[str, Any]:
    """What a detector that draws should do, in place of what it drew."""
    river = dict(expected.get("river", {}))
    wanted = FollowsEach(tuple(river.get("true_changes", ())), _KSWIN_WITHIN)
    for name in [n for n in river if n.startswith("KSWIN")]:
        if wanted.allows(river[name]["detections"]):  # else the other library missed the change, and drew nothing
            river[name] = {"detections": wanted}
    return {**expected, "river": river}


def _without_words(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_words(below) for key, below in value.items() if key not in _WORDS}
    return [_without_words(below) for below in value] if isinstance(value, list) else value
