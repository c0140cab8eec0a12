"""The languages that clients of a gateway speak: bytes of a request to arrays, and arrays to bytes of an answer. Pure.

Each protocol is a module with ``read``, ``write`` and ``refused``; `chopmark.gateway.protocols.asked` holds what passes between them and the
gateway. No module here imports numpy before a request for a model is read.
"""
