"""``chopmark config``: settings and where they come from."""

from __future__ import annotations

from typing import Any

import msgspec

from chopmark.base.settings import PROJECT_FILE
from chopmark.cli.command import Group
from chopmark.cli.options import option, pass_session
from chopmark.cli.session import Session
from chopmark.cli.tables import Column

__all__ = ["Setting", "config", "masked"]

config = Group(
    "config",
    help="Settings and where they come from.",
    examples="""
    chopmark config show --origin
    """,
)


class Setting(msgspec.Struct, frozen=True):
    """A setting as it counts in this run."""

    name: str
    value: Any
    origin: str


def masked(value: Any) -> Any:
    """The value with the password of a URL replaced by stars."""
    if not isinstance(value, str) or "://" not in value:
        return value
    scheme, _, rest = value.partition("://")
    before, at, place = rest.rpartition("@")
    user, colon, _ = before.partition(":")
    return f"{scheme}://{user}{':***' if colon else ''}{at}{place}"


def _shown(name: str, value: Any) -> Any:
    return "***" if name in _SECRETS and value else masked(value)


_SECRETS = ("token", "webhook_key")
_VALUES = (Column("SETTING", lambda s: s.name), Column("VALUE", lambda s: str(s.value)))
_ORIGINS = (*_VALUES, Column("FROM", lambda s: s.origin))


@config.command(
    "show",
    examples=f"""
    chopmark config show --origin
    CHOPMARK_TRUST=marked_only chopmark config show --json
    echo 'project = "risk"' > {PROJECT_FILE}
    """,
)
@option("--origin", is_flag=True, help="Say where each value comes from.")
@pass_session
def show(session: Session, origin: bool) -> None:
    """Show every setting as it counts here.

    The first that says something wins: options of the command, the environment (CHOPMARK_ and
    the name in capitals), chopmark.toml here or in a directory above, the user's
    chopmark/config.toml, the default. Passwords are not shown.
    """
    resolved = session.resolved()
    values = msgspec.structs.asdict(resolved.settings)
    items = [Setting(name, _shown(name, value), resolved.origins[name]) for name, value in values.items()]
    session.output.page(items, _ORIGINS if origin else _VALUES, name=lambda s: s.name)
