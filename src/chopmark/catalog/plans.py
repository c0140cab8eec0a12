"""Plans of searches: which table leads, in which order, in how many parts. No SQL is made here.

A filter under ``and`` that few versions can meet (a range of a metric, a value of a parameter, a
word, the beginning of one) leads the search: its rows are found by an index, and sorted. Whether
they are few is counted, up to a limit, because no statistics know. Otherwise one value of a tag or
one word leads, whose index is in the order of time; otherwise the versions themselves. In the order
of a metric they are walked by its index, unless the model, the stage or the like has few of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeGuard

import msgspec

from chopmark.catalog.filters import Either, Every, Negation, Shape, Slots, Test, shape_of
from chopmark.catalog.orders import Kinds, Term, place_of, terms_of
from chopmark.catalog.records import NUMBER, TEXT
from chopmark.domain.query import Query

__all__ = [
    "FEW",
    "LOOKED_AT_MAX",
    "Part",
    "Plan",
    "bounded",
    "fields_of",
    "is_leading_field",
    "is_long",
    "is_prefix",
    "is_stage",
    "leaders_of",
    "led_by",
    "parts_of",
    "plan_of",
    "required",
    "sorts_newest_first",
    "unled",
]

FEW = 2_000
"""Rows up to which a condition leads: sorting these takes some milliseconds, as each is looked up."""

LOOKED_AT_MAX = 2_500
"""Rows that one page of a full-text search walks past. Words that are each common and seldom meet would otherwise be
looked for in half of the catalog; so the page ends there, and the next goes on."""

PROBED_MAX = 8
"""Conditions of which it is counted whether they can lead."""

Part = Literal["all", "present", "missing"]

_LEADING_FIELDS = frozenset(("name", "stage", "owner", "team", "format"))
"""Fields without key that have an index."""

_SIZES = (64, 1_024, 2**62)
_RANGE = frozenset(("=", "<", "<=", ">", ">="))


class Plan(msgspec.Struct, frozen=True):
    """Shape of a search: plans that are equal share a statement.

    Attributes
    ----------
    where, terms, place
        Shapes of the condition, the order and the position to go on after.
    part
        Of a search ordered by a value under a key: the versions that have it come in the order
        of its index, then the others. ``all`` for every other search.
    leader
        Tests on one key that every answer must pass, and by whose table the search is led; empty
        when the versions lead.
    bounds
        Of a search ordered by a metric: tests that every answer's value of it must pass. They limit the
        stretch of the index that is walked, and no answer is without the metric.
    in_project, in_model, deleted
        Limits of the search.
    rows_most
        One of a few sizes that the page is smaller than.
    is_sorted
        Whether all rows of the leader are sorted, because they are few, not walked in its order.
    is_bounded
        Whether the walk ends at a row that was found before.
    places
        How many names of projects limit the search; 0 for no such limit.
    """

    where: Shape | None
    terms: tuple[Term, ...]
    place: Kinds | None
    part: Part
    leader: tuple[Test, ...]
    bounds: tuple[Test, ...]
    in_project: bool
    in_model: bool
    deleted: bool
    rows_most: int
    is_sorted: bool = False
    is_bounded: bool = False
    places: int = 0


def plan_of(
    query: Query,
    slots: Slots,
    *,
    after: Sequence[Any] | None,
    in_project: bool,
    in_model: bool,
    deleted: bool,
    limit: int,
    places: int = 0,
) -> Plan:
    """The plan of a search that nothing rare leads; its values go into ``slots``.

    Raises
    ------
    InvalidRequest
        When ``after`` is no position of this order.
    """
    where = None if query.where is None else shape_of(query.where, slots)
    terms = terms_of(query.order, slots)
    place = None if after is None else place_of(query.order, after, slots)
    part: Part = "present" if terms and terms[0].is_keyed else "all"
    rows_most = next(size for size in _SIZES if limit < size)
    bounds = _bounds(where, terms, slots)
    plan = Plan(where, terms, place, part, (), bounds, in_project, in_model, deleted, rows_most, places=places)
    if not _is_newest_first(plan) or not _may_be_led(plan):
        return plan
    wanted = required(where)
    return msgspec.structs.replace(plan, leader=(*filter(_is_tag, wanted), *filter(_is_word, wanted))[:1])


def leaders_of(plan: Plan, slots: Slots) -> list[tuple[Test, ...]]:
    """Tests that could lead if few rows meet them: those of one key together; of words the longest.

    Not those that bound the order: its index begins with them as it is.
    """
    scopes = _scopes(plan)
    if not _may_be_led(plan):
        return scopes
    groups: dict[tuple[str, str], list[Test]] = {}
    for test in required(plan.where):
        if test in plan.bounds:
            continue
        if _is_metric_range(test):
            groups.setdefault(("metrics", slots.values[test.key]), []).append(test)
        elif isinstance(test, Test) and test.field == "params" and test.op == "=":
            groups.setdefault(("params", test.key), []).append(test)
        elif _is_tag(test):
            # the stage stands beside the tag, and is counted with it; in the order of time the index is walked anyway
            stages = filter(is_stage, required(plan.where)) if plan.part == "present" else ()
            groups["tags", test.key] = [test, *stages]
    words = [test for test in required(plan.where) if _is_word(test) or is_prefix(test)]
    words.sort(key=lambda test: len(slots.values[test.values[0].name]), reverse=True)
    leaders = [*scopes, *(tuple(tests) for tests in groups.values()), *((word,) for word in words)]
    return leaders[:PROBED_MAX]


def _scopes(plan: Plan) -> list[tuple[Test, ...]]:
    """Tests on the versions' own rows, when these would be walked by a value under a key."""
    if plan.part != "present":
        return []
    limits = {"in_model": plan.in_model, "in_project": plan.in_project, "deleted": plan.deleted}
    scopes = [Test(limit, "", "scope") for limit, is_set in limits.items() if is_set]
    scopes += [test for test in required(plan.where) if is_leading_field(test)]
    return [(test,) for test in scopes]


def led_by(plan: Plan, leader: tuple[Test, ...]) -> Plan:
    """The plan, led by tests that few rows meet: all of them are sorted at once."""
    return msgspec.structs.replace(plan, leader=leader, part="all", is_sorted=True)


def unled(plan: Plan) -> Plan:
    """The plan, led by the versions."""
    return msgspec.structs.replace(plan, leader=())


def is_long(plan: Plan) -> bool:
    """Whether a page of it may have to walk past any number of rows, and can end before.

    That is full text in the order of time, or of one metric and then of time; within a model there are few rows.
    """
    if plan.is_sorted or not _may_be_led(plan) or len(plan.terms) > 1:
        return False
    if not any(_is_word(test) or is_prefix(test) for test in required(plan.where)):
        return False
    return (
        plan.part == "missing"
        or _is_newest_first(plan)
        or (plan.part == "present" and plan.terms[0].field == "metrics")
    )


def sorts_newest_first(plan: Plan) -> bool:
    """Whether rows of a table by key are sorted by their time: the newest of them are known without their versions."""
    is_keyed = bool(plan.leader) and plan.leader[0].field in ("metrics", "params", "tags", "text")
    return plan.is_sorted and is_keyed and _is_newest_first(plan) and plan.rows_most < _SIZES[-1]


def _is_newest_first(plan: Plan) -> bool:
    return all(t.field == "created_at" and t.descending for t in plan.terms)


def bounded(plan: Plan) -> Plan:
    """The plan, with a row where its walk ends."""
    return msgspec.structs.replace(plan, is_bounded=True)


def parts_of(plan: Plan) -> Iterator[Plan]:
    """The plans whose answers, one after the other, are the answer."""
    if plan.part == "all":
        yield plan
        return
    missing = msgspec.structs.replace(plan, part="missing")
    if plan.place is not None and plan.place[0] is None:
        if not plan.bounds:
            yield missing
        return
    yield plan
    if not plan.bounds:
        yield msgspec.structs.replace(missing, place=None)


def required(where: Shape | None) -> list[Shape]:
    """The conditions that every answer must meet."""
    if where is None:
        return []
    return [each for term in where.terms for each in required(term)] if isinstance(where, Every) else [where]


def is_stage(shape: Shape) -> TypeGuard[Test]:
    """Whether it asks for one stage."""
    return isinstance(shape, Test) and shape.field == "stage" and shape.op == "="


def fields_of(shape: Shape | None) -> Iterator[str]:
    """Names of the fields in a condition."""
    match shape:
        case Test(field):
            yield field
        case Every(terms) | Either(terms):
            for term in terms:
                yield from fields_of(term)
        case Negation(term):
            yield from fields_of(term)
        case None:
            return


def is_leading_field(shape: Shape) -> TypeGuard[Test]:
    """Whether it asks for one value of a field without key that has an index."""
    return isinstance(shape, Test) and shape.field in _LEADING_FIELDS and shape.op == "="


def is_prefix(shape: Shape) -> TypeGuard[Test]:
    """Whether it asks for the beginning of a word, which one version can have several times."""
    return isinstance(shape, Test) and shape.op == "has_prefix"


def _is_word(shape: Shape) -> TypeGuard[Test]:
    return isinstance(shape, Test) and shape.op == "is_word"


def _bounds(where: Shape | None, terms: Sequence[Term], slots: Slots) -> tuple[Test, ...]:
    if not terms or terms[0].field != "metrics":
        return ()
    wanted = (test for test in required(where) if isinstance(test, Test) and test.field == "metrics")
    return tuple(test for test in wanted if slots.values[test.key] == slots.values["k0"])


def _may_be_led(plan: Plan) -> bool:
    return not plan.in_model and not plan.deleted  # few rows as they are


def _is_tag(shape: Shape) -> TypeGuard[Test]:
    if not isinstance(shape, Test) or shape.field != "tags" or shape.op != "=":
        return False
    return shape.values[0].kind == TEXT


def _is_metric_range(shape: Shape) -> TypeGuard[Test]:
    if not isinstance(shape, Test) or shape.field != "metrics" or shape.op not in _RANGE:
        return False
    return shape.values[0].kind == NUMBER
