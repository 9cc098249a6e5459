# SPDX-License-Identifier: Apache-2.0
"""Who may do what: https://docs.snowflake.com/en/user-guide/security-access-control-overview

An object that a role holds no privilege on does not exist for it; one that it sees but may not
use in that way gives `Insufficient privileges`.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from . import errors
from .catalog import Grant, Schema, Securable, now

if TYPE_CHECKING:
    from .context import Context

ADMIN = "ACCOUNTADMIN"


def holds(context: "Context", target: Securable, *privileges: str) -> bool:
    """Whether the role, or one below it, owns the object or holds one of the privileges."""
    roles = context.roles
    if ADMIN in roles or target.owner in roles:
        return True
    return any(role in roles and (privilege in privileges or privilege == "ALL") for privilege, role in list(target.grants))


def visible(context: "Context", target: Securable) -> bool:
    roles = context.roles
    if ADMIN in roles or target.owner in roles:
        return True
    return any(role in roles for _, role in list(target.grants))


def reach(context: "Context", target: Securable) -> None:
    """USAGE on the database and the schema above an object."""
    above = target.parent
    while above is not None and above.kind in ("SCHEMA", "DATABASE"):
        if not holds(context, above, "USAGE"):
            raise errors.missing(above.kind, above.full_name)
        above = above.parent


def require(context: "Context", target: Securable, *privileges: str) -> None:
    """The role must hold one of the privileges; OWNERSHIP stands for all."""
    reach(context, target)
    if holds(context, target, *privileges):
        return
    if target.kind != "ACCOUNT" and not visible(context, target):
        raise errors.missing(target.kind, target.full_name)
    raise errors.denied(target.kind, target.name)


def require_create(context: "Context", schema: Schema, kind: str) -> None:
    """CREATE <kind> on the schema, and USAGE on its database."""
    require(context, schema, f"CREATE {kind}")


def apply_future(schema: Schema, created: Securable) -> None:
    """Future grants of the schema, or of its database where the schema has none for that kind."""
    kind = created.kind
    sources = [schema.future_grants, getattr(schema.parent, "future_grants", {})]
    for source in sources:
        matching = [(p, r, g) for (p, k, r), g in list(source.items()) if k == kind]
        for privilege, role, grant in matching:
            if privilege == "OWNERSHIP":
                created.owner = role
            else:
                created.grants[(privilege, role)] = Grant(privilege, role, grant.granted_by, grant.grant_option, now())
        if matching:
            return
