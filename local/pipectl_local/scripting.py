# SPDX-License-Identifier: Apache-2.0
"""Snowflake Scripting, the part that tasks need: blocks, variables, IF, loops, RAISE, handlers.

https://docs.snowflake.com/en/developer-guide/snowflake-scripting/index
Statements are interpreted from their tokens; expressions are evaluated as queries.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import errors
from .lexer import END, STRING, SYMBOL, WORD, Cursor, Token
from .result import Result, table

if TYPE_CHECKING:
    from .context import Context

MAX_ITERATIONS = 1_000_000
SQL_WORDS = {"SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "CREATE", "ALTER", "DROP", "GRANT", "REVOKE", "COPY",
             "SHOW", "COMMIT", "ROLLBACK", "START", "USE", "EXECUTE", "DESC", "DESCRIBE", "CALL", "LIST", "BEGIN"}
Step = Callable[["Frame"], None]


class Returned(Exception):
    def __init__(self, value: Any) -> None:
        super().__init__("RETURN")
        self.value = value


class LoopExit(Exception):
    pass


class LoopNext(Exception):
    pass


@dataclass
class Frame:
    """A running block."""

    context: "Context"
    execute: Callable[["Context", str], Result]
    error: errors.SnowflakeError | None = None
    exceptions: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def variables(self) -> dict[str, Any]:
        return self.context.variables

    def evaluate(self, text: str) -> Any:
        """The value of an expression; variables may stand without a colon."""
        from . import query
        self.context.expression = True
        try:
            found = query.run(self.context, f"SELECT {text}")
        finally:
            self.context.expression = False
        return found.rows[0][0] if found.rows else None

    def run_sql(self, text: str) -> Result:
        outcome = self.execute(self.context, text)
        affected = outcome.stats
        if affected is not None:
            count = affected["numRowsInserted"] + affected["numRowsUpdated"] + affected["numRowsDeleted"]
            self.context.variables |= {"SQLROWCOUNT": count, "SQLFOUND": count > 0, "SQLNOTFOUND": count == 0}
        return outcome


def is_block(text: str) -> bool:
    cursor = Cursor(text)
    if cursor.peek("DECLARE"):
        return True
    after = cursor.tokens[1] if len(cursor.tokens) > 1 else cursor.token
    return cursor.peek("BEGIN") and not (after.kind == END or after.text in (";", "TRANSACTION", "WORK", "NAME"))


class Parser:
    """Builds steps from a block's tokens."""

    def __init__(self, text: str) -> None:
        self.cursor = Cursor(text)

    def program(self) -> Step:
        block = self.block()
        self.cursor.accept(";")
        self.cursor.finish()
        return block

    def block(self) -> Step:
        declarations: list[Step] = []
        cursor = self.cursor
        if cursor.accept("DECLARE"):
            while not cursor.peek("BEGIN"):
                declarations.append(self.declaration())
                cursor.expect(";")
        cursor.expect("BEGIN")
        body = self.statements("END", "EXCEPTION")
        handlers: list[tuple[list[str], list[Step]]] = []
        if cursor.accept("EXCEPTION"):
            while cursor.accept("WHEN"):
                names = [cursor.identifier()]
                while cursor.accept("OR"):
                    names.append(cursor.identifier())
                cursor.accept("EXIT")
                cursor.expect("THEN")
                handlers.append((names, self.statements("WHEN", "END")))
        cursor.expect("END")

        def run(frame: Frame) -> None:
            for step in declarations:
                step(frame)
            try:
                for step in body:
                    step(frame)
            except errors.SnowflakeError as error:
                handle(frame, error, handlers)
        return run

    def declaration(self) -> Step:
        cursor = self.cursor
        name = cursor.identifier()
        if cursor.accept("EXCEPTION"):
            cursor.expect("(")
            code = str(cursor.integer())
            cursor.expect(",")
            message = cursor.string()
            cursor.expect(")")
            return lambda frame: frame.exceptions.__setitem__(name, (code, message))
        if cursor.peek("CURSOR") or cursor.peek("RESULTSET"):
            raise errors.unsupported(f"{cursor.token.text} in a block")
        self._type()
        if cursor.accept_one("DEFAULT", ":="):
            return self._assign(name, self.expression(";"))
        return lambda frame: frame.variables.__setitem__(name, None)

    def _type(self) -> None:
        from . import sftypes
        if self.cursor.token.kind == WORD and not self.cursor.peek("DEFAULT"):
            sftypes.parse(self.cursor)

    def statements(self, *stops: str) -> list[Step]:
        steps: list[Step] = []
        while not any(self.cursor.peek(stop) for stop in stops):
            steps.append(self.statement())
            self.cursor.expect(";")
        return steps

    def statement(self) -> Step:
        cursor = self.cursor
        token = cursor.token
        if token.kind == WORD:
            if token.text in ("BEGIN", "DECLARE") and not self._transaction():
                return self.block()
            special = {"LET": self.let, "IF": self.condition, "RETURN": self.returning, "RAISE": self.raising, "WHILE": self.while_loop,
                       "FOR": self.for_loop, "LOOP": self.loop, "REPEAT": self.repeat_loop}.get(token.text)
            if special:
                cursor.next()
                return special()
            if cursor.accept_one("BREAK", "EXIT"):
                return _raiser(LoopExit)
            if cursor.accept_one("CONTINUE", "ITERATE"):
                return _raiser(LoopNext)
            if cursor.peek("NULL", ";"):
                cursor.next()
                return lambda frame: None
            following = cursor.tokens[cursor.at + 1]
            if following.text == ":=":
                name = cursor.identifier()
                cursor.next()
                return self._assign(name, self.expression(";"))
        if token.kind == WORD and token.text in SQL_WORDS:
            text = self.raw(";")
            if token.text == "EXECUTE" and text.upper().split()[:2] == ["EXECUTE", "IMMEDIATE"]:
                return self.immediate(text)
            return lambda frame: _keep(frame, frame.run_sql(text))
        raise cursor.unexpected()

    @staticmethod
    def immediate(text: str) -> Step:
        """EXECUTE IMMEDIATE of a string or of a variable: https://docs.snowflake.com/en/sql-reference/sql/execute-immediate"""
        cursor = Cursor(text)
        cursor.expect("EXECUTE", "IMMEDIATE")
        if cursor.token.kind == STRING:
            statement = cursor.string()
            cursor.finish()
            return lambda frame: _keep(frame, frame.run_sql(statement))
        cursor.accept(":")
        name = cursor.identifier()
        if cursor.peek("USING"):
            raise errors.unsupported("EXECUTE IMMEDIATE … USING")
        cursor.finish()

        def run(frame: Frame) -> None:
            if name not in frame.variables:
                raise errors.invalid_identifier(name)
            _keep(frame, frame.run_sql(str(frame.variables[name])))
        return run

    def _transaction(self) -> bool:
        return self.cursor.peek("BEGIN") and self.cursor.tokens[self.cursor.at + 1].text in (";", "TRANSACTION", "WORK", "NAME")

    def let(self) -> Step:
        name = self.cursor.identifier()
        if not self.cursor.peek(":=") and not self.cursor.peek("DEFAULT"):
            self._type()
        if self.cursor.accept_one(":=", "DEFAULT") is None:
            raise self.cursor.unexpected()
        return self._assign(name, self.expression(";"))

    @staticmethod
    def _assign(name: str, text: str) -> Step:
        return lambda frame: frame.variables.__setitem__(name, frame.evaluate(text))

    def condition(self) -> Step:
        cursor = self.cursor
        branches: list[tuple[str | None, list[Step]]] = []
        test: str | None = self.expression("THEN")
        cursor.expect("THEN")
        branches.append((test, self.statements("ELSEIF", "ELSE", "END")))
        while cursor.accept("ELSEIF"):
            test = self.expression("THEN")
            cursor.expect("THEN")
            branches.append((test, self.statements("ELSEIF", "ELSE", "END")))
        if cursor.accept("ELSE"):
            branches.append((None, self.statements("END")))
        cursor.expect("END", "IF")

        def run(frame: Frame) -> None:
            for test_text, steps in branches:
                if test_text is None or frame.evaluate(test_text) is True:
                    for step in steps:
                        step(frame)
                    return
        return run

    def returning(self) -> Step:
        text = "" if self.cursor.peek(";") else self.expression(";")

        def run(frame: Frame) -> None:
            raise Returned(frame.evaluate(text) if text else None)
        return run

    def raising(self) -> Step:
        name = None if self.cursor.peek(";") else self.cursor.identifier()

        def run(frame: Frame) -> None:
            if name is None:
                raise frame.error or errors.execution("RAISE without an active exception.")
            if name not in frame.exceptions:
                raise errors.compilation(f"Exception '{name}' is not declared.", "000904")
            code, message = frame.exceptions[name]
            raise errors.execution(f"Uncaught exception of type '{name}': {message}", code, "P0001")
        return run

    def while_loop(self) -> Step:
        word = self._until("DO", "LOOP")
        body, test = self._body("WHILE" if word[1] == "DO" else "LOOP"), word[0]
        return lambda frame: _iterate(frame, body, lambda: frame.evaluate(test) is True)

    def repeat_loop(self) -> Step:
        body = self.statements("UNTIL")
        self.cursor.expect("UNTIL")
        test = self.expression("END")
        self.cursor.expect("END", "REPEAT")
        state = {"first": True}

        def run(frame: Frame) -> None:
            state["first"] = True

            def again() -> bool:
                first, state["first"] = state["first"], False
                return first or frame.evaluate(test) is not True
            _iterate(frame, body, again)
        return run

    def loop(self) -> Step:
        body = self._body("LOOP")
        return lambda frame: _iterate(frame, body, lambda: True)

    def for_loop(self) -> Step:
        cursor = self.cursor
        name = cursor.identifier()
        cursor.expect("IN")
        down = cursor.accept("REVERSE")
        low = self.expression("TO")
        cursor.expect("TO")
        high, word = self._until("DO", "LOOP")
        body = self._body("FOR" if word == "DO" else "LOOP")

        def run(frame: Frame) -> None:
            first, last = int(frame.evaluate(low)), int(frame.evaluate(high))
            values = iter(range(last, first - 1, -1) if down else range(first, last + 1))

            def again() -> bool:
                value = next(values, None)
                if value is None:
                    return False
                frame.variables[name] = value
                return True
            _iterate(frame, body, again)
        return run

    def _until(self, *words: str) -> tuple[str, str]:
        text = self.expression(*words)
        word = self.cursor.accept_one(*words)
        assert word is not None
        return text, word

    def _body(self, closing: str) -> list[Step]:
        steps = self.statements("END")
        self.cursor.expect("END", closing)
        return steps

    def raw(self, *stops: str) -> str:
        """The text up to a stop word outside parentheses and CASE."""
        cursor = self.cursor
        start, depth = cursor.token.start, 0
        while True:
            token: Token = cursor.token
            if token.kind == END:
                raise cursor.unexpected()
            if depth == 0 and token.kind in (WORD, SYMBOL) and token.text in stops:
                return cursor.sql[start:token.start].strip()
            depth += (token.text in ("(", "CASE")) - (token.text in (")", "END") and depth > 0) if token.kind in (WORD, SYMBOL) else 0
            cursor.next()

    def expression(self, *stops: str) -> str:
        text = self.raw(*stops)
        if not text:
            raise self.cursor.unexpected()
        return text


def _raiser(kind: type[Exception]) -> Step:
    def run(frame: Frame) -> None:
        raise kind()
    return run


def _keep(frame: Frame, outcome: Result) -> None:
    frame.variables["$LAST_RESULT"] = outcome


def _iterate(frame: Frame, body: list[Step], again: Callable[[], bool]) -> None:
    for _ in range(MAX_ITERATIONS):
        if frame.context.cancelled.is_set():
            raise errors.execution("SQL execution canceled", "000604", "57014")
        if not again():
            return
        try:
            for step in body:
                step(frame)
        except LoopNext:
            continue
        except LoopExit:
            return
    raise errors.execution("Loop exceeded the maximum number of iterations.")


def handle(frame: Frame, error: errors.SnowflakeError, handlers: list[tuple[list[str], list[Step]]]) -> None:
    """EXCEPTION: the first handler that fits, with SQLCODE, SQLERRM and SQLSTATE set."""
    for names, steps in handlers:
        declared = any(n in frame.exceptions and frame.exceptions[n][0] == error.code for n in names)
        if not (declared or "OTHER" in names or ("STATEMENT_ERROR" in names and not error.code.startswith("-2"))):
            continue
        before = frame.error
        frame.error = error
        frame.context.variables |= {"SQLCODE": int(error.code), "SQLERRM": error.message, "SQLSTATE": error.sqlstate}
        try:
            for step in steps:
                step(frame)
        finally:
            frame.error = before
        return
    raise error


def check(text: str) -> None:
    """Syntax of a block, as CREATE TASK checks it."""
    Parser(text).program()


def run(context: "Context", text: str, execute: Callable[["Context", str], Result], keep_transaction: bool = False) -> Result:
    """Run an anonymous block, or a procedure's; a transaction that was open before it stays so."""
    program = Parser(text).program()
    saved = dict(context.variables)
    context.variables |= {"SQLROWCOUNT": None, "SQLFOUND": None, "SQLNOTFOUND": None}
    value: Any = None
    try:
        program(Frame(context, execute))
    except Returned as returned:
        value = returned.value
    finally:
        if not keep_transaction:
            context.session.rollback()
        context.variables = saved
    return table(("anonymous block",), [(None if value is None else str(value),)])


