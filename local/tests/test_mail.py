# SPDX-License-Identifier: Apache-2.0
"""SES captures mail, SNS reaches mail, web hooks and functions, and the pieces of a VPC are there."""
from __future__ import annotations

import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from test_lambda import wait_for


def captured(cloud: Any) -> list[dict[str, Any]]:
    with urllib.request.urlopen(cloud.info["aws_url"] + "/_ministack/ses/messages") as answer:
        found = json.load(answer)
    messages: list[dict[str, Any]] = found["messages"].get(cloud.info["account"], [])
    return messages


def test_mail_is_captured_and_identities_verify_at_once(cloud: Any) -> None:
    ses, sesv2 = cloud.aws("ses"), cloud.aws("sesv2")
    sesv2.create_email_identity(EmailIdentity="alerts@example.com")
    assert sesv2.get_email_identity(EmailIdentity="alerts@example.com")["VerifiedForSendingStatus"] is True
    content = {"Simple": {"Subject": {"Data": "orders: no data"}, "Body": {"Text": {"Data": "since 09:00"}, "Html": {"Data": "<p>since <b>09:00</b></p>"}}}}
    sesv2.send_email(FromEmailAddress="alerts@example.com", Destination={"ToAddresses": ["ops@example.com"]}, Content=content)
    ses.send_email(Source="alerts@example.com", Destination={"ToAddresses": ["ops@example.com"]},
                   Message={"Subject": {"Data": "version 1"}, "Body": {"Text": {"Data": "text"}}})
    found = {m.get("Subject"): m for m in captured(cloud)}
    assert {"orders: no data", "version 1"} <= set(found)
    assert "since 09:00" in json.dumps(found["orders: no data"]) and "<b>09:00</b>" in json.dumps(found["orders: no data"])


def test_an_identity_of_a_stack(cloud: Any) -> None:
    cloudformation = cloud.aws("cloudformation")
    cloudformation.create_stack(StackName="mail", TemplateBody=json.dumps({"Resources": {
        "Identity": {"Type": "AWS::SES::EmailIdentity", "Properties": {"EmailIdentity": "stack@example.com"}}}}))
    wait_for(lambda: cloudformation.describe_stacks(StackName="mail")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE")
    assert cloud.aws("sesv2").get_email_identity(EmailIdentity="stack@example.com")["VerifiedForSendingStatus"] is True


def test_a_topic_calls_a_web_hook(cloud: Any) -> None:
    bodies: list[dict[str, Any]] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        sns = cloud.aws("sns")
        topic = sns.create_topic(Name="hook")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://127.0.0.1:{server.server_port}/")
        confirmation = wait_for(lambda: next((b for b in bodies if b["Type"] == "SubscriptionConfirmation"), None))
        sns.confirm_subscription(TopicArn=topic, Token=confirmation["Token"])
        sns.publish(TopicArn=topic, Subject="s", Message="m")
        assert wait_for(lambda: next((b for b in bodies if b["Type"] == "Notification"), None))["Message"] == "m"
    finally:
        server.shutdown()


def test_a_topic_sends_mail(cloud: Any) -> None:
    sns = cloud.aws("sns")
    topic = sns.create_topic(Name="by-mail")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ops@example.com")
    subscription = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"][0]
    assert subscription["Protocol"] == "email"
    sns.publish(TopicArn=topic, Subject="by topic", Message="m")
    assert [(m["To"], m["BodyText"]) for m in captured(cloud) if m["Subject"] == "by topic"] == [(["ops@example.com"], "m")]


def test_a_sender_must_be_verified(cloud: Any) -> None:
    # https://docs.aws.amazon.com/ses/latest/dg/verify-addresses-and-domains.html
    message = {"Subject": {"Data": "unverified"}, "Body": {"Text": {"Data": "text"}}}
    with pytest.raises(Exception, match="not verified"):
        cloud.aws("ses").send_email(Source="nobody@nowhere.example", Destination={"ToAddresses": ["ops@example.com"]}, Message=message)


def test_a_network_and_its_endpoints(cloud: Any) -> None:
    cloudformation = cloud.aws("cloudformation")
    endpoint = {"Type": "AWS::EC2::VPCEndpoint", "Properties": {
        "VpcId": {"Ref": "Vpc"}, "ServiceName": "com.amazonaws.eu-west-1.kinesis-streams", "VpcEndpointType": "Interface", "PrivateDnsEnabled": True,
        "SubnetIds": [{"Ref": "Subnet"}], "SecurityGroupIds": [{"Fn::GetAtt": ["Group", "GroupId"]}]}}
    cloudformation.create_stack(StackName="network", TemplateBody=json.dumps({"Resources": {
        "Vpc": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.9.0.0/16"}},
        "Subnet": {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": {"Ref": "Vpc"}, "CidrBlock": "10.9.1.0/24"}},
        "Group": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "g", "VpcId": {"Ref": "Vpc"}, "SecurityGroupEgress": [
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "10.9.0.0/16"}]}},
        "Rule": {"Type": "AWS::EC2::SecurityGroupIngress", "Properties": {"GroupId": {"Fn::GetAtt": ["Group", "GroupId"]}, "IpProtocol": "tcp", "FromPort": 3306,
                 "ToPort": 3306, "SourceSecurityGroupId": {"Fn::GetAtt": ["Group", "GroupId"]}}},
        "Endpoint": endpoint}}))
    wait_for(lambda: not cloudformation.describe_stacks(StackName="network")["Stacks"][0]["StackStatus"].endswith("PROGRESS"))
    events = cloudformation.describe_stack_events(StackName="network")["StackEvents"]
    assert cloudformation.describe_stacks(StackName="network")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE", [e.get("ResourceStatusReason") for e in events]
    group = next(e["PhysicalResourceId"] for e in events if e["LogicalResourceId"] == "Group" and e["ResourceStatus"] == "CREATE_COMPLETE")
    rules = cloud.aws("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    assert [(r["FromPort"], r["UserIdGroupPairs"][0]["GroupId"]) for r in rules] == [(3306, group)]
