# SPDX-License-Identifier: Apache-2.0
"""What the local Snowflake account holds: objects, owners, grants. DuckDB stores only the rows.

Names are kept as Snowflake normalises them: unquoted ones in upper case.
"""
from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from . import errors
from .lexer import display
from .sftypes import SfType

UTC = dt.timezone.utc


def now() -> dt.datetime:
    return dt.datetime.now(UTC)


@dataclass(frozen=True)
class Grant:
    privilege: str
    role: str
    granted_by: str
    grant_option: bool
    created_on: dt.datetime


@dataclass(eq=False)
class Securable:
    """Anything that has an owner and can be granted on."""

    name: str
    owner: str = ""
    comment: str = ""
    created_on: dt.datetime = field(default_factory=now)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    grants: dict[tuple[str, str], Grant] = field(default_factory=dict)
    parent: "Securable | None" = None
    kind = "OBJECT"

    @property
    def path(self) -> tuple[str, ...]:
        above = self.parent.path if self.parent and self.parent.kind != "ACCOUNT" else ()
        return (*above, self.name)

    @property
    def full_name(self) -> str:
        return display(*self.path)

    def grant(self, privilege: str, role: str, by: str, option: bool = False) -> None:
        key = (privilege, role)
        if key not in self.grants or (option and not self.grants[key].grant_option):
            self.grants[key] = Grant(privilege, role, by, option, now())


@dataclass(eq=False)
class Role(Securable):
    granted_to_roles: dict[str, Grant] = field(default_factory=dict)
    granted_to_users: dict[str, Grant] = field(default_factory=dict)
    system = False
    kind = "ROLE"


@dataclass(eq=False)
class User(Securable):
    default_role: str = "PUBLIC"
    public_key: Any = None
    fingerprint: str = ""
    type: str = "PERSON"
    default_warehouse: str = ""
    disabled: bool = False
    workload: dict[str, str] | None = None
    kind = "USER"


@dataclass(eq=False)
class Warehouse(Securable):
    size: str = "X-Small"
    auto_suspend: int = 600
    auto_resume: bool = True
    state: str = "STARTED"
    options: dict[str, Any] = field(default_factory=dict)
    resumed_on: dt.datetime = field(default_factory=now)
    updated_on: dt.datetime = field(default_factory=now)
    kind = "WAREHOUSE"


@dataclass(eq=False)
class Integration(Securable):
    type: str = "EXTERNAL_STAGE"
    category: str = "STORAGE"
    enabled: bool = True
    properties: dict[str, Any] = field(default_factory=dict)
    kind = "INTEGRATION"


@dataclass(eq=False)
class Database(Securable):
    schemas: dict[str, "Schema"] = field(default_factory=dict)
    future_grants: dict[tuple[str, str, str], Grant] = field(default_factory=dict)
    retention: int = 1
    kind = "DATABASE"


@dataclass(eq=False)
class Schema(Securable):
    managed_access: bool = False
    retention: int = 1
    objects: dict[tuple[str, str], Securable] = field(default_factory=dict)
    future_grants: dict[tuple[str, str, str], Grant] = field(default_factory=dict)
    kind = "SCHEMA"


@dataclass
class Column:
    name: str
    type: SfType
    nullable: bool = True
    default: str | None = None
    comment: str = ""
    autoincrement: str | None = None


@dataclass(eq=False)
class Table(Securable):
    columns: list[Column] = field(default_factory=list)
    primary_key: list[str] = field(default_factory=list)
    rely: bool = False
    foreign_keys: list[str] = field(default_factory=list)
    change_tracking: bool = False
    schema_evolution: bool = False
    retention: int = 1
    max_extension: int = 14
    cluster_by: str = ""
    transient: bool = False
    physical: str = ""
    copied_files: dict[str, str] = field(default_factory=dict)
    kind = "TABLE"

    def column(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise errors.invalid_identifier(name)


@dataclass(eq=False)
class View(Securable):
    text: str = ""
    query: str = ""
    columns: list[Column] = field(default_factory=list)
    kind = "VIEW"


@dataclass(eq=False)
class Sequence(Securable):
    physical: str = ""
    start: int = 1
    increment: int = 1
    ordered: bool = False
    kind = "SEQUENCE"


def plain_type(kind: SfType) -> str:
    """A type without its size, as a procedure's arguments are shown."""
    return {"FIXED": "NUMBER", "REAL": "FLOAT", "TEXT": "VARCHAR"}.get(kind.kind, kind.kind)


@dataclass(eq=False)
class Procedure(Securable):
    """A stored procedure."""

    arguments: list[tuple[str, SfType, str | None]] = field(default_factory=list)
    returns: str = ""
    body: str = ""
    as_caller: bool = False
    strict: bool = False
    kind = "PROCEDURE"

    @property
    def signature(self) -> str:
        """Names and types, as DESCRIBE and INFORMATION_SCHEMA have them."""
        return "(" + ", ".join(f"{name} {plain_type(kind)}" for name, kind, _ in self.arguments) + ")"

    @property
    def full_name(self) -> str:
        """As SHOW GRANTS names it: with its arguments, in quotes."""
        return display(*self.path[:-1], f"{self.name}{self.signature}:{self.returns}")


@dataclass(eq=False)
class FileFormat(Securable):
    type: str = "CSV"
    options: dict[str, Any] = field(default_factory=dict)
    kind = "FILE FORMAT"


@dataclass(eq=False)
class Stage(Securable):
    url: str = ""
    integration: str | None = None
    file_format: dict[str, Any] = field(default_factory=dict)
    directory: bool = False
    kind = "STAGE"


@dataclass(eq=False)
class Pipe(Securable):
    definition: str = ""
    copy: Any = None
    auto_ingest: bool = False
    topic: str | None = None
    error_integration: str | None = None
    channel: str | None = None
    stage_id: str = ""
    runner: Any = None
    kind = "PIPE"


@dataclass(eq=False)
class Stream(Securable):
    table: Table | None = None
    table_name: str = ""
    mode: str = "DEFAULT"
    offset: int = 0
    snapshot: str | None = None
    stale_reason: str | None = None
    kind = "STREAM"


@dataclass(eq=False)
class Task(Securable):
    warehouse: str | None = None
    size: str | None = None
    schedule: str | None = None
    predecessors: list[str] = field(default_factory=list)
    finalizes: str | None = None
    condition: str | None = None
    definition: str = ""
    overlapping: bool = False
    error_integration: str | None = None
    state: str = "suspended"
    config: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    last_committed_on: dt.datetime | None = None
    last_suspended_on: dt.datetime | None = None
    last_suspended_reason: str | None = None
    failures: int = 0
    kind = "TASK"


S = TypeVar("S", bound=Securable)
RELATIONS = ("TABLE", "VIEW", "STREAM")


class Account(Securable):
    """The root of everything."""

    kind = "ACCOUNT"

    def __init__(self, name: str, region: str) -> None:
        super().__init__(name, owner="ACCOUNTADMIN")
        self.region = region
        self.lock = threading.RLock()
        self.roles: dict[str, Role] = {}
        self.users: dict[str, User] = {}
        self.warehouses: dict[str, Warehouse] = {}
        self.integrations: dict[str, Integration] = {}
        self.databases: dict[str, Database] = {}

    @property
    def path(self) -> tuple[str, ...]:
        return (self.name,)

    def database(self, name: str) -> Database:
        try:
            return self.databases[name]
        except KeyError:
            raise errors.missing("DATABASE", display(name)) from None

    def schema(self, database: str, name: str) -> Schema:
        try:
            return self.database(database).schemas[name]
        except KeyError:
            raise errors.missing("SCHEMA", display(database, name)) from None

    def find(self, kind: str, path: tuple[str, ...]) -> Securable | None:
        """A schema object by its full path."""
        database = self.databases.get(path[0])
        schema = database.schemas.get(path[1]) if database else None
        return schema.objects.get((kind, path[2])) if schema else None

    def relation(self, path: tuple[str, ...]) -> Securable | None:
        """A table, view or stream: what can stand in FROM."""
        return next((found for kind in RELATIONS if (found := self.find(kind, path))), None)

    def all(self, kind: type[S]) -> Iterator[S]:
        for database in list(self.databases.values()):
            for schema in list(database.schemas.values()):
                yield from (o for o in list(schema.objects.values()) if isinstance(o, kind))

    def securables(self) -> Iterator[Securable]:
        """Everything that grants can be on."""
        yield self
        yield from list(self.roles.values())
        yield from list(self.warehouses.values())
        yield from list(self.integrations.values())
        for database in list(self.databases.values()):
            yield database
            for schema in list(database.schemas.values()):
                yield schema
                yield from list(schema.objects.values())

    def role(self, name: str) -> Role:
        try:
            return self.roles[name]
        except KeyError:
            raise errors.missing("ROLE", display(name)) from None

    def inherited(self, name: str) -> set[str]:
        """A role and all roles below it in the hierarchy, PUBLIC included."""
        found: set[str] = {"PUBLIC"}
        waiting = [name]
        while waiting:
            current = waiting.pop()
            if current in found and current != "PUBLIC":
                continue
            found.add(current)
            waiting += [r.name for r in list(self.roles.values()) if current in r.granted_to_roles and r.name not in found]
        return found

    def user_roles(self, user: str) -> set[str]:
        """Every role the user may act as."""
        direct = [r.name for r in list(self.roles.values()) if user in r.granted_to_users]
        return {"PUBLIC"}.union(*(self.inherited(r) for r in direct))
