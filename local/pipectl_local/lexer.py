# SPDX-License-Identifier: Apache-2.0
"""Tokens of Snowflake SQL, and a cursor over them for the DDL that sqlglot does not know.

Identifier rules: https://docs.snowflake.com/en/sql-reference/identifiers-syntax
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from . import errors

WORD, QUOTED, STRING, NUMBER, SYMBOL, STAGE, END = "word", "quoted", "string", "number", "symbol", "stage", "end"
SYMBOLS = ("=>", "::", ":=", "||", "<=", ">=", "<>", "!=", "->")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "f": "\f"}


@dataclass(frozen=True)
class Token:
    kind: str
    text: str      # as written; unquoted words in upper case
    value: str     # the string's content, the identifier's name
    start: int
    end: int


def position(sql: str, offset: int) -> tuple[int, int]:
    line = sql.count("\n", 0, offset) + 1
    return line, offset - (sql.rfind("\n", 0, offset) + 1)


def _string(sql: str, start: int) -> tuple[str, int]:
    content: list[str] = []
    at = start + 1
    while at < len(sql):
        char = sql[at]
        if char == "\\" and at + 1 < len(sql):
            content.append(ESCAPES.get(sql[at + 1], sql[at + 1]))
            at += 2
        elif char == "'":
            if sql[at + 1:at + 2] != "'":
                return "".join(content), at + 1
            content.append("'")
            at += 2
        else:
            content.append(char)
            at += 1
    raise errors.syntax(*position(sql, start), "'")


def _quoted(sql: str, start: int) -> tuple[str, int]:
    at = start + 1
    content: list[str] = []
    while at < len(sql):
        if sql[at] == '"':
            if sql[at + 1:at + 2] != '"':
                return "".join(content), at + 1
            at += 1
        content.append(sql[at])
        at += 1
    raise errors.syntax(*position(sql, start), '"')


def _is_word(char: str) -> bool:
    return char.isalnum() or char in "_$"


def tokenize(sql: str) -> list[Token]:
    """All tokens, comments left out, an END token last."""
    return list(_tokens(sql))


# One statement is looked at several times on its way, and a task's again with every run.
@lru_cache(maxsize=512)
def _tokens(sql: str) -> tuple[Token, ...]:
    tokens: list[Token] = []
    at, size = 0, len(sql)
    while at < size:
        char = sql[at]
        start = at
        if char.isspace():
            at += 1
        elif sql.startswith("--", at) or sql.startswith("//", at):
            at = sql.find("\n", at) if "\n" in sql[at:] else size
        elif sql.startswith("/*", at):
            close = sql.find("*/", at + 2)
            if close < 0:
                raise errors.syntax(*position(sql, at), "/*")
            at = close + 2
        elif char == "'":
            value, at = _string(sql, at)
            tokens.append(Token(STRING, sql[start:at], value, start, at))
        elif char == '"':
            value, at = _quoted(sql, at)
            tokens.append(Token(QUOTED, sql[start:at], value, start, at))
        elif sql.startswith("$$", at):
            close = sql.find("$$", at + 2)
            if close < 0:
                raise errors.syntax(*position(sql, at), "$$")
            at = close + 2
            tokens.append(Token(STRING, sql[start:at], sql[start + 2:close], start, at))
        elif char == "@":
            quoted = False
            while at < size and (quoted or not (sql[at].isspace() or sql[at] in "(),;")):
                quoted ^= sql[at] == '"'
                at += 1
            tokens.append(Token(STAGE, sql[start:at], sql[start + 1:at], start, at))
        elif char.isdigit():
            while at < size and (_is_word(sql[at]) or sql[at] == "."):
                at += 1
            tokens.append(Token(NUMBER, sql[start:at], sql[start:at], start, at))
        elif _is_word(char):
            while at < size and _is_word(sql[at]):
                at += 1
            word = sql[start:at].upper()
            tokens.append(Token(WORD, word, word, start, at))
        else:
            at += next((len(s) for s in SYMBOLS if sql.startswith(s, at)), 1)
            tokens.append(Token(SYMBOL, sql[start:at], sql[start:at], start, at))
    tokens.append(Token(END, "<EOF>", "", size, size))
    return tuple(tokens)


Reader = Callable[["Cursor"], Any]


class Cursor:
    """Walks over the tokens of one statement."""

    def __init__(self, sql: str, tokens: list[Token] | None = None) -> None:
        self.sql = sql
        self.tokens = tokens if tokens is not None else tokenize(sql)
        self.at = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def peek(self, *words: str, ahead: int = 0) -> bool:
        """Whether the next tokens are these unquoted words or symbols."""
        window = self.tokens[self.at + ahead:self.at + ahead + len(words)]
        return len(window) == len(words) and all(
            t.kind in (WORD, SYMBOL) and t.text == w for t, w in zip(window, words))

    def accept(self, *words: str) -> bool:
        if not self.peek(*words):
            return False
        self.at += len(words)
        return True

    def accept_one(self, *words: str) -> str | None:
        return next((w for w in words if self.accept(w)), None)

    def expect(self, *words: str) -> None:
        for word in words:
            if not self.accept(word):
                raise self.unexpected()

    def unexpected(self) -> errors.SnowflakeError:
        token = self.token
        return errors.syntax(*position(self.sql, token.start), self.sql[token.start:token.end] or "<EOF>")

    def next(self) -> Token:
        token = self.token
        self.at += 1
        return token

    def done(self) -> bool:
        return self.token.kind == END or (self.peek(";") and self.tokens[self.at + 1].kind == END)

    def finish(self) -> None:
        if not self.done():
            raise self.unexpected()

    def identifier(self) -> str:
        if self.token.kind not in (WORD, QUOTED):
            raise self.unexpected()
        return self.next().value

    def name(self) -> tuple[str, ...]:
        """A dotted name, each part normalised as Snowflake stores it."""
        parts = [self.identifier()]
        while self.accept("."):
            parts.append(self.identifier())
        return tuple(parts)

    def string(self) -> str:
        if self.token.kind != STRING:
            raise self.unexpected()
        return self.next().value

    def integer(self) -> int:
        negative = self.accept("-")
        if self.token.kind != NUMBER or not self.token.text.isdigit():
            raise self.unexpected()
        return -int(self.next().text) if negative else int(self.next().text)

    def boolean(self) -> bool:
        if self.token.kind == STRING and self.token.value.upper() in ("TRUE", "FALSE"):
            return self.next().value.upper() == "TRUE"
        word = self.accept_one("TRUE", "FALSE")
        if word is None:
            raise self.unexpected()
        return word == "TRUE"

    def strings(self) -> list[str]:
        """A parenthesised list of strings."""
        self.expect("(")
        values = [self.string()]
        while self.accept(","):
            values.append(self.string())
        self.expect(")")
        return values

    def word_or_string(self) -> str:
        return self.next().value if self.token.kind in (STRING, WORD, QUOTED, NUMBER) else self._fail()

    def _fail(self) -> Any:
        raise self.unexpected()

    def rest(self) -> str:
        """What is left of the statement, as written, without a closing semicolon."""
        start = self.token.start
        self.at = len(self.tokens) - 1
        return self.sql[start:].rstrip().removesuffix(";").rstrip()

    def parenthesised(self) -> str:
        """The text between this parenthesis and its match."""
        self.expect("(")
        start, depth = self.token.start, 1
        while True:
            token = self.next()
            if token.kind == END:
                raise self.unexpected()
            depth += (token.text == "(") - (token.text == ")") if token.kind == SYMBOL else 0
            if depth == 0:
                return self.sql[start:token.start]

    def options(self, kind: str, known: Mapping[str, Reader], stop: tuple[str, ...] = ()) -> dict[str, Any]:
        """`KEY = value` pairs, in any order; one that the kind does not have is Snowflake's error."""
        found: dict[str, Any] = {}
        while self.token.kind == WORD and self.token.text not in stop:
            key = self.token.text
            if not (self.tokens[self.at + 1].text == "=" and self.tokens[self.at + 1].kind == SYMBOL):
                raise self.unexpected()
            if key not in known:
                raise errors.invalid_property(key, kind)
            if key in found:
                raise errors.compilation(f"duplicate property '{key}'; only one allowed.", "001424", "42601")
            self.at += 2
            found[key] = known[key](self)
            self.accept(",")
        return found


def reads_string(cursor: Cursor) -> str:
    return cursor.string()


def reads_boolean(cursor: Cursor) -> bool:
    return cursor.boolean()


def reads_integer(cursor: Cursor) -> int:
    return cursor.integer()


def reads_word(cursor: Cursor) -> str:
    return cursor.word_or_string().upper()


def reads_strings(cursor: Cursor) -> list[str]:
    return cursor.strings()


def reads_name(cursor: Cursor) -> tuple[str, ...]:
    """A name, also one written as a string, as in FORMAT_NAME = 'D.S.F'."""
    return split_name(cursor.string()) if cursor.token.kind == STRING else cursor.name()


def split_name(text: str) -> tuple[str, ...]:
    """The parts of a name that is held in a string."""
    cursor = Cursor(text)
    parts = cursor.name()
    cursor.finish()
    return parts


def quote(name: str) -> str:
    """A SQL identifier, always quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A SQL string literal for DuckDB."""
    return "'" + value.replace("'", "''") + "'"


def display(*parts: str) -> str:
    """A dotted name with quotes only where Snowflake would need them."""
    def one(part: str) -> str:
        plain = part and part.upper() == part and all(_is_word(c) for c in part) and not part[0].isdigit() and part[0] != "$"
        return part if plain else quote(part)
    return ".".join(one(p) for p in parts)


def split_statements(sql: str) -> list[str]:
    """The statements of a multi-statement text; a BEGIN … END block is one."""
    tokens = tokenize(sql)
    statements: list[str] = []
    start, depth, declaring = 0, 0, False
    for index, token in enumerate(tokens):
        if token.kind == WORD and token.text == "DECLARE" and (index == 0 or tokens[index - 1].text in (";", "BEGIN", "THEN", "AS")):
            depth, declaring = depth + 1, True
        elif token.kind == WORD and token.text == "BEGIN" and declaring:
            declaring = False
        elif token.kind == WORD and token.text in ("BEGIN", "CASE", "IF", "FOR", "WHILE", "LOOP", "REPEAT", "END"):
            depth = max(0, depth + _block_change(tokens, index))
        if token.kind == END or (depth == 0 and token.kind == SYMBOL and token.text == ";"):
            text = sql[start:token.start].strip()
            if text and any(t.kind != END for t in tokenize(text)):
                statements.append(text)
            start = token.end
    return statements


def _block_change(tokens: list[Token], index: int) -> int:
    token, after = tokens[index], tokens[index + 1] if index + 1 < len(tokens) else tokens[-1]
    first = index == 0 or tokens[index - 1].text in (";", "THEN", "ELSE", "DO", "LOOP", "BEGIN", "AS", "$$")
    if token.text == "BEGIN":
        transaction = after.kind == END or after.text in (";", "TRANSACTION", "WORK", "NAME")
        return 0 if transaction else 1
    if token.text == "CASE":
        return 0 if index and tokens[index - 1].text == "END" else 1
    if token.text in ("IF", "FOR", "WHILE", "LOOP", "REPEAT"):
        return 1 if first and (token.text in ("LOOP", "REPEAT", "FOR") or after.text == "(") else 0
    if token.text == "END":
        return -1
    return 0
