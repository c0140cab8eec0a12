"""``chopmark token``, ``member``, ``role`` and ``whoami``: who may do what."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from chopmark.cli.changes import show_done
from chopmark.cli.command import Group, command
from chopmark.cli.options import cursor_option, dry_run_option, limit_option, option, pass_session, reason_option
from chopmark.cli.output import Fact, note
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import stamp, when
from chopmark.domain.access import EVERYWHERE, CustomRole, Member, MemberKind
from chopmark.domain.tokens import Token

__all__ = ["member", "role", "token", "whoami"]

F = TypeVar("F", bound=Callable[..., Any])

DAYS = 90.0

token = Group(
    "token",
    help="Tokens that show a server who one is.",
    examples="""
    chopmark token create ci --scope register --in risk
    chopmark token list
    chopmark token revoke 3f9a0c117be24d58 --reason "the laptop was lost"
    """,
)

member = Group(
    "member",
    help="Who has which role in which project.",
    examples="""
    chopmark member set ada maintainer --in risk
    chopmark member set ml-admins admin --group
    """,
)

role = Group(
    "role",
    help="Roles, and what they may.",
    examples="""
    chopmark role list
    chopmark role define tester --may evaluate
    """,
)


@command(
    "whoami",
    examples="""
    chopmark whoami
    """,
)
@pass_session
def whoami(session: Session) -> None:
    """Show who one is to the registry, and what one may."""
    found = session.registry().access.whoami()
    facts: list[Fact] = [
        ("everywhere" if project == EVERYWHERE else project, ", ".join(held)) for project, held in found.grants.items()
    ]
    session.output.record(found, name=found.name, title=f"{found.name} ({found.kind})", facts=facts)


def _token_facts(made: Token) -> list[Fact]:
    return [
        ("for", made.name),
        ("owner", f"{made.owner} ({made.kind})"),
        ("may", ", ".join(made.scopes) + (f" in {made.project}" if made.project else "")),
        ("expires", when(made.expires_at) if made.expires_at else "never"),
        ("revoked", when(made.revoked_at) if made.revoked_at else ""),
        ("last used", when(made.used_at) if made.used_at else ""),
    ]


@token.command(
    "create",
    examples="""
    chopmark token create notebook
    chopmark token create ci --scope register --scope evaluate --in risk --owner ci --service
    """,
)
@click.argument("name", help="What it is for.")
@option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="PERMISSION",
    help="A permission of its owner that it keeps beside read; can be given again.",
)
@option("--in", "project", default="", metavar="PROJECT", help="Only in this project.")
@option("--owner", default="", metavar="NAME", help="Who acts with it, when that is not you.")
@option("--service", is_flag=True, help="Its owner is a program.")
@option("--days", type=click.FloatRange(0, min_open=True), default=DAYS, help="For how long it is good: 90 days.")
@option("--never-expires", is_flag=True, help="It is good until it is revoked.")
@reason_option()
@dry_run_option()
@pass_session
def create_token(
    session: Session,
    name: str,
    scopes: tuple[str, ...],
    project: str,
    owner: str,
    service: bool,
    days: float,
    never_expires: bool,
    reason: str,
) -> None:
    """Make a token and print it, this once.

    Nobody can find it out later: what is kept is a hash.
    """
    made = session.registry().access.create_token(
        name,
        scopes=scopes or ("read",),
        project=project,
        owner=owner,
        kind="service" if service else "person",
        expires_at=None if never_expires else datetime.now(UTC) + timedelta(days=days),
        reason=reason,
    )
    if session.dry_run:
        title = f"A token of {made.token.owner}"
        session.output.record(made, name=made.token.name, title=title, facts=_token_facts(made.token))
        return
    session.output.text(made.secret, record=made)
    expiry = f"until {when(made.token.expires_at)}" if made.token.expires_at else "until it is revoked"
    note(
        f"Token {made.token.id} of {made.token.owner} is good {expiry}. It is shown this once; set CHOPMARK_TOKEN to it."
    )


_TOKENS = (
    Column("TOKEN", lambda t: t.id, whole=True),
    Column("FOR", lambda t: t.name),
    Column("OWNER", lambda t: t.owner),
    Column("MAY", lambda t: ", ".join(t.scopes) + (f" in {t.project}" if t.project else "")),
    Column("EXPIRES (UTC)", lambda t: "revoked" if t.revoked_at else stamp(t.expires_at) if t.expires_at else "never"),
    Column("LAST USED (UTC)", lambda t: stamp(t.used_at) if t.used_at else ""),
)


@token.command(
    "list",
    examples="""
    chopmark token list
    chopmark token list --all
    """,
)
@option("--owner", default="", metavar="NAME", help="Those of somebody else.")
@option("--all", "everybodys", is_flag=True, help="Everybody's.")
@limit_option()
@cursor_option()
@pass_session
def list_tokens(session: Session, owner: str, everybodys: bool, limit: int, cursor: str) -> None:
    """List your tokens, never their secrets."""
    page = session.registry().access.tokens(owner=owner, everybodys=everybodys, limit=limit, cursor=cursor)
    session.output.page(page, _TOKENS, name=lambda t: t.id, cursor=page.cursor, empty="No tokens.")


@token.command(
    "revoke",
    examples="""
    chopmark token revoke 3f9a0c117be24d58 --reason "the laptop was lost"
    """,
)
@click.argument("token", help="Its id; of a whole token only the id is sent.")
@reason_option()
@dry_run_option()
@pass_session
def revoke_token(session: Session, token: str, reason: str) -> None:
    """Refuse a token from now on."""
    revoked = session.registry().access.revoke(token, reason=reason)
    session.output.record(revoked, name=revoked.id, title=f"Token {revoked.id}", facts=_token_facts(revoked))


def _who(text: str) -> Callable[[F], F]:
    return click.argument("member", metavar="NAME", help=text)


def _in_option() -> Callable[[F], F]:
    return option("--in", "project", default=EVERYWHERE, metavar="PROJECT", help="In this project; everywhere without.")


def _group_option() -> Callable[[F], F]:
    return option("--group", is_flag=True, help="It is a group, as the issuer of identities names it.")


def _kind(group: bool) -> MemberKind:
    return "group" if group else "actor"


def _place(found: Member) -> str:
    return "everywhere" if found.project == EVERYWHERE else found.project


def _show_member(session: Session, found: Member) -> None:
    facts: list[Fact] = [
        ("role", found.role),
        ("where", _place(found)),
        ("since", f"{when(found.since)} by {found.by}"),
    ]
    session.output.record(found, name=found.member, title=found.member, facts=facts)


@member.command(
    "set",
    examples="""
    chopmark member set ada maintainer --in risk --reason "joins the team"
    chopmark member set ml-admins admin --group
    """,
)
@_who("A person, a service account, or a group.")
@click.argument("role", help="viewer, contributor, maintainer, admin, or one that was defined.")
@_in_option()
@_group_option()
@reason_option()
@dry_run_option()
@pass_session
def set_member(session: Session, member: str, role: str, project: str, group: bool, reason: str) -> None:
    """Give somebody a role; it replaces the one that they had there."""
    access = session.registry().access
    _show_member(session, access.set_member(member, role, project=project, kind=_kind(group), reason=reason))


@member.command(
    "get",
    examples="""
    chopmark member get ada --in risk
    """,
)
@_who("A person, a service account, or a group.")
@_in_option()
@_group_option()
@pass_session
def get_member(session: Session, member: str, project: str, group: bool) -> None:
    """Show which role somebody has."""
    _show_member(session, session.registry().access.member(member, project=project, kind=_kind(group)))


@member.command(
    "remove",
    examples="""
    chopmark member remove ada --in risk --reason "left the team"
    """,
)
@_who("A person, a service account, or a group.")
@_in_option()
@_group_option()
@reason_option()
@dry_run_option()
@pass_session
def remove_member(session: Session, member: str, project: str, group: bool, reason: str) -> None:
    """Take somebody's role."""
    access = session.registry().access
    show_done(session, access.remove_member(member, project=project, kind=_kind(group), reason=reason))


_MEMBERS = (
    Column("WHERE", _place, whole=True),
    Column("WHO", lambda m: f"group {m.member}" if m.kind == "group" else m.member),
    Column("ROLE", lambda m: m.role, whole=True),
    Column("SINCE (UTC)", lambda m: stamp(m.since), whole=True),
    Column("BY", lambda m: m.by),
)


@member.command(
    "list",
    examples="""
    chopmark member list
    chopmark member list --in risk
    """,
)
@option("--in", "project", default=None, metavar="PROJECT", help="Of this project; '*' for those everywhere.")
@limit_option()
@cursor_option()
@pass_session
def list_members(session: Session, project: str | None, limit: int, cursor: str) -> None:
    """List who has which role."""
    page = session.registry().access.members(project, limit=limit, cursor=cursor)
    session.output.page(page, _MEMBERS, name=lambda m: m.member, cursor=page.cursor, empty="No members yet.")


_ROLES = (
    Column("ROLE", lambda r: r.name, whole=True),
    Column("MAY", lambda r: ", ".join(r.permissions)),
    Column("DESCRIPTION", lambda r: "always there" if r.built_in else r.description),
)


def _show_role(session: Session, found: CustomRole) -> None:
    facts: list[Fact] = [("may", ", ".join(found.permissions)), ("description", found.description)]
    session.output.record(found, name=found.name, title=found.name, facts=facts)


@role.command(
    "define",
    examples="""
    chopmark role define tester --may evaluate --description "measures what others register"
    """,
)
@click.argument("name", help="Its name.")
@option("--may", "permissions", multiple=True, required=True, metavar="PERMISSION", help="Can be given again.")
@option("--description", default="", metavar="TEXT", help="What it is for.")
@reason_option()
@dry_run_option()
@pass_session
def define_role(session: Session, name: str, permissions: tuple[str, ...], description: str, reason: str) -> None:
    """Define a role, or change what everybody who has it may."""
    _show_role(
        session, session.registry().access.define_role(name, permissions, description=description, reason=reason)
    )


@role.command(
    "remove",
    examples="""
    chopmark role remove tester
    """,
)
@click.argument("name", help="Its name.")
@reason_option()
@dry_run_option()
@pass_session
def remove_role(session: Session, name: str, reason: str) -> None:
    """Remove a role that nobody has."""
    show_done(session, session.registry().access.remove_role(name, reason=reason))


@role.command(
    "get",
    examples="""
    chopmark role get tester
    """,
)
@click.argument("name", help="Its name.")
@pass_session
def get_role(session: Session, name: str) -> None:
    """Show what a role may."""
    _show_role(session, session.registry().access.role(name))


@role.command(
    "list",
    examples="""
    chopmark role list
    """,
)
@pass_session
def list_roles(session: Session) -> None:
    """List all roles and what they may."""
    session.output.page(session.registry().access.roles(), _ROLES, name=lambda r: r.name)
