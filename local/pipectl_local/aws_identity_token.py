# SPDX-License-Identifier: Apache-2.0
"""Stand-in: tokens of STS that others can verify, and that name the role that asks.

ministack signs GetWebIdentityToken with a key that it tells nobody, and for the account. AWS signs it for the caller, with
keys that it publishes: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html
Without AUTH ministack gives functions the account's own credentials; here they have their role's, as in AWS.
"""
from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from .aws_hooks import Finder

# Where the key lies that both parts of the local cloud know: the one signs with it, the other verifies.
VARIABLE = "PIPECTL_LOCAL_TOKEN_KEY"
ALGORITHM = "ES384"
TOKEN = re.compile(r"(<WebIdentityToken>)(.*?)(</WebIdentityToken>)", re.S)
ASSUMED = re.compile(r"arn:([\w-]+):sts::(\d{12}):assumed-role/(.+)/[^/]+")


def issuer(account: str) -> str:
    """The account's issuer, in the form that AWS gives it."""
    return f"https://00000000-0000-4000-8000-{account}.tokens.sts.global.api.aws"


def principal(arn: str) -> str:
    """Whom a token speaks of: the role of a session, else who asks.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_outbound_token_claims.html
    """
    return ASSUMED.sub(r"arn:\1:iam::\2:role/\3", arn)


def make_key(path: Path) -> None:
    """A new key: tokens of an earlier cloud are worth nothing in this one."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    from .process import write_private

    key = ec.generate_private_key(ec.SECP384R1())
    write_private(path, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def load_key(path: Path) -> Any:
    from cryptography.hazmat.primitives import serialization

    return serialization.load_pem_private_key(path.read_bytes(), None)


def sign(stand_in: str, key: Any, subject: str, account: str) -> str:
    """The token of the stand-in with AWS's issuer, subject and signature; audience and times stay."""
    import jwt

    claims = jwt.decode(stand_in, options={"verify_signature": False, "verify_aud": False})
    return jwt.encode({**claims, "iss": issuer(account), "sub": subject}, key, algorithm=ALGORITHM)


def hook(sts: Any) -> None:
    handle = sts.handle_request
    keys: list[Any] = []

    async def with_signed_tokens(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        asked = {**parse_qs((body or b"").decode("utf-8", "replace")), **query}
        answer = await handle(method, path, headers, body, query)
        if (asked.get("Action") or [""])[0] != "GetWebIdentityToken" or answer[0] != 200:
            return answer
        if (asked.get("SigningAlgorithm") or [""])[0] != ALGORITHM:
            return sts._error(400, "ValidationError", f"the local cloud signs with {ALGORITHM} only", ns="sts")
        keys[:] = keys or [load_key(Path(os.environ[VARIABLE]))]
        caller = sts._caller_identity(headers, query)
        text = answer[2].decode() if isinstance(answer[2], bytes) else answer[2]
        signed = TOKEN.sub(lambda found: found[1] + sign(found[2], keys[0], principal(caller["userArn"]), caller["accountId"]) + found[3], text)
        return answer[0], answer[1], signed.encode()

    sts.handle_request = with_signed_tokens


def role_session(config: dict[str, Any], region: str) -> dict[str, str]:
    """What a function signs with: a session of its role."""
    from ministack.services import sts

    role, function = str(config["Role"]), str(config.get("FunctionName") or "function")
    account, name = role.split(":")[4], role.rsplit("/", 1)[-1]
    digest = hashlib.sha256(f"{region}:{function}:{role}".encode()).hexdigest()
    key, secret, token = f"ASIA{digest[:16].upper()}", digest, hashlib.sha256(digest.encode()).hexdigest()
    sts.register_session(key, {"Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{function[:64]}", "UserId": f"{name}:{function[:64]}",
                               "SecretAccessKey": secret, "SessionToken": token})
    return {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_SESSION_TOKEN": token}


def hook_functions(functions: Any) -> None:
    from ministack import app

    given = functions.execution_credentials

    def of_the_role(config: dict[str, Any]) -> dict[str, str]:
        credentials: dict[str, str] = given(config) if app.AUTH or not config.get("Role") else role_session(config, functions.REGION)
        return credentials

    functions.execution_credentials = of_the_role


def install(finder: Finder) -> None:
    finder.when("sts", hook)
    finder.when("lambda_svc", hook_functions)
