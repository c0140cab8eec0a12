"""Arrays as bytes that depend on nothing but their values."""

from __future__ import annotations

import io
from typing import Any

__all__ = ["npy_bytes", "without_padding"]


def npy_bytes(array: Any) -> memoryview:
    """The array as an ``.npy`` file: C order, zeroed padding, no pickled objects.

    Raises
    ------
    ValueError
        When it holds Python objects.
    """
    import numpy as np

    out = io.BytesIO()
    plain = without_padding(np.asarray(array, order="C"))
    np.lib.format.write_array(out, plain, allow_pickle=False)
    return out.getbuffer()


def without_padding(array: Any) -> Any:
    """An array of records with zeros between aligned fields; any other array as it is.

    What stands there is left over from earlier uses of the memory: it differs from run to run, and
    might be anybody's.
    """
    import numpy as np

    if array.dtype.names is None:
        return array
    clean = np.zeros(array.shape, array.dtype)
    for name in array.dtype.names:
        clean[name] = without_padding(array[name])
    return clean
