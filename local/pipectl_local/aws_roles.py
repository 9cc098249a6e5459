# SPDX-License-Identifier: Apache-2.0
"""What an AWS service does as a role: a session of the role, if its trust policy lets the service in.

The stand-ins call ministack over HTTP with it, so that under AUTH the role's policies decide as they do in AWS.
Without AUTH ministack checks nothing, and neither does this. Runs inside ministack's process.
"""
from __future__ import annotations

import json
import os
import threading
from typing import Any

from .aws import ROOT_SECRET

_lock = threading.Lock()
_clients: dict[tuple[str, ...], Any] = {}
_session: Any = None


class Refused(Exception):
    """A role that the service may not assume, or that does not exist."""


def client(api: str, account: str, region: str, role: str, service: str, resource: str) -> Any:
    """A client of `api` that acts as `role`, assumed by `service` (scheduler.amazonaws.com) for `resource` (its ARN)."""
    return _client(api, region, *credentials(account, region, role, service, resource))


def credentials(account: str, region: str, role: str, service: str, resource: str) -> tuple[str, str, str | None]:
    """Key, secret and token of a session of `role`, assumed by `service` for `resource` (its ARN)."""
    from ministack import app

    if not app.AUTH:
        return account, ROOT_SECRET, None
    _check_trust(account, region, role, service, resource)
    return _role_session(account, role, service)


def _client(api: str, region: str, key: str, secret: str, token: str | None) -> Any:
    import botocore.session
    from botocore.config import Config

    global _session
    with _lock:
        found = _clients.get((api, region, key))
        if found is None:
            _session = _session or botocore.session.get_session()
            found = _clients[(api, region, key)] = _session.create_client(
                api, region_name=region, endpoint_url=os.environ["AWS_ENDPOINT_URL"], aws_access_key_id=key,
                aws_secret_access_key=secret, aws_session_token=token,
                config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60, proxies={},
                              s3={"addressing_style": "path"}, request_checksum_calculation="when_required", parameter_validation=False))
        return found


def _check_trust(account: str, region: str, role: str, service: str, resource: str) -> None:
    from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy
    from ministack.services import iam

    record = iam._roles.get(role.rsplit("/", 1)[-1])
    if record is None or record.get("Arn") != role:
        raise Refused(f"role {role} does not exist")
    document = record.get("AssumeRolePolicyDocument") or {}
    context = EvalContext(
        principal_arn="*", principal_type="Service", principal_account=account, action="sts:AssumeRole", resource_arn=role,
        region=region, source_ip="127.0.0.1", secure_transport=True,
        service_context={"aws:sourceaccount": account, "aws:sourcearn": resource})
    # A trust policy is the role's resource policy, but names no resource.
    parsed = json.loads(document) if isinstance(document, str) else document
    statements = parsed.get("Statement", [])
    with_resource = [{**s, "Resource": "*"} for s in ([statements] if isinstance(statements, dict) else statements)]
    if evaluate_resource_policy({**parsed, "Statement": with_resource}, context, service=service).decision != "Allow":
        raise Refused(f"{service} may not assume {role}: its trust policy does not allow it for {resource}")


def _role_session(account: str, role: str, service: str) -> tuple[str, str, str]:
    import hashlib

    from ministack.services import sts

    name = role.rsplit("/", 1)[-1]
    digest = hashlib.sha256(f"{service}:{role}".encode()).hexdigest()
    key, secret, token = f"ASIA{digest[:16].upper()}", digest, hashlib.sha256(digest.encode()).hexdigest()
    session = f"{service.split('.')[0]}-local"
    sts.register_session(key, {"Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session}", "UserId": f"{name}:{session}",
                               "SecretAccessKey": secret, "SessionToken": token})
    return key, secret, token


def service_may(policy: str | dict[str, Any] | None, service: str, action: str, resource: str, source: str, account: str, region: str) -> bool:
    """Whether a resource's policy lets an AWS service act on it for `source`; anything goes without AUTH."""
    from ministack import app
    from ministack.core.iam_evaluator import EvalContext, evaluate_resource_policy

    if not app.AUTH:
        return True
    context = EvalContext(
        principal_arn="*", principal_type="Service", principal_account=account, action=action, resource_arn=resource, region=region,
        source_ip="127.0.0.1", secure_transport=True, service_context={"aws:sourceaccount": account, "aws:sourcearn": source})
    return bool(evaluate_resource_policy(policy, context, service=service).decision == "Allow")
