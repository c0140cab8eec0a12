"""A registry with a past, and everything one can see of it."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

import chopmark as cm
from chopmark.ops import requests as q


def live(registry: cm.Registry) -> None:
    """Do a bit of everything that leaves rows."""
    registry.projects.create("risk", description="money")
    registry.projects.configure("risk", rules=cm.ProjectRules(required_tags=("team",)))
    first = registry.register(
        "fraud",
        {"threshold": 0.7},
        metrics={"roc_auc": 0.91, "latency_ms": 12.0},
        params={"depth": 4, "kind": "gini", "shuffle": True},
        tags={"team": "risk"},
        dataset=cm.dataset(np.arange(12.0).reshape(6, 2), name="march", split="train"),
        artifacts={"evaluation/notes.txt": b"looked at it"},
        description="an isolation forest",
        card="# Fraud\n\nFinds odd payments.",
        run_id="run-1",
    )
    second = registry.register("fraud", {"threshold": 0.8}, metrics={"roc_auc": 0.93}, parents=[first])
    third = registry.register("risk/fraud", {"threshold": 0.9}, tags={"team": "r"}, parents=["default/fraud:2"])
    registry.register("both", members={first: 2.0, second: 1.0}, combine="mean")
    registry.register("bot", config={"provider": "openai", "model": "m", "system_prompt": "Be brief."})
    registry.alias("fraud@champion", first)
    registry.alias("fraud@champion", second, reason="better")
    registry.aliases.set("fraud@old", first, protected=True)
    registry.alias("fraud@gone", first)
    registry.aliases.remove("fraud@gone")
    registry.promote(second, "staging", reason="looks good")
    registry.promote(second, "production", reason="is good")
    registry.stages.deprecate(second, reason="a better one comes", successor=first, at=datetime(2099, 1, 1, tzinfo=UTC))
    registry.versions.update(first, tags={"seen": "yes"}, annotations={"note": [1, 2]}, description="changed")
    registry.versions.evaluate(second, {"f1": 0.8}, dataset="april", comment="by hand")
    registry.versions.evaluate(second, {"f1": 0.9}, dataset="may")
    registry.lineage.link(second, "replaces", first, reason="it does")
    registry.lineage.link("both", "derived_from", third, reason="wrong")
    registry.lineage.unlink("both", "derived_from", third, reason="it was not")
    registry.lineage.link(second, "trained_on", cm.DatasetRef("june", uri="s3://data/june"), reason="forgotten")
    registry.versions.delete(third, reason="a mistake")
    gone = registry.register("tmp", {"x": 1})
    registry.register("tmp", {"x": 2})
    registry.versions.delete(gone)
    registry.versions.purge(gone, reason="not needed")
    registry.register("whole", {"y": 1})
    registry.models.delete("whole")
    registry.models.purge("whole", reason="not needed")
    registry.register("code", {"set": {1, 2}}, format="pickle")
    registry.trust.grant("code", reason="I made it")
    registry.models.update("fraud", owner="ada", tags={"tier": "1"})


def seen(registry: cm.Registry, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Everything a registry answers about what it holds, as plain values."""
    models = list(registry.models.list(limit=1000)) + list(registry.models.list(limit=1000, deleted=True))
    found: dict[str, Any] = {
        "projects": {p.name: p for p in registry.projects.list()},
        "models": {m.ref: m for m in models},
        "events": [e for e in registry.audit.list(limit=1000) if e.event not in without],
    }
    for deleted in (False, True):
        for version in registry.versions.search("", deleted=deleted, limit=1000):
            found[version.ref] = {
                "version": version,
                "manifest": registry._transport.call(q.GetManifest(ref=version.ref)),
                "stages": list(registry.stages.history(version)),
                "evaluations": list(registry.versions.evaluations(version)),
                "trust": list(registry.trust.list(version)),
            }
    for model in registry.models.list(limit=1000):
        found[f"aliases of {model.ref}"] = {a.name: a for a in registry.aliases.list(model)}
    aliases = ("fraud@champion", "fraud@old", "fraud@gone") if "fraud" in found["models"] else ()
    for alias in aliases:
        found[f"history of {alias}"] = list(registry.aliases.history(alias))
    found["datasets"] = {d.node: d for d in registry.lineage.datasets(limit=1000)}
    with registry._transport._dispatch.catalog.reading() as tx:
        for version in registry.versions.search("", limit=1000):
            node = f"version:{version.id.hex}"
            edges = [*tx.lineage.outgoing(node), *tx.lineage.incoming(node)]
            found[f"edges of {version.ref}"] = sorted((e.source, e.relation, e.target, e.at) for e in edges)
    return found


__all__ = ["live", "seen"]
