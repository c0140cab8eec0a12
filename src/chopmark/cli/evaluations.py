"""Evaluations of a version: recorded, and listed."""

from __future__ import annotations

from pathlib import Path

from chopmark.cli.command import command
from chopmark.cli.options import dry_run_option, limit_option, option, pairs_option, pass_session, reference_argument
from chopmark.cli.output import Fact
from chopmark.cli.session import Session
from chopmark.cli.tables import Column
from chopmark.cli.words import pairs, stamp
from chopmark.domain.refs import ModelRef
from chopmark.domain.versions import Evaluation

__all__ = ["dataset_of", "evaluate", "evaluations"]


def dataset_of(text: str) -> str | Path:
    """A file or directory when there is one of that name, else the text: a name or a URI."""
    place = Path(text)
    return place if place.exists() else text


def _ref(evaluation: Evaluation) -> str:
    return f"{ModelRef(evaluation.project, evaluation.model)}:{evaluation.number}"


def _dataset(evaluation: Evaluation) -> str:
    dataset = evaluation.dataset
    return " ".join(p for p in (dataset.name, dataset.version, dataset.split) if p)


@command(
    "evaluate",
    examples="""
    chopmark evaluate fraud:4 --dataset march-2026 --metric roc_auc=0.93 --metric recall=0.81
    chopmark evaluate fraud:4 --dataset march.parquet --metric roc_auc=0.93
    """,
)
@reference_argument()
@option(
    "--dataset",
    metavar="NAME|FILE",
    required=True,
    help="What it was evaluated on: a name, or a file or directory, which is hashed.",
)
@pairs_option("--metric", "A metric; can be given again.", float, metavar="NAME=NUMBER", required=True)
@option("--split", default="test", metavar="NAME", help="Part of the data set.  [test]")
@option("--comment", default="", metavar="TEXT", help="What a reader should know.")
@dry_run_option()
@pass_session
def evaluate(session: Session, ref: str, dataset: str, metric: dict[str, float], split: str, comment: str) -> None:
    """Record metrics of a version on a data set; they add to its history."""
    data = dataset_of(dataset)
    done = session.registry().versions.evaluate(ref, metric, dataset=data, split=split, comment=comment)
    facts: list[Fact] = [
        ("data set", _dataset(done)),
        ("digest", done.dataset.digest),
        ("metrics", pairs(done.metrics)),
        ("comment", done.comment),
    ]
    session.output.record(done, name=_ref(done), title=f"{_ref(done)} evaluated", facts=facts)


_COLUMNS = (
    Column("WHEN (UTC)", lambda e: stamp(e.at), whole=True),
    Column("DATA SET", _dataset),
    Column("METRICS", lambda e: pairs(e.metrics)),
    Column("BY", lambda e: e.actor),
    Column("COMMENT", lambda e: e.comment),
)


@command(
    "evaluations",
    examples="""
    chopmark evaluations fraud@champion
    """,
)
@reference_argument()
@limit_option()
@pass_session
def evaluations(session: Session, ref: str, limit: int) -> None:
    """List evaluations of a version, newest first."""
    found = session.registry().versions.evaluations(ref, limit=limit)
    session.output.page(found, _COLUMNS, name=_dataset, empty=f"{ref} was not evaluated yet.")
