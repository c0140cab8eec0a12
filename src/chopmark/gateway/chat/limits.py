"""Limits of what providers of language models may take."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ChatLimits"]


class ChatLimits(NamedTuple):
    """What providers may take; the settings ``llm_…`` of the same names.

    Attributes
    ----------
    at_once
        Requests that one version has at its provider at one time.
    queue_max
        Further ones that wait; those beyond are refused.
    connect_s, first_piece_s, between_pieces_s
        Time until there is a connection, until a stream begins, and between two pieces of an answer.
    timeout_s
        Time for all of an answer, where the configuration says nothing.
    retries_max
        How often a model is asked again.
    answer_bytes_max
        Longest answer in one piece, and longest event of a stream.
    """

    at_once: int = 100
    queue_max: int = 1_000
    connect_s: float = 5.0
    first_piece_s: float = 60.0
    between_pieces_s: float = 30.0
    timeout_s: float = 600.0
    retries_max: int = 2
    answer_bytes_max: int = 16 << 20
