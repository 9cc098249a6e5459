#!/usr/bin/env python3
"""Puts every file of a folder into a bucket, under its path in the folder, with an ordinary S3 client.

Where to and as whom comes from the environment, as for every AWS program; for the local cloud:
eval "$(pipectl local env)"

Usage: put.py FOLDER BUCKET      (needs boto3, which .venv has)
"""

import argparse
from pathlib import Path

import boto3


def main() -> None:
    parser = argparse.ArgumentParser(description="Puts a folder's files into a bucket.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("bucket", metavar="BUCKET")
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        parser.error(f"{arguments.folder} is no folder")
    client = boto3.client("s3")
    for path in sorted(path for path in arguments.folder.rglob("*") if path.is_file()):
        key = path.relative_to(arguments.folder).as_posix()
        client.put_object(Bucket=arguments.bucket, Key=key, Body=path.read_bytes())
        print(f"s3://{arguments.bucket}/{key}")


if __name__ == "__main__":
    main()
