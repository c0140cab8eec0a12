"""Whether versions are compared on rows that they were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chopmark.domain.versions import Version
from chopmark.errors import ChopmarkError
from chopmark.formats.data import describe_dataset
from chopmark.formats.libraries import derives_from
from chopmark.sdk.data_tables import Rows

__all__ = ["trained_on"]


def trained_on(versions: Sequence[Version], data: Any, rows: Rows, target: str = "") -> tuple[str, ...]:
    """A caution for each version that was trained on the rows, as far as the digests of data sets tell.

    Parameters
    ----------
    versions
        With the data sets that were recorded at registration.
    data, target
        As they were given.
    rows
        The same as they were read. Rows are known with their labels, without them, and as the
        table or file that holds both.
    """
    recorded = {
        version.ref: {d.digest for d in version.datasets if d.relation == "trained_on" and d.digest}
        for version in versions
    }
    if not any(recorded.values()):
        return ()
    digests = {_digest(form) for form in _forms(data, rows, target)} - {""}
    return tuple(
        f"{ref} was trained on these rows: how it answers them says little about rows that it has not seen."
        for ref, known in recorded.items()
        if known & digests
    )


def _forms(data: Any, rows: Rows, target: str) -> list[Any]:
    """Every form in which people record rows and labels."""
    forms = [data, rows.inputs]
    if isinstance(data, tuple):
        forms.append(data[0])
    if rows.truth is not None:
        forms.append((rows.inputs, rows.truth))
        if target and derives_from(rows.inputs, "pandas", "DataFrame"):
            labelled = rows.inputs.assign(**{target: rows.truth})
            forms += [labelled, (rows.inputs, labelled[target])]
    return forms


def _digest(form: Any) -> str:
    try:
        return describe_dataset(form).digest
    except ChopmarkError:  # what cannot be described was not recorded either
        return ""
