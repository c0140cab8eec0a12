"""A loaded model as a gateway asks it: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import msgspec

from chopmark.domain.signature import Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Inputs: TypeAlias = NDArray[Any] | dict[str, NDArray[Any]]
    Outputs: TypeAlias = dict[str, NDArray[Any]]

__all__ = ["Layout", "Predictor"]


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What a predictor takes and gives.

    Attributes
    ----------
    kind
        Form of the inputs. ``matrix``: one array of shape (rows, columns) and one element type, whose columns are ``inputs``;
        ``table``: an array of shape (rows,) for each of ``inputs``, by name; ``tensors``: an array for each of ``inputs``, by
        name, whose first dimension is the rows.
    inputs
        Columns of a matrix or table, in order; or tensors.
    dtype
        Of a matrix, as numpy names it: ``float64``.
    outputs
        What it gives unless something else is asked for.
    more
        What it gives when asked for by name: probabilities, scores.
    """

    kind: Literal["matrix", "table", "tensors"]
    inputs: tuple[Field, ...]
    dtype: str = ""
    outputs: tuple[Field, ...] = ()
    more: tuple[Field, ...] = ()


class Predictor(Protocol):
    """A loaded model.

    Attributes
    ----------
    layout
        What it takes and gives.
    words
        How it predicts, for people: ``predict``, ``compiled isolation forest``.
    """

    layout: Layout
    words: str

    def sample(self, rows: int) -> Inputs:
        """Inputs that fit the layout, the same each time: to warm up, to measure, and to try the model with."""
        ...

    def predict(self, inputs: Inputs, outputs: Sequence[str] = ()) -> Outputs:
        """Answers for all rows.

        Parameters
        ----------
        inputs
            As the layout says; checked before.
        outputs
            Names of what is wanted; the layout's ``outputs`` when empty.

        Returns
        -------
        dict
            By name, in the order asked for; first dimension: rows.

        Raises
        ------
        Exception
            Whatever the model raises.
        """
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...
