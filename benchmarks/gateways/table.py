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
    vllm_router,
)

GATEWAYS: tuple[Gateway, ...] = (
    *nginx.GATEWAYS,
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
