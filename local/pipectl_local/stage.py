# SPDX-License-Identifier: Apache-2.0
"""File formats and external stages.

https://docs.snowflake.com/en/sql-reference/sql/create-stage
https://docs.snowflake.com/en/sql-reference/sql/create-file-format
"""
from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from . import ddl, errors, integration, privileges
from .catalog import FileFormat, Stage
from .identity import AwsRefused
from .lexer import Cursor, display, reads_boolean, reads_integer, reads_name, reads_string, reads_word
from .result import Result, done, table

if TYPE_CHECKING:
    from .context import Context


def reads_null_if(cursor: Cursor) -> list[str]:
    if cursor.peek("(", ")"):
        cursor.at += 2
        return []
    return cursor.strings()


def reads_string_or_none(cursor: Cursor) -> str | None:
    return None if cursor.accept("NONE") else reads_string(cursor)


COMMON = {"COMPRESSION": reads_word, "TRIM_SPACE": reads_boolean, "NULL_IF": reads_null_if, "REPLACE_INVALID_CHARACTERS": reads_boolean,
          "SKIP_BYTE_ORDER_MARK": reads_boolean, "DATE_FORMAT": reads_string, "TIME_FORMAT": reads_string, "TIMESTAMP_FORMAT": reads_string,
          "BINARY_FORMAT": reads_word, "FILE_EXTENSION": reads_string}
TYPE_OPTIONS: dict[str, dict[str, Any]] = {
    "JSON": COMMON | {"STRIP_OUTER_ARRAY": reads_boolean, "STRIP_NULL_VALUES": reads_boolean, "ENABLE_OCTAL": reads_boolean,
                      "ALLOW_DUPLICATE": reads_boolean, "IGNORE_UTF8_ERRORS": reads_boolean, "MULTI_LINE": reads_boolean},
    "CSV": COMMON | {"RECORD_DELIMITER": reads_string_or_none, "FIELD_DELIMITER": reads_string_or_none, "SKIP_HEADER": reads_integer,
                     "PARSE_HEADER": reads_boolean, "SKIP_BLANK_LINES": reads_boolean, "ESCAPE": reads_string_or_none,
                     "ESCAPE_UNENCLOSED_FIELD": reads_string_or_none, "FIELD_OPTIONALLY_ENCLOSED_BY": reads_string_or_none,
                     "ERROR_ON_COLUMN_COUNT_MISMATCH": reads_boolean, "EMPTY_FIELD_AS_NULL": reads_boolean, "ENCODING": reads_string},
    "PARQUET": COMMON | {"BINARY_AS_TEXT": reads_boolean, "USE_LOGICAL_TYPE": reads_boolean, "USE_VECTORIZED_SCANNER": reads_boolean},
}
# What the local cloud really reads; other options of the type are refused rather than ignored.
SUPPORTED = {"JSON": {"COMPRESSION", "STRIP_OUTER_ARRAY", "FILE_EXTENSION", "STRIP_NULL_VALUES"}, "CSV": set(), "PARQUET": set()}
COMPRESSIONS = ("AUTO", "GZIP", "NONE", "DEFLATE", "RAW_DEFLATE", "BZ2", "ZSTD", "BROTLI")


def read_format(cursor: Cursor, type_name: str | None = None) -> tuple[str | None, dict[str, Any]]:
    """TYPE = … and the options of that type."""
    if cursor.accept("TYPE", "="):
        type_name = reads_word(cursor)
        cursor.accept(",")
    if type_name is None:
        return None, {}
    if type_name not in TYPE_OPTIONS:
        raise errors.unsupported(f"FILE FORMAT TYPE = {type_name}")
    options = cursor.options("FILE_FORMAT", TYPE_OPTIONS[type_name], stop=("COMMENT",))
    for key in options:
        if key not in SUPPORTED[type_name]:
            raise errors.unsupported(f"file format option {key} of type {type_name}")
    compression = options.get("COMPRESSION", "AUTO")
    if compression not in COMPRESSIONS:
        raise errors.invalid_value(compression, "COMPRESSION")
    if compression in ("ZSTD", "BROTLI"):
        raise errors.unsupported(f"COMPRESSION = {compression}")
    return type_name, options


def create_format(context: "Context", cursor: Cursor, mode: str) -> Result:
    front = ddl.creation(context, cursor, "FILE FORMAT", mode)
    type_name, options = read_format(cursor)
    comment = cursor.options("FILE FORMAT", {"COMMENT": reads_string})
    cursor.finish()
    if front.skip:
        return ddl.skipped(front.name)
    if type_name not in (None, "JSON"):
        raise errors.unsupported(f"FILE FORMAT TYPE = {type_name}")
    context.add(front.schema, FileFormat(front.name, comment=comment.get("COMMENT", ""), type=type_name or "CSV", options=options))
    return ddl.created("File format", front.name)


def alter_format(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    path = context.path(cursor.name())
    if lenient and context.account.find("FILE FORMAT", path) is None:
        return done()
    found: FileFormat = context.get("FILE FORMAT", path)
    if cursor.accept("RENAME", "TO"):
        return ddl.rename(context, cursor, found)
    cursor.expect("SET")
    if cursor.accept("TYPE", "="):
        if reads_word(cursor) != found.type:
            raise errors.compilation("File format type cannot be altered.", "001003")
    _, options = read_format(cursor, found.type)
    comment = cursor.options("FILE FORMAT", {"COMMENT": reads_string})
    cursor.finish()
    found.options |= options
    found.comment = comment.get("COMMENT", found.comment)
    return done()


def reads_file_format(cursor: Cursor) -> dict[str, Any]:
    """FILE_FORMAT = ( FORMAT_NAME = 'd.s.f' | TYPE = … )"""
    if cursor.token.kind == "string" or cursor.token.kind in ("word", "quoted"):
        return {"name": reads_name(cursor)}
    cursor.expect("(")
    if cursor.accept("FORMAT_NAME", "="):
        found: dict[str, Any] = {"name": reads_name(cursor)}
    else:
        type_name, options = read_format(cursor)
        if type_name is None:
            raise cursor.unexpected()
        found = {"type": type_name, "options": options}
    cursor.expect(")")
    return found


def resolve_format(context: "Context", given: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """Type and options of a FILE_FORMAT clause; a named one needs USAGE."""
    if not given:
        return "CSV", {}
    if "name" in given:
        found: FileFormat = context.get("FILE FORMAT", given["name"], "USAGE")
        return found.type, found.options
    return given["type"], given["options"]


OPTIONS = {"URL": reads_string, "STORAGE_INTEGRATION": lambda c: c.identifier(), "FILE_FORMAT": reads_file_format, "COMMENT": reads_string}


def check(context: "Context", url: str, name: str | None) -> None:
    if not url.startswith("s3://"):
        raise errors.invalid_value(url, "URL")
    if name is None:
        raise errors.unsupported("stage without a storage integration")
    found = integration.find(context, name, "STORAGE")
    if not integration.allows(found, url):
        raise errors.compilation(f"Location '{url}' is not allowed by integration '{name}'. Please use DESC INTEGRATION to check out allowed "
                                 "and blocked locations.", "001003")


def create(context: "Context", cursor: Cursor, mode: str) -> Result:
    front = ddl.creation(context, cursor, "STAGE", mode)
    options = cursor.options("STAGE", OPTIONS)
    cursor.finish()
    if front.skip:
        return ddl.skipped(front.name)
    if "URL" not in options:
        raise errors.unsupported("internal stage")
    check(context, options["URL"], options.get("STORAGE_INTEGRATION"))
    resolve_format(context, options.get("FILE_FORMAT"))
    if front.existing is not None:
        discard(context, front.existing)
    context.add(front.schema, Stage(front.name, comment=options.get("COMMENT", ""), url=options["URL"],
                                    integration=options.get("STORAGE_INTEGRATION"), file_format=options.get("FILE_FORMAT", {})))
    return ddl.created("Stage area", front.name)


def alter(context: "Context", cursor: Cursor) -> Result:
    lenient = ddl.if_exists(cursor)
    path = context.path(cursor.name())
    if lenient and context.account.find("STAGE", path) is None:
        return done()
    found: Stage = context.get("STAGE", path)
    if cursor.accept("RENAME", "TO"):
        return ddl.rename(context, cursor, found)
    cursor.expect("SET")
    options = cursor.options("STAGE", OPTIONS)
    cursor.finish()
    url, name = options.get("URL", found.url), options.get("STORAGE_INTEGRATION", found.integration)
    check(context, url, name)
    if "FILE_FORMAT" in options:
        resolve_format(context, options["FILE_FORMAT"])
    if url != found.url:
        from . import pipe
        pipe.stage_altered(context, found)
    found.url, found.integration = url, name
    found.file_format = options.get("FILE_FORMAT", found.file_format)
    found.comment = options.get("COMMENT", found.comment)
    return done()


def discard(context: "Context", found: Any) -> None:
    """A dropped or replaced stage stops its pipes: they refer to the stage by identity."""


def drop(context: "Context", cursor: Cursor) -> Result:
    return ddl.drop(context, cursor, "STAGE", discard)


def describe(context: "Context", cursor: Cursor) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/desc-stage"""
    found: Stage = context.get("STAGE", context.path(cursor.name()), "USAGE", "READ", "OWNERSHIP")
    cursor.finish()
    given = found.file_format
    if "name" in given:
        formats = [("FORMAT_NAME", "String", display(*given["name"]), "")]
    else:
        formats = [("TYPE", "String", given.get("type", "CSV"), "CSV")]
        formats += [(key, "String", str(value), "") for key, value in given.get("options", {}).items()]
    rows = [("STAGE_FILE_FORMAT", *row) for row in formats]
    rows += [("STAGE_LOCATION", "URL", "String", json.dumps([found.url]), ""),
             ("STAGE_INTEGRATION", "STORAGE_INTEGRATION", "String", found.integration or "", ""),
             ("DIRECTORY", "ENABLE", "Boolean", str(found.directory).lower(), "false")]
    return table(("parent_property", "property", "property_type", "property_value", "property_default"), rows)


def split_reference(text: str) -> tuple[tuple[str, ...], str]:
    """`D.S.ST/path/` as in @D.S.ST/path/: the stage's name, and the path."""
    cursor = Cursor(text.removeprefix("@"))
    name = cursor.name()
    rest = text.removeprefix("@")[cursor.token.start if cursor.token.kind != "end" else len(text):]
    return name, rest.lstrip("/")


def location(stage: Stage, path: str) -> tuple[str, str]:
    """Bucket and key prefix of a path in a stage."""
    bucket, _, prefix = stage.url.removeprefix("s3://").partition("/")
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    return bucket, prefix + path


def storage(context: "Context", stage: Stage) -> Any:
    """Credentials for the stage's files."""
    found = context.account.integrations.get(stage.integration or "")
    if found is None:
        raise AwsRefused(f"The stage '{stage.full_name}' points to a storage integration that does not exist.")
    return integration.credentials(context.cloud, found)


def list_files(context: "Context", cursor: Cursor) -> Result:
    """LIST @stage: https://docs.snowflake.com/en/sql-reference/sql/list"""
    if cursor.token.kind != "stage":
        raise cursor.unexpected()
    name, path = split_reference(cursor.next().text)
    pattern = None
    if cursor.accept("PATTERN", "="):
        import re
        pattern = re.compile(cursor.string())
    cursor.finish()
    found: Stage = context.get("STAGE", name, "USAGE", "READ")
    bucket, prefix = location(found, path)
    try:
        items = list(context.cloud.identity.list_objects(storage(context, found), bucket, prefix))
    except AwsRefused as error:
        raise errors.execution(str(error), "003167", "42601") from error
    rows = [(f"s3://{bucket}/{o.key}", o.size, o.etag, o.modified.strftime("%a, %d %b %Y %H:%M:%S GMT")) for o in items
            if pattern is None or pattern.fullmatch(o.key)]
    return table(("name", "size", "md5", "last_modified"), rows)


def usable(context: "Context", name: tuple[str, ...]) -> Stage:
    found = context.get("STAGE", name, "USAGE")
    assert isinstance(found, Stage)
    if found.integration and found.integration not in context.account.integrations:
        raise errors.missing("INTEGRATION", display(found.integration))
    privileges.reach(context, found)
    return found
