#!/usr/bin/env python3
"""The handler `transform` beside the Python handler of the hand-built pipeline, for a batch of 500 records.

Both get the event's text and give the answer's, as Lambda hands them over; the pipeline's own handler only adds a line
break, pipectl's also checks every record and finds its folder. The same records for both, then the original's own,
which are shorter, for its handler. Times are the shortest of many runs, which other work on the machine disturbs least.

Needs a release build of the benches: `cargo bench --bench transform --no-run`. Usage: transform.py [--runs N]
"""

import argparse
import base64
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RECORDS = 500
# Times the original's speed that the project promises.
TARGET = 20


def original(event: dict[str, Any], _context: object = None) -> dict[str, Any]:
    """What the original does; its list was a global, which made it answer old records."""
    output = []
    for record in event["records"]:
        payload = base64.b64decode(record["data"]).decode("utf-8") + "\n"
        output.append({"recordId": record["recordId"], "result": "Ok", "data": base64.b64encode(payload.encode("utf-8")).decode("utf-8")})
    return {"records": output}


def record(number: int) -> str:
    row = {"PersonID": number, "FullName": "Herman Zimmerman", "City": "Oklahoma City"}
    change = {"op": "i", "schema": "CDC_schema", "table": "Persons", "key": {"PersonID": number},
              "seq": f"000001-0000000042-{number * 300:020}-00000000", "gtid": None, "ts": "2026-11-21T09:00:00.000000Z",
              "before": None, "after": row}
    return json.dumps(change, separators=(",", ":")) + "\n"


def original_record(number: int) -> str:
    row = {"PersonID": number, "FullName": "Herman Zimmerman", "City": "Oklahoma City"}
    return str({"schema": "CDC_schema", "table": "Persons", "type": "WriteRowsEvent", "row": {"values": row}})


def batch(make: Callable[[int], str]) -> str:
    """An event as Firehose sends it for a Kinesis stream."""
    records = []
    for number in range(RECORDS):
        sequence, arrival = f"4954{number:052}", 1_700_000_000_000 + number
        metadata = {"sequenceNumber": sequence, "subsequenceNumber": 0, "partitionKey": f"{number:016x}",
                    "shardId": "shardId-000000000000", "approximateArrivalTimestamp": arrival}
        records.append({"recordId": f"{sequence}000000", "approximateArrivalTimestamp": arrival,
                        "data": base64.b64encode(make(number).encode()).decode(), "kinesisRecordMetadata": metadata})
    event = {"invocationId": "i", "deliveryStreamArn": "arn:aws:firehose:eu-west-1:000000000000:deliverystream/bench",
             "sourceKinesisStreamArn": "arn:aws:kinesis:eu-west-1:000000000000:stream/bench", "region": "eu-west-1",
             "records": records}
    return json.dumps(event, separators=(",", ":"))


def shortest(work: Callable[[], object], runs: int) -> float:
    """Microseconds."""
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times) * 1e6


def ours(event: str, runs: int) -> float:
    command = ["cargo", "bench", "--quiet", "--bench", "transform", "--", str(runs)]
    printed = subprocess.run(command, cwd=ROOT, input=event, check=True, capture_output=True, text=True).stdout
    return float(printed.split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=500)
    runs = parser.parse_args().runs
    same, own = batch(record), batch(original_record)
    python = shortest(lambda: json.dumps(original(json.loads(same))), runs)
    python_own = shortest(lambda: json.dumps(original(json.loads(own))), runs)
    rust = ours(same, runs)
    print(f"  original's handler, the same {RECORDS} records: {python:.0f} us")
    print(f"  original's handler, {RECORDS} records of its own: {python_own:.0f} us")
    verdict = "ok" if python / rust >= TARGET else "MISSED"
    print(f"  transform, checked and sorted: {rust:.0f} us, {python / rust:.1f} x (target >= {TARGET} x: {verdict}), "
          f"{python_own / rust:.1f} x the original with its own")


if __name__ == "__main__":
    main()
