"""Chat completions, answered by actors or passed on as they came."""
