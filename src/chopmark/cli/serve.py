"""``chopmark serve``: the registry over HTTP; ``chopmark gateway``: its endpoints, apart from it."""

from __future__ import annotations

import click

from chopmark.cli.command import command
from chopmark.cli.options import option, pass_session
from chopmark.cli.session import Session

__all__ = ["gateway", "serve"]


@command(
    "serve",
    examples="""
    chopmark serve
    chopmark serve --port 9000 --log json
    CHOPMARK_DATABASE_URL=postgresql://db/chopmark CHOPMARK_STORE_URL=s3://models chopmark serve
    """,
)
@option("--host", help="Address to listen on: 127.0.0.1 unless set.")
@option("--port", type=click.IntRange(0, 65_535), help="Port to listen on: 8400 unless set; 0 takes a free one.")
@option("--log", type=click.Choice(["text", "json"]), help="A line a request on standard error, or JSON.")
@option("--workers", type=click.IntRange(0, 100), help="Jobs done at a time beside it: 2 unless set, 0 for none.")
@pass_session
def serve(session: Session, host: str | None, port: int | None, log: str | None, workers: int | None) -> None:
    """Serve this registry over HTTP until it is told to stop.

    Whoever opens the printed address with `chopmark.open`, `CHOPMARK_URL` or curl has the same registry. The API's
    description is at /openapi.json, its health at /healthz and /readyz, its figures at /metrics. Scheduled jobs are done
    beside it. Ctrl-C or SIGTERM ends it once what it works on is done.
    """
    from chopmark.server.serving import serve as run
    from chopmark.workers.process import work_beside

    session.arguments |= {"serve_host": host, "serve_port": port, "serve_log": log, "worker_jobs": workers or None}
    run(session.resolved(), tell=click.echo, beside=None if workers == 0 else work_beside)


@command(
    "gateway",
    examples="""
    chopmark gateway --control https://registry.example
    chopmark gateway --port 9001 --endpoint fraud-api --log json
    """,
)
@option(
    "--control",
    help="The registry whose endpoints it answers: a server, or a directory; that of the settings unless set.",
)
@option(
    "--endpoint",
    "endpoints",
    multiple=True,
    metavar="ENDPOINT",
    help="Serves this one; can be given again. All that are local unless given.",
)
@option("--host", help="Address to listen on: 127.0.0.1 unless set.")
@option("--port", type=click.IntRange(0, 65_535), help="Port to listen on: 8400 unless set; 0 takes a free one.")
@option("--log", type=click.Choice(["text", "json"]), help="Lines on standard error as text, or JSON.")
@pass_session
def gateway(
    session: Session,
    control: str | None,
    endpoints: tuple[str, ...],
    host: str | None,
    port: int | None,
    log: str | None,
) -> None:
    """Answer inference requests to the endpoints of a registry, until it is told to stop.

    `chopmark serve` has a gateway of its own; this one runs apart, on as many machines as are needed. It asks the registry for
    changes several times a second, and goes on with what it has while the registry is away. Its token needs the permission
    route.
    """
    from chopmark.server.serving import serve_gateway

    session.arguments |= {"serve_host": host, "serve_port": port, "serve_log": log}
    if control is not None:
        session.arguments["url"] = control
    if endpoints:
        session.arguments["gateway_endpoints"] = ", ".join(endpoints)
    serve_gateway(session.resolved(), tell=click.echo)
