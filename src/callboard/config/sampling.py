"""``sampling = {…}`` of an MCP server: whether what it says fits the rest of the configuration.

`callboard.domain.sampling.SamplingPolicy` is its schema.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from callboard.config.problems import KeyPath, Problem, Source, suggestion
from callboard.domain.principal import is_among
from callboard.domain.sampling import SamplingPolicy


def check_sampling(
    policy: SamplingPolicy, models: Collection[str], source: Source, path: KeyPath
) -> Iterator[Problem]:
    """A server that may ask and is given nothing, and names that are no model's.

    Args:
        policy: What stands at ``path``.
        models: The names of all models, those with a broken table included: one mistake is told once.
        source: Where the configuration came from.
        path: For example ``("mcp", "servers", "files", "sampling")``.
    """
    place = (*path, "models")
    if policy.enabled and not policy.models:
        yield source.problem(place, 'missing; name the models that the server may be given, or ["*"]')
    for pattern in policy.models:
        if not any(is_among(name, (pattern,)) for name in models):
            yield source.problem(place, f'no model "{pattern}"{suggestion(pattern, models)}')
