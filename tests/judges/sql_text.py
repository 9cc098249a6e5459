"""Cuts a Snowflake script into what a parser can judge one by one.

A statement ends at a semicolon, but not at one inside a string, a comment, `$$…$$` or a BEGIN…END block.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple


class Piece(NamedTuple):
    """A statement or a body, and the line of the script that it starts on."""

    sql: str
    line: int


class Token(NamedTuple):
    kind: str
    text: str
    start: int


_TOKEN = re.compile(
    r"""
    (?P<comment> --[^\n]* | //[^\n]* | /\*.*?\*/ )
  | (?P<body>    \$\$.*?\$\$ )
  | (?P<string>  '(?:[^'\\]|''|\\.)*' )
  | (?P<quoted>  "(?:[^"]|"")*" )
  | (?P<word>    [A-Za-z_][\w$]* )
  | (?P<end>     ; )
  | (?P<other>   \S )
    """,
    re.VERBOSE | re.DOTALL,
)
# `BEGIN TRANSACTION` and a bare `BEGIN;` are statements; any other BEGIN opens a block.
_NOT_A_BLOCK = {"TRANSACTION", "WORK", "NAME", ";"}
# `END IF` and the like close what was never counted as opened.
_CLOSES_OTHER = {"IF", "LOOP", "FOR", "WHILE", "REPEAT"}
_HAS_BODY = {"TASK", "PROCEDURE", "FUNCTION"}


def tokens(script: str) -> list[Token]:
    """Gives everything but white space and comments."""
    found = (Token(str(match.lastgroup), match[0], match.start()) for match in _TOKEN.finditer(script))
    return [token for token in found if token.kind != "comment"]


def statements(script: str) -> Iterator[list[Token]]:
    """Yields the tokens of each statement, without the semicolon that ends it."""
    current: list[Token] = []
    depth = 0
    everything = tokens(script)
    for position, token in enumerate(everything):
        following = everything[position + 1].text.upper() if position + 1 < len(everything) else ""
        preceding = current[-1].text.upper() if current else ""
        word = token.text.upper() if token.kind == "word" else ""
        if word == "BEGIN" and following not in _NOT_A_BLOCK:
            depth += 1
        elif word == "CASE" and preceding != "END":
            depth += 1
        elif word == "END" and following not in _CLOSES_OTHER:
            depth -= 1
        if token.kind == "end" and depth <= 0:
            if current:
                yield current
            current, depth = [], 0
        else:
            current.append(token)
    if current:
        yield current


def pieces(script: str) -> Iterator[Piece]:
    """Yields what is judged: each statement, and the body of one that has a body as a piece of its own."""
    for statement in statements(script):
        start, end = statement[0].start, statement[-1].start + len(statement[-1].text)
        body = _body(statement)
        if body is None:
            yield _piece(script, start, end)
            continue
        # In the statement a body of one word stands for the real one.
        header = _piece(script, start, body.start)
        if body.kind == "body":
            yield Piece(f"{header.sql}$$SELECT 1$$", header.line)
            yield _piece(script, body.start + 2, body.start + len(body.text) - 2)
        else:
            yield Piece(f"{header.sql}SELECT 1", header.line)
            yield _piece(script, body.start, end)


def _body(statement: list[Token]) -> Token | None:
    """Finds where the body of a CREATE TASK, PROCEDURE or FUNCTION begins: the token after AS, not that of EXECUTE AS."""
    words = [token.text.upper() if token.kind == "word" else "" for token in statement]
    if not words or words[0] != "CREATE" or not _HAS_BODY & set(words[:6]):
        return None
    for position in range(len(words) - 1):
        if words[position] == "AS" and words[position - 1] != "EXECUTE":
            return statement[position + 1]
    return None


def _piece(script: str, start: int, end: int) -> Piece:
    """A part of the script, without white space before it, and its line."""
    text = script[start:end]
    start += len(text) - len(text.lstrip())
    return Piece(script[start:end], script.count("\n", 0, start) + 1)
