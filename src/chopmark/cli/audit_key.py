"""``chopmark audit key``: the key that signs checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from chopmark.cli.command import Group
from chopmark.cli.options import option, pass_session
from chopmark.cli.output import note
from chopmark.cli.session import Session

if TYPE_CHECKING:
    from chopmark.domain.checkpoint import VerifierKey

__all__ = ["audit_key"]

audit_key = Group(
    "key",
    help="The key that signs checkpoints of the audit.",
    examples="""
    chopmark audit key create --name example.org/ada
    chopmark audit key show
    """,
)


@audit_key.command(
    "create",
    examples="""
    chopmark audit key create
    chopmark audit key create --name example.org/ada
    """,
)
@option("--name", default="", metavar="NAME", help="Name of the key: who signs.  [chopmark/ and the actor]")
@pass_session
def create(session: Session, name: str) -> None:
    """Make a key, and print its public half.

    The key is written to a file that only you may read (setting audit_key_file), never into the
    registry. Give the printed line to whoever is to verify; keep the file to yourself, and a copy
    of it where you keep such things.
    """
    from chopmark.sdk.audit_keys import create_key

    settings = session.resolved().settings
    file = Path(settings.audit_key_file)
    registry = None if "://" in settings.url else Path(settings.url)
    key = create_key(file, name or "chopmark/" + "-".join(settings.actor.split()).replace("+", "-"), registry=registry)
    _tell(session, key, file)
    note(f"The private key is in {file}.")


@audit_key.command(
    "show",
    examples="""
    chopmark audit key show
    """,
)
@pass_session
def show(session: Session) -> None:
    """Print the public half of your key: what others need to verify what you signed."""
    from chopmark.sdk.audit_keys import loose_permissions, read_key, verifier_of

    file = Path(session.resolved().settings.audit_key_file)
    _tell(session, verifier_of(read_key(file)), file)
    loose = loose_permissions(file)
    if loose:
        note(f"Others may use {file} ({loose}); take it from them with: chmod 600 {file}")


def _tell(session: Session, key: VerifierKey, file: Path) -> None:
    record = {"name": key.name, "id": key.id.hex(), "verifier_key": str(key), "file": str(file)}
    session.output.text(str(key), record=record)
