"""Loaded models as a gateway asks them: arrays in, arrays out, whatever library they are of.

`predictor_of` finds out how a model is asked (`choosing`), what it takes and gives (`layouts`), and whether a compiled scorer may
stand in for it (`compiled`): one that was seen to agree with the model itself, when it was loaded, on rows made of the model's own
thresholds.
"""

from __future__ import annotations

from typing import Any

from chopmark.abc.predicting import Predictor
from chopmark.domain.signature import Signature

__all__ = ["predictor_of"]


def predictor_of(model: Any, signature: Signature | None = None) -> Predictor:
    """A loaded model as a gateway asks it.

    Parameters
    ----------
    model
        What was loaded: a scikit-learn estimator or pipeline, a model or booster of XGBoost, LightGBM or CatBoost, an ONNX
        graph, a torch module, a model of river, anything with ``predict``, or a function of arrays.
    signature
        Of the version. Without one a layout is made of what the model says of itself.

    Raises
    ------
    Unsupported
        When it cannot be asked, or neither it nor a signature says what it takes.
    """
    from chopmark.formats.predicting.choosing import chosen_predictor  # with numpy

    return chosen_predictor(model, signature)
