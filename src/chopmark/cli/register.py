"""``chopmark register``: from files, a configuration, members or an address to a version."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from chopmark.base.jsons import decode
from chopmark.cli.command import command
from chopmark.cli.completion_items import complete_reference
from chopmark.cli.describing import read_text
from chopmark.cli.evaluations import dataset_of
from chopmark.cli.options import dry_run_option, json_value, model_argument, option, pairs_option, pass_session
from chopmark.cli.output import note
from chopmark.cli.session import Session
from chopmark.cli.version_view import RUNS_CODE, brief_facts, version_line
from chopmark.domain.datasets import profile_name
from chopmark.domain.lineage import PARENT_RELATIONS
from chopmark.domain.signature import Signature
from chopmark.domain.versions import Version
from chopmark.ops.results import RegistrationPlan
from chopmark.sdk.draft import Draft

__all__ = ["register"]

_WHAT = "What is registered (one of them)"
_ABOUT = "What is said of it"
_BESIDE = "What comes with it"
_NUMBER = "Its version"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _parents(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[tuple[str, str]]:
    """``REF`` or ``relation=REF`` of each, as (reference, relation)."""
    found = []
    for text in values:
        relation, sign, ref = text.partition("=")
        if sign and relation not in PARENT_RELATIONS:
            msg = f"{relation!r} is no relation to a parent; there are {', '.join(PARENT_RELATIONS)}."
            raise click.BadParameter(msg, ctx, param)
        found.append((ref, relation) if sign else (text, ""))
    return found


def _members(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """``REF`` or ``REF=weight`` of each."""
    found: dict[str, float] = {}
    for text in values:
        ref, sign, weight = text.partition("=")
        try:
            number = float(weight) if sign else 1.0
        except ValueError as error:
            msg = f"The weight of {ref} is {weight!r}, which is not a number."
            raise click.BadParameter(msg, ctx, param) from error
        if ref in found:
            msg = f"{ref!r} is given twice."
            raise click.BadParameter(msg, ctx, param)
        found[ref] = number
    return found


def _config(file: Path) -> dict[str, Any]:
    text = read_text(file)
    if file.suffix.lower() != ".toml":
        return decode(text, dict[str, Any])
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"{file} is not TOML: {error}."
        raise click.UsageError(msg) from error


@command(
    "register",
    examples="""
    chopmark register fraud model.skops --metric roc_auc=0.94 --tag team=risk
    chopmark register fraud model.joblib --artifact preprocessor/scaler.joblib=scaler.joblib
    chopmark register fraud ./model-dir --parent fraud@champion --bump minor
    chopmark register support --config prompt.toml
    chopmark register fraud-both --member fraud:3=0.7 --member fraud:4=0.3
    chopmark register vendor --uri s3://vendor/model.bin --digest sha256:…
    """,
)
@model_argument("name", text="Name of the model, made when it is new: fraud, or risk/fraud.")
@click.argument(
    "path",
    metavar="[PATH]",
    required=False,
    type=click.Path(path_type=Path),
    help="The file or directory of the model.",
)
@option(
    "--config",
    metavar="FILE",
    type=_FILE,
    section=_WHAT,
    help="Configuration of a language model, as JSON or TOML.",
)
@option(
    "--member",
    "members",
    metavar="REF[=WEIGHT]",
    multiple=True,
    callback=_members,
    shell_complete=complete_reference,
    section=_WHAT,
    help="A member of an ensemble; can be given again.",
)
@option("--uri", default="", metavar="URI", section=_WHAT, help="Address of a model kept elsewhere; with --digest.")
@option("--digest", default="", metavar="SHA256", section=_WHAT, help="Digest of what is at --uri.")
@option(
    "--combine",
    type=click.Choice(["auto", "mean", "median", "max", "vote"]),
    default="auto",
    section=_WHAT,
    help="How an ensemble puts answers together; auto: labels by vote, numbers by mean.  [auto]",
)
@option("--format", "format_name", default="auto", metavar="NAME", section=_WHAT, help="Format of PATH.  [auto]")
@pairs_option(
    "--metric", "A metric on held-out data; can be given again.", float, metavar="NAME=NUMBER", section=_ABOUT
)
@pairs_option(
    "--param", "A parameter of the training; can be given again.", json_value, metavar="NAME=JSON", section=_ABOUT
)
@pairs_option("--tag", "A tag; can be given again.", section=_ABOUT)
@option("--description", default="", metavar="TEXT", section=_ABOUT, help="What people read first.")
@option("--card", metavar="FILE", type=_FILE, section=_ABOUT, help="Text (Markdown) of the model card.")
@option("--task", default="", metavar="TEXT", section=_ABOUT, help="What it is for: classification, ranking …")
@option("--owner", default="", metavar="NAME", section=_ABOUT, help="Who answers for it.")
@option("--team", default="", metavar="NAME", section=_ABOUT, help="Whose it is.")
@option("--risk-tier", default="", metavar="TEXT", section=_ABOUT, help="How much depends on it.")
@option(
    "--compliance", multiple=True, metavar="TEXT", section=_ABOUT, help="A rule it falls under; can be given again."
)
@option("--business-value", default="", metavar="TEXT", section=_ABOUT, help="What it is worth.")
@option("--cost-per-request", type=float, metavar="NUMBER", section=_ABOUT, help="In the currency the team uses.")
@option("--run-id", default="", metavar="ID", section=_ABOUT, help="The run that made it.")
@option("--experiment-id", default="", metavar="ID", section=_ABOUT, help="The experiment that run belongs to.")
@pairs_option("--metadata", "Anything else; can be given again.", json_value, metavar="KEY=JSON", section=_ABOUT)
@pairs_option(
    "--artifact",
    "A further file, by its role (weights, preprocessor, code, config, evaluation, explainer, card, profile, other) "
    "and path; can be given again.",
    metavar="ROLE[/PATH]=FILE",
    section=_BESIDE,
)
@option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="NAME|FILE|URI",
    section=_BESIDE,
    help="What it was trained on: a file or directory, which is hashed, a URI or a name; can be given again.",
)
@option(
    "--profile/--no-profile",
    "profile",
    default=None,
    section=_BESIDE,
    help="Keep a reference profile of the data set, for 'chopmark drift', or none.  [of a Parquet or CSV file]",
)
@option(
    "--profile-without",
    multiple=True,
    metavar="COLUMN",
    section=_BESIDE,
    help="A column of the data set of which no value is kept; can be given again.",
)
@option("--scores", metavar="COLUMN", section=_BESIDE, help="Column of the data set with the model's answers.")
@option("--labels", metavar="COLUMN", section=_BESIDE, help="Column of the data set with what was true.")
@option(
    "--score-threshold",
    type=float,
    default=0.5,
    metavar="NUMBER",
    section=_BESIDE,
    help="The score from which an answer is taken for positive, where live accuracy is estimated.  [0.5]",
)
@option("--signature", metavar="FILE", type=_FILE, section=_BESIDE, help="Its inputs and outputs, as JSON.")
@option(
    "--parent",
    "parents",
    multiple=True,
    metavar="[RELATION=]REF",
    callback=_parents,
    shell_complete=complete_reference,
    section=_BESIDE,
    help="A version it comes from: derived_from, retrained_from or fine_tuned_from.",
)
@option(
    "--bump",
    type=click.Choice(["auto", "major", "minor", "patch"]),
    default="auto",
    section=_NUMBER,
    help="Part of the last SemVer to raise; auto proposes from what changed.  [auto]",
)
@option("--semver", default="", metavar="X.Y.Z", section=_NUMBER, help="Exactly this SemVer instead.")
@option("--allow-breaking", is_flag=True, section=_NUMBER, help="Accept a minor or patch version that breaks callers.")
@option("--allow-twin", is_flag=True, section=_NUMBER, help="Make a new version although the same content is there.")
@dry_run_option()
@pass_session
def register(session: Session, /, name: str, **given: Any) -> None:
    """Add a version of a model: bytes first, then rows, all or nothing.

    PATH is a file or directory of a known format, or any other file; in place of it --config,
    --member or --uri make a version without files. The same content registered again gives back
    the version that is there.
    """
    what = _one_of(given)
    registry = session.registry(create=True)
    facts = {
        field: given[field]
        for field in (
            "semver",
            "bump",
            "description",
            "task",
            "owner",
            "team",
            "risk_tier",
            "compliance",
            "business_value",
            "cost_per_request",
            "run_id",
            "experiment_id",
            "metadata",
            "allow_twin",
            "allow_breaking",
        )
    }
    if given["card"] is not None:
        facts["card"] = read_text(given["card"])
    with _discarded(registry.draft(name, **facts)) as draft:
        _fill(draft, what, given)
        if session.dry_run:
            _show_plan(session, draft.plan())
            return
        version = draft.register()
        _show(session, version, created=draft.created)


def _one_of(given: dict[str, Any]) -> str:
    named = {"PATH": given["path"], "--config": given["config"], "--member": given["members"], "--uri": given["uri"]}
    what = [name for name, value in named.items() if value]
    if len(what) != 1:
        got = " and ".join(what) or "none"
        msg = f"Give exactly one of {', '.join(named)}; there is {got}."
        raise click.UsageError(msg, click.get_current_context())
    if given["digest"] and what != ["--uri"]:
        msg = "--digest belongs to --uri."
        raise click.UsageError(msg, click.get_current_context())
    return what[0]


@contextmanager
def _discarded(draft: Draft) -> Iterator[Draft]:
    """The draft, its temporary files thrown away at the end whatever happens."""
    try:
        yield draft
    finally:
        draft.discard()


def _fill(draft: Draft, what: str, given: dict[str, Any]) -> None:
    draft.metrics.update(given["metric"])
    draft.params.update(given["param"])
    draft.tags.update(given["tag"])
    match what:
        case "PATH":
            draft.add_path(given["path"], format=given["format_name"])
        case "--config":
            draft.set_config("llm_config", _config(given["config"]))
        case "--member":
            draft.set_members(given["members"], combine=given["combine"])
        case _:
            draft.set_config("external", {"uri": given["uri"], "digest": given["digest"]})
    for key, file in given["artifact"].items():
        draft.add_artifact(key, Path(file))
    _add_datasets(draft, given)
    if given["signature"] is not None:
        draft.set_signature(decode(read_text(given["signature"]), Signature))
    for ref, relation in given["parents"]:
        draft.add_parent(ref, relation)


def _add_datasets(draft: Draft, given: dict[str, Any]) -> None:
    wishes = {name: given[name] for name in ("profile", "profile_without", "scores", "labels", "score_threshold")}
    if len(given["datasets"]) != 1 and (wishes["scores"] or wishes["labels"]):
        msg = "--scores and --labels name columns of one --dataset."
        raise click.UsageError(msg, click.get_current_context())
    if not given["datasets"] and (wishes["profile"] or wishes["profile_without"]):
        msg = "--profile and --profile-without are about a --dataset, which is not given."
        raise click.UsageError(msg, click.get_current_context())
    for dataset in given["datasets"]:
        draft.add_dataset(dataset_of(dataset), **wishes)
    for path, profile in draft.profiles.items():
        asked = {*given["profile_without"], given["scores"], given["labels"]}
        what = ", ".join(f"{name} ({why})" for name, why in profile.left_out.items() if name not in asked)
        if what:
            note(f"The profile of {profile_name(path)} leaves out {what}.")


def _show_plan(session: Session, plan: RegistrationPlan) -> None:
    """Print what the registration would do; whether the same content is there shows only once it is hashed."""
    facts = [
        ("semver", f"{plan.semver}: {'; '.join(plan.reasons)}" if plan.reasons else ""),
        ("model", "new" if plan.new_model else ""),
    ]
    session.output.record(plan, name=plan.ref, title=f"{plan.ref} · {plan.semver}", facts=facts)
    if not plan.new_model:
        note("Content that is there already would be given back as the version it is.")


def _show(session: Session, version: Version, *, created: bool) -> None:
    if not created:
        note(f"The same content was registered before as {version.ref}; nothing was added.")
    elif version.bump_reasons:
        note(f"{version.semver} because {'; '.join(version.bump_reasons)}.")
    if version.runs_code:
        note(f"{version.ref} {RUNS_CODE}: loading it elsewhere needs a trust decision.")
    session.output.record(version, name=version.ref, title=version_line(version), facts=brief_facts(version))
