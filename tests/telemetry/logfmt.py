"""A reference reader of logfmt as we write it: small, strict, and written without a look at the writer."""

import json
import re

_PAIR = re.compile(r'([A-Za-z0-9_.-]+)=("(?:[^"\\]|\\.)*"|[^ "=]+)')


def parse(line: str) -> dict[str, str]:
    """The pairs of one line, without its newline. Anything but pairs, one space apart, is an error."""
    pairs: dict[str, str] = {}
    at = 0
    while at < len(line) or not pairs:
        found = _PAIR.match(line, at)
        if found is None:
            raise ValueError(f"no pair at {at} of {line!r}")
        key, value = found.groups()
        if key in pairs:
            raise ValueError(f"{key} twice in {line!r}")
        pairs[key] = json.loads(value) if value[0] == '"' else value
        at = found.end()
        if at < len(line):
            if line[at] != " " or at + 1 == len(line):
                raise ValueError(f"no space at {at} of {line!r}")
            at += 1
    return pairs
