# SPDX-License-Identifier: Apache-2.0
"""Stand-in: e-mail subscriptions of topics. What SNS would mail is captured with the mail of SES, and needs no confirmation.

ministack only writes such a delivery to its log.
"""
from __future__ import annotations

from typing import Any

from .aws_hooks import Finder

SENDER = "no-reply@sns.amazonaws.com"
PROTOCOLS = ("email", "email-json")


def hook(sns: Any) -> None:
    fanout = sns._fanout

    def with_mail(topic_arn: str, message_id: str, message: str, subject: str, structure: str = "", attributes: dict[str, Any] | None = None,
                  *others: Any, **named: Any) -> None:
        fanout(topic_arn, message_id, message, subject, structure, attributes, *others, **named)
        topic = sns._topic_by_arn_any_scope(topic_arn)
        for subscription in topic["subscriptions"] if topic else []:
            if subscription.get("protocol") not in PROTOCOLS:
                continue
            text = sns._resolve_message_for_protocol(message, structure, subscription["protocol"])
            if sns._matches_filter_policy(subscription, attributes or {}, text):
                _mail(subscription["endpoint"], subject or "AWS Notification Message", text)

    sns._fanout = with_mail


def _mail(address: str, subject: str, text: str) -> None:
    from ministack.services import ses

    ses.send_internal_email(SENDER, [address], subject, text, type_name="SNS")


def install(finder: Finder) -> None:
    finder.when("sns", hook)
