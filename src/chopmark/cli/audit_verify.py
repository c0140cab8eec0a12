"""``chopmark audit verify``: the live chain, or an export of it without a registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from chopmark.cli.command import command
from chopmark.cli.failures import INTEGRITY
from chopmark.cli.options import option, pass_session
from chopmark.cli.output import complain
from chopmark.cli.session import Session
from chopmark.cli.words import count

if TYPE_CHECKING:
    from chopmark.ops.results import AuditVerdict

__all__ = ["verify"]


@command(
    "verify",
    examples="""
    chopmark audit verify
    chopmark audit verify --checkpoint 2026-03-01.checkpoint
    chopmark audit verify audit-2026-03.jsonl --key example.org/ada+3be66749+ATHnjR3JYK/E9cFKr+tvRgU5o/3HGKKu0cc7APxfRedC
    """,
)
@click.argument(
    "file",
    metavar="[FILE]",
    type=click.Path(path_type=Path),
    required=False,
    help="Exported events, verified without a registry.  [the registry's own]",
)
@option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A checkpoint that was kept elsewhere.  [FILE.checkpoint]",
)
@option("--key", default="", metavar="KEY", help="Verifier key of whoever signed it.  [your own key's]")
@option("--grown", is_flag=True, help="FILE may go on after the checkpoint's events.")
@click.pass_context
@pass_session
def verify(
    session: Session, ctx: click.Context, file: Path | None, checkpoint: Path | None, key: str, grown: bool
) -> None:
    """Walk the whole chain: whether any event was changed, removed or inserted.

    Exits with 6 when it is broken. A chain that was cut off at its end, or written anew with all
    its hashes, shows only against a checkpoint that was kept elsewhere.
    """
    if file is None:
        if key and checkpoint is None:
            raise click.UsageError("--key is of a checkpoint: pass --checkpoint too.")
        found = session.registry().audit.verify(checkpoint, key=key)
    else:
        found = _of_export(session, file, checkpoint, key, grown)
    _tell(session, found)
    if found.fault:
        where = str(file) if file else "a backup of the database"
        hint = f"Take {where} from where it was kept." if file else f"Compare it with {where}."
        complain("The audit was changed after it was written.", hint)
        ctx.exit(INTEGRITY)


def _tell(session: Session, found: AuditVerdict) -> None:
    verdict = "broken" if found.fault else "whole"
    facts = [("last hash", found.head), ("fault", f"at {found.fault_seq}: {found.fault}" if found.fault else "")]
    title = f"The chain of {count(found.events, 'event')} is {verdict}"
    session.output.record(found, name=found.head, title=title, facts=facts)


def _of_export(session: Session, file: Path, checkpoint: Path | None, key: str, grown: bool) -> AuditVerdict:
    from chopmark.sdk.audit_files import CHECKPOINT_SUFFIX, verify_export
    from chopmark.sdk.audit_keys import read_key, verifier_of
    from chopmark.sdk.progress import progress_bar

    settings = session.resolved().settings
    key = key or str(verifier_of(read_key(Path(settings.audit_key_file))))
    beside = checkpoint or file.with_name(file.name + CHECKPOINT_SUFFIX)
    size_bytes = file.stat().st_size if file.is_file() else 0
    with progress_bar(f"Verifying {file.name}", size_bytes, settings.progress) as told:
        return verify_export(file, beside, key, may_have_grown=grown, told=told)
