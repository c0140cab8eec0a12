"""The program: its commands by name, and one run of it from arguments to exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import click

from chopmark.cli.command import Entry, LazyGroup, global_options
from chopmark.cli.failures import BROKEN_PIPE, FAILED, INTERRUPTED, tell, tell_usage
from chopmark.cli.output import note
from chopmark.cli.session import Session

__all__ = ["ROOT", "run"]

_SECTIONS = {
    "Everyday": {
        "register": Entry("chopmark.cli.register", "register", "Add a version of a model."),
        "get": Entry("chopmark.cli.versions", "get", "Show the version a reference means."),
        "list": Entry("chopmark.cli.versions", "list_versions", "List versions, newest first."),
        "search": Entry("chopmark.cli.versions", "search", "Find versions that meet a filter."),
        "best": Entry("chopmark.cli.versions", "best", "Show the version of a model with the best value of a metric."),
        "compare": Entry("chopmark.cli.comparing", "compare", "Put versions side by side, and run them on data."),
        "drift": Entry(
            "chopmark.cli.drift", "drift", "Say whether rows still look like those that a version was registered with."
        ),
        "report": Entry("chopmark.cli.reporting", "report", "Write a version's whole story, or its model card."),
        "promote": Entry("chopmark.cli.stages", "promote", "Move a version to another stage."),
        "download": Entry("chopmark.cli.files", "download", "Write the files of a version to a new directory."),
        "verify": Entry("chopmark.cli.files", "verify", "Read every byte of a version again and compare."),
    },
    "What is said of a version": {
        "tag": Entry("chopmark.cli.describing", "tag", "Set or remove tags of a version."),
        "describe": Entry("chopmark.cli.describing", "describe", "Set the description or the card of a version."),
        "annotate": Entry("chopmark.cli.describing", "annotate", "Set or remove annotations of a version."),
        "evaluate": Entry("chopmark.cli.evaluations", "evaluate", "Record metrics of a version on a data set."),
        "evaluations": Entry("chopmark.cli.evaluations", "evaluations", "List evaluations of a version."),
        "files": Entry("chopmark.cli.files", "files", "List the files of a version."),
        "uses": Entry("chopmark.cli.versions", "uses", "Say who uses a version."),
        "usage": Entry("chopmark.cli.usage", "usage", "Show how often versions were loaded, day by day."),
        "history": Entry("chopmark.cli.stages", "history", "List the stage moves of a version."),
    },
    "Where it comes from": {
        "lineage": Entry("chopmark.cli.lineage", "lineage", "Draw where a version comes from, and what comes from it."),
        "impact": Entry(
            "chopmark.cli.lineage",
            "impact",
            "Say what is affected when a data set, a run or a version turns out to be bad.",
        ),
        "link": Entry("chopmark.cli.lineage", "link", "Add an edge to the lineage that was not recorded."),
        "unlink": Entry("chopmark.cli.lineage", "unlink", "Take back an edge that was linked."),
    },
    "Out of use": {
        "deprecate": Entry("chopmark.cli.stages", "deprecate", "Say that a version should no longer be used."),
        "archive": Entry("chopmark.cli.stages", "archive", "Move a version to the stage 'archived'."),
        "delete": Entry("chopmark.cli.removal", "delete", "Soft-delete a version; it can be restored."),
        "restore": Entry("chopmark.cli.removal", "restore", "Bring a soft-deleted version back."),
        "purge": Entry("chopmark.cli.removal", "purge", "Remove a soft-deleted version for good."),
    },
    "Nouns": {
        "model": Entry("chopmark.cli.models", "model", "Registered names."),
        "alias": Entry("chopmark.cli.aliases", "alias", "Movable pointers such as fraud@champion."),
        "project": Entry("chopmark.cli.projects", "project", "Namespaces of models, and what they ask of versions."),
        "dataset": Entry("chopmark.cli.datasets", "dataset", "Data sets that versions were trained or evaluated on."),
        "profile": Entry("chopmark.cli.profiles", "profile", "What the data of a version looked like."),
        "trust": Entry("chopmark.cli.trust", "trust", "Decisions to let code of a version run."),
        "audit": Entry("chopmark.cli.audit", "audit", "What happened, in a chain of events that shows any change."),
    },
    "Kept and freed": {
        "gc": Entry("chopmark.cli.storage", "gc", "Free what retention drops and nothing refers to."),
        "du": Entry("chopmark.cli.storage", "du", "Say what takes room."),
        "why": Entry("chopmark.cli.storage", "why", "Say which versions refer to the bytes of a digest."),
        "fsck": Entry("chopmark.cli.storage", "fsck", "Compare rows with each other, the audit and the bytes."),
        "backup": Entry("chopmark.cli.keeping", "backup", "Copy the whole registry to another place."),
        "rebuild": Entry(
            "chopmark.cli.keeping", "rebuild", "Make a lost database again, from the records beside the blobs."
        ),
        "export": Entry(
            "chopmark.cli.keeping", "export", "Write a version to one file that another registry can import."
        ),
        "import": Entry(
            "chopmark.cli.keeping",
            "import_file",
            "Register the version of a file that was exported, here or elsewhere.",
        ),
    },
    "What answers": {
        "endpoint": Entry(
            "chopmark.cli.endpoints", "endpoint", "Names that callers keep, and the versions that answer behind them."
        ),
        "experiment": Entry("chopmark.cli.experiments", "experiment", "Versions compared on the users who meet them."),
        "outcomes": Entry(
            "chopmark.cli.outcomes", "outcomes", "What became of requests: how many, how fast, how often wrong."
        ),
        "feedback": Entry("chopmark.cli.outcomes", "feedback", "Say what turned out to be true of answers."),
        "predictions": Entry(
            "chopmark.cli.predictions",
            "predictions",
            "What gateways logged of requests and answers: read, checked, and answered again.",
        ),
        "live": Entry("chopmark.cli.endpoints", "live", "Say what is live, as the routers report it."),
        "monitor": Entry("chopmark.cli.monitors", "monitor", "What is watched, and what happens when it fires."),
        "alert": Entry("chopmark.cli.alerts", "alert", "What fires, who looks after it, and what became of it."),
        "rollout": Entry(
            "chopmark.cli.rollouts", "rollout", "Endpoints moved to another version step by step, watched, and back."
        ),
        "rollback": Entry("chopmark.cli.rollouts", "rollback", "Take an endpoint back to the version before."),
    },
    "Work without people": {
        "job": Entry(
            "chopmark.cli.jobs", "job", "Work that runs by itself: what waits, what was done, what could not be."
        ),
        "schedule": Entry("chopmark.cli.jobs", "schedule", "When work runs by itself."),
        "webhook": Entry("chopmark.cli.webhooks", "webhook", "Who is told of events, and what became of it."),
        "worker": Entry("chopmark.cli.jobs", "worker", "Do the jobs of this registry until it is told to stop."),
    },
    "Who may do what": {
        "whoami": Entry("chopmark.cli.access", "whoami", "Show who one is to the registry, and what one may."),
        "token": Entry("chopmark.cli.access", "token", "Tokens that show a server who one is."),
        "member": Entry("chopmark.cli.access", "member", "Who has which role in which project."),
        "role": Entry("chopmark.cli.access", "role", "Roles, and what they may."),
    },
    "The installation": {
        "predict": Entry("chopmark.cli.predict", "predict", "Ask an endpoint about rows."),
        "gateway": Entry("chopmark.cli.serve", "gateway", "Answer inference requests to the endpoints of a registry."),
        "serve": Entry("chopmark.cli.serve", "serve", "Serve this registry over HTTP until it is told to stop."),
        "config": Entry("chopmark.cli.config", "config", "Settings and where they come from."),
        "db": Entry("chopmark.cli.database", "db", "The database: its schema and how current it is."),
        "doctor": Entry("chopmark.cli.doctor", "doctor", "Check the installation and the registry."),
        "completion": Entry("chopmark.cli.completion", "completion", "Print the completion script of a shell."),
    },
}

_HELP = """Model registry: versions you can trust, move and load.

A reference names a version: fraud (the latest), fraud:7, fraud:1.4.2, fraud:^1.4,
fraud@champion (an alias), fraud#production (a stage) or fraud@sha256:ab12cd.
"""

_EPILOG = """\b
Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 denied,
6 integrity, 7 gate refused, 8 unavailable, 9 timed out.
"""

_EXAMPLES = """
chopmark register fraud model.skops --metric roc_auc=0.94
chopmark alias set fraud@champion fraud:1
chopmark get fraud@champion --json
chopmark COMMAND --help
"""


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value and not ctx.resilient_parsing:
        from chopmark import __version__

        click.echo(f"chopmark {__version__}")
        ctx.exit()


ROOT = LazyGroup(
    "chopmark",
    sections=_SECTIONS,
    help=_HELP,
    epilog=_EPILOG,
    examples=_EXAMPLES,
    params=[
        *global_options(hidden=False),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Show the version and exit.",
        ),
    ],
)


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Returns
    -------
    int
        The exit code (see `chopmark.cli.failures`).
    """
    session = Session()
    with warnings.catch_warnings():
        # What the SDK warns of is for whoever typed the command, each time.
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _note_warning
        try:
            return _invoke(arguments, session)
        except BrokenPipeError:
            # Nobody reads any more. Python would complain when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BROKEN_PIPE
        finally:
            session.close()


def _invoke(arguments: Sequence[str], session: Session) -> int:
    stdout = sys.stdout
    as_json = session.json or "--json" in arguments
    try:
        code = ROOT.main(list(arguments), prog_name="chopmark", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except click.Abort as abort:
        if isinstance(abort.__cause__, KeyboardInterrupt):
            return INTERRUPTED
        note("Nothing was changed.")
        return FAILED
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.UsageError as error:
        return tell_usage(error, as_json=as_json)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:
        raise
    except SystemExit:
        # Click catches a broken pipe itself, covers standard output and ends with 1.
        if sys.stdout is not stdout:
            return BROKEN_PIPE
        raise
    except Exception as error:  # noqa: BLE001 - the outermost place: whatever it is, it is told in one form
        return tell(error, as_json=as_json, debug=session.debug)
    return code if isinstance(code, int) else 0


def _note_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, UserWarning):
        note(str(message))
