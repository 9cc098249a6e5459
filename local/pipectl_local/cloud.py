# SPDX-License-Identifier: Apache-2.0
"""The local Snowflake account, put together."""
from __future__ import annotations

from . import roles
from .aws import Aws
from .catalog import Account, Pipe, User
from .context import Context
from .engine import Engine, Session
from .history import History
from .identity import Identity
from .scheduler import Scheduler

ACCOUNT, USER, ROLE = "LOCAL", "PIPECTL", "ACCOUNTADMIN"


class Cloud:
    def __init__(self, aws: Aws, user: User, time_scale: float) -> None:
        self.account = Account(ACCOUNT, aws.region)
        roles.install(self.account, user)
        self.engine = Engine(self.account)
        self.history = History()
        self.scheduler = Scheduler(self, time_scale)
        self.aws = aws
        self._identity: Identity | None = None

    @property
    def identity(self) -> Identity:
        if self._identity is None:
            self._identity = Identity(self.aws)
        return self._identity

    def context(self, role: str = ROLE, user: str = USER, warehouse: str | None = None, database: str | None = None,
                schema: str | None = None) -> Context:
        """A context with a session of its own; the caller closes the session."""
        return Context(self, Session(self.engine), user, role, warehouse, database, schema)

    def start(self) -> None:
        assert self.identity
        self.scheduler.start()

    def stop(self) -> None:
        self.scheduler.stop()
        for pipe in self.account.all(Pipe):
            if pipe.runner:
                pipe.runner.stopped = True
