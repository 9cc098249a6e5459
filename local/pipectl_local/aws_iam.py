# SPDX-License-Identifier: Apache-2.0
"""Stand-in: the resources that AWS asks IAM for where ministack asks for others.

ministack asks for the rights to send mail and to read parameters below a path on `*`, for rights on a log group by an ARN
that policies of AWS do not name, and for rights of their own for SQS's batches:
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsesv2.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html
"""
from __future__ import annotations

import json
from collections.abc import Callable
from email.utils import parseaddr
from typing import Any

from .aws_hooks import Finder

OUTBOUND = "/v2/email/outbound-emails"
LOG_TAGGING = ("TagResource", "UntagResource", "ListTagsForResource")


def identity_of(address: str, is_verified: Callable[[str], bool]) -> str:
    """The identity that an address sends by: the address itself, or the nearest domain above it, whichever was verified.

    https://docs.aws.amazon.com/ses/latest/dg/creating-identities.html
    """
    labels = address.rpartition("@")[2].split(".")
    domains = [".".join(labels[place:]) for place in range(len(labels))]
    return next((name for name in [address, *domains] if is_verified(name)), address)


def send_resource(body: bytes, region: str, account: str) -> tuple[str, dict[str, Any]] | None:
    """The identity's ARN and the condition keys of a SendEmail of SES v2; `None` for a body that is none."""
    from ministack.services import ses, ses_v2

    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return None
    sender = parseaddr(str(document.get("FromEmailAddress") or ""))[1] if isinstance(document, dict) else ""
    if not sender:
        return None
    destination = document.get("Destination") or {}
    recipients = [a for kind in ("ToAddresses", "CcAddresses", "BccAddresses") for a in destination.get(kind) or []]
    keys: dict[str, Any] = {"ses:fromaddress": sender, "ses:recipients": recipients}
    identity = identity_of(sender, lambda name: any(known.get_scoped(account, region, name) is not None for known in (ses._identities, ses_v2._identities)))
    return f"arn:aws:ses:{region}:{account}:identity/{identity}", keys


def log_resource(found: str, target: str, body: bytes) -> str:
    """What IAM is asked for where ministack asks for a log group: the group's streams, or the one that is named."""
    if ":log-group:" not in found or target.rsplit(".", 1)[-1] in LOG_TAGGING:
        return found
    try:
        document = json.loads(body or b"{}")
    except ValueError:
        return found
    return f"{found}:log-stream:{document.get('logStreamName') or ''}"


def path_resource(target: str, body: bytes, region: str, account: str) -> str | None:
    """The path that GetParametersByPath reads.

    https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-access.html
    """
    if target.rsplit(".", 1)[-1] != "GetParametersByPath":
        return None
    try:
        path = str(json.loads(body or b"{}").get("Path") or "")
    except (ValueError, AttributeError):
        return None
    return f"arn:aws:ssm:{region}:{account}:parameter{path}"


def install(finder: Finder) -> None:
    from ministack import app
    from ministack.core import iam_actions
    from ministack.core.responses import get_account_id

    enforce_ses, extract, action_of = app._enforce_ses_v2, iam_actions.extract_resource_arn, iam_actions.extract_iam_action

    def enforce(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], request: str) -> Any:
        region = app.extract_region(headers, query)
        asked = send_resource(body, region, get_account_id()) if app.AUTH and method == "POST" and path.rstrip("/") == OUTBOUND else None
        if asked is None:
            return enforce_ses(method, path, headers, body, query, request)
        resource, keys = asked
        return app._enforce_data_plane("sesv2", "ses:SendEmail", headers, query, request, resource_arn=resource, service_context=keys, named_resource=resource)

    def resource_arn(service: str, method: str, path: str, headers: dict[str, str], body: bytes, *others: Any) -> str:
        found = str(extract(service, method, path, headers, body, *others))
        target = headers.get("x-amz-target", "")
        if service == "ssm":
            return path_resource(target, body, app.extract_region(headers, {}), get_account_id()) or found
        return log_resource(found, target, body) if service == "logs" else found

    def iam_action(service: str, *others: Any) -> str | None:
        found: str | None = action_of(service, *others)
        return found.removesuffix("Batch") if found and service == "sqs" else found

    app._enforce_ses_v2 = enforce
    iam_actions.extract_iam_action = iam_action
    iam_actions.extract_resource_arn = resource_arn
