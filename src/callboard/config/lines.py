"""Which line of a TOML text each key stands on.

The standard library's parser gives values without positions. This scan runs after it, over text that is known
to be valid, so it need not judge anything: it follows headers, dotted keys, inline tables and arrays, and
steps over values.
"""

from __future__ import annotations

import re
import tomllib

from callboard.config.problems import KeyPath

_TOKEN = re.compile(
    r'''
    (?P<string> """(?:\\.|[^\\])*?"""(?:"{0,2})
              | \'\'\'.*?\'\'\'(?:'{0,2})
              | "(?:\\.|[^"\\])*"
              | '[^'\n]*' )
  | (?P<bare> [A-Za-z0-9_-]+ )
  | (?P<comment> \#[^\n]* )
  | (?P<mark> [][{}=.,\n] )
  | (?P<other> [^\n] )
    ''',
    re.VERBOSE | re.DOTALL,
)
_SKIPPED = frozenset({"comment", "other"})


def key_lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, on which each key and table of a valid TOML document is named first."""
    return _Scan(text).run()


class _Scan:
    """One pass over the tokens; ``_at`` is the next of them."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str, int]] = []
        line = 1
        for match in _TOKEN.finditer(text):
            if match.lastgroup not in _SKIPPED:
                self._tokens.append((match.lastgroup or "", match.group(), line))
            line += match.group().count("\n")
        self._tokens.append(("end", "", line))
        self._at = 0
        self._lines: dict[KeyPath, int] = {}

    def run(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while not self._next_is("end"):
            if self._skip("\n"):
                continue
            if self._skip("["):
                self._skip("[")
                table = self._key(())
                while self._skip("]"):
                    pass
            else:
                self._assignment(table)
        return self._lines

    def _assignment(self, table: KeyPath) -> None:
        path = self._key(table)
        self._skip("=")
        self._value(path)

    def _key(self, table: KeyPath) -> KeyPath:
        """Read ``a."b".c``, and note the line of each of its prefixes."""
        path = table
        while True:
            kind, text, line = self._tokens[self._at]
            if kind not in {"bare", "string"}:
                return path
            self._at += 1
            path = (*path, text if kind == "bare" else next(iter(tomllib.loads(f"{text} = 0"))))
            self._lines.setdefault(path, line)
            self._skip(".")

    def _value(self, path: KeyPath) -> None:
        if self._skip("{"):
            while not self._skip("}"):
                if not (self._skip(",") or self._skip("\n")):
                    self._assignment(path)
        elif self._skip("["):
            while not self._skip("]"):
                if not (self._skip(",") or self._skip("\n")):
                    self._value(path)
        else:
            while not self._next_is("end") and self._tokens[self._at][1] not in {",", "]", "}", "\n"}:
                self._at += 1

    def _next_is(self, kind: str) -> bool:
        return self._tokens[self._at][0] == kind

    def _skip(self, mark: str) -> bool:
        """Step over ``mark`` where it is next."""
        kind, text, _ = self._tokens[self._at]
        if kind == "mark" and text == mark:
            self._at += 1
            return True
        return False
