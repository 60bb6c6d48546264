"""Where in a TOML text a key stands, so that an error can name file and line.

The standard library's parser keeps no positions; this reads the text once more, only when there is
an error to place. It expects text that the parser has accepted, and survives any other.
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass

# No possessive quantifiers: Python before 3.11.5 matches them wrongly (python/cpython#106052).
_TOKEN = re.compile(
    r"""
      (?P<newline>\n)
    | (?P<space>[ \t\r]+ | \#[^\n]*)
    | (?P<multiline>\"{3} [^"\\]* (?:(?:\\. | "(?!"")) [^"\\]*)* \"{3,5}
                  | '{3} [^']* (?:'(?!'') [^']*)* '{3,5})
    | (?P<string>" [^"\\\n]* (?:\\. [^"\\\n]*)* " | '[^'\n]*')
    | (?P<sign>[\[\]{}=,.])
    | (?P<bare>[^\s\[\]{}=,.\#"']+ | .)
    """,
    re.VERBOSE | re.DOTALL,
)
_DEEPEST = 32  # keys further down have the line of the last one above
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def part(name: str) -> str:
    """Return one part of a key as messages show it: quoted where TOML wants quotes."""
    return name if _BARE.fullmatch(name) else json.dumps(name)


def joined(key: str, name: str) -> str:
    """Return the key of ``name`` in the table ``key``."""
    return f"{key}.{part(name)}" if key else part(name)


def lines_of_keys(text: str) -> dict[str, int]:
    """Return the line (1-based) of each key: ``project.name``, ``file-context[2].type``."""
    scanner = _Scanner()
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "newline":
            scanner.end_of_line()
        elif kind != "space":
            scanner.token(match.group(), line)
        line += match.group().count("\n")
    return scanner.places


def line_of(places: dict[str, int], key: str) -> int:
    """Return the line of ``key``, or of the nearest enclosing key, or 0."""
    while key:
        if key in places:
            return places[key]
        cut = max(key.rfind("."), key.rfind("["))
        key = key[:cut] if cut > 0 else ""
    return 0


@dataclass
class _Frame:
    """An open table, inline table or array: its key, and how many elements an array had so far."""

    kind: str
    key: str
    index: int = 0


class _Scanner:
    """A state machine over the tokens; ``state`` says what the next token may be."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self.counts: dict[str, int] = {}
        self.frames = [_Frame("table", "")]
        self.state = "key"
        self.parts: list[str] = []
        self.line = 0
        self.is_array = False
        self.current = ""

    def end_of_line(self) -> None:
        """A statement ends with its line, unless a bracket is open."""
        if len(self.frames) == 1:
            self.state = "key"
            self.parts = []

    def token(self, token: str, line: int) -> None:
        """Take the next token, which begins on ``line``."""
        getattr(self, f"_{self.state}")(token, line)

    def _key(self, token: str, line: int) -> None:
        frame = self.frames[-1]
        if token == "=":
            self.current = self._placed(frame.key, self.parts, self.line)
            self.parts = []
            self.state = "value"
        elif token == "[" and frame.kind == "table" and not self.parts:
            self.state = "header"
            self.is_array = False
            self.line = line
        elif token == "}" and frame.kind == "inline":
            self._close()
        elif token not in (".", ",", "]"):
            self.line = line if not self.parts else self.line
            self._add_part(token)

    def _header(self, token: str, line: int) -> None:
        if token == "[":
            self.is_array = True
        elif token == "]":
            self._open_table()
            self.state = "done"
        elif token != ".":
            self._add_part(token)

    def _add_part(self, token: str) -> None:
        if len(self.parts) < _DEEPEST:
            self.parts.append(_name(token))

    def _open_table(self) -> None:
        key = ""
        for position, name in enumerate(self.parts):
            key = joined(key, name)
            self.places.setdefault(key, self.line)
            if position == len(self.parts) - 1 and self.is_array:
                self.counts[key] = self.counts.get(key, -1) + 1
            if key in self.counts:
                key = f"{key}[{self.counts[key]}]"
                self.places.setdefault(key, self.line)
        self.parts = []
        self.frames[0].key = key

    def _value(self, token: str, line: int) -> None:
        if token == "[":
            self.frames.append(_Frame("array", self.current))
            self.state = "element"
        elif token == "{":
            self.frames.append(_Frame("inline", self.current))
            self.state = "key"
        else:
            self.state = "done"

    def _element(self, token: str, line: int) -> None:
        frame = self.frames[-1]
        if token == "]":
            self._close()
        elif token != ",":
            self.current = frame.key
            if len(self.frames) <= _DEEPEST:
                self.current = f"{frame.key}[{frame.index}]"
                self.places.setdefault(self.current, line)
            frame.index += 1
            self._value(token, line)

    def _done(self, token: str, line: int) -> None:
        kind = self.frames[-1].kind
        if token == "," and kind != "table":
            self.state = "element" if kind == "array" else "key"
        elif (token, kind) in (("]", "array"), ("}", "inline")):
            self._close()

    def _close(self) -> None:
        self.frames.pop()
        self.parts = []
        self.state = "done"

    def _placed(self, key: str, parts: list[str], line: int) -> str:
        if len(self.frames) > _DEEPEST:
            return key
        for name in parts:
            key = joined(key, name)
            self.places.setdefault(key, line)
        return key


def _name(token: str) -> str:
    if token[0] not in "\"'":
        return token
    try:
        return str(tomllib.loads(f"x = {token}")["x"])
    except (tomllib.TOMLDecodeError, KeyError):
        return token.strip("\"'")
