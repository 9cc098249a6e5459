# SPDX-License-Identifier: Apache-2.0
"""Workload identity federation: service users whom a provider outside of Snowflake vouches for.

https://docs.snowflake.com/en/user-guide/workload-identity-federation
Only AWS can be verified here: its STS is the local one, whose key the local Snowflake knows as Snowflake knows AWS's.
"""
from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt

from . import aws_identity_token, errors
from .catalog import User
from .jwt_auth import LEEWAY_SECONDS, Refused
from .lexer import Cursor, reads_string, reads_word

AUDIENCE = "snowflakecomputing.com"
PROVIDERS = {"AWS": {"ARN", "ISSUER"}, "AZURE": {"ISSUER", "SUBJECT"}, "GCP": {"SUBJECT"}, "OIDC": {"ISSUER", "SUBJECT"}}


def reads_identity(cursor: Cursor) -> dict[str, str]:
    """WORKLOAD_IDENTITY = ( TYPE = AWS ARN = '…' ISSUER = '…' )"""
    cursor.expect("(")
    found = cursor.options("WORKLOAD_IDENTITY", {"TYPE": reads_word, "ARN": reads_string, "ISSUER": reads_string, "SUBJECT": reads_string})
    cursor.expect(")")
    provider = found.get("TYPE", "")
    if provider not in PROVIDERS:
        raise errors.invalid_value(provider, "TYPE")
    if wrong := set(found) - PROVIDERS[provider] - {"TYPE"}:
        raise errors.invalid_property(wrong.pop(), f"WORKLOAD_IDENTITY of {provider}")
    if provider == "AWS" and not found.get("ARN"):
        raise errors.compilation("WORKLOAD_IDENTITY of AWS needs an ARN.")
    return found


def verify(token: str, key: Path, users: dict[str, User]) -> User:
    """The user that `WIF.<provider>.<JWT>` speaks for: signed by STS, for Snowflake, about the role of one user."""
    scheme, _, rest = token.partition(".")
    provider, _, attestation = rest.partition(".")
    if scheme != "WIF" or provider != "AWS":
        raise Refused("390144", f"Workload identity token of {provider or 'nobody'} is invalid: the local cloud knows AWS.")
    try:
        claims: dict[str, Any] = jwt.decode(attestation, aws_identity_token.load_key(key).public_key(), algorithms=[aws_identity_token.ALGORITHM],
                                            audience=AUDIENCE, leeway=LEEWAY_SECONDS, options={"require": ["exp", "iat", "iss", "sub", "aud"]})
    except jwt.PyJWTError as error:
        raise Refused("390144", f"Workload identity token is invalid: {error}") from error
    for user in list(users.values()):
        known = user.workload
        if known and not user.disabled and known["TYPE"] == provider and known["ARN"] == claims["sub"] and known.get("ISSUER") == claims["iss"]:
            return user
    raise Refused("390144", f"No user has the workload identity {claims['sub']} of {claims['iss']}.")
