"""``registry.versions``: versions found, described, judged, deleted, brought back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from msgspec import UNSET

from chopmark.base.jsons import plain_values
from chopmark.domain.datasets import DatasetRef
from chopmark.domain.names import check_metrics
from chopmark.domain.signature import check_input
from chopmark.domain.versions import Evaluation, Version
from chopmark.formats.data import describe_dataset
from chopmark.formats.signatures import fields_of
from chopmark.ops import requests as q
from chopmark.ops.comparing import CompareVersions
from chopmark.ops.results import Done, EvaluationList, Uses, VersionPage
from chopmark.ops.story import TellStory
from chopmark.sdk.comparing import Comparison, as_comparison, compare_on_data
from chopmark.sdk.loading import load_version
from chopmark.sdk.reporting import format_of, rendered, write_text
from chopmark.sdk.results import Page
from chopmark.sdk.surface import ModelReference, Reference, Surface, checked_mapping

__all__ = ["Versions"]


class Versions(Surface):
    """Verbs about versions."""

    def get(self, ref: Reference, *, deleted: bool = False) -> Version:
        """The version a reference means.

        Parameters
        ----------
        ref
            Any form: ``fraud``, ``fraud:7``, ``fraud:1.4.2``, ``fraud:^1.4``, ``fraud@champion``,
            ``fraud#production``, ``fraud@sha256:…``, ``models:/fraud/7``.
        deleted
            Whether a soft-deleted version may be found by number, SemVer or digest.

        Raises
        ------
        NotFound, InvalidRequest
            When it means nothing, or is no reference.
        """
        return self._version(ref, deleted=deleted)

    def list(
        self,
        model: ModelReference | None = None,
        *,
        deleted: bool = False,
        limit: int = 50,
        cursor: str = "",
    ) -> Page[Version]:
        """Versions of a model (or of all), newest first, a page at a time."""
        return self.search("", model=model, deleted=deleted, limit=limit, cursor=cursor)

    def search(
        self,
        where: str = "",
        *,
        text: str = "",
        model: ModelReference | None = None,
        project: str | None = None,
        deleted: bool = False,
        limit: int = 50,
        cursor: str = "",
    ) -> Page[Version]:
        """Versions that meet a filter, a page at a time.

        Parameters
        ----------
        where
            For example ``'metrics.roc_auc >= 0.9 and tags.team = "risk" order by created_at
            desc'``; the language is described in `chopmark.domain.query`.
        text
            Words, each of which must be in the version's name, description, tags or card, in any case
            and order; ``frau*`` is every word that begins so.
        model, project
            Only there.
        deleted
            Only the soft-deleted ones.
        limit
            Entries of a page, at most 1,000.
        cursor
            Of the page before.

        Raises
        ------
        InvalidRequest
            When the filter or cursor is not valid; the error points at the character.

        Notes
        -----
        ``.unknown`` of the page names keys of metrics, params and tags that no version has: those of
        the order, and of an empty answer all.

        A page of a search for words looks at some thousand versions. Where few of them meet all of it, a page can hold
        fewer than ``limit`` or none and still have a ``.cursor``: only an empty cursor says that there are no more.
        `each` goes on by itself.
        """
        request = q.SearchVersions(
            where=where,
            text=text,
            model=self._model(model) if model is not None else None,
            project=project,
            deleted=deleted,
            limit=limit,
            cursor=cursor,
        )
        page: VersionPage = self._call(request)
        return Page(page.items, page.cursor, page.unknown)

    def each(
        self,
        where: str = "",
        *,
        text: str = "",
        model: ModelReference | None = None,
        project: str | None = None,
    ) -> Iterator[Version]:
        """All versions that meet a filter and have the words of ``text``, fetched page by page."""
        cursor = ""
        while True:
            page = self.search(where, text=text, model=model, project=project, limit=500, cursor=cursor)
            yield from page
            cursor = page.cursor
            if not cursor:
                return

    @overload
    def best(
        self,
        model: ModelReference,
        by: str,
        *,
        where: str = ...,
        direction: Literal["maximize", "minimize"] | None = ...,
        limit: None = ...,
    ) -> Version: ...
    @overload
    def best(
        self,
        model: ModelReference,
        by: str,
        *,
        where: str = ...,
        direction: Literal["maximize", "minimize"] | None = ...,
        limit: int,
    ) -> Page[Version]: ...
    def best(
        self,
        model: ModelReference,
        by: str,
        *,
        where: str = "",
        direction: Literal["maximize", "minimize"] | None = None,
        limit: int | None = None,
    ) -> Version | Page[Version]:
        """The version of a model with the best value of a metric, or the best few.

        Parameters
        ----------
        model
            The model.
        by
            Name of a metric.
        where
            What it must meet as well: ``'metrics.recall >= 0.8 and tags.feature_set = "v2"'``.
        direction
            Whether high or low is good. By default the metric's name tells: losses, errors, latencies, costs are
            good when low. What no name tells is maximized.
        limit
            Give a list of so many, best first, instead of the one version.

        Raises
        ------
        NotFound
            When no version has that metric and meets the filter.
        """
        request = q.BestVersion(
            model=self._model(model), by=by, where=where, direction=direction, limit=1 if limit is None else limit
        )
        found: VersionPage = self._call(request)
        return found.items[0] if limit is None else Page(found.items)

    def update(
        self,
        ref: Reference,
        *,
        description: str | None = None,
        card: str | None = None,
        tags: Mapping[str, str] | None = None,
        remove_tags: Sequence[str] = (),
        annotations: Mapping[str, Any] | None = None,
        reason: str = "",
    ) -> Version:
        """Change what is said about a version; each change is audited.

        Tags and annotations are merged into those that are there; an annotation set to None is
        removed.
        """
        request = q.UpdateVersion(
            ref=self._ref(ref),
            description=UNSET if description is None else description,
            card=UNSET if card is None else card,
            tags=dict(checked_mapping(tags, "tags")),
            remove_tags=tuple(remove_tags),
            annotations=plain_values(checked_mapping(annotations, "annotations"), "annotations"),
            reason=reason,
        )
        changed: Version = self._call(request)
        return changed

    def evaluate(
        self,
        ref: Reference,
        metrics: Mapping[str, float],
        *,
        dataset: object,
        split: str = "test",
        comment: str = "",
    ) -> Evaluation:
        """Record metrics of a version on a data set; they add to a history.

        Parameters
        ----------
        ref
            The version.
        metrics
            Name → finite number.
        dataset
            A name, a data frame, array or path (hashed by content), or a `DatasetRef`.
        split
            Which part of the data set.
        comment
            What a reader should know.
        """
        described = (
            DatasetRef(name=dataset, split=split, relation="evaluated_on")
            if isinstance(dataset, str)
            else describe_dataset(dataset, split=split, relation="evaluated_on")
        )
        request = q.EvaluateVersion(
            ref=self._ref(ref), dataset=described, metrics=check_metrics(metrics), comment=comment
        )
        recorded: Evaluation = self._call(request)
        return recorded

    def evaluations(self, ref: Reference, *, limit: int = 50) -> Page[Evaluation]:
        """Evaluations of a version, newest first."""
        listed: EvaluationList = self._call(q.ListEvaluations(ref=self._ref(ref), limit=limit))
        return Page(listed.items)

    def uses(self, ref: Reference) -> Sequence[str]:
        """Who uses a version, in words: what stands in the way of deleting it."""
        found: Uses = self._call(q.ListUses(ref=self._ref(ref)))
        return found.items

    def predict(self, ref: Reference, inputs: Any) -> Any:
        """Load a version, check the inputs against its signature, and predict.

        Raises
        ------
        InvalidRequest
            When the inputs do not fit the signature; all faults in one error.
        """
        version = self._version(ref)
        if version.signature is not None:
            check_input(version.signature, fields_of(inputs), version.ref)
        return load_version(self._transport, self._settings, version).predict(inputs)

    def compare(
        self,
        refs: Sequence[Reference],
        *,
        data: Any = None,
        target: str = "",
        baseline: Reference | None = None,
        directions: Mapping[str, Literal["maximize", "minimize"]] | None = None,
    ) -> Comparison:
        """Put versions side by side, and run them on data where some is given.

        Parameters
        ----------
        refs
            2 to 20 versions, of one model or several.
        data
            ``X`` or ``(X, y)``: a data frame, Arrow table, list of dicts or array, and labels; or the
            path of a CSV or Parquet file. Every version is loaded (trust is asked for), predicts and
            is timed; one that fails is told, and the others go on.
        target
            Column of ``data`` that holds the labels.
        baseline
            Version that changes are counted from; the first when none is given.
        directions
            Metric → whether more or less is better, where its name does not tell.

        Raises
        ------
        InvalidRequest
            When there are fewer than two different versions, or the data cannot be read.
        NotFound
            When a reference means nothing.
        """
        listed = [refs] if isinstance(refs, (str, Version)) else list(refs)
        request = CompareVersions(
            refs=tuple(self._ref(ref) for ref in listed),
            baseline="" if baseline is None else self._ref(baseline),
            directions=dict(checked_mapping(directions, "directions")),
        )
        comparison = as_comparison(self._call(request))
        if data is None:
            return comparison
        return compare_on_data(self._transport, self._settings, comparison, data, target=target)

    def report(
        self,
        ref: Reference,
        format: str = "",  # noqa: A002 - the field's word
        path: str | Path | None = None,
    ) -> str:
        """Write a version's whole story: identity, metrics, lineage, stages, files, audit.

        Parameters
        ----------
        ref
            The version; a soft-deleted one has a story too, by number, SemVer or digest.
        format
            ``html`` (one file with its pictures), ``markdown``, ``json``, or ``card``: a model card with
            the front matter of Hugging Face. By default what the suffix of ``path`` says, else ``html``.
        path
            File to write as well; replaced when it is there.

        Returns
        -------
        str
            The report.

        Raises
        ------
        InvalidRequest
            When there is no such format, or the file cannot be written.
        """
        chosen = format_of(format, path)
        self._transport.flush()  # the loads of this registry are in its story
        text = rendered(self._call(TellStory(ref=self._ref(ref))), chosen)
        if path is not None:
            write_text(path, text)
        return text

    def delete(self, ref: Reference, *, reason: str = "", force: bool = False) -> Version:
        """Soft-delete a version: it is found no more, and can be restored.

        Raises
        ------
        Conflict
            When it is in production, aliased or needed by another, unless ``force`` with a
            reason; says by whom it is used.
        """
        request = q.DeleteVersion(ref=self._ref(ref), reason=reason, force=force)
        deleted: Version = self._call(request)
        return deleted

    def restore(self, ref: Reference, *, reason: str = "") -> Version:
        """Bring a soft-deleted version back."""
        restored: Version = self._call(q.RestoreVersion(ref=self._ref(ref), reason=reason))
        return restored

    def purge(self, ref: Reference, *, reason: str, force: bool = False) -> Done:
        """Remove a soft-deleted version for good; the audit keeps what it was."""
        request = q.PurgeVersion(ref=self._ref(ref), reason=reason, force=force)
        done: Done = self._call(request)
        return done
