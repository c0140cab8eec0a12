"""Lineage as OpenLineage events: https://openlineage.io/spec/2-0-2/OpenLineage.json.

OpenLineage knows jobs, their runs, and the data sets that a run reads and writes. A model version is
written by one run of the job that trains its model, and is then itself something that other runs
read. So there is one event of the type COMPLETE for each version, and one for each evaluation,
which reads the version and its data set and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5

from chopmark.domain.datasets import DatasetRef
from chopmark.domain.lineage import FOLLOWED, Edge, version_id_of
from chopmark.domain.lineage_graph import LineageGraph, LineageNode

__all__ = ["EVENT_SCHEMA", "PRODUCER", "openlineage_events"]

Json = dict[str, Any]

PRODUCER = "urn:chopmark"
EVENT_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS = "https://openlineage.io/spec/facets/"
_NAMESPACE = "chopmark"
_RUNS = UUID("6f0c1b0e-6b0e-5d5a-9d0a-6a4d5f0f9a11")
"""Namespace of run ids that are made from a name, by RFC 9562, 5.5."""


def openlineage_events(graph: LineageGraph) -> list[Json]:
    """Events of every version of the graph and every evaluation, oldest first.

    The same graph gives the same events with the same run ids, so that sending them twice changes
    nothing. Only edges of the graph are told: ask for the whole depth to tell the whole story.

    Returns
    -------
    list of dict
        JSON values, each valid as a ``RunEvent``.
    """
    known = {node.id: node for node in graph.nodes}
    told = [*_registrations(graph, known), *_evaluations(graph, known)]
    return sorted(told, key=lambda event: (event["eventTime"], event["run"]["runId"]))


def _registrations(graph: LineageGraph, known: dict[str, LineageNode]) -> Iterator[Json]:
    sources: dict[str, list[Edge]] = {}
    for edge in graph.edges:
        if edge.relation in FOLLOWED:
            sources.setdefault(edge.downstream, []).append(edge)
    for node in graph.nodes:
        if node.kind != "version" or node.created_at is None:
            continue
        edges = sources.get(node.id, [])
        ends = dict.fromkeys(edge.upstream for edge in edges)
        runs = [known[end] for end in ends if known[end].kind == "run"]
        yield {
            **_event(node.created_at),
            "run": _run(str(version_id_of(node.id)), node, runs),
            "job": _job(node, "train"),
            "inputs": [_input(known[end]) for end in ends if known[end].kind != "run"],
            "outputs": [_output(node)],
        }


def _evaluations(graph: LineageGraph, known: dict[str, LineageNode]) -> Iterator[Json]:
    for edge in graph.edges:
        version, data = known[edge.source], known[edge.target]
        if edge.relation != "evaluated_on":
            continue
        run_id = str(uuid5(_RUNS, f"evaluation {edge.source} {edge.target}"))
        yield {
            **_event(edge.at),
            "run": {"runId": run_id, "facets": {}},
            "job": _job(version, "evaluate"),
            "inputs": [_input(version), _input(data)],
            "outputs": [],
        }


def _event(at: datetime) -> Json:
    time = at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {"eventType": "COMPLETE", "eventTime": time, "producer": PRODUCER, "schemaURL": EVENT_SCHEMA}


def _run(run_id: str, version: LineageNode, runs: list[LineageNode]) -> Json:
    facets: Json = {}
    if runs:
        facets["parent"] = {
            **_facet("1-2-0/ParentRunFacet.json#/$defs/ParentRunFacet"),
            "run": {"runId": _uuid_of(runs[0].label)},
            "job": {"namespace": _job_namespace(version), "name": runs[0].label},
        }
    return {"runId": run_id, "facets": facets}


def _uuid_of(run_id: str) -> str:
    """The run's own id where it is a UUID, as OpenLineage asks for, else one made from it."""
    try:
        return str(UUID(run_id))
    except ValueError:
        return str(uuid5(_RUNS, f"run {run_id}"))


def _job(version: LineageNode, what: str) -> Json:
    return {
        "namespace": _job_namespace(version),
        "name": f"{version.model}.{what}",
        "facets": {
            "jobType": {
                **_facet("2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet"),
                "processingType": "BATCH",
                "integration": "CHOPMARK",
                "jobType": what.upper(),
            }
        },
    }


def _job_namespace(version: LineageNode) -> str:
    return f"{_NAMESPACE}.{version.project}"


def _input(node: LineageNode) -> Json:
    return {**_dataset(node), "inputFacets": _input_facets(node.dataset)}


def _output(node: LineageNode) -> Json:
    statistics = {
        **_facet("1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet"),
        "size": node.size_bytes,
    }
    return {**_dataset(node), "outputFacets": {"outputStatistics": statistics}}


def _dataset(node: LineageNode) -> Json:
    if node.kind == "version":
        version = _version_facet(node.digest) if node.digest else {}
        return {"namespace": _NAMESPACE, "name": f"{node.project}/{node.model}:{node.number}", "facets": version}
    dataset = node.dataset or DatasetRef(node.label)
    namespace, name = _place(dataset)
    facets: Json = {}
    if dataset.digest or dataset.version:
        facets |= _version_facet(dataset.digest or dataset.version)
    if dataset.columns:
        fields = [{"name": column.name, "type": column.type} for column in dataset.columns]
        facets["schema"] = {**_facet("1-2-0/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet"), "fields": fields}
    if dataset.uri:
        facets["dataSource"] = {
            **_facet("1-0-1/DatasourceDatasetFacet.json#/$defs/DatasourceDatasetFacet"),
            "name": dataset.name,
            "uri": _uri(dataset.uri),
        }
    return {"namespace": namespace, "name": name, "facets": facets}


def _place(dataset: DatasetRef) -> tuple[str, str]:
    """Namespace and name: of an address its authority and path, as OpenLineage's naming asks for."""
    scheme, _, rest = dataset.uri.partition("://")
    authority, _, path = rest.partition("/")
    if path.strip("/"):
        return f"{scheme}://{authority}" if authority else scheme, path.lstrip("/")
    return f"{_NAMESPACE}.datasets", dataset.name or dataset.uri or dataset.digest


def _version_facet(version: str) -> Json:
    facet = _facet("1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet")
    return {"version": {**facet, "datasetVersion": version}}


def _input_facets(dataset: DatasetRef | None) -> Json:
    if dataset is None or (dataset.row_count is None and not dataset.columns):
        return {}
    quality: Json = _facet("1-0-3/DataQualityMetricsInputDatasetFacet.json#/$defs/DataQualityMetricsInputDatasetFacet")
    if dataset.row_count is not None:
        quality["rowCount"] = dataset.row_count
    quality["columnMetrics"] = {
        column.name: {
            key: value
            for key, value in {
                "nullCount": column.missing,
                "distinctCount": column.distinct,
                "min": column.minimum,
                "max": column.maximum,
            }.items()
            if value is not None
        }
        for column in dataset.columns
    }
    return {"dataQualityMetrics": quality}


def _facet(schema: str) -> Json:
    return {"_producer": PRODUCER, "_schemaURL": _FACETS + schema}


def _uri(text: str) -> str:
    """The address with what no URI may hold escaped."""
    return quote(text, safe=":/?#[]@!$&'()*+,;=%~-._")
