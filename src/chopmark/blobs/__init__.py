"""Blob stores: bytes by their hash."""

from __future__ import annotations

from chopmark.blobs.local import LocalStore

__all__ = ["LocalStore"]
