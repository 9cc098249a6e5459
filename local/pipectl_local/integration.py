# SPDX-License-Identifier: Apache-2.0
"""Storage and notification integrations.

https://docs.snowflake.com/en/sql-reference/sql/create-storage-integration
https://docs.snowflake.com/en/sql-reference/sql/create-notification-integration-queue-outbound-aws
"""
from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from . import ddl, errors, identity, privileges
from .catalog import Integration
from .identity import AwsRefused
from .lexer import Cursor, reads_boolean, reads_string, reads_strings, reads_word
from .result import Result, done, table

if TYPE_CHECKING:
    from .context import Context

ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")
TOPIC_ARN = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]+")
LOCATION = re.compile(r"s3(gov|china)?://[a-z0-9][a-z0-9.-]+(/.*)?|\*")
STORAGE = {"TYPE": reads_word, "STORAGE_PROVIDER": reads_word, "ENABLED": reads_boolean, "STORAGE_AWS_ROLE_ARN": reads_string,
           "STORAGE_AWS_EXTERNAL_ID": reads_string, "STORAGE_AWS_OBJECT_ACL": reads_string, "STORAGE_ALLOWED_LOCATIONS": reads_strings,
           "STORAGE_BLOCKED_LOCATIONS": reads_strings, "COMMENT": reads_string}
NOTIFICATION = {"TYPE": reads_word, "NOTIFICATION_PROVIDER": reads_word, "ENABLED": reads_boolean, "DIRECTION": reads_word,
                "AWS_SNS_TOPIC_ARN": reads_string, "AWS_SNS_ROLE_ARN": reads_string, "COMMENT": reads_string}
FIXED = {"STORAGE": ("TYPE", "STORAGE_PROVIDER"), "NOTIFICATION": ("TYPE", "NOTIFICATION_PROVIDER", "DIRECTION")}
REQUIRED = {"STORAGE": ("TYPE", "STORAGE_PROVIDER", "ENABLED", "STORAGE_AWS_ROLE_ARN", "STORAGE_ALLOWED_LOCATIONS"),
            "NOTIFICATION": ("TYPE", "NOTIFICATION_PROVIDER", "ENABLED", "DIRECTION", "AWS_SNS_TOPIC_ARN", "AWS_SNS_ROLE_ARN")}
VALUES = {"STORAGE": {"TYPE": "EXTERNAL_STAGE", "STORAGE_PROVIDER": "S3"},
          "NOTIFICATION": {"TYPE": "QUEUE", "NOTIFICATION_PROVIDER": "AWS_SNS", "DIRECTION": "OUTBOUND"}}


def check(category: str, options: dict[str, Any]) -> None:
    for key, expected in VALUES[category].items():
        if options.get(key, expected) != expected:
            raise errors.unsupported(f"{category} INTEGRATION with {key} = {options[key]}")
    for key in ("STORAGE_AWS_ROLE_ARN", "AWS_SNS_ROLE_ARN"):
        if key in options and not ROLE_ARN.fullmatch(options[key]):
            raise errors.invalid_value(options[key], key)
    if "AWS_SNS_TOPIC_ARN" in options and not TOPIC_ARN.fullmatch(options["AWS_SNS_TOPIC_ARN"]):
        raise errors.invalid_value(options["AWS_SNS_TOPIC_ARN"], "AWS_SNS_TOPIC_ARN")
    for key in ("STORAGE_ALLOWED_LOCATIONS", "STORAGE_BLOCKED_LOCATIONS"):
        for location in options.get(key, []):
            if not LOCATION.fullmatch(location):
                raise errors.invalid_value(location, key)


def _create(context: "Context", cursor: Cursor, mode: str, category: str) -> Result:
    ddl.refuse_modes(cursor, mode, (ddl.REPLACE,))
    lenient = ddl.if_not_exists(cursor)
    name = cursor.identifier()
    known = STORAGE if category == "STORAGE" else NOTIFICATION
    options = cursor.options(f"{category} INTEGRATION", known)
    cursor.finish()
    existing = context.account.integrations.get(name)
    if existing is not None and not mode:
        if lenient:
            return ddl.skipped(name)
        raise errors.exists(name)
    check(category, options)
    for key in REQUIRED[category]:
        if key not in options:
            raise errors.compilation(f"Missing option(s): [{key}]", "002029", "42601")
    privileges.require(context, context.account, "CREATE INTEGRATION")
    properties = {k: v for k, v in options.items() if k not in ("TYPE", "ENABLED", "COMMENT")}
    key = "STORAGE_AWS_EXTERNAL_ID" if category == "STORAGE" else "SF_AWS_EXTERNAL_ID"
    properties.setdefault(key, identity.external_id(context.account.name))
    created = Integration(name, owner=context.role, comment=options.get("COMMENT", ""), parent=context.account, type=options["TYPE"],
                          category=category, enabled=options["ENABLED"], properties=properties)
    with context.account.lock:
        context.account.integrations[name] = created
    return ddl.created("Integration", name)


def create_storage(context: "Context", cursor: Cursor, mode: str) -> Result:
    return _create(context, cursor, mode, "STORAGE")


def create_notification(context: "Context", cursor: Cursor, mode: str) -> Result:
    return _create(context, cursor, mode, "NOTIFICATION")


def alter(context: "Context", cursor: Cursor, category: str | None = None) -> Result:
    lenient = ddl.if_exists(cursor)
    name = cursor.identifier()
    if lenient and name not in context.account.integrations:
        return done()
    found: Integration = ddl.account_object(context, context.account.integrations, "INTEGRATION", name)
    if category and category != found.category:
        raise errors.missing("INTEGRATION", name)
    if cursor.accept("UNSET"):
        key = cursor.accept_one("COMMENT", "STORAGE_BLOCKED_LOCATIONS", "ENABLED")
        if key is None:
            raise cursor.unexpected()
        cursor.finish()
        found.comment = "" if key == "COMMENT" else found.comment
        found.enabled = False if key == "ENABLED" else found.enabled
        found.properties.pop(key, None)
        return done()
    cursor.expect("SET")
    known = {k: v for k, v in (STORAGE if found.category == "STORAGE" else NOTIFICATION).items() if k not in FIXED[found.category]}
    options = cursor.options(f"{found.category} INTEGRATION", known)
    cursor.finish()
    check(found.category, options)
    found.enabled = options.pop("ENABLED", found.enabled)
    found.comment = options.pop("COMMENT", found.comment)
    found.properties |= options
    context.cloud.identity.forget()
    return done()


def drop(context: "Context", cursor: Cursor) -> Result:
    return ddl.drop_account_object(context, cursor, context.account.integrations, "INTEGRATION")


def describe(context: "Context", cursor: Cursor) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/desc-integration"""
    name = cursor.identifier()
    cursor.finish()
    found: Integration = ddl.account_object(context, context.account.integrations, "INTEGRATION", name, "USAGE")
    properties = found.properties
    rows: list[tuple[str, str, str, str]] = [("ENABLED", "Boolean", str(found.enabled).lower(), "false")]
    if found.category == "STORAGE":
        rows += [
            ("STORAGE_PROVIDER", "String", "S3", ""),
            ("STORAGE_ALLOWED_LOCATIONS", "List", ",".join(properties["STORAGE_ALLOWED_LOCATIONS"]), "[]"),
            ("STORAGE_BLOCKED_LOCATIONS", "List", ",".join(properties.get("STORAGE_BLOCKED_LOCATIONS", [])), "[]"),
            ("STORAGE_AWS_IAM_USER_ARN", "String", context.cloud.identity.user_arn, ""),
            ("STORAGE_AWS_ROLE_ARN", "String", properties["STORAGE_AWS_ROLE_ARN"], ""),
            ("STORAGE_AWS_EXTERNAL_ID", "String", properties["STORAGE_AWS_EXTERNAL_ID"], ""),
        ]
    else:
        rows += [
            ("NOTIFICATION_PROVIDER", "String", "AWS_SNS", ""),
            ("DIRECTION", "String", "OUTBOUND", "INBOUND"),
            ("AWS_SNS_TOPIC_ARN", "String", properties["AWS_SNS_TOPIC_ARN"], ""),
            ("AWS_SNS_ROLE_ARN", "String", properties["AWS_SNS_ROLE_ARN"], ""),
            ("SF_AWS_IAM_USER_ARN", "String", context.cloud.identity.user_arn, ""),
            ("SF_AWS_EXTERNAL_ID", "String", properties["SF_AWS_EXTERNAL_ID"], ""),
        ]
    rows.append(("COMMENT", "String", found.comment, ""))
    return table(("property", "property_type", "property_value", "property_default"), rows)


def find(context: "Context", name: str, category: str, *needed: str) -> Integration:
    """An integration of a category that the role may use."""
    found = context.account.integrations.get(name)
    if found is None or found.category != category:
        raise errors.missing("INTEGRATION", name)
    privileges.require(context, found, *(needed or ("USAGE",)))
    return found


def allows(found: Integration, url: str) -> bool:
    """Whether the location lies within what the integration allows."""
    def covers(location: str) -> bool:
        return location == "*" or url.startswith(location if location.endswith("/") else location + "/") or url.rstrip("/") == location.rstrip("/")
    blocked = found.properties.get("STORAGE_BLOCKED_LOCATIONS", [])
    return any(covers(x) for x in found.properties["STORAGE_ALLOWED_LOCATIONS"]) and not any(covers(x) for x in blocked)


def credentials(context_cloud: Any, found: Integration | None) -> Any:
    """The credentials that a stage's files are read with."""
    if found is None:
        raise AwsRefused("The stage has no storage integration.")
    if not found.enabled:
        raise AwsRefused(f"Storage integration '{found.name}' is disabled.")
    return context_cloud.identity.assume(found.properties["STORAGE_AWS_ROLE_ARN"], found.properties["STORAGE_AWS_EXTERNAL_ID"])


def validate(context: "Context", name: str, path: str, file: str, action: str) -> str:
    """SYSTEM$VALIDATE_STORAGE_INTEGRATION: tries it for real."""
    action = action.lower()
    if action not in ("read", "write", "list", "delete", "all"):
        raise errors.invalid_value(action, "validate_action")
    found = find(context, name, "STORAGE")
    if not allows(found, path):
        raise errors.execution(f"Location '{path}' is not allowed by integration '{name}'. Please use DESC INTEGRATION to check out allowed and "
                               "blocked locations.", "002003", "42601")
    bucket, _, prefix = path.removeprefix("s3://").partition("/")
    key = prefix + ("" if not prefix or prefix.endswith("/") else "/") + file
    wanted = ["WRITE", "READ", "LIST", "DELETE"] if action == "all" else [action.upper()]
    outcome: dict[str, dict[str, str]] = {}
    cloud = context.cloud
    cloud.identity.forget()
    for verb in wanted:
        try:
            s3 = cloud.identity.client("s3", credentials(cloud, found))
            if verb == "READ":
                s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            elif verb == "LIST":
                s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
            elif verb == "WRITE":
                s3.put_object(Bucket=bucket, Key=key, Body=b"")
            else:
                s3.delete_object(Bucket=bucket, Key=key)
            outcome[verb] = {"status": "success"}
        except AwsRefused as error:
            outcome[verb] = {"status": "failure", "message": str(error)}
        except Exception as error:  # botocore makes its exception classes at run time
            outcome[verb] = {"status": "failure", "message": identity.explain(error)}
    good = all(o["status"] == "success" for o in outcome.values())
    answer: dict[str, Any] = {"status": "success" if good else "failure", "actions": outcome}
    if not good:
        answer["message"] = "Some of the integration checks failed. Check the Snowflake documentation for more information."
    return json.dumps(answer)
