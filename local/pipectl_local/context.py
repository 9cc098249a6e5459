# SPDX-License-Identifier: Apache-2.0
"""What one statement runs with: who, as which role, where, and in which DuckDB session."""
from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import errors, privileges
from .catalog import Account, Schema, Securable
from .engine import Engine, Session
from .lexer import display

if TYPE_CHECKING:
    from .cloud import Cloud

INSIST_SECONDS = 0.02


@dataclass
class Context:
    cloud: "Cloud"
    session: Session
    user: str
    role: str
    warehouse: str | None = None
    database: str | None = None
    schema: str | None = None
    query_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    bindings: list[Any] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    task_run: Any = None
    expression: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)

    @property
    def account(self) -> Account:
        return self.cloud.account

    @property
    def engine(self) -> Engine:
        return self.cloud.engine

    @cached_property
    def roles(self) -> set[str]:
        return self.account.inherited(self.role)

    def cancel(self) -> None:
        """Interrupt what runs. DuckDB forgets an interrupt that comes before its query, so insist."""
        self.cancelled.set()

        def insist() -> None:
            while not self.finished.wait(INSIST_SECONDS):
                self.session.connection.interrupt()
        threading.Thread(target=insist, name="cancel", daemon=True).start()

    def close(self) -> None:
        """End the session, and what would still interrupt it."""
        self.finished.set()
        self.session.close()

    def forget_roles(self) -> None:
        self.__dict__.pop("roles", None)

    def path(self, parts: tuple[str, ...], size: int = 3) -> tuple[str, ...]:
        """A full name: what the statement leaves out comes from the request."""
        if len(parts) > size:
            raise errors.compilation(f"syntax error: too many parts in name '{display(*parts)}'.")
        missing = size - len(parts)
        above = [self.database, self.schema][:size - 1][:missing] if missing else []
        if missing and any(p is None for p in above):
            absent = "database" if self.database is None else "schema"
            code = "090105" if absent == "database" else "090106"
            raise errors.SnowflakeError(code, "22000", f"Cannot perform operation. This session does not have a current {absent}. "
                                        f"Call 'USE {absent.upper()}', or use a qualified name.")
        return (*(p for p in above if p is not None), *parts)

    def schema_of(self, path: tuple[str, ...]) -> Schema:
        found = self.account.schema(path[0], path[1])
        assert found.parent is not None
        if not privileges.holds(self, found.parent, "USAGE"):
            raise errors.missing("DATABASE", found.parent.full_name)
        if not privileges.visible(self, found):
            raise errors.missing("SCHEMA", found.full_name)
        return found

    def get(self, kind: str, parts: tuple[str, ...], *needed: str) -> Any:
        """An existing schema object, with the privileges that the statement needs on it."""
        path = self.path(parts)
        found = self.account.find(kind, path)
        if found is None:
            raise errors.missing(kind, display(*path))
        privileges.require(self, found, *(needed or ("OWNERSHIP",)))
        return found

    def add(self, schema: Schema, created: Securable, owner: str | None = None) -> None:
        """Put a new object into its schema: owned by the role, with the future grants."""
        created.owner = owner or self.role
        created.parent = schema
        with self.account.lock:
            schema.objects[(created.kind, created.name)] = created
        privileges.apply_future(schema, created)
