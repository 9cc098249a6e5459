# SPDX-License-Identifier: Apache-2.0
"""ministack's Kinesis, with what it does for each request made independent of how much a stream holds.

ministack copies all records of a stream at each request to leave out those whose retention is over, and reads the numbers
of every shard's range anew for each record: a few hundred thousand records made both the most of what this cloud did.
"""
from __future__ import annotations

import bisect
import functools
import time
from typing import Any

from .aws_hooks import Finder


def expire_records(stream: dict[str, Any]) -> None:
    """Drops the records whose retention is over. They are in the order of their arrival."""
    cutoff = time.time() - stream["RetentionPeriodHours"] * 3600
    for shard in stream["shards"].values():
        records = shard["records"]
        if records and arrival(records[0]) < cutoff:
            shard["records"] = records[bisect.bisect_left(records, cutoff, key=arrival):]


def arrival(record: dict[str, Any]) -> float:
    return float(record["ApproximateArrivalTimestamp"])


def route_to_shard(hash_key: int, stream: dict[str, Any]) -> str:
    """The shard whose range has the key's hash."""
    for identity, shard in stream["shards"].items():
        if number(shard["starting_hash_key"]) <= hash_key <= number(shard["ending_hash_key"]):
            return str(identity)
    return str(next(iter(stream["shards"])))


# Ranges are written with up to 39 digits.
number = functools.lru_cache(maxsize=4096)(int)


def install(finder: Finder) -> None:
    """Puts both in the place of ministack's."""
    def hook(kinesis: Any) -> None:
        kinesis._expire_records = expire_records
        kinesis._route_to_shard = route_to_shard

    finder.when("kinesis", hook)
