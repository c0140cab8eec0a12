"""Looking an alias up, wherever the registry is."""

import pytest

import chopmark as cm


def test_an_alias_is_looked_up(registry: cm.Registry) -> None:
    registry.projects.create("risk")
    first = registry.register("risk/fraud", {"a": 1})
    registry.aliases.set("risk/fraud@champion", first, protected=True, reason="the only one")
    found = registry.aliases.get("risk/fraud@champion")
    assert (found.ref, found.number, found.protected, found.updated_by) == ("risk/fraud@champion", 1, True, "ada")
    assert found == registry.aliases.list("risk/fraud")[0]
    assert registry.aliases.get(found) == found


def test_what_is_no_alias_is_told_with_those_there_are(registry: cm.Registry) -> None:
    version = registry.register("fraud", {"a": 1})
    registry.alias("fraud@champion", version)
    with pytest.raises(cm.errors.NotFound, match=r"no alias 'challenger'\.\nIt has champion\."):
        registry.aliases.get("fraud@challenger")
    registry.aliases.remove("fraud@champion")
    with pytest.raises(cm.errors.NotFound, match="It has none"):
        registry.aliases.get("fraud@champion")
    with pytest.raises(cm.errors.InvalidRequest, match="names no alias"):
        registry.aliases.get("fraud")
