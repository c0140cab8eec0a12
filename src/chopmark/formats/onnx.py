"""ONNX: a model as a graph that onnxruntime runs, with or without weights in files of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chopmark.abc.formats import ArtifactFiles, SavedFile, SavedModel
from chopmark.domain.manifest import Environment
from chopmark.errors import IntegrityFailure, InvalidRequest, Unsupported
from chopmark.formats.environment import capture_environment
from chopmark.formats.faults import building, reading, storing
from chopmark.formats.layout import main_path
from chopmark.formats.libraries import derives_from, import_library

__all__ = ["FORMAT", "OnnxFormat", "OnnxModel"]

FILE = "model.onnx"
DATA_FILE = "model.onnx.data"

# A protobuf message cannot be larger than 2 GiB; the margin is for what is not a tensor.
INLINE_SIZE_BYTES_MAX = 2**31 - 2**26


class OnnxModel:
    """An ONNX model ready to run on the CPU.

    Attributes
    ----------
    session
        The `onnxruntime.InferenceSession`, for whoever wants more than `predict`.
    input_names, output_names
        As the graph names them.
    """

    def __init__(self, session: Any) -> None:
        self.session = session
        self.input_names = tuple(i.name for i in session.get_inputs())
        self.output_names = tuple(o.name for o in session.get_outputs())

    def predict(self, inputs: Any) -> Any:
        """Run the graph.

        Parameters
        ----------
        inputs
            A dict (or data frame, for a graph with one input per column) from input name to
            array; or an array, when the graph has one input. Numbers become the type that the graph
            declares for a name: rounded to a floating-point one, to any other only where none changes.

        Returns
        -------
        The output when the graph has one, else a dict from output name to output.

        Raises
        ------
        InvalidRequest
            When the graph has several inputs and ``inputs`` does not name them.
        """
        outputs = self.session.run(list(self.output_names), self._feed(inputs))
        if len(outputs) == 1:
            return outputs[0]
        return dict(zip(self.output_names, outputs, strict=True))

    def _feed(self, inputs: Any) -> dict[str, Any]:
        import numpy as np

        declared = {i.name: _NUMPY_TYPES.get(i.type, "") for i in self.session.get_inputs()}
        if isinstance(inputs, Mapping):
            return {name: _as_declared(np.asarray(value), declared.get(name, "")) for name, value in inputs.items()}
        if len(self.input_names) == 1:
            (name,) = self.input_names
            return {name: np.asarray(inputs, dtype=declared[name] or None)}
        columns = getattr(inputs, "columns", None)
        if columns is None or not set(self.input_names) <= set(columns):
            raise InvalidRequest(
                f"The graph has the inputs {', '.join(self.input_names)}, and what was given does not name them.",
                hint="Pass a dict from input name to array.",
            )
        # skl2onnx makes one input of shape (rows, 1) for each column.
        return {
            name: _as_declared(np.asarray(inputs[name]).reshape(-1, 1), declared[name]) for name in self.input_names
        }

    def __repr__(self) -> str:
        return f"OnnxModel({', '.join(self.input_names)} -> {', '.join(self.output_names)})"


_NUMPY_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
}


def _as_declared(values: Any, wanted: str) -> Any:
    """Numbers as numbers of the declared type; what that would change is left for the runtime to refuse."""
    import numpy as np

    if not wanted or values.dtype == wanted or values.dtype.kind not in "biuf":
        return values
    target = np.dtype(wanted)
    with np.errstate(invalid="ignore"):  # a missing or far too large number is no integer, and compares as unequal
        cast = values.astype(target)
    return cast if target.kind == "f" or np.array_equal(cast, values) else values


class OnnxFormat:
    """An ``onnx.ModelProto``. Loading gives an `OnnxModel`, as most people load one to run it."""

    name = "onnx"
    runs_code = False
    rank = 10
    suffixes = (".onnx",)
    extra = "onnx"

    def fits(self, model: object) -> bool:
        """Whether it is a ``ModelProto``."""
        return derives_from(model, "onnx", "ModelProto")

    def save(self, model: Any, directory: Path) -> SavedModel:
        """Write ``model.onnx``; near 2 GiB and beyond, the weights go to ``model.onnx.data``."""
        onnx = self._onnx()
        if not self.fits(model):
            raise Unsupported(f"The format 'onnx' holds a ModelProto, not {type(model).__qualname__}.")
        files = [SavedFile(FILE)]
        with storing(self.name, model):
            if any(_locations(onnx, model)):
                raise Unsupported(
                    "The weights of this ModelProto are in other files, which are not loaded.",
                    hint="Load it with onnx.load(path), or register the directory with path=….",
                )
            if model.ByteSize() > INLINE_SIZE_BYTES_MAX:
                self._save_split(onnx, model, directory)
                files.append(SavedFile(DATA_FILE))
            else:
                (directory / FILE).write_bytes(model.SerializeToString(deterministic=True))
        return SavedModel(
            files=tuple(files), environment=capture_environment("onnx", ("numpy", "onnxruntime")), params=_facts(model)
        )

    def describe(self, files: ArtifactFiles) -> SavedModel:
        """Producer and operator sets; the files of weights that it names must be there."""
        with reading(self.name):
            proto = self._checked_proto(files)
            return SavedModel(
                files=tuple(SavedFile(p) for p in files.paths),
                environment=Environment(framework="onnx"),
                params=_facts(proto),
            )

    def load(self, files: ArtifactFiles, *, trusted: Sequence[str] = ()) -> OnnxModel:  # noqa: ARG002
        """A model on onnxruntime's CPU provider, single sessions deterministic."""
        runtime = import_library("onnxruntime", extra=self.extra, purpose=f"The format {self.name!r}")
        with building(self.name):
            self._checked_proto(files)
            path = files.directory() / main_path(files, self.suffixes, self.name)
            return OnnxModel(runtime.InferenceSession(path, providers=["CPUExecutionProvider"]))

    def _checked_proto(self, files: ArtifactFiles) -> Any:
        """The graph without outside weights, after a look at where those are said to be."""
        onnx = self._onnx()
        name = main_path(files, self.suffixes, self.name)
        with files.open(name) as file:
            proto = onnx.load_model_from_string(file.read())
        if not proto.ir_version or not proto.graph.output:
            raise InvalidRequest("The file holds no ONNX graph.")
        folder = name.rpartition("/")[0]
        for location in sorted(set(_locations(onnx, proto))):
            path = f"{folder}/{location}" if folder else location
            if path not in files.paths:
                raise IntegrityFailure(
                    f"The graph keeps weights in {location!r}, which is not among the version's files.",
                    hint="Register the directory that holds the graph and its weights.",
                )
        return proto

    def _save_split(self, onnx: Any, model: Any, directory: Path) -> None:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)  # onnx.save_model empties the tensors of what it is given
        onnx.save_model(
            copy, str(directory / FILE), save_as_external_data=True, all_tensors_to_one_file=True, location=DATA_FILE
        )

    def _onnx(self) -> Any:
        return import_library("onnx", extra=self.extra, purpose=f"The format {self.name!r}")


FORMAT = OnnxFormat()


def _facts(proto: Any) -> dict[str, Any]:
    opsets = {o.domain or "ai.onnx": int(o.version) for o in proto.opset_import}
    producer = f"{proto.producer_name} {proto.producer_version}".strip()
    return {"model_class": "onnx.ModelProto", "opsets": opsets, **({"producer": producer} if producer else {})}


def _locations(onnx: Any, proto: Any) -> Iterator[str]:
    from onnx.external_data_helper import _get_all_tensors

    for tensor in _get_all_tensors(proto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield next((e.value for e in tensor.external_data if e.key == "location"), "")
