"""What passes between a protocol and the gateway: a request that was read, who answers it, and the bytes of the answer.

A protocol is a module with three functions::

    read(body: bytes, headers: Mapping[bytes, bytes], layout: Layout, limits: Limits) -> Asked
    write(asked: Asked, outputs: Outputs, identity: Identity) -> Answered
    refused(error: ChopmarkError) -> tuple[int, Answered]

``read`` raises `chopmark.errors.InvalidRequest` for every mistake of a client and nothing else: an `Unreadable` one where no version
could have answered, whatever it takes. The inputs it gives are checked
against the layout, and their elements are these:

=========================  =====================================================================================
field                      array
=========================  =====================================================================================
a column of a matrix       the layout's ``dtype``; NaN where a value is missing
``bool``                   ``bool``; an object array with None where the field is nullable
``int``                    ``dtype`` if numpy has it, else ``int64``; ``float64`` with NaN where the field is nullable
``float``                  ``dtype`` if numpy has it, else ``float64``; NaN where a value is missing
``string``, ``category``   objects: texts, for a category also numbers; None where a value is missing
``bytes``                  objects: bytes; None where a value is missing
``datetime``               ``datetime64[ns]`` in UTC; NaT where a value is missing
``object``                 objects: whatever JSON holds
=========================  =====================================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from chopmark.errors import InvalidRequest

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs

__all__ = ["Answered", "Asked", "Identity", "Limits", "Unreadable"]


class Unreadable(InvalidRequest):
    """A body is not what its protocol says: no version could answer it, and none is to blame."""


class Limits(NamedTuple):
    """What one request may come to, beyond the length of its body.

    Attributes
    ----------
    elements_max
        Elements of all its arrays: a short body may stand for long ones, as rows of a table without any value do.
    """

    elements_max: int = 1 << 24


class Asked(NamedTuple):
    """A request that was read and fits the layout.

    Attributes
    ----------
    inputs
        As `chopmark.abc.predicting.Layout` says.
    rows
        How many; at least one.
    outputs
        Names of what is wanted; the layout's ``outputs`` when empty.
    id
        What the client called the request, to be echoed; empty when it gave none.
    form
        What the protocol's writer needs to answer in kind.
    """

    inputs: Inputs
    rows: int
    outputs: tuple[str, ...] = ()
    id: str = ""
    form: Any = None


class Answered(NamedTuple):
    """An answer as it is sent.

    Attributes
    ----------
    content_type, headers, body
        ``headers`` are those that the protocol asks for, lower-case names, beside ``content-type``; who answered is told in
        headers by the gateway.
    """

    content_type: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Identity(NamedTuple):
    """Who answers.

    Attributes
    ----------
    endpoint
        The name that was called.
    model, version, digest
        The version that answered.
    variant, generation
        As what it answered, and by which generation of the routing.
    request_id
        Carries all of this, authenticated.
    """

    endpoint: str
    model: str
    version: int
    digest: str
    variant: str
    generation: int
    request_id: str
