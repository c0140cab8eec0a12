"""Modules of torch: called without gradients, with tensors of the type of their own parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from chopmark.abc.predicting import Layout
from chopmark.formats.predicting.feeding import Feed

if TYPE_CHECKING:
    from chopmark.abc.predicting import Inputs

__all__ = ["module_ask", "tensors_for"]


def tensors_for(module: Any) -> Callable[[Layout], list[Feed]]:
    """How inputs become tensors."""
    import torch

    floating = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)

    def tensor(array: Any) -> Any:
        found = torch.from_numpy(np.array(array))  # a copy: the module may write to it
        return found.to(floating) if found.is_floating_point() else found

    def in_order(inputs: Inputs) -> Any:
        if isinstance(inputs, np.ndarray):
            return (tensor(inputs),)
        return tuple(tensor(array) for array in inputs.values())

    return lambda _: [in_order]


def module_ask(module: Any) -> Any:
    """The module as a function of tensors, as it is when it is not trained."""
    import torch

    module.eval()

    def ask(tensors: tuple[Any, ...]) -> Any:
        with torch.inference_mode():
            return module(*tensors)

    return ask
