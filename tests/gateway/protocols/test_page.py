"""The page of the protocols shows requests that are read, and answers as they are written."""

import json
from types import ModuleType

import numpy as np
import pytest

from chopmark.abc.predicting import Layout
from chopmark.domain.signature import Field
from chopmark.errors import InvalidRequest
from chopmark.gateway.protocols import invocations, open_inference, rows
from chopmark.gateway.protocols.asked import Identity, Limits
from tests.docs.markdown import ROOT, blocks
from tests.gateway.protocols.forms import cells

PAGE = (ROOT / "docs" / "reference" / "prediction-protocols.md").read_text()
SHOWN = [block.text for block in blocks(PAGE) if block.language == "json"]
LAYOUT = Layout(
    kind="table",
    inputs=(Field("amount", "float"), Field("country", "category")),
    outputs=(Field("predict", "int", "int64", (-1,)),),
)


@pytest.mark.parametrize(("protocol", "shown"), [(rows, SHOWN[0]), (open_inference, SHOWN[2]), (invocations, SHOWN[3])])
def test_the_requests_on_the_page_are_read(protocol: ModuleType, shown: str) -> None:
    asked = protocol.read(shown.encode(), {}, LAYOUT, Limits())
    assert cells(asked.inputs, LAYOUT) == [[12.5, "CH"], [80.0, "DE"]]


def test_the_answers_on_the_page_are_written() -> None:
    asked = rows.read(SHOWN[0].encode(), {}, LAYOUT, Limits())
    who = Identity("fraud-api", "fraud", 3, "sha256:…", "stable", 7, "…")
    assert json.loads(rows.write(asked, {"predict": np.array([0, 1])}, who).body) == json.loads(SHOWN[1])
    with pytest.raises(InvalidRequest) as refused:
        rows.read(b'{"row": {"amount": "a", "country": "CH"}}', {}, LAYOUT, Limits())
    assert json.loads(rows.refused(refused.value)[1].body) == json.loads(SHOWN[4])
    assert f"{Limits().elements_max:,} elements" in PAGE
