"""``chopmark predict``: rows to an endpoint, predictions back."""

from __future__ import annotations

from typing import Any, BinaryIO

import click

from chopmark.cli.command import command
from chopmark.cli.options import option, pass_session
from chopmark.cli.output import note
from chopmark.cli.session import Session
from chopmark.errors import InvalidRequest

__all__ = ["predict"]


@command(
    "predict",
    examples="""
    chopmark predict fraud-api --row '{"amount":12.5,"country":"CH"}'
    chopmark predict fraud-api --row [12.5,3,0] --key user-17
    chopmark predict fraud-api --file payments.csv --output predict_proba
    """,
)
@click.argument("endpoint", help="An endpoint: fraud-api, or risk/fraud-api in the project risk.")
@option(
    "--row",
    "rows",
    multiple=True,
    metavar="JSON",
    help="A row: a mapping by column, or a list in their order; repeat for more.",
)
@option(
    "--file",
    type=click.File("rb"),
    help="Rows from a file: CSV with a header, JSON, or a JSON value a line; - for standard input.",
)
@option("--key", default="", metavar="TEXT", help="For whom: the same key always meets the same variant.")
@option(
    "--output",
    "outputs",
    multiple=True,
    metavar="NAME",
    help="What is wanted other than what the model gives by itself.",
)
@option("--variant", default="", metavar="NAME", help="The one that is to answer; for who may deploy.")
@option("--gateway", default=None, metavar="URL", help="Where to ask; a gateway that serves it unless said.")
@pass_session
def predict(
    session: Session,
    endpoint: str,
    rows: tuple[str, ...],
    file: BinaryIO | None,
    key: str,
    outputs: tuple[str, ...],
    variant: str,
    gateway: str | None,
) -> None:
    """Ask an endpoint about rows: a prediction a line, and who made them on standard error."""
    if bool(rows) == (file is not None):
        raise click.UsageError("Give rows, or a file of them.")
    if gateway is not None:
        session.arguments["gateway_url"] = gateway
    asked = _rows_in(file.read()) if file is not None else [_json(row.encode(), "The row") for row in rows]
    found = session.registry().endpoints.predict(endpoint, asked, key=key, outputs=outputs, variant=variant)
    if session.json:
        session.output.record(found, name="")
        return
    said = found.predictions
    for line in said if isinstance(said, list) else [said]:
        click.echo(line if isinstance(line, str) else _written(line))
    note(f"by {found.model}:{found.version}, {found.variant} of {found.endpoint}, generation {found.generation}")


def _rows_in(data: bytes) -> list[Any] | bytes:
    """Rows of a file, told by how it begins; CSV as it stands, since only the signature says what a text in it means."""
    start = data.lstrip()[:1]
    if start == b"[":
        try:
            return _listed(_json(data, "The file"))
        except InvalidRequest:
            pass  # lists, one a line
    if start in (b"[", b"{"):
        return [_json(line, f"Line {i}") for i, line in enumerate(data.splitlines(), 1) if line.strip()]
    return data


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidRequest("The file holds no list of rows.")
    return value if value and isinstance(value[0], (list, dict)) else [value]


def _json(data: bytes, what: str) -> Any:
    from chopmark.base.jsons import decode

    try:
        return decode(data, object)
    except InvalidRequest as error:
        raise InvalidRequest(
            f"{what} is not JSON. {error.message}", hint="Write it like '[1.5, 2]' or '{\"amount\": 1.5}'."
        ) from error


def _written(value: Any) -> str:
    from chopmark.base.jsons import encode

    return encode(value).decode()
