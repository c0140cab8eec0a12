"""``chopmark trust``: decisions to let the code of a version run."""

from __future__ import annotations

from chopmark.cli.changes import show_done
from chopmark.cli.command import Group
from chopmark.cli.options import dry_run_option, option, pass_session, reason_option, reference_argument
from chopmark.cli.output import Fact
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.version_view import RUNS_CODE
from chopmark.cli.words import stamp, when

__all__ = ["trust"]

trust = Group(
    "trust",
    help="Decisions to let code of a version run, or types it names be built, when it is loaded.",
    examples="""
    chopmark trust list fraud:4
    chopmark trust grant fraud:4 --reason "built by our own pipeline"
    """,
)

_COLUMNS = (
    Column("WHEN (UTC)", lambda d: stamp(d.at), whole=True),
    Column("BY", lambda d: d.actor),
    Column("BASIS", lambda d: d.basis),
    Column("NAMES", lambda d: ", ".join(d.names)),
    Column("REASON", lambda d: d.reason),
)


@trust.command(
    "grant",
    examples="""
    chopmark trust grant fraud:4 --reason "built by our own pipeline"
    chopmark trust grant fraud:4 --name our.Scaler --reason "reviewed"
    """,
)
@reference_argument()
@option("--name", "names", multiple=True, metavar="TYPE", help="Only this type; can be given again.  [all it lists]")
@reason_option(required=True)
@dry_run_option()
@pass_session
def grant(session: Session, ref: str, names: tuple[str, ...], reason: str) -> None:
    """Record that the code of a version may run when it is loaded.

    The decision is about its bytes: it holds for a twin and for no other version.
    """
    registry = session.registry()
    version = registry.get(ref)
    decision = registry.trust.grant(version, reason=reason, names=names)
    facts: list[Fact] = [
        ("loading", RUNS_CODE if version.runs_code else "builds the types below"),
        ("names", ", ".join(decision.names)),
        ("digest", decision.digest),
        ("by", f"{decision.actor}, {when(decision.at)}"),
    ]
    session.output.record(decision, name=version.ref, title=f"{version.ref} is trusted", facts=facts)


@trust.command(
    "revoke",
    examples="""
    chopmark trust revoke fraud:4 --reason "its origin is in doubt"
    """,
)
@reference_argument()
@reason_option()
@dry_run_option()
@pass_session
def revoke(session: Session, ref: str, reason: str) -> None:
    """Withdraw all trust in the bytes of a version."""
    show_done(session, session.registry().trust.revoke(ref, reason=reason))


@trust.command(
    "list",
    examples="""
    chopmark trust list fraud:4
    """,
)
@reference_argument()
@pass_session
def list_decisions(session: Session, ref: str) -> None:
    """List the decisions on the bytes of a version, newest first."""
    found = session.registry().trust.list(ref)
    session.output.page(found, _COLUMNS, name=lambda d: d.digest, empty=f"Nobody has recorded trust in {ref}.")
