"""What an endpoint answers to rows: the predictions, and who made them."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Prediction"]

_SHOWN = 5


class Prediction(msgspec.Struct, frozen=True, omit_defaults=True):
    """Predictions of one request.

    Attributes
    ----------
    predictions
        A value for each row, in their order; of several outputs a mapping of such lists by name.
    endpoint
        What was asked.
    model, version, digest
        What answered.
    variant, generation
        As what it answered, and by which generation of the routing.
    request_id
        Says all of this, authenticated; feedback is sent with it.
    id
        What the caller called the request.
    """

    predictions: Any
    endpoint: str
    model: str
    version: int
    digest: str
    variant: str
    generation: int
    request_id: str
    id: str = ""

    def __repr__(self) -> str:
        said = self.predictions
        if isinstance(said, list) and len(said) > _SHOWN:
            text = ", ".join(map(repr, said[:_SHOWN]))
            said = f"[{text}, … {len(said):,} in all]"
        return f"<{said} by {self.model}:{self.version}, {self.variant} of {self.endpoint}>"
