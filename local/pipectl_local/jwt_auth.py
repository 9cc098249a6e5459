# SPDX-License-Identifier: Apache-2.0
"""Key-pair authentication: https://docs.snowflake.com/en/developer-guide/sql-api/authenticating"""
from __future__ import annotations

import base64
import hashlib
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from .catalog import User
from .process import write_private

KEY_BITS = 2048
LONGEST_SECONDS = 3600
LEEWAY_SECONDS = 60


class Refused(Exception):
    """The token does not prove who sends it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def load_or_make_key(path: Path) -> Any:
    """The private key of the local user, made on first start."""
    if path.exists():
        return serialization.load_pem_private_key(path.read_bytes(), None)
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    write_private(path, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return key


def fingerprint(public_key: Any) -> str:
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()


def account_of(name: str) -> str:
    """The account part of an issuer: without region, dots as hyphens, upper case."""
    return name.upper().split(".", 1)[0]


def verify(token: str, account: str, users: dict[str, User]) -> User:
    """The user that a token speaks for."""
    try:
        unverified = jwt.decode(token, options={"verify_signature": False})
        subject, issuer = str(unverified["sub"]), str(unverified["iss"])
        given_account, _, name = subject.rpartition(".")
        user = users.get(name.upper())
        if user is None or user.public_key is None or account_of(given_account) != account:
            raise Refused("390144", "JWT token is invalid.")
        if issuer.upper() != f"{subject}.{user.fingerprint}".upper() or not issuer.endswith(user.fingerprint):
            raise Refused("390144", "JWT token is invalid.")
        claims = jwt.decode(token, user.public_key, algorithms=["RS256"], leeway=LEEWAY_SECONDS, options={"require": ["exp", "iat", "iss", "sub"]})
    except (jwt.PyJWTError, KeyError, ValueError) as error:
        raise Refused("390144", "JWT token is invalid.") from error
    if claims["exp"] - claims["iat"] > LONGEST_SECONDS + LEEWAY_SECONDS or claims["exp"] > time.time() + LONGEST_SECONDS + LEEWAY_SECONDS:
        raise Refused("390144", "JWT token is invalid.")
    return user
