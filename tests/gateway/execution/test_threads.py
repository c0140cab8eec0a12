"""One thread for each version: what waits is taken together, and one request never fails another."""

import asyncio
import threading
import time
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chopmark.domain.endpoints import EndpointConfig
from chopmark.errors import InvalidRequest, ModelFailed, ModelTimeout, QueueFull, Unavailable
from chopmark.gateway.execution import Loadable, start, threads
from tests.gateway.execution import models
from tests.gateway.execution.models import POISON, WIDTH, Summing

LONG_S = 20.0


def serving(model: Summing) -> Loadable:
    return Loadable("fraud:3", runs_code=False, load=lambda: model)


async def started(model: Summing, **config: int):
    return await start(EndpointConfig(execution="thread", **config), serving(model))  # type: ignore[arg-type]


def rows_of(value: float, count: int = 1) -> np.ndarray:
    return np.full((count, WIDTH), value)


def no_thread() -> bool:
    return not [t for t in threading.enumerate() if t.name == "chopmark fraud:3"]


def in_turn(model: Summing, requests, **config: int):
    """Answers, or errors, of requests that come while the thread is busy, so that they wait together."""

    async def asked():
        execution = await started(model, **config)
        model.batches.clear()
        busy = asyncio.create_task(execution.run(rows_of(0.0), 1, (), LONG_S))
        while not model.batches:  # noqa: ASYNC110 - the thread sets no event of ours
            await asyncio.sleep(0.0005)
        tasks = [asyncio.create_task(execution.run(rows, len(rows), wanted, LONG_S)) for rows, wanted in requests]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await busy
        await execution.close(LONG_S)
        return answers

    return asyncio.run(asked())


def test_what_waits_is_taken_together() -> None:
    model = Summing(call_s=0.05)
    answers = in_turn(model, [(rows_of(float(i)), ()) for i in range(8)])
    assert [a["y"].tolist() for a in answers] == [[WIDTH * float(i)] for i in range(8)]
    assert model.batches == [1, 8]
    assert threading.get_ident() not in model.threads


def test_a_batch_has_no_more_rows_than_it_may() -> None:
    model = Summing(call_s=0.05)
    requests = [(rows_of(1.0, n), ()) for n in (3, 2, 4, 1, 9, 2)]
    answers = in_turn(model, requests, batch_rows_max=5)
    assert [len(a["y"]) for a in answers] == [3, 2, 4, 1, 9, 2]
    assert model.batches == [1, 5, 5, 9, 2]


def test_requests_for_other_outputs_are_asked_apart() -> None:
    model = Summing(call_s=0.05)
    answers = in_turn(model, [(rows_of(1.0), ()), (rows_of(2.0), ("double",)), (rows_of(3.0), ())])
    assert [{k: v.tolist() for k, v in a.items()} for a in answers] == [{"y": [3.0]}, {"double": [12.0]}, {"y": [9.0]}]
    assert model.batches == [1, 2, 1]


@pytest.mark.parametrize("poison", [models.raises, models.exits, models.interrupts])
def test_one_bad_request_of_eight_costs_its_neighbours_nothing(poison) -> None:
    model = Summing(poison, call_s=0.02)
    requests = [(rows_of(POISON if i == 5 else float(i)), ()) for i in range(8)]
    answers = in_turn(model, requests)
    assert isinstance(answers.pop(5), ModelFailed)
    assert [a["y"][0] for a in answers] == [WIDTH * float(i) for i in range(8) if i != 5]
    assert model.batches == [1, 8, 4, 4, 2, 1, 1, 2]


@given(bad=st.sets(st.integers(0, 15)), order=st.permutations(range(16)))
@settings(max_examples=20, deadline=None)
def test_whoever_is_bad_harms_nobody_else(bad: set[int], order: list[int]) -> None:
    model = Summing(models.raises, call_s=0.001)
    answers = in_turn(model, [(rows_of(POISON if i in bad else float(i)), ()) for i in order])
    for i, answer in zip(order, answers, strict=True):
        assert isinstance(answer, ModelFailed) if i in bad else answer["y"].tolist() == [WIDTH * float(i)]
    assert len(model.batches) <= 2 * 16


def test_what_a_model_raised_is_told_and_is_the_cause() -> None:
    (answer,) = in_turn(Summing(models.raises), [(rows_of(POISON), ())])
    assert str(answer) == "fraud:3 raised ValueError: this row cannot be"
    assert answer.details == {"raised": "ValueError"}
    assert isinstance(answer.__cause__, ValueError)


def test_a_refusal_of_ours_stays_what_it_is() -> None:
    def refuses() -> None:
        raise InvalidRequest("no such row")

    (answer,) = in_turn(Summing(refuses), [(rows_of(POISON), ())])
    assert isinstance(answer, InvalidRequest)


def test_answers_of_too_few_rows_are_nobodys() -> None:
    model = models.Shortening(call_s=0.02)
    two, one = in_turn(model, [(rows_of(1.0, 2), ()), (rows_of(2.0), ())])
    assert isinstance(two, ModelFailed)
    assert "asked about 2 rows" in str(two)
    assert one["y"].tolist() == [6.0]


def test_a_model_whose_rows_change_each_other_is_asked_one_request_at_a_time() -> None:
    model = models.Averaging(call_s=0.02)

    async def asked():
        execution = await started(model)
        model.batches.clear()
        answers = await asyncio.gather(*[execution.run(rows_of(float(i)), 1, (), LONG_S) for i in range(4)])
        told = execution.note, execution.words
        await execution.close(LONG_S)
        return answers, told

    answers, (note, words) = asyncio.run(asked())
    assert words == "thread, sums, each request by itself"
    assert [a["y"].tolist() for a in answers] == [[0.0]] * 4
    assert model.batches == [1] * 4
    assert "by itself" in note


@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=12),
    rows_max=st.integers(1, 20),
    values=st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
def test_answers_are_those_to_each_alone(sizes: list[int], rows_max: int, values) -> None:
    given_rows = [np.array([[values.uniform(-9, 9) for _ in range(WIDTH)] for _ in range(n)]) for n in sizes]
    model = Summing(call_s=0.001)
    answers = in_turn(model, [(rows, ()) for rows in given_rows], batch_rows_max=rows_max)
    for rows, answer in zip(given_rows, answers, strict=True):
        assert np.array_equal(answer["y"], rows.sum(axis=1))
    assert all(n <= max(rows_max, *sizes) for n in model.batches)


def test_no_more_wait_than_may_and_the_rest_is_told_when_to_come_back() -> None:
    model = Summing(call_s=0.2)

    async def asked():
        execution = await started(model, queue_max=3, batch_rows_max=1)
        first = asyncio.create_task(execution.run(rows_of(0.0), 1, (), LONG_S))
        await asyncio.sleep(0.05)  # the thread has taken it
        others = [asyncio.create_task(execution.run(rows_of(1.0), 1, (), LONG_S)) for _ in range(5)]
        await asyncio.sleep(0)
        waiting = execution.waiting
        answers = await asyncio.gather(first, *others, return_exceptions=True)
        left = execution.waiting
        await execution.close(LONG_S)
        return answers, waiting, left

    answers, waiting, left = asyncio.run(asked())
    refused = [a for a in answers if isinstance(a, QueueFull)]
    assert len(refused) == 2
    assert (waiting, left) == (4, 0)
    assert 1 <= refused[0].details["retry_after_s"] <= 60
    assert isinstance(refused[0], Unavailable)


def test_a_request_whose_time_is_over_is_told_and_never_run() -> None:
    model = Summing(call_s=0.2)

    async def asked():
        execution = await started(model)
        first = asyncio.create_task(execution.run(rows_of(0.0), 1, (), LONG_S))
        await asyncio.sleep(0.02)
        model.batches.clear()
        began = time.monotonic()
        with pytest.raises(ModelTimeout, match=r"within 0\.05 s"):
            await execution.run(rows_of(1.0), 1, (), 0.05)
        took_s = time.monotonic() - began
        await first
        await execution.close(LONG_S)
        return took_s

    took_s = asyncio.run(asked())
    assert took_s < 0.19
    assert model.batches == []


def test_a_request_that_was_given_up_is_never_run() -> None:
    model = Summing(call_s=0.1)

    async def asked():
        execution = await started(model)
        model.batches.clear()
        first = asyncio.create_task(execution.run(rows_of(0.0), 1, (), LONG_S))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(execution.run(rows_of(1.0), 1, (), LONG_S))
        third = asyncio.create_task(execution.run(rows_of(2.0), 1, (), LONG_S))
        await asyncio.sleep(0)
        second.cancel()
        await first
        answer = await third
        await execution.close(LONG_S)
        return answer, second.cancelled(), execution.waiting

    answer, cancelled, waiting = asyncio.run(asked())
    assert answer["y"].tolist() == [6.0]
    assert (cancelled, waiting) == (True, 0)
    assert model.batches == [1, 1]


def test_requests_are_answered_in_the_order_in_which_they_came() -> None:
    model = Summing(call_s=0.002)
    order: list[int] = []

    async def asked():
        execution = await started(model, batch_rows_max=3)

        async def one(i: int) -> None:
            await execution.run(rows_of(float(i)), 1, (), LONG_S)
            order.append(i)

        await asyncio.gather(*[one(i) for i in range(40)])
        await execution.close(LONG_S)

    asyncio.run(asked())
    assert order == list(range(40))


def test_closing_ends_what_was_taken_refuses_what_comes_and_leaves_no_thread() -> None:
    model = Summing(call_s=0.1)

    async def asked():
        execution = await started(model)
        tasks = [asyncio.create_task(execution.run(rows_of(float(i)), 1, (), LONG_S)) for i in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(execution.close(LONG_S))
        await asyncio.sleep(0.01)
        with pytest.raises(Unavailable, match="let go"):
            await execution.run(rows_of(9.0), 1, (), LONG_S)
        await closing
        return await asyncio.gather(*tasks)

    answers = asyncio.run(asked())
    assert [a["y"][0] for a in answers] == [0.0, 3.0, 6.0]
    assert model.closed == 1
    assert no_thread()


def test_closing_waits_as_long_as_it_was_told_for_what_was_taken(monkeypatch) -> None:
    monkeypatch.setattr(threads, "_KILLED_S", 0.05)
    model = Summing(call_s=0.1)

    async def asked():
        execution = await started(model, batch_rows_max=1)
        tasks = [asyncio.create_task(execution.run(rows_of(float(i)), 1, (), LONG_S)) for i in range(3)]
        await asyncio.sleep(0)
        await execution.close(LONG_S)
        return [t.done() for t in tasks], model.closed

    assert asyncio.run(asked()) == ([True] * 3, 1)


def test_a_model_that_hangs_is_left_to_its_thread_and_closing_does_not_wait_for_it() -> None:
    release = threading.Event()

    def waits() -> None:
        release.wait(60)

    model = Summing(waits)

    async def asked():
        execution = await started(model)
        with pytest.raises(ModelTimeout):
            await execution.run(rows_of(POISON), 1, (), 0.05)
        began = time.monotonic()
        async with asyncio.timeout(15):
            await execution.close(0.05)
        return time.monotonic() - began

    try:
        assert asyncio.run(asked()) < 10
    finally:
        release.set()
    while not no_thread():
        time.sleep(0.01)


def test_what_loading_raises_is_raised_and_leaves_no_thread() -> None:
    async def asked():
        await start(EndpointConfig(execution="thread"), Loadable("fraud:3", runs_code=False, load=models.fails_to_load))

    with pytest.raises(RuntimeError, match="these bytes are no model"):
        asyncio.run(asked())
    assert no_thread()


def test_a_start_that_is_given_up_leaves_no_thread() -> None:
    release = threading.Event()
    model = Summing()

    def slow() -> Summing:
        release.wait(20)
        return model

    async def asked():
        task = asyncio.create_task(
            start(EndpointConfig(execution="thread"), Loadable("fraud:3", runs_code=False, load=slow))
        )
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        release.set()
        for _ in range(200):
            if no_thread():
                return True
            await asyncio.sleep(0.02)
        return False

    assert asyncio.run(asked())
    assert model.closed == 1


def test_nothing_is_kept_of_a_request_that_was_answered() -> None:
    model = Summing()

    async def asked():
        execution = await started(model)
        rows = rows_of(1.0)
        kept = weakref.ref(rows)
        answer = await execution.run(rows, 1, (), LONG_S)
        del rows
        await asyncio.sleep(0.05)
        found = kept()
        await execution.close(LONG_S)
        return found, answer

    assert asyncio.run(asked())[0] is None
