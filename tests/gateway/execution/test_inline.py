"""Where a model runs, and those that run on the event loop."""

import asyncio
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chopmark.domain.endpoints import EndpointConfig
from chopmark.errors import ModelFailed
from chopmark.gateway.execution import Loadable, chosen, start
from chopmark.gateway.execution.choosing import INLINE_US_MAX, now_rows
from tests.gateway.execution import models
from tests.gateway.execution.models import POISON, WIDTH, Summing, loadable


@pytest.mark.parametrize(
    ("asked", "runs_code", "measured_us", "kind"),
    [
        ("auto", False, 12.0, "inline"),
        ("auto", False, 1_000.0, "inline"),
        ("auto", False, 1_000.1, "thread"),
        ("auto", False, None, "thread"),
        ("auto", True, 12.0, "process"),
        ("auto", True, None, "process"),
        ("inline", True, 9_000.0, "inline"),
        ("thread", True, 12.0, "thread"),
        ("process", False, 12.0, "process"),
    ],
)
def test_where_a_model_runs(asked, runs_code, measured_us, kind) -> None:
    assert chosen(EndpointConfig(execution=asked), runs_code, measured_us) == kind


@given(one=st.floats(0, 5_000), more=st.floats(0, 1_000))
def test_what_runs_at_once_keeps_the_loop_no_longer_than_it_may(one: float, more: float) -> None:
    rows = now_rows(one, more)
    assert rows >= 1
    assert rows == 1 or one + (rows - 1) * more <= INLINE_US_MAX * (1 + 1e-9)


def test_a_quick_model_runs_inline_and_a_slow_one_on_its_thread() -> None:
    async def kinds():
        found = []
        for call_s in (0.0, 0.003):
            execution = await start(EndpointConfig(), loadable(call_s=call_s))
            found.append((execution.kind, execution.words, execution.now_rows_max > 0))
            await execution.close(1)
        return found

    assert asyncio.run(kinds()) == [("inline", "inline, sums", True), ("thread", "thread, sums", False)]


def test_a_request_too_large_for_the_loop_is_answered_on_the_thread() -> None:
    model = Summing(row_s=0.0001)

    async def asked():
        execution = await start(EndpointConfig(), Loadable("fraud:3", runs_code=False, load=lambda: model))
        assert execution.kind == "inline"
        model.threads.clear()
        execution.now(np.ones((1, WIDTH)))
        on_the_loop = set(model.threads)
        model.threads.clear()
        answer = await execution.run(np.ones((50, WIDTH)), 50, (), 5)
        await execution.close(1)
        return on_the_loop, set(model.threads), execution.now_rows_max, answer

    on_the_loop, on_the_thread, rows_max, answer = asyncio.run(asked())
    assert on_the_loop == {threading.get_ident()}
    assert on_the_thread.isdisjoint(on_the_loop)
    assert 1 <= rows_max < 50
    assert answer["y"].tolist() == [3.0] * 50
    assert model.closed == 1


@pytest.mark.parametrize("poison", [models.raises, models.exits])
def test_what_a_model_raises_on_the_loop_ends_nothing(poison) -> None:
    async def asked():
        execution = await start(
            EndpointConfig(execution="inline"), Loadable("fraud:3", runs_code=False, load=lambda: Summing(poison))
        )
        with pytest.raises(ModelFailed, match="fraud:3 raised"):
            execution.now(np.full((1, WIDTH), POISON))
        answer = execution.now(np.ones((1, WIDTH)))
        await execution.close(1)
        return answer

    assert asyncio.run(asked())["y"].tolist() == [3.0]


def test_a_model_that_does_not_answer_its_sample_runs_on_a_thread_and_it_is_told() -> None:
    async def asked():
        execution = await start(
            EndpointConfig(), Loadable("fraud:3", runs_code=False, load=lambda: models.Fussy(models.raises))
        )
        answer = await execution.run(np.ones((1, WIDTH)), 1, (), 5)
        await execution.close(1)
        return execution.kind, execution.note, answer

    kind, note, answer = asyncio.run(asked())
    assert kind == "thread"
    assert "ValueError: this row cannot be" in note
    assert answer["y"].tolist() == [3.0]
