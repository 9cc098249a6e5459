# SPDX-License-Identifier: Apache-2.0
"""The handshake with AWS, loading, and what goes wrong."""
from __future__ import annotations

import gzip
import json
import time

import pytest
from conftest import Landing, SqlError


def status(cloud, pipe):
    return json.loads(cloud.value(f"SELECT SYSTEM$PIPE_STATUS('{pipe}')"))


def wait_status(cloud, pipe, test, seconds=90):
    began = time.monotonic()
    while True:
        found = status(cloud, pipe)
        if test(found):
            return found
        assert time.monotonic() - began < seconds, found
        time.sleep(0.05)


def test_load_skip_refresh_and_history(either, landing):
    site = landing(either, "load")
    d = site.database
    pipe = f"{d}.RAW.INVOICE_PIPE"
    assert json.loads(either.value(f"SELECT SYSTEM$VALIDATE_STORAGE_INTEGRATION('{site.integration}', 's3://{site.bucket}/data/', 'f', 'list')"))["status"] == "success"
    site.put("data/invoices/0.json", {"n": 0})
    either.sql(site.pipe_sql())
    found = status(either, pipe)
    assert found["executionState"] == "RUNNING" and found["notificationChannelName"].startswith(f"arn:aws:sqs:{either.info['region']}:999999999999:sf-snowpipe-")
    shown = either.sql(f"SHOW PIPES IN DATABASE {d}")[0]
    assert shown["notification_channel"] == found["notificationChannelName"] and shown["comment"] == "c" and shown["definition"].startswith("COPY INTO")
    site.put("data/other/1.json", {"n": "not mine"})
    site.put("data/invoices/bad.json", {"n": 1}, '{"n": broken')
    site.s3.put_object(Bucket=site.bucket, Key="data/invoices/2.json.gz", Body=gzip.compress(b'[{"n": 2}, {"n": 12345678901234567890.123456789}]'))
    either.wait(f"SELECT COUNT(*) FROM {d}.RAW.INVOICES", "2")
    assert "12345678901234567890.123456789" in either.value(f"SELECT RECORD FROM {d}.RAW.INVOICES WHERE FILE_ROW = 2"), "numbers stay as written"
    listed = either.sql(f"LIST @{d}.RAW.LANDING/invoices/")
    assert [r["name"].rsplit("/", 1)[-1] for r in listed] == ["0.json", "2.json.gz", "bad.json"]
    refreshed = either.sql(f"ALTER PIPE {pipe} REFRESH PREFIX = '0'")
    assert [tuple(r.values()) for r in refreshed] == [("0.json", "SENT")]
    either.wait(f"SELECT COUNT(*) FROM {d}.RAW.INVOICES", "3")
    site.put("data/invoices/2.json.gz", {"n": "again"})
    assert {r["File"] for r in either.sql(f"ALTER PIPE {pipe} REFRESH")} <= {"bad.json"}
    wait_status(either, pipe, lambda s: s["pendingFileCount"] == 0)
    assert either.value(f"SELECT COUNT(*) FROM {d}.RAW.INVOICES") == "3", "a loaded name is not loaded again"
    history = either.sql(f"""SELECT FILE_NAME, STATUS, ROW_COUNT, FIRST_ERROR_MESSAGE, PIPE_NAME FROM TABLE({d}.INFORMATION_SCHEMA.COPY_HISTORY(
        TABLE_NAME => '{d}.RAW.INVOICES', START_TIME => DATEADD(hours, -1, CURRENT_TIMESTAMP()))) ORDER BY LAST_LOAD_TIME""")
    by_name = {h["FILE_NAME"]: h for h in history}
    assert by_name["invoices/bad.json"]["STATUS"] == "Load failed" and "Error parsing JSON" in by_name["invoices/bad.json"]["FIRST_ERROR_MESSAGE"]
    assert by_name["invoices/2.json.gz"]["STATUS"] == "Loaded" and by_name["invoices/2.json.gz"]["ROW_COUNT"] == "2"
    # paused: notifications are kept, and count only once it is resumed
    either.sql(f"ALTER PIPE {pipe} SET PIPE_EXECUTION_PAUSED = TRUE COMMENT = 'for a while'")
    assert either.sql(f"SHOW PIPES IN DATABASE {d}")[0]["comment"] == "for a while"
    received = status(either, pipe)["lastForwardedMessageTimestamp"]
    site.put("data/invoices/3.json", {"n": 3})
    found = wait_status(either, pipe, lambda s: s["lastForwardedMessageTimestamp"] != received)
    assert found["executionState"] == "PAUSED" and found["pendingFileCount"] == 0
    assert either.value(f"SELECT COUNT(*) FROM {d}.RAW.INVOICES") == "3"
    either.sql(f"ALTER PIPE {pipe} SET PIPE_EXECUTION_PAUSED = FALSE")
    either.wait(f"SELECT COUNT(*) FROM {d}.RAW.INVOICES", "4")
    # a new pipe has no history; it runs, whether the old one did or not, and REFRESH takes files by their age
    either.sql(f"ALTER PIPE {pipe} SET PIPE_EXECUTION_PAUSED = TRUE COMMENT = 'old'")
    either.sql(site.pipe_sql().replace("PIPE IF NOT EXISTS", "OR REPLACE PIPE", 1))
    assert status(either, pipe)["executionState"] == "RUNNING" and either.sql(f"SHOW PIPES IN DATABASE {d}")[0]["comment"] == "c"
    def refresh(unit, amount):
        moment = either.value(f"""SELECT TO_CHAR(DATEADD('{unit}', {amount}, SYSDATE()), 'YYYY-MM-DD"T"HH24:MI:SS')""")
        return either.sql(f"ALTER PIPE {pipe} REFRESH MODIFIED_AFTER = '{moment}Z'")
    with pytest.raises(SqlError, match="7 days"):
        refresh("DAY", -8)
    assert refresh("DAY", 1) == []
    refresh("MINUTE", -15)
    either.wait(f"SELECT COUNT(*) FROM {d}.RAW.INVOICES", "7")
    either.sql(f"""CREATE OR REPLACE STAGE {d}.RAW.LANDING URL = 's3://{site.bucket}/data/' STORAGE_INTEGRATION = {site.integration}
        FILE_FORMAT = (FORMAT_NAME = '{d}.RAW.JSON_LINES')""")
    assert status(either, pipe)["executionState"] == "STOPPED_STAGE_DROPPED"
    either.sql(f"DROP DATABASE {d}")


def test_plain_copy(either, landing):
    site = landing(either, "copy")
    d = site.database
    either.sql(f"CREATE TABLE {d}.RAW.TYPED (ID NUMBER(5,0), DAY DATE, T VARCHAR(3))")
    site.put("data/x/1.json", {"id": 1, "day": "2024-01-01", "t": "abc"}, {"id": "no", "day": "2024-01-01", "t": "abc"}, {"id": 3, "day": "2024-01-03", "t": "toolong"})
    site.put("data/x/2.txt", {"id": 9})
    copy = f"""COPY INTO {d}.RAW.TYPED FROM (SELECT $1:id::NUMBER(5,0), $1:day::DATE, $1:t::VARCHAR FROM @{d}.RAW.LANDING/x/) PATTERN = '.*[.]json'"""
    with pytest.raises(SqlError):
        either.sql(copy)
    assert either.sql(f"{copy} ON_ERROR = SKIP_FILE")[0]["status"] == "LOAD_FAILED"
    done = either.sql(f"{copy} ON_ERROR = CONTINUE")[0]
    assert (done["status"], done["rows_parsed"], done["rows_loaded"], done["errors_seen"]) == ("PARTIALLY_LOADED", "3", "1", "2")
    assert either.sql(f"{copy} ON_ERROR = CONTINUE")[0] == {"status": "Copy executed with 0 files processed."}
    site.put("data/y/1.json", {"ID": 7, "Day": "2024-01-07"})
    either.sql(f"COPY INTO {d}.RAW.TYPED FROM @{d}.RAW.LANDING/y/ MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE")
    assert either.sql(f"SELECT ID, T FROM {d}.RAW.TYPED ORDER BY ID") == [{"ID": "1", "T": "abc"}, {"ID": "7", "T": None}]
    either.sql(f"DROP DATABASE {d}")


def test_topic_policy_without_snowflake_refuses_the_pipe(either):
    site = Landing(either, f"topic{'-auth' if either.info['auth'] else ''}")
    user = site.make_integration()["STORAGE_AWS_IAM_USER_ARN"]
    site.make_aws(user)
    site.make_topic([])
    site.make_tables()
    with pytest.raises(SqlError, match="subscribe"):
        either.sql(site.pipe_sql())
    site.make_topic([{"Effect": "Allow", "Principal": {"AWS": user}, "Action": "sns:Subscribe", "Resource": site.topic}])
    either.sql(site.pipe_sql())
    either.sql(f"DROP DATABASE {site.database}")


@pytest.mark.parametrize("wrong", ["external_id", "principal"])
def test_wrong_trust_breaks_the_load_until_it_is_right(either, wrong):
    site = Landing(either, f"trust-{wrong.replace('_', '')}{'-auth' if either.info['auth'] else ''}")
    user = site.make_integration()["STORAGE_AWS_IAM_USER_ARN"]
    site.make_aws(user, **{wrong: "another" if wrong == "external_id" else "arn:aws:iam::999999999999:user/somebody"})
    site.make_tables()
    either.sql(site.pipe_sql())
    site.put("data/invoices/1.json", {"n": 1})
    pipe = f"{site.database}.RAW.INVOICE_PIPE"
    found = wait_status(either, pipe, lambda s: "error" in s)
    assert "AssumeRole" in found["error"] and found["pendingFileCount"] == 1
    answer = json.loads(either.value(f"SELECT SYSTEM$VALIDATE_STORAGE_INTEGRATION('{site.integration}', 's3://{site.bucket}/data/', 'f', 'list')"))
    assert answer["status"] == "failure"
    trust = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": user}, "Action": "sts:AssumeRole",
             "Condition": {"StringEquals": {"sts:ExternalId": site.external_id}}}]}
    either.aws("iam").update_assume_role_policy(RoleName=site.role.rsplit("/", 1)[-1], PolicyDocument=json.dumps(trust))
    either.wait(f"SELECT COUNT(*) FROM {site.database}.RAW.INVOICES", "1")
    either.sql(f"DROP DATABASE {site.database}")


def test_missing_read_permission_breaks_the_load(auth_cloud):
    site = Landing(auth_cloud, "noread")
    site.make_aws(site.make_integration()["STORAGE_AWS_IAM_USER_ARN"], read=False)
    site.make_tables()
    auth_cloud.sql(site.pipe_sql())
    site.put("data/invoices/1.json", {"n": 1})
    found = wait_status(auth_cloud, f"{site.database}.RAW.INVOICE_PIPE", lambda s: "error" in s)
    assert "s3:GetObject" in found["error"]
    auth_cloud.sql(f"DROP DATABASE {site.database}")


def test_error_notification(either, landing):
    site = landing(either, "errors")
    d, cloud = site.database, either
    sns, sqs = cloud.aws("sns"), cloud.aws("sqs")
    topic = sns.create_topic(Name=f"{site.name}-alerts")["TopicArn"]
    url = sqs.create_queue(QueueName=f"{site.name}-alerts")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}]})})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    role = f"arn:aws:iam::{cloud.info['account']}:role/{site.name}-notify"
    name = f"{d}_SNS"
    cloud.sql(f"""CREATE NOTIFICATION INTEGRATION IF NOT EXISTS {name} TYPE = QUEUE NOTIFICATION_PROVIDER = AWS_SNS ENABLED = TRUE DIRECTION = OUTBOUND
        AWS_SNS_TOPIC_ARN = '{topic}' AWS_SNS_ROLE_ARN = '{role}' COMMENT = 'c'""")
    p = {r["property"]: r["property_value"] for r in cloud.sql(f"DESC INTEGRATION {name}")}
    cloud.aws("iam").create_role(RoleName=role.rsplit("/", 1)[-1], AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": p["SF_AWS_IAM_USER_ARN"]}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"sts:ExternalId": p["SF_AWS_EXTERNAL_ID"]}}}]}))
    cloud.aws("iam").put_role_policy(RoleName=role.rsplit("/", 1)[-1], PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "sns:Publish", "Resource": topic}]}))
    cloud.sql(site.pipe_sql(f"ERROR_INTEGRATION = {name}"))
    site.put("data/invoices/bad.json", "{nonsense")
    cloud.sql(f"CREATE TASK IF NOT EXISTS {d}.RAW.BROKEN SCHEDULE = '1 MINUTE' ERROR_INTEGRATION = {name} AS SELECT * FROM {d}.RAW.NOPE")
    cloud.sql(f"EXECUTE TASK {d}.RAW.BROKEN")
    messages = {}
    began = time.monotonic()
    while len(messages) < 2 and time.monotonic() - began < 90:
        for m in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=10).get("Messages", []):
            body = json.loads(m["Body"])
            messages[body["messageType"]] = body
    assert messages["INGEST_FAILED_FILE"]["pipeName"] == f"{d}.RAW.INVOICE_PIPE" and messages["INGEST_FAILED_FILE"]["messages"][0]["fileName"] == "/invoices/bad.json"
    assert "NOPE" in messages["USER_TASK_FAILED"]["messages"][0]["errorMessage"] and messages["USER_TASK_FAILED"]["taskName"] == f"{d}.RAW.BROKEN"
    cloud.sql(f"DROP DATABASE {d}")
