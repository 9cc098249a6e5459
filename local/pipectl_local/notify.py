# SPDX-License-Identifier: Apache-2.0
"""Error notifications to SNS, through a notification integration.

https://docs.snowflake.com/en/user-guide/data-load-snowpipe-errors-sns
https://docs.snowflake.com/en/user-guide/tasks-errors-integrate
"""
from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING, Any

from .catalog import now
from .identity import AwsRefused

if TYPE_CHECKING:
    from .cloud import Cloud

LOG = logging.getLogger("snowflake.notify")
SUBJECT = "Snowflake Notification"


def envelope(account: str, kind: str) -> dict[str, Any]:
    stamp = now().strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return {"version": "1.0", "messageId": str(uuid.uuid4()), "messageType": kind, "timestamp": stamp, "accountName": account}


def file_failed(account: str, pipe: str, table: str, location: str, file: str, error: str) -> dict[str, Any]:
    return envelope(account, "INGEST_FAILED_FILE") | {
        "pipeName": pipe, "tableName": table, "stageLocation": location, "messages": [{"fileName": f"/{file}", "firstError": error}]}


def task_failed(account: str, task: Any, root: Any, message: dict[str, Any]) -> dict[str, Any]:
    return envelope(account, "USER_TASK_FAILED") | {
        "taskName": task.full_name, "taskId": task.id, "rootTaskName": root.full_name, "rootTaskId": root.id, "messages": [message]}


def send(cloud: "Cloud", name: str, message: dict[str, Any]) -> None:
    """A failure to notify is logged, and never undoes the load or the task."""
    found = cloud.account.integrations.get(name)
    if found is None or found.category != "NOTIFICATION" or not found.enabled:
        LOG.error("notification integration %s is missing or disabled", name)
        return
    properties = found.properties
    try:
        cloud.identity.publish(properties["AWS_SNS_ROLE_ARN"], properties["SF_AWS_EXTERNAL_ID"], properties["AWS_SNS_TOPIC_ARN"], SUBJECT, message)
    except AwsRefused as error:
        LOG.error("notification integration %s: %s", name, error)
