"""``python -m chopmark`` is the ``chopmark`` program."""

from __future__ import annotations

from chopmark.cli import main

main()
