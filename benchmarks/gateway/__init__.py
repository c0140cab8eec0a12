"""What a prediction costs: the gateway beside the barest server on the same stack, and beside MLServer.

Each server is a process of its own; who asks is another (`benchmarks.gateway.crowd`). What counts is CPU of the server for a request,
and how it stands to that of the others, asked in turn. MLServer runs in one process as ours does, without its metrics, its compression
and its log of requests. The figures are put together in `benchmarks.gateway.figures`.
"""
