# SPDX-License-Identifier: Apache-2.0
"""COPY INTO <table>: its clauses, and loading one file.

https://docs.snowflake.com/en/sql-reference/sql/copy-into-table
"""
from __future__ import annotations

import bz2
import datetime as dt
import gzip
import json
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
from sqlglot import exp

from . import errors, privileges, stage
from .catalog import Stage, Table, now
from .identity import AwsRefused, S3Object
from .lexer import Cursor, display, literal, quote, reads_boolean, reads_string, reads_strings, reads_word
from .query import SessionResolver, translate_error
from .result import Result, table
from .translate import Translation, parse

if TYPE_CHECKING:
    from .context import Context

ON_ERRORS = ("ABORT_STATEMENT", "CONTINUE", "SKIP_FILE")
METADATA = ("METADATA$FILENAME", "METADATA$FILE_ROW_NUMBER", "METADATA$FILE_LAST_MODIFIED", "METADATA$START_SCAN_TIME",
            "METADATA$FILE_CONTENT_KEY")


def reads_on_error(cursor: Cursor) -> str:
    word = reads_word(cursor)
    if word not in ON_ERRORS:
        raise errors.unsupported(f"ON_ERROR = {word}") if word.startswith("SKIP_FILE") else errors.invalid_value(word, "ON_ERROR")
    return word


def reads_match(cursor: Cursor) -> str:
    word = reads_word(cursor)
    if word not in ("CASE_SENSITIVE", "CASE_INSENSITIVE", "NONE"):
        raise errors.invalid_value(word, "MATCH_BY_COLUMN_NAME")
    return word


OPTIONS = {"FILE_FORMAT": stage.reads_file_format, "PATTERN": reads_string, "FILES": reads_strings, "ON_ERROR": reads_on_error,
           "FORCE": reads_boolean, "PURGE": reads_boolean, "MATCH_BY_COLUMN_NAME": reads_match}


@dataclass
class Copy:
    """A parsed COPY INTO."""

    table: tuple[str, ...]
    columns: list[str]
    stage: tuple[str, ...]
    path: str
    select: str | None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Loaded:
    """What became of one file."""

    status: str
    parsed: int = 0
    loaded: int = 0
    errors_seen: int = 0
    first_error: str | None = None
    first_line: int | None = None
    first_column: str | None = None
    size: int = 0
    time: dt.datetime = field(default_factory=now)


def read(cursor: Cursor) -> Copy:
    """Reads after COPY INTO."""
    name = cursor.name()
    columns: list[str] = []
    if cursor.accept("("):
        columns.append(cursor.identifier())
        while cursor.accept(","):
            columns.append(cursor.identifier())
        cursor.expect(")")
    cursor.expect("FROM")
    select = None
    if cursor.peek("("):
        select = cursor.parenthesised()
        inner = Cursor(select)
        references = [t for t in inner.tokens if t.kind == "stage"]
        if len(references) != 1:
            raise errors.compilation("COPY with transformation requires exactly one stage in FROM.")
        reference = references[0].text
    elif cursor.token.kind == "stage":
        reference = cursor.next().text
    else:
        raise errors.unsupported("COPY FROM anything but a stage")
    options = cursor.options("COPY", OPTIONS)
    cursor.finish()
    stage_name, path = stage.split_reference(reference)
    found = Copy(name, columns, stage_name, path, select, options)
    if select is not None:
        _parse_select(select)
    return found


def _parse_select(text: str) -> exp.Expression:
    tree = parse(text)
    if not isinstance(tree, exp.Select) or tree.args.get("where") or tree.args.get("joins") or tree.args.get("group"):
        raise errors.compilation("COPY statement only supports simple SELECT from stage statements for import.", "002104", "0A000")
    return tree


class FileResolver(SessionResolver):
    """Resolves the stage in a COPY transformation to the file's records."""

    def __init__(self, context: "Context", source: str) -> None:
        super().__init__(context, modifies=False)
        self._source = source

    def stage(self, text: str) -> str:
        return self._source


class Loader:
    """Loads files of one COPY into its table."""

    def __init__(self, context: "Context", copy: Copy) -> None:
        self.context = context
        self.copy = copy
        self.stage: Stage = stage.usable(context, copy.stage)
        self.table: Table = context.get("TABLE", copy.table, "INSERT", "OWNERSHIP")
        given = copy.options.get("FILE_FORMAT") or self.stage.file_format
        self.format, self.format_options = stage.resolve_format(context, given)
        if self.format != "JSON":
            raise errors.unsupported(f"COPY of files of type {self.format}")
        self.on_error = copy.options.get("ON_ERROR", "ABORT_STATEMENT")
        self.bucket, self.prefix = stage.location(self.stage, copy.path)
        self.stage_bucket, self.stage_prefix = stage.location(self.stage, "")
        for name in copy.columns:
            self.table.column(name)
        self.pattern = re.compile(copy.options["PATTERN"]) if "PATTERN" in copy.options else None

    def wants(self, key: str) -> bool:
        """Whether a key lies under the stage's URL and the statement's path, and fits its pattern."""
        if not key.startswith(self.prefix) or key.endswith("/"):
            return False
        if "FILES" in self.copy.options and key.removeprefix(self.prefix) not in self.copy.options["FILES"]:
            return False
        return self.pattern is None or self.pattern.fullmatch(key) is not None

    def candidates(self, prefix: str = "") -> list[S3Object]:
        credentials = stage.storage(self.context, self.stage)
        lists = self.context.cloud.identity.list_objects
        if "FILES" in self.copy.options:
            # Looked up by name, whatever else lies in the folder.
            keys = [self.prefix + name for name in dict.fromkeys(self.copy.options["FILES"])]
            return [o for key in keys for o in lists(credentials, self.bucket, key) if o.key == key and self.wants(key)]
        return [o for o in lists(credentials, self.bucket, self.prefix + prefix) if self.wants(o.key)]

    def relative(self, key: str) -> str:
        return key.removeprefix(self.stage_prefix)

    def load(self, key: str) -> Loaded:
        """Read one file and put its rows into the table, all in one transaction."""
        credentials = stage.storage(self.context, self.stage)
        body, item = self.context.cloud.identity.read_object(credentials, self.bucket, key)
        outcome = Loaded("LOADED", size=len(body))
        session = self.context.session
        try:
            rows = self._evaluate(self._records(body, key, outcome), item, outcome)
        except errors.SnowflakeError as error:
            outcome.first_error = outcome.first_error or error.message
            outcome.errors_seen = max(1, outcome.errors_seen)
            outcome.status, outcome.loaded = "LOAD_FAILED", 0
            return outcome
        try:
            with session.writing():
                before = session.last_row_id()
                columns = ", ".join(quote(c) for c in self._columns())
                session.execute(f"INSERT INTO store.t{self.table.physical} ({columns}) SELECT * EXCLUDE (__line) FROM {rows} ORDER BY __line")
                outcome.loaded = session.scalar(f"SELECT count(*) FROM {rows}")
                session.capture(self.table, before)
        finally:
            session.execute(f"DROP TABLE IF EXISTS {rows}")
        outcome.status = "PARTIALLY_LOADED" if outcome.errors_seen else "LOADED"
        return outcome

    def _columns(self) -> list[str]:
        return self.copy.columns or [c.name for c in self.table.columns]

    def _records(self, body: bytes, key: str, outcome: Loaded) -> list[tuple[int, str]]:
        try:
            text = decompress(body, key, self.format_options.get("COMPRESSION", "AUTO")).decode("utf-8-sig")
        except (UnicodeDecodeError, OSError, EOFError, zlib.error) as error:
            raise errors.execution(f"Invalid UTF8 or compression detected in file '{key}': {error}", "100144", "22000") from error
        records: list[tuple[int, str]] = []
        for number, record, problem in json_records(text, bool(self.format_options.get("STRIP_OUTER_ARRAY"))):
            outcome.parsed += 1
            if problem is None:
                records.append((number, record))
                continue
            self._note(outcome, problem, number, None)
            if self.on_error != "CONTINUE":
                raise errors.execution(problem, "100069", "22P02")
        return records

    def _note(self, outcome: Loaded, problem: str, line: int, column: str | None) -> None:
        outcome.errors_seen += 1
        if outcome.first_error is None:
            outcome.first_error, outcome.first_line, outcome.first_column = problem, line, column

    def _evaluate(self, records: list[tuple[int, str]], item: S3Object, outcome: Loaded) -> str:
        """A temporary table with the rows as the target's types; bad rows left out under CONTINUE."""
        session = self.context.session
        session.execute("CREATE OR REPLACE TEMP TABLE copy_records (line BIGINT, record VARCHAR)")
        session.execute("INSERT INTO temp.copy_records SELECT unnest(?), unnest(?)", [[r[0] for r in records], [r[1] for r in records]])
        select = self._select(item)
        try:
            session.execute(f"CREATE OR REPLACE TEMP TABLE copy_rows AS {select}")
        except duckdb.Error as error:
            problem = translate_error(error)
            if self.on_error != "CONTINUE":
                self._note(outcome, problem.message, self._first_bad(records, select), None)
                raise problem from error
            self._evaluate_each(records, select, outcome)
        self._check_values(outcome)
        return "temp.copy_rows"

    def _first_bad(self, records: list[tuple[int, str]], select: str) -> int:
        low, high = 0, len(records)
        while high - low > 1:
            middle = (low + high) // 2
            try:
                self.context.session.execute(f"SELECT * FROM ({select}) WHERE __line BETWEEN {records[low][0]} AND {records[middle - 1][0]}").fetchall()
                low = middle
            except duckdb.Error:
                high = middle
        return records[low][0] if records else 1

    def _evaluate_each(self, records: list[tuple[int, str]], select: str, outcome: Loaded) -> None:
        session = self.context.session
        session.execute("CREATE OR REPLACE TEMP TABLE copy_all AS FROM temp.copy_records")
        created = False
        for line, _ in records:
            session.execute("DELETE FROM temp.copy_records")
            session.execute(f"INSERT INTO temp.copy_records FROM temp.copy_all WHERE line = {line}")
            try:
                rows = session.execute(select).fetchall()
            except duckdb.Error as error:
                self._note(outcome, translate_error(error).message, line, None)
                continue
            if not created:
                session.execute(f"CREATE OR REPLACE TEMP TABLE copy_rows AS {select}")
                created = True
            elif rows:
                session.execute(f"INSERT INTO temp.copy_rows {select}")
        if not created:
            raise errors.execution(outcome.first_error or "no valid rows", "100100", "22000")

    def _check_values(self, outcome: Loaded) -> None:
        """NOT NULL and VARCHAR length, which the temporary table does not have."""
        session = self.context.session
        for name in self._columns():
            column = self.table.column(name)
            tests = []
            if not column.nullable:
                tests.append((f"{quote(name)} IS NULL", f"NULL result in a non-nullable column: {name}"))
            if column.type.kind == "TEXT" and column.type.length and column.type.length < 16777216:
                tests.append((f"length({quote(name)}) > {column.type.length}", f"User character length limit ({column.type.length}) exceeded by string"))
            for test, message in tests:
                bad = [r[0] for r in session.execute(f"SELECT __line FROM temp.copy_rows WHERE {test}").fetchall()]
                for line in bad:
                    self._note(outcome, message, line, name)
                if bad and self.on_error != "CONTINUE":
                    raise errors.execution(message, "100072", "22000")
                if bad:
                    session.execute(f"DELETE FROM temp.copy_rows WHERE {test}")

    def _select(self, item: S3Object) -> str:
        modified = item.modified.replace(tzinfo=None, microsecond=0).isoformat(sep=" ")
        source = (f"(SELECT CAST(record AS JSON) AS \"$1\", {literal(item.key)} AS \"METADATA$FILENAME\", line AS \"METADATA$FILE_ROW_NUMBER\", "
                  f"TIMESTAMP {literal(modified)} AS \"METADATA$FILE_LAST_MODIFIED\", current_timestamp AS \"METADATA$START_SCAN_TIME\", "
                  f"{literal(item.etag)} AS \"METADATA$FILE_CONTENT_KEY\", line AS __line FROM temp.copy_records)")
        columns = self._columns()
        if self.copy.select is None:
            return self._plain(columns, source)
        tree = _parse_select(self.copy.select)
        if len(tree.expressions) != len(columns):
            raise errors.compilation(f"Insert value list does not match column list expecting {len(columns)} but got {len(tree.expressions)}",
                                     "002020", "21S01")
        for node in list(tree.find_all(exp.Parameter)):
            if node.name not in ("1", ""):
                raise errors.compilation(f"invalid column ${node.name}: JSON files have one column, $1", "001003")
            column = exp.column(exp.to_identifier("$1", quoted=True))
            (node.parent if isinstance(node.parent, exp.Column) else node).replace(column)
        casts = []
        tree.set("expressions", [e.this if isinstance(e, exp.Alias) else e for e in tree.expressions])
        tree.set("expressions", [exp.alias_(e, f"__c{i}", quoted=True) for i, e in enumerate(tree.expressions)])
        tree.append("expressions", exp.column(exp.to_identifier("__line", quoted=True)))
        sql = Translation(tree, FileResolver(self.context, source)).sql()
        for index, name in enumerate(columns):
            casts.append(f"{self._cast(f'__c{index}', self.table.column(name).type)} AS {quote(name)}")
        return f"SELECT {', '.join(casts)}, __line FROM ({sql})"

    def _plain(self, columns: list[str], source: str) -> str:
        """Without a transformation: the record as it is, or its keys matched with the columns."""
        match = self.copy.options.get("MATCH_BY_COLUMN_NAME", "NONE")
        if match == "NONE":
            if len(columns) != 1 or self.table.column(columns[0]).type.kind not in ("VARIANT", "OBJECT", "ARRAY"):
                raise errors.execution("JSON file format can produce one and only one column of type variant, object, or array. Load data into "
                                       "separate columns using the MATCH_BY_COLUMN_NAME copy option or copy with transformation.", "002019", "0A000")
            return f'SELECT "$1" AS {quote(columns[0])}, __line FROM {source}'
        found, casts = [], []
        for index, name in enumerate(columns):
            if match == "CASE_INSENSITIVE":
                key = f'list_filter(json_keys("$1"), lambda k: upper(k) = {literal(name.upper())})[1]'
                found.append(f"json_extract(\"$1\", '$.' || to_json({key})) AS __c{index}")
            else:
                found.append(f'json_extract("$1", {literal("$." + json.dumps(name))}) AS __c{index}')
            casts.append(f"{self._cast(f'__c{index}', self.table.column(name).type)} AS {quote(name)}")
        return f"SELECT {', '.join(casts)}, __line FROM (SELECT {', '.join(found)}, __line FROM {source})"

    @staticmethod
    def _cast(value: str, kind: Any) -> str:
        if kind.kind in ("VARIANT", "OBJECT", "ARRAY"):
            return f"sf_variant({value})"
        if kind.kind == "TEXT":
            return f"sf_text({value})"
        if kind.kind in ("FIXED", "REAL"):
            return f"CAST(sf_number_text({value}) AS {kind.duck})"
        macro = {"BOOLEAN": "sf_boolean", "DATE": "sf_date", "TIME": "sf_time", "TIMESTAMP_NTZ": "sf_ntz"}.get(kind.kind)
        if macro is None and kind.kind.startswith("TIMESTAMP"):
            macro = "sf_tz"
        return f"{macro}({value})" if macro else f"CAST({value} AS {kind.duck})"


def decompress(body: bytes, key: str, compression: str) -> bytes:
    if compression == "GZIP" or (compression == "AUTO" and body[:2] == b"\x1f\x8b"):
        return gzip.decompress(body)
    if compression == "BZ2" or (compression == "AUTO" and body[:3] == b"BZh"):
        return bz2.decompress(body)
    if compression == "DEFLATE":
        return zlib.decompress(body)
    if compression == "RAW_DEFLATE":
        return zlib.decompress(body, -15)
    return body


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant, strict=False)
BLANK = re.compile(r"[\s,]*")
SPACE = re.compile(r"\s*")


def json_records(text: str, strip_outer_array: bool) -> Any:
    """Yields (row number, the record as written, what is wrong with it)."""
    at, number = SPACE.match(text, 0).end(), 0  # type: ignore[union-attr]
    inside = False
    while at < len(text):
        if strip_outer_array and not inside and text[at] == "[":
            inside, at = True, SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
            continue
        if inside and text[at] == "]":
            inside, at = False, SPACE.match(text, at + 1).end()  # type: ignore[union-attr]
            continue
        number += 1
        try:
            _, end = DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, at) + 1
            yield number, "", f"Error parsing JSON: {getattr(error, 'msg', error)}, line {line}"
            following = text.find("\n", at)
            if following < 0 or inside:
                return
            at = SPACE.match(text, following).end()  # type: ignore[union-attr]
            continue
        yield number, text[at:end], None
        at = (BLANK if inside else SPACE).match(text, end).end()  # type: ignore[union-attr]
    if inside:
        yield number + 1, "", "Error parsing JSON: incomplete array"


def run(context: "Context", cursor: Cursor) -> Result:
    """A COPY INTO statement of its own; the table remembers what it loaded."""
    copy = read(cursor)
    loader = Loader(context, copy)
    privileges.require(context, loader.table, "INSERT")
    names = ("file", "status", "rows_parsed", "rows_loaded", "error_limit", "errors_seen", "first_error", "first_error_line",
             "first_error_character", "first_error_column_name")
    try:
        items = loader.candidates()
    except AwsRefused as error:
        raise errors.execution(str(error), "003167", "42601") from error
    if "FILES" in copy.options and loader.on_error == "ABORT_STATEMENT":
        found = {item.key.removeprefix(loader.prefix) for item in items}
        for name in copy.options["FILES"]:
            if name not in found:
                # https://docs.snowflake.com/en/sql-reference/sql/copy-into-table (ON_ERROR): what is named must be there
                raise errors.execution(f"Remote file 's3://{loader.bucket}/{loader.prefix}{name}' was not found. There are several potential causes. "
                                       "The file might not exist.", "091016", "22000")
    rows = []
    for item in items:
        if not copy.options.get("FORCE") and loader.table.copied_files.get(item.key) == item.etag:
            continue
        try:
            outcome = loader.load(item.key)
        except AwsRefused as error:
            raise errors.execution(str(error), "003167", "42601") from error
        context.cloud.history.copied(loader, item.key, outcome, None)
        if outcome.status == "LOAD_FAILED" and loader.on_error == "ABORT_STATEMENT":
            raise errors.execution(f"{outcome.first_error}\n  File '{item.key}', line {outcome.first_line}, character 1\n"
                                   "  If you would like to continue loading when an error is encountered, use other values such as 'SKIP_FILE' or "
                                   "'CONTINUE' for the ON_ERROR option.", "100038", "22018")
        if outcome.status != "LOAD_FAILED":
            remember(context, loader.table, item)
        rows.append((f"s3://{loader.bucket}/{item.key}", outcome.status, outcome.parsed, outcome.loaded, 1, outcome.errors_seen,
                     outcome.first_error, outcome.first_line, None, outcome.first_column))
    if not rows:
        return table(("status",), [("Copy executed with 0 files processed.",)])
    return table(names, rows)


def remember(context: "Context", table: Table, item: S3Object) -> None:
    """The table has loaded the file, unless its transaction is rolled back."""
    def note() -> None:
        table.copied_files[item.key] = item.etag
    if context.session.in_transaction:
        context.session.on_commit(note)
    else:
        note()


def full_table_name(copy: Copy) -> str:
    return display(*copy.table)
