"""What every command shares: help with sections and examples, and the options that all of them take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click

from chopmark.cli.session import Session

__all__ = ["Command", "Entry", "Group", "LazyGroup", "Option", "command", "global_options", "set_flag"]

HELP_WIDTH = 80
_CONTEXT = {"max_content_width": HELP_WIDTH, "help_option_names": ["-h", "--help"]}


class Option(click.Option):
    """An option that stands in a section of its command's help."""

    def __init__(self, *args: Any, section: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.section = section


class _Helpful(click.Command):
    """Help in this order: usage, what it does, arguments, options by section, examples."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        kwargs["context_settings"] = {**_CONTEXT, **kwargs.get("context_settings", {})}
        super().__init__(*args, **kwargs)
        self.examples = inspect.cleandoc(examples)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write options, those of one section together."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                section = param.section if isinstance(param, Option) else "Output and help"
                sections.setdefault(section, []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they stand, then the rest."""
        if self.examples:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}".rstrip() + "\n" for line in self.examples.splitlines()))
        super().format_epilog(ctx, formatter)


class Command(_Helpful):
    """A command; takes ``--json``, ``--quiet`` and, hidden, the options of the program itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [*_output_options(), *global_options(hidden=True)]


class Group(_Helpful, click.Group):
    """A noun with its verbs."""

    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands; a group's only own option is ``--help``."""
        self.format_commands(ctx, formatter)


class Entry(NamedTuple):
    """Where a command is, and what it says of itself in the list of commands."""

    module: str
    attribute: str
    summary: str


class LazyGroup(_Helpful, click.Group):
    """A group that imports a command when it is called, not when it is listed.

    Parameters
    ----------
    sections
        Heading → command → where it is.
    """

    def __init__(self, *args: Any, sections: Mapping[str, Mapping[str, Entry]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections
        self._entries = {name: entry for section in sections.values() for name, entry in section.items()}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command by its name; of one that is not there, say which was meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            # click looks for likely names among commands that are imported already.
            raise click.exceptions.NoSuchCommand(error.command_name, possibilities=self._entries, ctx=ctx) from error

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names in the order of the help."""
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        found: click.Command = getattr(import_module(entry.module), entry.attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands by section, without importing any."""
        for heading, section in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name, entry.summary) for name, entry in section.items()])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        super().format_options(ctx, formatter)


def command(name: str, *, examples: str = "") -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function; its docstring is the help, its first line the summary."""
    return click.command(name, cls=Command, examples=examples)


def set_flag(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Callback of an option that all commands take alike: the session keeps it."""
    if value and param.name:
        setattr(ctx.ensure_object(Session), param.name, True)


def _setting(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and param.name:
        ctx.ensure_object(Session).arguments[param.name] = value


def _output_options(*, section: str = "Output and help") -> list[click.Parameter]:
    return [
        Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=set_flag,
            section=section,
            help="Print one JSON document.",
        ),
        Option(
            ["--quiet", "-q"],
            is_flag=True,
            expose_value=False,
            callback=set_flag,
            section=section,
            help="Print references only, one a line.",
        ),
    ]


_SETTINGS = (
    ("--at", "url", "PLACE", "Directory of the registry.  [CHOPMARK_URL; ./.chopmark]"),
    ("--database", "database_url", "URL", "Its database, when not in that directory.  [CHOPMARK_DATABASE_URL]"),
    ("--store", "store_url", "URL", "Its blob store, when not in that directory.  [CHOPMARK_STORE_URL]"),
    ("--project", "project", "NAME", "Project of names that carry none.  [CHOPMARK_PROJECT; default]"),
    ("--actor", "actor", "NAME", "Who acts.  [CHOPMARK_ACTOR; the system's user]"),
)


def global_options(*, hidden: bool) -> list[click.Parameter]:
    """Options of the program, taken before the command and, hidden from its help, after it too."""
    settings: list[click.Parameter] = [
        Option(
            [flag, field],
            metavar=metavar,
            expose_value=False,
            callback=_setting,
            hidden=hidden,
            section="Global options (before or after the command)",
            help=text,
        )
        for flag, field, metavar, text in _SETTINGS
    ]
    debug = Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=set_flag,
        hidden=hidden,
        section="Global options (before or after the command)",
        help="Show where an error was raised.",
    )
    if hidden:
        return [*settings, debug]
    return [*settings, debug, *_output_options(section="Global options (before or after the command)")]
