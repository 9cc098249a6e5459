"""Looks at a local cloud for the tests: what stands there, told so that two equal clouds give equal texts.

Usage: look.py CLOUD_JSON. Reads one JSON request a line from stdin, writes its answer as a line to stdout:
{"do": "snapshot"}, {"do": "rows"}, {"do": "put", "bucket", "key", "file"} or {"do": "drift", "what"}. It speaks to the clouds itself: no code of pipectl is in between.
"""

import json
import re
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import jwt
import yaml
from botocore.config import Config
from cryptography.hazmat.primitives import serialization

sys.path.insert(0, str(Path(__file__).parents[2] / "local"))
from pipectl_local.jwt_auth import fingerprint  # noqa: E402

PREFIX = "CHINOOK_INVOICES_LOCAL"
# What differs from one undisturbed run to the next.
PASSING = {
    "CreationTime", "LastUpdatedTime", "DeletionTime", "CreationDate", "CreateDate", "LastModified", "LastModifiedDate",
    "ResponseMetadata", "StackId", "ChangeSetId", "StackStatusReason", "RevisionId", "UUID", "RoleId", "creationTime", "storedBytes",
    "AlarmConfigurationUpdatedTimestamp", "StateUpdatedTimestamp", "StateTransitionedTimestamp", "StateReason", "StateReasonData",
    "StateValue", "SubscriptionArn", "LastProcessingResult", "CreatedTimestamp", "LastModifiedTimestamp",
    "created_on", "id", "last_committed_on", "last_suspended_on", "stale_after", "last_altered", "started_on", "resumed_on", "updated_on",
    "rows", "bytes", "running", "queued", "is_current", "is_default", "state_of_warehouse", "available", "provisioning", "quiescing", "other", "uuid",
}
# UUIDs, what Snowflake makes up (external ids, a pipe's queue), what CloudFormation names itself, and the cloud's port.
RANDOM = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}|(?<=SFCRole=)\w+|(?<=sf-snowpipe-LOCAL-)\w+|(?<=Policy-)[0-9a-f]{8}$|(?<=CopyErrorLines-)\w+$|(?<=http://127.0.0.1:)\d+")


class Cloud:
    def __init__(self, path):
        self.info = json.loads(Path(path).read_text())
        self.key = serialization.load_pem_private_key(Path(self.info["snowflake_private_key_path"]).read_bytes(), None)
        self.token, self.until = None, 0
        self.session = boto3.Session(self.info["aws_access_key_id"], self.info["aws_secret_access_key"], region_name=self.info["region"])
        self.clients = {}

    def aws(self, service, operation, **arguments):
        if service not in self.clients:
            self.clients[service] = self.session.client(service, endpoint_url=self.info["aws_url"], config=Config(retries={"total_max_attempts": 1}))
        client = self.clients[service]
        if client.can_paginate(operation):
            return client.get_paginator(operation).paginate(**arguments).build_full_result()
        return getattr(client, operation)(**arguments)

    def bearer(self):
        now = int(time.time())
        if now > self.until:
            subject = f"{self.info['snowflake_account']}.{self.info['snowflake_user']}"
            claims = {"iss": f"{subject}.{fingerprint(self.key.public_key())}", "sub": subject, "iat": now, "exp": now + 3000}
            self.token, self.until = jwt.encode(claims, self.key, algorithm="RS256"), now + 2500
        return self.token

    def sql(self, statement, **fields):
        """The rows as dictionaries."""
        request = urllib.request.Request(self.info["snowflake_url"] + "/api/v2/statements", method="POST", data=json.dumps({"statement": statement, **fields}).encode(), headers={
            "Content-Type": "application/json", "Authorization": f"Bearer {self.bearer()}", "X-Snowflake-Authorization-Token-Type": "KEYPAIR_JWT",
        })
        try:
            with urllib.request.urlopen(request) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{statement}: {error.read().decode()}") from error
        names = [column["name"] for column in answer["resultSetMetaData"]["rowType"]]
        return [dict(zip(names, row)) for row in answer["data"]]


def steady(value):
    """Without what differs from run to run, and in one order."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in sorted(value.items()) if key not in PASSING}
    if isinstance(value, list):
        return sorted((steady(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True, default=str))
    return RANDOM.sub("<id>", str(value))


def aws_side(cloud):
    found = {}
    for stack in cloud.aws("cloudformation", "describe_stacks")["Stacks"]:
        name = stack["StackName"]
        if stack["StackStatus"] == "DELETE_COMPLETE":
            continue
        found[f"stack {name}"] = stack
        template = cloud.aws("cloudformation", "get_template", StackName=name)["TemplateBody"]
        found[f"template {name}"] = template if isinstance(template, dict) else yaml.safe_load(template)
        resources = cloud.aws("cloudformation", "describe_stack_resources", StackName=name)["StackResources"]
        found[f"resources {name}"] = [{key: each.get(key) for key in ("LogicalResourceId", "PhysicalResourceId", "ResourceType")} for each in resources]
    for service, operation, key in [
        ("s3", "list_buckets", "Buckets"), ("iam", "list_roles", "Roles"), ("sqs", "list_queues", "QueueUrls"), ("sns", "list_topics", "Topics"),
        ("sns", "list_subscriptions", "Subscriptions"), ("lambda", "list_functions", "Functions"),
        ("lambda", "list_event_source_mappings", "EventSourceMappings"), ("cloudwatch", "describe_alarms", "MetricAlarms"),
        ("ssm", "describe_parameters", "Parameters"), ("logs", "describe_log_groups", "logGroups"),
    ]:
        found[f"{service} {key}"] = cloud.aws(service, operation).get(key, [])
    for function in found["lambda Functions"]:
        # A function is updated in the background, after its stack has said that it is done.
        for key in ("State", "StateReasonCode", "LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode"):
            function.pop(key, None)
    for role in found["iam Roles"]:
        name = role["RoleName"]
        found[f"policies {name}"] = [cloud.aws("iam", "get_role_policy", RoleName=name, PolicyName=policy)["PolicyDocument"] for policy in cloud.aws("iam", "list_role_policies", RoleName=name)["PolicyNames"]]
    for bucket in found["s3 Buckets"]:
        name = bucket["Name"]
        if "-artifacts-" in name:
            found[f"keys {name}"] = [each["Key"] for each in cloud.aws("s3", "list_objects_v2", Bucket=name).get("Contents", [])]
    for parameter in found["ssm Parameters"]:
        value = json.loads(cloud.aws("ssm", "get_parameter", Name=parameter["Name"])["Parameter"]["Value"])
        value.pop("at", None)
        # It counts writes: a write whose answer was lost is made again, with the same value.
        parameter.pop("Version", None)
        found[f"parameter {parameter['Name']}"] = value
    return steady(found)


def snowflake_side(cloud):
    like = f"LIKE '{PREFIX}%'"
    statements = [f"SHOW {kind} {like}" for kind in ("ROLES", "WAREHOUSES", "INTEGRATIONS", "DATABASES")]
    with ThreadPoolExecutor(4) as pool:
        shown = dict(zip(statements, pool.map(cloud.sql, statements)))
        more = [f"DESC INTEGRATION {row['name']}" for row in shown[statements[2]]]
        for role in shown[statements[0]]:
            more += [f"SHOW GRANTS TO ROLE {role['name']}", f"SHOW GRANTS OF ROLE {role['name']}"]
        if shown[statements[3]]:
            more += [f"SHOW {kind} IN DATABASE {PREFIX}" for kind in ("SCHEMAS", "FILE FORMATS", "STAGES", "TABLES", "COLUMNS", "PIPES", "STREAMS", "TASKS", "VIEWS")]
        shown |= dict(zip(more, pool.map(cloud.sql, more)))
    for warehouse in shown[statements[1]]:
        del warehouse["state"]  # It suspends itself when nothing runs.
    for pipe in shown.get(f"SHOW PIPES IN DATABASE {PREFIX}", []):
        name = f"{pipe['database_name']}.{pipe['schema_name']}.{pipe['name']}"
        status = json.loads(next(iter(cloud.sql(f"SELECT SYSTEM$PIPE_STATUS('{name}')")[0].values())))
        shown[f"state of {name}"] = status["executionState"]
    return shown


def rows(cloud, tables, columns):
    """What is in the tables, in one query. The typed ones are told by count, keys and sum, which no doubled or lost row leaves as they are."""
    with_city = {(column["schema_name"], column["table_name"]) for column in columns if column["column_name"] == "BILLING_CITY"}
    wanted = {}
    for table in tables:
        schema, short = table["schema_name"], table["name"]
        if schema == "INFORMATION_SCHEMA":
            continue
        name = f"{table['database_name']}.{schema}.{short}"
        wanted[name] = name, {
            "INVOICE": ("COUNT(*)", "COUNT(DISTINCT INVOICE_ID)", "SUM(TOTAL)", "COUNT(BILLING_COUNTRY)"),
            "INVOICE_LINE": ("COUNT(*)", "COUNT(DISTINCT INVOICE_LINE_ID)", "SUM(UNIT_PRICE * QUANTITY)", "COUNT(DISTINCT INVOICE_ID)"),
        }.get(short if schema == "SHOP" else "", ("COUNT(*)",))
        if short.startswith("RAW_"):
            # A pipe made anew may load a file again; the tables merge it.
            wanted[f"{name} without repetitions"] = name, ("COUNT(DISTINCT FILE_NAME || ' ' || FILE_ROW)",)
        if (schema, short) in with_city:
            wanted[f"{name}.BILLING_CITY"] = name, ("COUNT(BILLING_CITY)", "COUNT(DISTINCT BILLING_CITY)")
    if not wanted:
        return {}
    parts = [f"SELECT '{label}', {', '.join([f'TO_VARCHAR({each})' for each in what] + ['NULL'] * (4 - len(what)))} FROM {name}" for label, (name, what) in wanted.items()]
    counted = {}
    for label, *values in (row.values() for row in cloud.sql(" UNION ALL ".join(parts))):
        counted[label] = values[:len(wanted[label][1])]
    return counted


def drift(cloud, what):
    """Somebody gives the pipe another COPY statement, or the stage another folder; the comment stays."""
    if what == "stage":
        shown = cloud.sql(f"SHOW STAGES IN DATABASE {PREFIX}")[0]
        name = f"{PREFIX}.{shown['schema_name']}.{shown['name']}"
        cloud.sql(f"ALTER STAGE {name} SET URL = '{shown['url']}invoices/'", role=f"{PREFIX}_OWNER")
        return
    shown = cloud.sql(f"SHOW PIPES IN DATABASE {PREFIX}")[0]
    name = f"{PREFIX}.{shown['schema_name']}.{shown['name']}"
    topics = [each["TopicArn"] for each in cloud.aws("sns", "list_topics")["Topics"] if each["TopicArn"].endswith("-curated")]
    copy = shown["definition"].replace("ON_ERROR = SKIP_FILE", "ON_ERROR = CONTINUE")
    assert copy != shown["definition"]
    cloud.sql(f"""CREATE OR REPLACE PIPE {name} AUTO_INGEST = TRUE ERROR_INTEGRATION = {shown['error_integration']} AWS_SNS_TOPIC = '{topics[0]}'
        COMMENT = '{shown['comment']}' AS {copy}""", role=f"{PREFIX}_LOADER")


def answer(cloud, request):
    if request["do"] == "drift":
        drift(cloud, request["what"])
        return {}
    if request["do"] == "put":
        cloud.aws("s3", "put_object", Bucket=request["bucket"], Key=request["key"], Body=Path(request["file"]).read_bytes())
        return {}
    kinds = [f"SHOW {kind} IN DATABASE {PREFIX}" for kind in ("TABLES", "COLUMNS")]
    if request["do"] == "rows":
        return rows(cloud, *map(cloud.sql, kinds)) if cloud.sql(f"SHOW DATABASES LIKE '{PREFIX}'") else {}
    snowflake = snowflake_side(cloud)
    return {"aws": aws_side(cloud), "snowflake": steady(snowflake), "rows": rows(cloud, *(snowflake.get(kind, []) for kind in kinds))}


def main():
    cloud = Cloud(sys.argv[1])
    for line in sys.stdin:
        try:
            out = answer(cloud, json.loads(line))
        except Exception as error:  # The test tells it.
            out = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(out, default=str), flush=True)


main()
