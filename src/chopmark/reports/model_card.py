"""A model card: Markdown with the front matter that the Hugging Face hub reads.

Fields and their meaning follow the hub's model card specification (modelcard.md of ``hub-docs``,
with ``model-index`` as in Papers with Code's schema): every result has ``task.type``,
``dataset.name``, ``dataset.type``, and metrics with ``type`` and ``value``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from chopmark.base.yaml_text import yaml_text
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.names import counted
from chopmark.domain.story import VersionStory
from chopmark.domain.versions import Evaluation, Version
from chopmark.reports.card_markdown import harmless_markdown
from chopmark.reports.card_text import split_front_matter
from chopmark.reports.front_matter import front_matter_fault
from chopmark.reports.markdown import bullet_list, escaped, markdown_table
from chopmark.reports.page import cell_text, short, size_text, when

__all__ = ["card_facts", "model_card"]

_LIBRARIES = {
    "scikit-learn": "sklearn",
    "torch": "pytorch",
    "onnx": "onnx",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "safetensors": "safetensors",
    "transformers": "transformers",
    "sentence-transformers": "sentence-transformers",
    "keras": "keras",
    "tensorflow": "tf-keras",
    "spacy": "spacy",
    "stable-baselines3": "stable-baselines3",
}
_PIPELINES = frozenset(
    (
        "audio-classification",
        "automatic-speech-recognition",
        "feature-extraction",
        "fill-mask",
        "image-classification",
        "image-segmentation",
        "image-to-text",
        "object-detection",
        "question-answering",
        "reinforcement-learning",
        "sentence-similarity",
        "summarization",
        "tabular-classification",
        "tabular-regression",
        "text-classification",
        "text-generation",
        "text-ranking",
        "time-series-forecasting",
        "token-classification",
        "translation",
        "zero-shot-classification",
    )
)
_TASKS = {
    "classification": "tabular-classification",
    "binary-classification": "tabular-classification",
    "multiclass-classification": "tabular-classification",
    "regression": "tabular-regression",
    "forecasting": "time-series-forecasting",
    "ranking": "text-ranking",
    "chat": "text-generation",
    "ner": "token-classification",
}
_RELATIONS = {"fine_tuned_from": "finetune"}
_NOT_A_SLUG = re.compile(r"[^A-Za-z0-9._-]+")
_ROWS_MAX = 200


def model_card(story: VersionStory) -> str:
    """The card of a version.

    The body is the version's own card where it has one (else its model's), made harmless
    (`chopmark.reports.card_markdown`); else it is made of facts. A card that brings front matter of its own keeps it: a person wrote it. Where that cannot be
    YAML, facts stand in its place, below a comment that says so.
    """
    own = story.version.card.strip() or story.model.card.strip()
    front, body = split_front_matter(own)
    fault = front_matter_fault(front)
    if fault:
        front = f"# The card's own front matter was left out: its {fault}.\n" + yaml_text(card_facts(story))
    else:
        front = front.rstrip("\n") + "\n" if front else yaml_text(card_facts(story))
    body = harmless_markdown(body.strip("\r\n")).rstrip() if body.strip() else "\n\n".join(_sections(story))
    return f"---\n{front}---\n\n{body}\n"


def card_facts(story: VersionStory) -> dict[str, Any]:
    """Front matter as plain values; what is not known is left out."""
    version = story.version
    facts: dict[str, Any] = {
        "license": _said(version, "license"),
        "language": _languages(version),
        "library_name": _library(version),
        "pipeline_tag": _pipeline(version),
        "tags": _tags(version),
        "datasets": _unique(_slug(d.name) for d in version.datasets if d.relation == "trained_on" and not _unnamed(d)),
        "metrics": _unique([*version.metrics, *(m for e in story.evaluations for m in e.metrics)]),
        **_base_model(version),
        "model-index": _index(story),
    }
    return {key: value for key, value in facts.items() if value}


def _said(version: Version, key: str) -> str:
    value = version.tags.get(key) or version.metadata.get(key)
    return value if isinstance(value, str) else ""


def _languages(version: Version) -> list[str]:
    said = version.tags.get("language") or version.metadata.get("language") or ""
    listed = said if isinstance(said, list) else re.split(r"[,\s]+", str(said))
    return _unique(str(language) for language in listed if language)


def _library(version: Version) -> str:
    framework = version.environment.framework.lower()
    return _LIBRARIES.get(framework, framework)


def _task(version: Version) -> str:
    return _slug(version.task.lower().replace("_", "-"))


def _pipeline(version: Version) -> str:
    if version.kind == "llm_config":
        return "text-generation"
    task = _task(version)
    return task if task in _PIPELINES else _TASKS.get(task, "")


def _tags(version: Version) -> list[str]:
    pairs = (k if v in ("", "true", "yes") else f"{k}:{v}" for k, v in version.tags.items())
    told = (t for t in pairs if not t.startswith(("license:", "language:")))
    return _unique(["chopmark", *([_task(version)] if version.task else []), *(short(t, 200) for t in told)])


def _base_model(version: Version) -> dict[str, Any]:
    parents = [p for p in version.parents if p.relation in _RELATIONS]
    if not parents:
        return {}
    refs = [p.ref for p in parents]
    return {"base_model": refs[0] if len(refs) == 1 else refs, "base_model_relation": _RELATIONS[parents[0].relation]}


def _index(story: VersionStory) -> list[dict[str, Any]]:
    results = [_result(story.version, e) for e in _latest(story.evaluations)]
    return [{"name": story.version.ref, "results": results}] if results else []


def _latest(evaluations: tuple[Evaluation, ...]) -> Iterator[Evaluation]:
    """The newest evaluation on each data set and split."""
    seen: set[tuple[str, str]] = set()
    for evaluation in evaluations:
        key = (evaluation.dataset.digest or evaluation.dataset.name, evaluation.dataset.split)
        if key not in seen:
            seen.add(key)
            yield evaluation


def _result(version: Version, evaluation: Evaluation) -> dict[str, Any]:
    return {
        "task": {"type": _pipeline(version) or _task(version) or "other"},
        "dataset": _dataset(evaluation.dataset),
        "metrics": [{"type": name, "value": value, "name": name} for name, value in evaluation.metrics.items()],
    }


def _dataset(data: DatasetRef) -> dict[str, Any]:
    facts = {
        "name": data.name or "unnamed",
        "type": _slug(data.name) or "unnamed",
        "split": data.split,
        "revision": data.digest or data.version,
    }
    return {key: value for key, value in facts.items() if value}


def _unnamed(data: DatasetRef) -> bool:
    """Whether nobody gave the data a name, so that its digest stands in its place."""
    return bool(data.digest) and data.digest.startswith(data.name)


def _slug(text: str) -> str:
    return _NOT_A_SLUG.sub("-", text).strip("-.")[:96]


def _unique(texts: Any) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def _sections(story: VersionStory) -> Iterator[str]:
    version = story.version
    yield f"# {escaped(version.ref)} ({version.semver})"
    about = version.description or story.model.description
    if about:
        yield escaped(about)
    yield "## What it is\n\n" + bullet_list(_identity(version))
    if version.params:
        rows = [[k, short(cell_text(v), 200)] for k, v in list(version.params.items())[:_ROWS_MAX]]
        yield "## How it was trained\n\n" + markdown_table(["parameter", "value"], rows)
    if version.datasets:
        told = [
            " ".join(p for p in (d.relation.replace("_", " "), d.name, d.version, d.split, _rows(d)) if p)
            for d in version.datasets
        ]
        yield "## Data\n\n" + bullet_list(told)
    if version.metrics:
        rows = [[k, cell_text(v)] for k, v in version.metrics.items()]
        yield "## Metrics at registration\n\n" + markdown_table(["metric", "value"], rows)
    for evaluation in _latest(story.evaluations):
        data = f"{evaluation.dataset.name} {evaluation.dataset.split}".strip()
        rows = [[k, cell_text(v)] for k, v in evaluation.metrics.items()]
        yield f"## Evaluation on {escaped(data)}\n\n" + markdown_table(["metric", "value"], rows)
    if version.signature is not None:
        fields = [("input", f) for f in version.signature.inputs] + [("output", f) for f in version.signature.outputs]
        rows = [[side, f.name, f.dtype or f.type, "yes" if f.nullable else "no"] for side, f in fields[:_ROWS_MAX]]
        yield "## Inputs and outputs\n\n" + markdown_table(["", "name", "type", "may be missing"], rows)
    yield f"## How to load it\n\n```python\nimport chopmark\n\nregistry = chopmark.open()\nmodel = registry.load({version.ref!r})\n```"


def _identity(version: Version) -> Iterator[str]:
    yield f"Stage: {version.stage}"
    if version.task:
        yield f"Task: {version.task}"
    if version.format:
        yield f"Format: {version.format}" + (" (runs code on load)" if version.runs_code else "")
    if version.environment.framework:
        yield f"Framework: {version.environment.framework} {version.environment.framework_version}"
    if version.file_count:
        yield f"Size: {size_text(version.size_bytes)} in {counted(version.file_count, 'file')}"
    yield f"Digest: {version.digest}"
    who = ", ".join(p for p in (version.owner, version.team) if p)
    yield f"Made: {when(version.created_at)} by {version.created_by}" + (f"; owned by {who}" if who else "")
    for parent in version.parents:
        yield f"{parent.relation.replace('_', ' ').capitalize()}: {parent.ref}"


def _rows(data: DatasetRef) -> str:
    return f"({counted(data.row_count, 'row')})" if data.row_count is not None else ""
