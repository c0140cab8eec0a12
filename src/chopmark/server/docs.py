"""The reference of the API as one page, drawn from its OpenAPI document: no script, nothing from elsewhere; pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from chopmark.reports.page import html_page, section, table
from chopmark.reports.svg import Markup, element
from chopmark.server.docs_style import STYLE
from chopmark.server.examples import curl_line

__all__ = ["docs_page", "policy_of"]

_SCHEMAS = "#/components/schemas/"
_STYLE_ELEMENT = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_NOUNS = {
    "actor": "Who asks", "alias": "Aliases", "audit": "Audit", "blob": "Bytes", "dataset": "Data sets", "delivery": "Deliveries",
    "event": "Events", "job": "Jobs", "lineage": "Lineage", "member": "Members", "model": "Models", "project": "Projects",
    "registry": "Registry", "role": "Roles", "schedule": "Schedules", "storage": "Storage", "token": "Tokens", "trust": "Trust",
    "usage": "Use", "version": "Versions", "webhook": "Webhooks",
}  # fmt: skip
_FIRST = ("project", "model", "version", "alias", "blob", "event")
"""Nouns that most come for; the others follow by name."""


def docs_page(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document of ours."""
    groups = _by_noun(document)
    info = document["info"]
    main = [
        element("h1", None, f"{info['title']} {info['version']}: HTTP API"),
        element("p", {"class": "lead"}, info["description"]),
        *_manners(),
        *(_noun(noun, operations, document) for noun, operations in groups.items()),
        _refusals(document),
        _shapes(document["components"]["schemas"]),
    ]
    links = [element("li", None, _link(f"noun-{noun}", _title(noun))) for noun in groups]
    links += [element("li", None, _link(place, place.capitalize())) for place in ("refusals", "shapes")]
    nav = element("nav", {"aria-label": "Nouns"}, element("ul", None, *links))
    return html_page(
        f"{info['title']} API", element("div", {"class": "api"}, nav, element("main", None, *main)), style=STYLE
    )


def policy_of(page: str) -> str:
    """What a browser may do with a page of ours: draw it by the style in it, and nothing else."""
    styles = [
        base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in _STYLE_ELEMENT.findall(page)
    ]
    hashes = " ".join(f"'sha256-{each}'" for each in styles)
    return f"default-src 'none'; style-src {hashes}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _by_noun(document: Mapping[str, Any]) -> dict[str, list[tuple[str, str, Mapping[str, Any]]]]:
    groups: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    order = [*_FIRST, *sorted(groups.keys() - set(_FIRST), key=_title)]
    return {noun: groups[noun] for noun in order if noun in groups}


def _title(noun: str) -> str:
    return _NOUNS.get(noun, noun.capitalize() + "s")


def _manners() -> Iterator[Markup]:
    """What holds for all of them."""
    rules = (
        ("Who asks", "Authorization: Bearer cm_… in every request."),
        ("References", "name, name:3, name:1.4.2, name@alias, name#stage; another project's as project/name, whose slash is written %2F."),
        ("Errors", "application/problem+json (RFC 9457) with a stable code, a hint and the request's id."),
        ("Pages", "limit and cursor; the next page's address is in the Link header."),
        ("Rehearsal", "dry_run=true gives a write's answer, or refusal, and changes nothing."),
        ("Repeating", "Idempotency-Key makes a write safe to send again."),
        ("Moves", "If-Match with the ETag of what was read changes it only while it is that."),
    )  # fmt: skip
    yield table(["", ""], [[name, rule] for name, rule in rules])
    yield element(
        "p", None, "The same for programs: ", element("a", {"href": "openapi.json"}, "openapi.json"),
        ". Lines of curl need CHOPMARK_URL and CHOPMARK_TOKEN in the shell.",
    )  # fmt: skip


def _noun(noun: str, operations: list[tuple[str, str, Mapping[str, Any]]], document: Mapping[str, Any]) -> Markup:
    drawn = [_operation(method, path, operation, document) for method, path, operation in operations]
    return element("section", {"id": f"noun-{noun}"}, element("h2", None, _title(noun)), *drawn)


def _operation(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> Markup:
    components = document["components"]["schemas"]
    name = operation["operationId"]
    head = element(
        "summary", None,
        element("span", {"class": f"method {method.lower()}"}, method),
        element("code", {"class": "path"}, _breaking(path)),
        element("span", {"class": "what"}, _coded(operation["summary"])),
    )  # fmt: skip
    inside = [
        element("p", {"class": "muted"}, element("code", None, name), " · needs the permission ", element("strong", None, operation["x-permission"])),
        element("p", None, _coded(operation.get("description", operation["summary"]))),
        _titled("Parameters", _parameters(operation, components)),
        _titled("Body", _body(operation, components)),
        _titled("Answers", _answers(operation)),
        _titled("For example", element("pre", None, curl_line(method, path, operation, components))),
    ]  # fmt: skip
    return element("details", None, head, element("div", {"id": name, "class": "inside"}, *inside))


def _coded(text: str) -> Markup:
    """Text in which what stands between backticks is code."""
    parts = text.split("`")
    return _joined([element("code" if i % 2 else "span", None, part) for i, part in enumerate(parts) if part])


def _breaking(path: str) -> Markup:
    """A path that may be broken before each of its parts."""
    parts = path.removeprefix("/").split("/")
    return Markup("".join(f"<wbr>/{element('span', None, part)}" for part in parts))


def _titled(title: str, content: Markup) -> Markup:
    return Markup(element("h3", None, title) + content) if content else Markup("")


def _parameters(operation: Mapping[str, Any], components: Mapping[str, Any]) -> Markup:
    rows = []
    for parameter in operation["parameters"]:
        schema = parameter.get("schema") or parameter["content"]["application/json"]["schema"]
        said = {**schema, "description": parameter.get("description", schema.get("description", ""))}
        rows.append(
            _row(parameter["name"], said, components, needed=parameter.get("required", False), where=parameter["in"])
        )
    return table(_HEAD, rows)


def _body(operation: Mapping[str, Any], components: Mapping[str, Any]) -> Markup:
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return Markup("")
    if "application/json" not in content:
        return element("p", None, "The bytes themselves.")
    return _fields(content["application/json"]["schema"], components)


_HEAD = ["name", "type", "meaning"]


def _fields(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Markup:
    needed = set(schema.get("required", ()))
    fields = schema.get("properties", {})
    return table(_HEAD, [_row(name, fields[name], components, needed=name in needed) for name in fields])


def _row(
    name: str, schema: Mapping[str, Any], components: Mapping[str, Any], *, needed: bool, where: str = ""
) -> list[str | Markup]:
    marks = [element("span", {"class": "muted"}, where)] if where else []
    marks += [element("span", {"class": "needed"}, "required")] if needed else []
    default = schema.get("default")
    preset = "" if default in (None, "", [], {}) or needed else f"; {_plain(default)} unless said"
    about = schema.get("description") or _named(schema, components).get("description", "")
    first = element("span", None, element("code", None, name), *(_joined([Markup("<br>"), mark]) for mark in marks))
    return [first, element("span", None, _type(schema), preset), _coded(about) if about else about]


def _named(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    """The shape that a schema names, where it is a plain value: what is said of it is worth repeating."""
    options = [schema, *schema.get("anyOf", ())]
    names = [option["$ref"].removeprefix(_SCHEMAS) for option in options if "$ref" in option]
    found: Mapping[str, Any] = components[names[0]] if names else {}
    return found if "properties" not in found else {}


def _plain(value: Any) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _type(schema: Mapping[str, Any]) -> Markup:
    """A schema in a few words, with links to shapes."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMAS)
        return _link(f"shape-{name}", name)
    if "anyOf" in schema:
        options = [option for option in schema["anyOf"] if option != {"const": ""}]
        return _joined([_type(option) for option in options], " or ")
    if "enum" in schema:
        return _joined([element("code", None, str(value)) for value in schema["enum"]], " · ")
    match schema.get("type"):
        case "array":
            return _joined([Markup("list of "), _type(schema.get("items", {}))])
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return _joined([Markup("map to "), _type(schema["additionalProperties"])])
        case "object":
            return Markup("object")
        case "null":
            return Markup("nothing")
        case None:
            return Markup("any JSON")
        case plain:
            return element(
                "span", None, _NAMES.get(schema.get("format", ""), _NAMES.get(plain, plain)), _bounds(schema)
            )


_NAMES = {
    "string": "text", "integer": "whole number", "boolean": "true or false", "date-time": "time", "date": "date", "uuid": "UUID",
    "binary": "bytes",
}  # fmt: skip


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low:,} to {high:,}"
    if low is not None:
        return f", from {low:,}"
    return f", up to {schema['maxLength']:,} characters" if "maxLength" in schema else ""


def _joined(parts: list[Markup], between: str = "") -> Markup:
    return Markup(between.join(parts))


def _answers(operation: Mapping[str, Any]) -> Markup:
    rows: list[list[str | Markup]] = []
    refused: list[Markup] = []
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            refused += [Markup(status)] if status != "default" else []
            continue
        kind: Mapping[str, Any] = next(iter(answer.get("content", {}).values()), {})
        shape = _type(kind["schema"]) if "schema" in kind else Markup("")
        rows.append([element("span", {"class": "good"}, status), shape, answer["description"]])
    refusals = element(
        "p",
        None,
        "Refused with ",
        element("span", {"class": "bad"}, ", ".join(refused)),
        ": see ",
        _link("refusals", "refusals"),
        ".",
    )
    return _joined([table(["status", "shape", "meaning"], rows), refusals])


def _refusals(document: Mapping[str, Any]) -> Markup:
    answers = document["components"]["responses"]
    rows: list[list[str | Markup]] = [
        [element("span", {"class": "bad"}, name.removeprefix("Problem")), _coded(answer["description"])]
        for name, answer in answers.items()
        if name != "Problem"
    ]
    about = element(
        "p",
        None,
        "All are ",
        element("code", None, "application/problem+json"),
        ": a ",
        _link("shape-Problem", "Problem"),
        ".",
    )
    return element(
        "section", {"id": "refusals"}, element("h2", None, "Refusals"), about, table(["status", "meaning"], rows)
    )


def _shapes(components: Mapping[str, Any]) -> Markup:
    drawn = []
    for name in sorted(components):
        schema = components[name]
        said = schema.get("description", "")
        about = element("p", None, _coded(said)) if said else Markup("")
        fields = (
            _fields(schema, components) if "properties" in schema else element("p", {"class": "muted"}, _value(schema))
        )
        drawn.append(
            element("details", None, element("summary", None, element("code", {"class": "path"}, name)),
                    element("div", {"id": f"shape-{name}", "class": "inside"}, about, fields))
        )  # fmt: skip
    return Markup(section("Shapes", *drawn).replace("<section>", '<section id="shapes">', 1))


def _value(schema: Mapping[str, Any]) -> Markup:
    parts = [_type(schema)]
    if "pattern" in schema:
        parts.append(element("span", None, "as ", element("code", None, schema["pattern"])))
    if "examples" in schema:
        parts.append(element("span", None, "such as ", element("code", None, str(schema["examples"][0]))))
    return _joined(parts, "; ")


def _link(place: str, text: str) -> Markup:
    return element("a", {"href": f"#{place}"}, text)
