# SPDX-License-Identifier: Apache-2.0
"""Everything that ministack is changed in, put in its place before it serves (child process of `serve`).

Each part is named here, so that one list says what of the local AWS is ours.
"""
from __future__ import annotations

from . import (aws_alarms, aws_database, aws_firehose, aws_iam, aws_identity_token, aws_kinesis, aws_log_pattern, aws_mail, aws_metrics, aws_network, aws_reader,
               aws_schedule)
from .aws_hooks import Finder

STAND_INS = {
    "EventBridge Scheduler's clock": aws_schedule.install,
    "Kinesis streams that hold much": aws_kinesis.install,
    "Firehose delivery to S3": aws_firehose.install,
    "service metrics": aws_metrics.install,
    "CloudWatch alarms": aws_alarms.install,
    "filter patterns of logs": aws_log_pattern.install,
    "RDS for MySQL": aws_database.install,
    "e-mail subscriptions": aws_mail.install,
    "resources of IAM's questions": aws_iam.install,
    "identity tokens of STS, and functions as their roles": aws_identity_token.install,
    "rules of security groups": aws_network.install,
    "the reader of a binary log": aws_reader.install,
}


def install() -> None:
    finder = Finder()
    for put in STAND_INS.values():
        put(finder)
