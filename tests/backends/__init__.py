"""Real services for tests: PostgreSQL, an S3 server and its fast double, and Azurite.

Each server starts when the first test asks for it, once per run however many workers there are, and is gone when the run
ends, whichever way it ends. A service that this machine does not have skips its tests; in CI it fails them, because CI
names every one of them in ``CHOPMARK_TEST_REQUIRE``.
"""

from tests.backends.required import BACKENDS, import_backend, require

__all__ = ["BACKENDS", "import_backend", "require"]
