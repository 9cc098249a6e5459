# SPDX-License-Identifier: Apache-2.0
"""What is put in the place of ministack's own for Kinesis does the same."""
from __future__ import annotations

import random
import time

from ministack.services import kinesis
from pipectl_local import aws_kinesis

# As they are before a cloud puts others in their place, which happens in another process.
EXPIRE, ROUTE = kinesis._expire_records, kinesis._route_to_shard


def records(*ages: float) -> list[dict[str, float]]:
    now = time.time()
    return [{"ApproximateArrivalTimestamp": round(now - age, 3)} for age in ages]


def test_records_go_when_their_retention_is_over() -> None:
    hour = 3600
    for ages in ([], [1], [25 * hour], [72 * hour, 25 * hour, 25 * hour, 23 * hour, 1, 0]):
        arrived = records(*ages)
        ours, theirs = ({"RetentionPeriodHours": 24, "shards": {"a": {"records": list(arrived)}, "b": {"records": []}}} for _ in range(2))
        aws_kinesis.expire_records(ours)
        EXPIRE(theirs)
        assert ours == theirs, ages


def test_a_key_goes_to_the_shard_of_its_hash() -> None:
    for count in (1, 4, 7):
        stream = {"shards": kinesis._build_shards(count)}
        hashes = [0, kinesis.MAX_HASH_KEY, *(random.randrange(kinesis.MAX_HASH_KEY) for _ in range(200))]
        ends = [int(shard["ending_hash_key"]) for shard in stream["shards"].values()]
        for key in [*hashes, *ends, *(end + 1 for end in ends)]:
            assert aws_kinesis.route_to_shard(key, stream) == ROUTE(key, stream)
