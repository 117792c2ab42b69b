"""Every gateway there is, in the order in which tables show them."""

from __future__ import annotations

from benchmarks.gateways.gateway import Gateway
from benchmarks.gateways.peers import (
    callboard,
    litellm,
    naive,
    nginx,
    ogx,
    open_responses_server,
    portkey,
    splice,
    vllm_router,
)

GATEWAYS: tuple[Gateway, ...] = (
    *nginx.GATEWAYS,
    *splice.GATEWAYS,
    *vllm_router.GATEWAYS,
    *callboard.GATEWAYS,
    *naive.GATEWAYS,
    *portkey.GATEWAYS,
    *open_responses_server.GATEWAYS,
    *ogx.GATEWAYS,
    *litellm.GATEWAYS,
)
DIRECT = "direct"
"""No gateway at all: the load generator asks the mock upstream. What added latency is compared with."""

ANCHORS = ("vllm-router", "nginx", "naive")
"""What ratios are taken to."""

OURS = ("callboard", "callboard-actors")
"""Callboard itself, twice: passing requests on, and running each through an Assistant."""

FLOORS = ("nginx", "splice")
"""What only passes bytes on: no gateway for models, but what could be done at most."""

GROWN = (*OURS, "vllm-router", "nginx")
"""Whose growth and memory are measured: ours, and those beside which it can be judged."""


def label(name: str) -> str:
    """What a gateway is called in tables."""
    return next((each.about for each in GATEWAYS if each.name == name), name)
