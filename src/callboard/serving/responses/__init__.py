"""The Responses API: making responses, reading what is kept of them, and conversations."""
