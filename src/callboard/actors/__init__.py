"""The actors: they join the kernel with the domain, and the protocols of providers, tools, store and limits."""
