"""How models run: on the event loop, on a thread of each version, or in a process of each version.

`start` loads a version where it is to run, tries it on a sample, and gives what runs it. `choosing` decides where that is, `trial`
measures, `threads` takes together what waits (`batching` puts it together and takes it apart), `processes` is the parent's side of a
worker process, `child` the other, and `frames` what passes between them.
"""

from __future__ import annotations

from chopmark.domain.endpoints import EndpointConfig
from chopmark.gateway.execution.choosing import chosen
from chopmark.gateway.execution.kinds import Execution, Loadable

__all__ = ["Execution", "Loadable", "chosen", "start"]


async def start(config: EndpointConfig, loadable: Loadable) -> Execution:
    """Load a version where it is to run, and try it.

    Parameters
    ----------
    config
        Of the endpoint.
    loadable
        The version.

    Raises
    ------
    Exception
        What loading raised. That it does not answer its sample is no reason to refuse a model, and stands in the ``note``.
    """
    from chopmark.gateway.execution.starting import started  # with numpy, which a gateway without models does not need

    return await started(config, loadable)
