"""How a model is asked, found out by what it is and has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chopmark.abc.predicting import Layout, Predictor
from chopmark.domain.signature import Signature
from chopmark.errors import Unsupported
from chopmark.formats.libraries import derives_from
from chopmark.formats.predicting.compiled import compiled
from chopmark.formats.predicting.estimators import MORE, AskedModel, asked_model
from chopmark.formats.predicting.feeding import Feed, feeds
from chopmark.formats.predicting.introspection import Introspection, introspected

__all__ = ["chosen_predictor"]


def chosen_predictor(model: Any, signature: Signature | None) -> Predictor:
    """A loaded model as a gateway asks it; see `chopmark.formats.predicting.predictor_of`."""
    session = _session(model)
    if session is not None:
        from chopmark.formats.predicting.onnx_graphs import OnnxGraph

        return OnnxGraph(session, signature)
    if derives_from(model, "torch", "Module"):
        return _of_module(model, signature)
    seen = introspected(model)
    if derives_from(model, "xgboost", "Booster"):
        from chopmark.formats.predicting.boosters import xgboost_ask

        return asked_model(xgboost_ask(model, seen.width), {}, signature, seen, _arrays_first)
    if derives_from(model, "lightgbm", "Booster"):
        return asked_model(model.predict, {}, signature, seen, _arrays_first)
    if callable(getattr(model, "predict", None)):
        plain = asked_model(model.predict, _further(model), signature, seen)
        return compiled(model, plain) or plain
    if not isinstance(model, type):
        from chopmark.formats.predicting.online import OnlineModel, is_online

        if is_online(model):
            return OnlineModel(model, signature)
        if callable(model):
            return _of_function(model, signature)
    kind = getattr(model, "__qualname__", type(model).__qualname__)
    msg = f"A {kind} is no model that can be asked: it has no predict, and is no function."
    raise Unsupported(msg, hint="Register what predicts: an estimator, an ONNX graph, or a function.")


def _arrays_first(layout: Layout) -> list[Feed]:
    """Boosters without an estimator ask nobody for names."""
    return feeds(layout, by_name=False)


def _session(model: Any) -> Any:
    if derives_from(model, "onnxruntime", "InferenceSession"):
        return model
    session = getattr(model, "session", None)
    return session if session is not None and derives_from(session, "onnxruntime", "InferenceSession") else None


def _of_module(module: Any, signature: Signature | None) -> AskedModel:
    from chopmark.formats.predicting.torch_modules import module_ask, tensors_for

    nothing = Introspection(None, [], {})
    found = asked_model(module_ask(module), {}, signature, nothing, tensors_for(module))
    found.words = "torch"
    return found


def _of_function(function: Callable[[Any], Any], signature: Signature | None) -> AskedModel:
    found = asked_model(function, {}, signature, Introspection(None, [], {}))
    found.words = "function"
    return found


def _further(model: Any) -> dict[str, Callable[[Any], Any]]:
    methods = {name: getattr(model, name, None) for name in MORE}
    return {name: method for name, method in methods.items() if callable(method)}
