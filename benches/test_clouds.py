"""The critical path, on files small enough to add up by hand. Run by `make test`: python -m unittest discover benches."""

import tempfile
import textwrap
import unittest
from pathlib import Path

from clouds import (CriticalPath, Latencies, Node, Rendered, bounded, longest, needs_inside, operation_seconds, resource_times,
                    statements)

LATENCIES = """
[stack]
change_set = 3
operation = 6
[resource]
"AWS::SQS::Queue" = { complete = 31, ready = 2 }
"AWS::SNS::Topic" = { complete = 11 }
"AWS::SNS::TopicPolicy" = { complete = 2 }
"AWS::IAM::Role" = { complete = 18 }
"AWS::Lambda::Function" = { complete = 8 }
"AWS::Lambda::EventSourceMapping" = { complete = 3 }
"AWS::S3::Bucket" = { complete = 20 }
"AWS::Scheduler::Schedule" = { complete = 2 }
[snowflake]
statement = 1
"""


def latencies() -> Latencies:
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(LATENCIES)
        file.flush()
        return Latencies(Path(file.name))


def path(**files: str) -> tuple[float, list[str]]:
    """The critical path of rendered files: `aws_NAME` is a stack, anything else SQL."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("cloudformation", "snowflake"):
            (folder / part).mkdir()
        for number, (file, text) in enumerate(files.items(), 1):
            kind, _, part = file.partition("_")
            place = f"cloudformation/{number:02}-{part}.yaml" if kind == "aws" else f"snowflake/{number:02}-{file}.sql"
            (folder / place).write_text(textwrap.dedent(text))
        return CriticalPath(Rendered(folder), latencies()).length()


FUNCTION = {"Resources": {
    "Queue": {"Type": "AWS::SQS::Queue"},
    "Role": {"Type": "AWS::IAM::Role"},
    "Function": {"Type": "AWS::Lambda::Function", "Properties": {"Role": {"Fn::GetAtt": ["Role", "Arn"]}}},
    "Source": {"Type": "AWS::Lambda::EventSourceMapping", "DependsOn": "Role",
               "Properties": {"From": {"Fn::Sub": "${Queue.Arn}"}, "To": {"Ref": "Function"}}},
}}

TOPIC = """\
    Resources:
      T:
        Type: AWS::SNS::Topic
        Properties: {TopicName: t}
      P:
        Type: AWS::SNS::TopicPolicy
        Properties: {Topics: [{Ref: T}]}
    """


class Stack(unittest.TestCase):
    def test_references_are_found_however_they_are_written(self) -> None:
        self.assertEqual(needs_inside(FUNCTION)["Source"], {"Queue", "Role", "Function"})

    def test_dependents_start_when_a_resource_is_ready(self) -> None:
        # The role takes 18, the function 8 after it, the mapping 3 after that; the queue goes on beside them until 31.
        times = resource_times(FUNCTION, latencies())
        self.assertEqual(times["Source"], (29, 29))
        self.assertEqual(times["Queue"], (2, 31))
        self.assertEqual(operation_seconds(FUNCTION, latencies()), 6 + 31)


class Path_(unittest.TestCase):
    def test_one_stack(self) -> None:
        self.assertEqual(path(aws_topic=TOPIC)[0], 3 + 6 + 11 + 2)

    def test_a_notification_waits_for_the_policy_of_its_topic_in_another_stack(self) -> None:
        length, chain = path(aws_topic=TOPIC, aws_storage="""\
            Resources:
              B:
                Type: AWS::S3::Bucket
                Properties:
                  BucketName: b
                  NotificationConfiguration:
                    TopicConfigurations: [{Topic: "arn:aws:sns:r:1:t"}]
            """)
        # Not for the end of the topic's stack, which takes 3 more.
        self.assertEqual(length, 3 + 3 + 11 + 2 + 3 + 20 + 3)
        self.assertIn("topic.P", chain)

    def test_a_stack_waits_for_the_outputs_that_its_parameters_take(self) -> None:
        length, _ = path(aws_first="""\
            Resources:
              Q: {Type: AWS::SQS::Queue}
            Outputs:
              QueueUrl: {Value: {Ref: Q}}
            """, aws_second="""\
            Parameters:
              QueueUrl: {Type: String}
            Resources:
              T: {Type: AWS::SNS::Topic, Properties: {TopicName: t}}
            """)
        self.assertEqual(length, 3 + 6 + 31 + 3 + 6 + 11)

    def test_a_schedule_waits_for_its_function(self) -> None:
        length, chain = path(aws_run="""\
            Resources:
              F:
                Type: AWS::Lambda::Function
                Properties: {FunctionName: f, Code: {S3Bucket: elsewhere}}
              Q: {Type: AWS::SQS::Queue}
            """, aws_schedule="""\
            Resources:
              S:
                Type: AWS::Scheduler::Schedule
                Properties: {Target: {Arn: "arn:aws:lambda:r:1:function:f"}}
            """)
        # Not for the end of the function's stack, which takes until 3 + 6 + 31.
        self.assertEqual(length, 3 + 6 + 31)
        self.assertNotIn("schedule.S", chain)
        times = path(aws_run="""\
            Resources:
              F:
                Type: AWS::Lambda::Function
                Properties: {FunctionName: f, Code: {S3Bucket: elsewhere}}
            """, aws_schedule="""\
            Resources:
              S:
                Type: AWS::Scheduler::Schedule
                Properties: {Target: {Arn: "arn:aws:lambda:r:1:function:f"}}
            """)
        self.assertEqual(times[0], 3 + 3 + 8 + 3 + 2 + 3)

    def test_statements_wait_for_what_they_name(self) -> None:
        length, chain = path(all="""\
            CREATE ROLE IF NOT EXISTS R COMMENT = 'a';
            GRANT ROLE R TO ROLE X;
            GRANT EXECUTE TASK ON ACCOUNT TO ROLE R;
            ALTER ROLE R SET COMMENT = 'b';

            CREATE DATABASE IF NOT EXISTS D COMMENT = 'a';
            CREATE SCHEMA IF NOT EXISTS D.S COMMENT = 'a';
            CREATE TABLE IF NOT EXISTS D.S.T (
              A VARCHAR COMMENT 'in D.S.U'
            );
            CREATE STREAM IF NOT EXISTS D.S.U ON TABLE D.S.T;
            """)
        self.assertEqual(length, 4)
        self.assertEqual(chain, ["DATABASE D", "SCHEMA D.S", "TABLE D.S.T", "STREAM D.S.U"])

    def test_a_pipe_waits_for_the_topic_in_the_other_cloud(self) -> None:
        length, _ = path(aws_topic=TOPIC, pipes="""\
            CREATE PIPE IF NOT EXISTS P
              AWS_SNS_TOPIC = 'arn:aws:sns:r:1:t'
            AS
            COPY INTO T;
            """)
        self.assertEqual(length, 3 + 3 + 11 + 2 + 3, "the end of the stack is later than the pipe")

    def test_a_task_body_is_one_statement_and_the_graph_is_resumed_last(self) -> None:
        tasks = """\
            CREATE OR ALTER TASK R
              WHEN TRUE
            AS
              SELECT 1;
            CREATE OR ALTER TASK A
              AFTER R
            AS
            DECLARE
              failed BOOLEAN DEFAULT FALSE;
            BEGIN
              BEGIN
                BEGIN TRANSACTION;
                MERGE INTO T;
                COMMIT;
              EXCEPTION
                WHEN OTHER THEN
                  ROLLBACK;
              END;
              IF (failed) THEN
                RAISE failure;
              END IF;
            END;
            CREATE OR ALTER TASK B
              AFTER R
            AS
            BEGIN
              BEGIN TRANSACTION;
              COMMIT;
            EXCEPTION
              WHEN OTHER THEN
                RAISE;
            END;
            """
        self.assertEqual(len(statements(textwrap.dedent(tasks))), 3)
        self.assertEqual(path(tasks=tasks)[0], 2 + 3)


class Bounded(unittest.TestCase):
    def test_a_bound_on_what_runs_at_once_lengthens_the_path(self) -> None:
        # One second before ten of one second each, and five seconds after them.
        nodes = {"first": Node("first", 1), "last": Node("last", 5, {f"s{n}" for n in range(10)})}
        nodes |= {f"s{n}": Node(f"s{n}", 1, {"first"}) for n in range(10)}
        self.assertEqual(longest(nodes)[0], 7)
        self.assertEqual(bounded(nodes, 10, lambda name: name.startswith("s")), 7)
        self.assertEqual(bounded(nodes, 2, lambda name: name.startswith("s")), 1 + 10 / 2 + 5)
        # What need not be there before the end is no hindrance to it.
        nodes["last"].needs = {"s0"}
        self.assertEqual(bounded(nodes, 2, lambda name: name.startswith("s")), 7)


if __name__ == "__main__":
    unittest.main()
