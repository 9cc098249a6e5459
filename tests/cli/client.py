"""An ordinary AWS client for the tests: reads one call a line from stdin, writes its answer as a line to stdout.

A call is {"service", "operation", "arguments", "over", "as"}; an answer is {"answer": ...} or {"refused": code, "message": ...}.
All pages of a list are one answer. `over` "http" says that the request was not sent over TLS, `as` holds the credentials of an assumed role, or nothing.
"""

import base64
import functools
import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError


def plain_http(params, **_):
    params["headers"]["x-forwarded-proto"] = "http"


@functools.cache
def client(service, over, key=None, secret=None, token=None):
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=token)
    made = session.client(service, config=Config(retries={"total_max_attempts": 1}, max_pool_connections=1))
    if over == "http":
        made.meta.events.register("before-call", plain_http)
    return made


def readable(value):
    """What JSON does not know: bodies, bytes and times."""
    if hasattr(value, "read"):
        value = value.read()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def arguments_of(call):
    arguments = dict(call["arguments"])
    if "BodyBase64" in arguments:
        arguments["Body"] = base64.b64decode(arguments.pop("BodyBase64"))
    return arguments


def answer(call):
    role = call["as"] or {}
    names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
    service = client(call["service"], call["over"], *(role.get(name) for name in names))
    operation, arguments = call["operation"], arguments_of(call)
    if service.can_paginate(operation):
        return service.get_paginator(operation).paginate(**arguments).build_full_result()
    return getattr(service, operation)(**arguments)


def main():
    for line in sys.stdin:
        try:
            out = {"answer": answer(json.loads(line))}
        except ClientError as error:
            out = {"refused": error.response["Error"].get("Code", ""), "message": str(error)}
        print(json.dumps(out, default=readable), flush=True)


main()
