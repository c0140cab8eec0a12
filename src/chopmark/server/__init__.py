"""The registry over HTTP: an ASGI application whose routes are drawn from the table of ops."""
