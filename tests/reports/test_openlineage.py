"""Events as the OpenLineage specification 2-0-2 asks for them.

The required members are those of ``OpenLineage.json`` and of the facets' schemas, written down here.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from chopmark.domain.datasets import ColumnProfile
from chopmark.reports.openlineage import openlineage_events
from tests.reports.graphs import dataset, graph, run, version

RUN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
CORE = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
REQUIRED = {
    "ParentRunFacet": {"run", "job"},
    "JobTypeJobFacet": {"processingType", "integration"},
    "SchemaDatasetFacet": set(),
    "DatasourceDatasetFacet": set(),
    "DatasetVersionDatasetFacet": {"datasetVersion"},
    "OutputStatisticsOutputDatasetFacet": set(),
    "DataQualityMetricsInputDatasetFacet": {"columnMetrics"},
}


def events() -> list[dict[str, Any]]:
    march = dataset(
        "march",
        digest="sha256:" + "a" * 64,
        uri="s3://bucket/a b/march.csv",
        row_count=3,
        columns=(ColumnProfile("amount", "double", missing=1, minimum=0.5), ColumnProfile("country", "string")),
    )
    one, two = version(1), version(2)
    return openlineage_events(
        graph(
            two,
            (two, "retrained_from", one),
            (two, "trained_on", march),
            (one, "produced_by", run(RUN_ID)),
            (two, "produced_by", run("night 7")),
            (two, "evaluated_on", dataset("holdout")),
            (two, "replaces", one),
        )
    )


def test_one_event_for_each_version_and_evaluation() -> None:
    first, second, evaluation = events()
    assert [e["job"]["name"] for e in (first, second, evaluation)] == ["fraud.train", "fraud.train", "fraud.evaluate"]
    assert first["inputs"] == []
    assert [i["name"] for i in second["inputs"]] == ["default/fraud:1", "a b/march.csv"]
    assert second["inputs"][1]["namespace"] == "s3://bucket"
    assert [o["name"] for o in second["outputs"]] == ["default/fraud:2"]
    assert [i["name"] for i in evaluation["inputs"]] == ["default/fraud:2", "holdout"]
    assert evaluation["outputs"] == []
    assert events() == [first, second, evaluation]


def test_every_event_has_what_the_specification_requires() -> None:
    for event in events():
        assert event["eventType"] == "COMPLETE"
        assert event["schemaURL"] == CORE
        assert event["producer"] == "urn:chopmark"
        assert datetime.fromisoformat(event["eventTime"]).tzinfo is not None
        assert event["eventTime"].endswith("Z")
        UUID(event["run"]["runId"])
        for thing in (event["job"], *event["inputs"], *event["outputs"]):
            assert thing["namespace"]
            assert thing["name"]
        json.dumps(event)


def facets(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        own = [value] if "_schemaURL" in value else []
        return own + [facet for each in value.values() for facet in facets(each)]
    return [facet for each in value for facet in facets(each)] if isinstance(value, list) else []


def test_every_facet_has_what_its_schema_requires() -> None:
    found = facets(events())
    for facet in found:
        name = facet["_schemaURL"].rsplit("/", 1)[1]
        assert facet["_schemaURL"].startswith("https://openlineage.io/spec/facets/")
        assert facet["_schemaURL"].endswith(f"/{name}.json#/$defs/{name}")
        assert facet.keys() >= REQUIRED[name] | {"_producer"}, name
    assert {f["_schemaURL"].rsplit("/", 1)[1] for f in found} == set(REQUIRED)


def test_what_the_facets_say() -> None:
    _, second, _ = events()
    march = second["inputs"][1]
    assert [(f["name"], f["type"]) for f in march["facets"]["schema"]["fields"]] == [
        ("amount", "double"),
        ("country", "string"),
    ]
    assert march["facets"]["version"]["datasetVersion"] == "sha256:" + "a" * 64
    assert march["facets"]["dataSource"]["uri"] == "s3://bucket/a%20b/march.csv"
    quality = march["inputFacets"]["dataQualityMetrics"]
    assert quality["rowCount"] == 3
    assert quality["columnMetrics"] == {"amount": {"nullCount": 1, "min": 0.5}, "country": {"nullCount": 0}}
    assert second["outputs"][0]["outputFacets"]["outputStatistics"]["size"] == 102


def test_runs_become_uuids() -> None:
    first, second, _ = events()
    assert first["run"]["facets"]["parent"]["run"]["runId"] == RUN_ID
    made = second["run"]["facets"]["parent"]
    assert (UUID(made["run"]["runId"]).version, made["job"]["name"]) == (5, "night 7")
