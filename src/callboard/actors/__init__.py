"""The actors: they join the kernel, the domain, and the protocols of providers, tools, store and limits."""
