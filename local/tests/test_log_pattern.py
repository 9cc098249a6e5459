# SPDX-License-Identifier: Apache-2.0
"""Filter patterns of logs, by the examples of https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html."""
from __future__ import annotations

import pytest
from pipectl_local.aws_log_pattern import matcher

LINES = ["[ERROR 400] BAD REQUEST", "[ERROR 401] UNAUTHORIZED REQUEST", "[ERROR 419] MISSING ARGUMENTS", "[ERROR 420] INVALID ARGUMENTS"]


@pytest.mark.parametrize(("pattern", "fitting"), [
    ("", [0, 1, 2, 3]),
    ("ERROR", [0, 1, 2, 3]),
    ("error", []),
    ("ERROR REQUEST", [0, 1]),
    ("?ERROR ?ARGUMENTS", [0, 1, 2, 3]),
    ("?UNAUTHORIZED ?MISSING", [1, 2]),
    ('"INVALID ARGUMENTS"', [3]),
    ("ERROR -ARGUMENTS", [0, 1]),
    ('?"BAD REQUEST" ?INVALID', [0, 3]),
])
def test_words(pattern: str, fitting: list[int]) -> None:
    assert [n for n, line in enumerate(LINES) if matcher(pattern)(line)] == fitting


def test_a_field_of_json() -> None:
    fits = matcher('{ $.level = "ERROR" }')
    assert fits('{"level": "ERROR"}') and not fits('{"level": "INFO"}') and not fits("ERROR") and not fits("[1]")
