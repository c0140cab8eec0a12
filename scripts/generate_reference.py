"""Write the generated pages of ``docs/reference`` from the code itself.

    python scripts/generate_reference.py           writes them
    python scripts/generate_reference.py --check   exits 1 and names those that differ

``python.md`` comes from docstrings, ``cli.md`` from the commands' help, ``settings.md`` from the docstring of `Settings`,
``ops.md`` from the table of verbs, ``errors.md`` from the tree of errors, ``formats.md`` from the installed formats.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import click
import msgspec

import chopmark
from chopmark import errors
from chopmark.base.settings import PREFIX, Settings
from chopmark.cli.failures import exit_code
from chopmark.cli.program import ROOT
from chopmark.formats import format_names, get_format
from chopmark.ops.table import OPS

TARGET = Path(__file__).parent.parent / "docs" / "reference"
NOTE = "<!-- Written by scripts/generate_reference.py; change the docstrings and run it again. -->"

WIDTH = 80
SURFACES = ("versions", "models", "aliases", "stages", "files", "projects", "trust", "audit")
# What is not at the root and yet is held by everybody: what verbs hand out, and what they warn of.
HANDED_OUT = (
    ("chopmark.sdk.draft", "Draft"),
    ("chopmark.sdk.results", "Page"),
    ("chopmark.sdk.ensemble", "LoadedMember"),
    ("chopmark.domain.versions", "AliasMove"),
    ("chopmark.domain.lifecycle", "StageMove"),
    ("chopmark.domain.versions", "Evaluation"),
    ("chopmark.domain.versions", "TrustDecision"),
    ("chopmark.domain.versions", "Deprecation"),
    ("chopmark.domain.versions", "Git"),
    ("chopmark.domain.audit", "AuditEvent"),
    ("chopmark.ops.results", "AuditVerdict"),
    ("chopmark.ops.results", "RegistrationPlan"),
    ("chopmark.ops.results", "Done"),
    ("chopmark.sdk.version_files", "Verification"),
    ("chopmark.sdk.version_files", "FileFault"),
    ("chopmark.domain.manifest", "FileEntry"),
    ("chopmark.domain.manifest", "Environment"),
    ("chopmark.domain.manifest", "Member"),
    ("chopmark.domain.datasets", "ColumnProfile"),
    ("chopmark.formats.profiles", "DatasetProfile"),
    ("chopmark.sdk.profiles", "StoredProfile"),
    ("chopmark.formats.raw", "RawFiles"),
    ("chopmark.formats.onnx", "OnnxModel"),
)
WARNINGS = (
    ("chopmark.errors", "AlreadyRegistered"),
    ("chopmark.errors", "FrameworkMismatch"),
    ("chopmark.errors", "DeprecatedVersion"),
    ("chopmark.errors", "ListenerFailed"),
    ("chopmark.errors", "NotProfiled"),
)
TESTING = (("chopmark.testing.registry", "memory_registry"), ("chopmark.base.clock", "FakeClock"))


def main() -> int:
    """Write the pages, or check them."""
    made = {name: f"{NOTE}\n\n{text.strip()}\n" for name, text in pages()}
    if "--check" in sys.argv:
        stale = [name for name, text in made.items() if not _is_fresh(TARGET / name, text)]
        for name in stale:
            print(f"docs/reference/{name} is not what the code says.")
        return 1 if stale else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, text in made.items():
        (TARGET / name).write_text(text, encoding="utf-8")
    return 0


def _is_fresh(file: Path, text: str) -> bool:
    return file.exists() and file.read_text(encoding="utf-8") == text


def pages() -> Iterator[tuple[str, str]]:
    """Name and text of each page."""
    yield "python.md", python_page()
    yield "cli.md", cli_page()
    yield "settings.md", settings_page()
    yield "ops.md", ops_page()
    yield "errors.md", errors_page()
    yield "formats.md", formats_page()


# Python


def python_page() -> str:
    registry = chopmark.Registry
    parts = [
        "# Python reference",
        (
            "Everything public, with its signature and what it promises. Examples of every verb are in "
            "[the verbs by example](surfaces.md)."
        ),
        "## Opening and describing",
        _function("chopmark.open", chopmark.open),
        _function("chopmark.dataset", chopmark.dataset),
        "## Registry",
        markdown(inspect.getdoc(registry)),
        *_members("registry", registry),
    ]
    for name in SURFACES:
        kind = _surface(name)
        parts += [f"## registry.{name}", markdown(inspect.getdoc(kind)), *_members(f"registry.{name}", kind)]
    parts += [
        "## AsyncRegistry",
        markdown(inspect.getdoc(chopmark.AsyncRegistry)),
        (
            "`await AsyncRegistry.open(url, **settings)` opens one; `async with` closes it. Its verbs and those of its surfaces "
            "have the names and parameters of the registry's and are awaited. `versions.each` is an asynchronous iterator. "
            "There is no `draft`; `on` and the properties are not awaited."
        ),
        "## Records",
        "Frozen values; each prints itself in one or two lines.",
        *(_record(getattr(chopmark, name)) for name in _record_names()),
        "## What verbs hand out",
        *(_record(_imported(*home)) for home in HANDED_OUT),
        "## Warnings",
        "All are `UserWarning`s. The command line prints them as notes.",
        *(_record(_imported(*home)) for home in WARNINGS),
        "## For tests",
        *(_described(*home) for home in TESTING),
    ]
    return "\n\n".join(p for p in parts if p)


def _imported(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def _described(module: str, name: str) -> str:
    value = _imported(module, name)
    return _record(value) if inspect.isclass(value) else _function(f"{module}.{name}", value)


def _surface(name: str) -> type:
    module = "version_files" if name == "files" else name
    kind: type = _imported(f"chopmark.sdk.{module}", name.capitalize())
    return kind


def _record_names() -> list[str]:
    apart = {"AsyncRegistry", "Registry", "dataset", "errors", "open", "Settings"}
    return [name for name in chopmark.__all__ if name not in apart]


def _members(prefix: str, kind: type, *, level: int = 3) -> list[str]:
    found = []
    for name, value in vars(kind).items():
        if name.startswith("_"):
            continue
        if isinstance(value, property):
            head = f"{'#' * level} {prefix}.{name}"
            found.append(f"{head}\n\n```text\n{name}: {_type(value.fget)}\n```\n\n{markdown(inspect.getdoc(value))}")
        elif isinstance(value, (FunctionType, classmethod, staticmethod)):
            function = value if isinstance(value, FunctionType) else value.__func__
            found.append(_function(f"{prefix}.{name}", function, level=level))
    return found


def _type(function: Any) -> str:
    return str(inspect.get_annotations(function).get("return", "Any"))


def _function(name: str, function: Any, *, level: int = 3) -> str:
    signature = inspect.signature(function)
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    shown = _shown_call(name.rpartition(".")[2], parameters, signature.return_annotation)
    return f"{'#' * level} {name}\n\n```text\n{shown}\n```\n\n{markdown(inspect.getdoc(function))}"


def _shown_call(name: str, parameters: list[inspect.Parameter], returns: Any) -> str:
    texts: list[str] = []
    starred = False
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            texts.append("*")
            starred = True
        starred = starred or parameter.kind is inspect.Parameter.VAR_POSITIONAL
        texts.append(_shown_parameter(parameter))
    answer = "None" if returns in (None, "None") else _shown_type(returns)
    line = f"{name}({', '.join(texts)}) -> {answer}"
    if len(line) <= 100:  # noqa: PLR2004 - what fits a page
        return line
    return f"{name}(\n" + "".join(f"    {t},\n" for t in texts) + f") -> {answer}"


def _shown_parameter(parameter: inspect.Parameter) -> str:
    star = ""
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        star = "*"
    elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
        star = "**"
    text = star + parameter.name
    if parameter.annotation is not inspect.Parameter.empty:
        text += f": {_shown_type(parameter.annotation)}"
    if parameter.default is inspect.Parameter.empty:
        return text
    default = parameter.default
    shown = str(default.__name__) if inspect.isfunction(default) else repr(default)
    return f"{text} = {shown}"


def _shown_type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:chopmark|typing|collections\.abc|datetime)\.(?:\w+\.)*", "", text)


def _record(kind: type) -> str:
    head = f"### {kind.__name__}"
    where = "" if hasattr(chopmark, kind.__name__) else f"`{kind.__module__}.{kind.__name__}`"
    fields = _fields(kind)
    methods = "\n\n".join(_members(kind.__name__, kind, level=4))
    return "\n\n".join(t for t in (head, where, markdown(inspect.getdoc(kind)), fields, methods) if t)


def _fields(kind: type) -> str:
    names: tuple[str, ...] = getattr(kind, "__struct_fields__", ())
    if not names:
        return ""
    annotations = {
        name: text for base in reversed(kind.__mro__) for name, text in vars(base).get("__annotations__", {}).items()
    }
    lines = [f"{name}: {_shown_type(annotations[name])}" for name in names]
    return "```text\n" + "\n".join(lines) + "\n```"


# Docstrings in numpy style, as Markdown

_SECTION = re.compile(r"(?m)^(?P<name>[A-Z][A-Za-z ]+)\n-{3,}$")


def markdown(doc: str | None) -> str:
    """A docstring as Markdown: sections become bold headings, their entries a list."""
    text = doc or ""
    pieces = _SECTION.split(text)
    done = [_paragraphs(pieces[0])]
    for name, body in zip(pieces[1::2], pieces[2::2], strict=True):
        words = _paragraphs(body) if name in ("Examples", "Notes", "What is hashed") else _entries(body)
        done.append(f"**{name}**\n\n{words}")
    return "\n\n".join(d for d in done if d)


def _entries(body: str) -> str:
    """Entries of a section: a line at the margin names it, indented lines describe it; an example may follow them."""
    body, prompt, example = body.partition("\n>>> ")
    items: list[tuple[str, list[str]]] = []
    for line in body.strip("\n").splitlines():
        if line and not line.startswith(" "):
            items.append((line, []))
        elif items:
            items[-1][1].append(line)
    lines = []
    for name, described in items:
        words = _inline(" ".join(textwrap.dedent("\n".join(described)).split()))
        label = ", ".join(f"`{part.strip()}`" for part in name.split(",")) if not name.endswith(".") else _inline(name)
        lines.append(f"- {label}: {words}" if words else f"- {label}")
    return "\n".join(lines) + (f"\n\n{_session(prompt.lstrip() + example)}" if example else "")


def _session(text: str) -> str:
    """An example of a docstring: executed there, with the names of its module, and only shown here."""
    return f"```text\n{textwrap.dedent(text).strip()}\n```"


def _paragraphs(text: str) -> str:
    done = []
    for paragraph in re.split(r"\n{2,}", text.strip("\n")):
        if paragraph.lstrip().startswith(">>>"):
            done.append(_session(paragraph))
        elif paragraph.startswith("    "):
            done.append(f"```text\n{textwrap.dedent(paragraph)}\n```")
        elif re.match(r"={3,}", paragraph):
            done.append(f"```text\n{paragraph}\n```")
        else:
            done.append(_inline(paragraph))
    return "\n\n".join(d for d in done if d)


def _inline(text: str) -> str:
    return text.replace("``", "`").removesuffix("::").replace("|", "\\|") if text else ""


# The command line


def cli_page() -> str:
    parts = [
        "# Command line reference",
        (
            "`chopmark COMMAND --help` prints the same. Answers go to standard output, words about them to standard error; "
            "every command takes `--json`. Exit codes are listed with [the errors](errors.md#exit-codes)."
        ),
    ]
    parts += [f"## {path}\n\n```text\n{text}\n```" for path, text in _helps(ROOT, _context(ROOT, "chopmark", None))]
    return "\n\n".join(parts)


def _helps(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    yield context.command_path, command.get_help(context).rstrip()
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                yield from _helps(child, _context(child, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    return click.Context(command, info_name=name, parent=parent, **settings)


# Tables


def settings_page() -> str:
    module = inspect.getdoc(importlib.import_module("chopmark.base.settings"))
    described = _descriptions(Settings)
    rows = [
        (f"`{field.name}`", f"`{PREFIX}{field.name.upper()}`", _default(field.default), described[field.name])
        for field in msgspec.structs.fields(Settings)
    ]
    return "\n\n".join(
        (
            "# Settings",
            markdown(module),
            (
                'In Python they are arguments: `chopmark.open(trust="marked_only")`. '
                "`chopmark config show --origin` says what counts here and why."
            ),
            table(("setting", "environment", "default", "meaning"), rows),
        )
    )


def _default(value: Any) -> str:
    return "empty" if value == "" else f"`{value}`"


def _descriptions(kind: type) -> dict[str, str]:
    """Field → description, from the section Attributes; fields named together share one."""
    _, _, body = (inspect.getdoc(kind) or "").partition("Attributes\n----------\n")
    found: dict[str, str] = {}
    for line in _entries(body).splitlines():
        names, _, words = line.removeprefix("- ").partition(": ")
        found |= dict.fromkeys(re.findall(r"`(\w+)`", names), words)
    return found


def ops_page() -> str:
    rows = [
        (
            f"`{op.name}`",
            _inline((inspect.getdoc(op.request) or "").split("\n\n")[0].replace("\n", " ")),
            op.permission,
            f"`{op.event}`" if op.event else "reads",
        )
        for op in OPS.values()
    ]
    return "\n\n".join(
        (
            "# Verbs",
            (
                "Every verb of the system is one row of one table. Python and the command line are "
                "drawn from it. A verb that changes something leaves the event named here in [the audit](../explanation/audit.md)."
            ),
            table(("verb", "what it does", "permission", "event"), rows),
            "## Roles and permissions",
            "On a laptop everybody is an `admin`: nobody's identity is checked until the server is there.",
            table(("role", "may"), [(f"`{role}`", ", ".join(sorted(held))) for role, held in _roles().items()]),
        )
    )


def _roles() -> Mapping[str, Iterable[str]]:
    found: Mapping[str, Iterable[str]] = _imported("chopmark.domain.access", "ROLES")
    return found


def errors_page() -> str:
    found = [getattr(errors, n) for n in errors.__all__ if inspect.isclass(getattr(errors, n))]
    kinds = [kind for kind in found if issubclass(kind, errors.ChopmarkError)]
    rows = [
        (
            f"`{kind.__name__}`",
            f"`{kind.code}`",
            str(exit_code(kind(""))),
            ", ".join(f"`{b.__name__}`" for b in kind.__bases__ if not issubclass(b, errors.ChopmarkError)),
            _inline((inspect.getdoc(kind) or "").split("\n\n")[0].replace("\n", " ")),
        )
        for kind in kinds
    ]
    codes = [
        ("0", "it is done, or the answer is yes"),
        ("1", "it failed for another reason; `doctor` found a fault; a question was answered with no"),
        ("2", "the command line or the request cannot be meant"),
        ("3", "not found"),
        ("4", "the state of the registry forbids it"),
        ("5", "denied"),
        ("6", "bytes or the audit are not what was recorded"),
        ("7", "a rule of the project refused"),
        ("8", "a database or store does not answer"),
        ("9", "no answer within the limit"),
        ("130", "interrupted by Ctrl-C"),
        ("141", "nobody read the output any more"),
    ]
    return "\n\n".join(
        (
            "# Errors and exit codes",
            (
                "One tree, in `chopmark.errors`. A caller catches the class for what can be done about it. The message says what "
                "happened and why, `hint` what to do next, `details` the facts for a program, and `code` never changes."
            ),
            table(("class", "code", "exit", "also a", "meaning"), rows),
            "`GateRefused.findings` lists every reason a gate gave.",
            "## Exit codes",
            table(("code", "meaning"), codes),
            (
                "With `--json` an error is also one JSON document on standard output, with `code`, `message`, `hint` and "
                "`details`. `--debug` shows where it was raised."
            ),
        )
    )


def formats_page() -> str:
    found = sorted((get_format(name) for name in _built_in()), key=lambda f: (f.runs_code, f.rank, f.name))
    rows = [
        (
            f"`{f.name}`",
            _inline((inspect.getdoc(type(f)) or "").split("\n\n")[0].replace("\n", " ")),
            "**yes**" if f.runs_code else "no",
            " ".join(f"`{s}`" for s in f.suffixes) or "any",
            f"`{f.extra}`" if f.extra else "none",
        )
        for f in found
    ]
    return "\n\n".join(
        (
            "# Formats",
            (
                'A format is how a model becomes files, and files a model again. In the order in which `format="auto"` asks, '
                "safest first; the first that fits and can hold the model is taken. A file registered by path is recognised by "
                "its first bytes, then by its suffix."
            ),
            table(("format", "holds", "runs code on load", "suffixes", "extra"), rows),
            (
                "A format that does not run code may still list types that it does not know to be harmless (skops and torch do). "
                "Building those, and loading any format that runs code, needs a recorded decision: see "
                "[trust](../how-to/trust-formats-that-run-code.md)."
            ),
            "A package can bring formats of its own: see [write a format](../how-to/write-a-format.md).",
        )
    )


def _built_in() -> list[str]:
    return [name for name in format_names() if type(get_format(name)).__module__.startswith("chopmark.")]


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
