"""The recording of a response from the store that a configuration names."""

from __future__ import annotations

from pathlib import Path

from callboard.actors.kept_order import decode_order
from callboard.config import Config
from callboard.replay.recording import Recording, record_response
from callboard.store.opening import open_store


async def export(config: Config, tenant: str, response_id: str, *, version: str) -> Recording:
    """Take a response out of the configured store, beside whatever else uses that.

    Raises: as `callboard.replay.recording.record_response`.
    """
    rounds = {each.name: each.max_rounds for each in config.assistants}

    def rounds_of(request: bytes) -> int:
        return rounds.get(decode_order(request).assistant, config.server.max_rounds)

    folder = Path.cwd() if config.path is None else config.path.parent
    async with open_store(config.store.url, folder) as store:
        return await record_response(store, tenant, response_id, version=version, rounds_of=rounds_of)
