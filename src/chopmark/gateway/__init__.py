"""The data plane: deals requests to versions by a routing it holds, runs them, and reports what it serves and how that goes.

`app` is the ASGI application, `router` what it deals by, `protocols` how requests are read and answers written, `execution` how
models run. No database is known here: a routing, loaded models and a place for reports are given.
"""
