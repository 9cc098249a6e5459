# SPDX-License-Identifier: Apache-2.0
"""Stand-in: filter patterns of CloudWatch Logs. ministack knows no `?word` and takes every pattern for JSON as one that fits.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""
from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from .aws_hooks import Finder

FIELD_EQUALS = re.compile(r'\{\s*\$\.(\w+)\s*=\s*"?([^"]*?)"?\s*\}')
TERM = re.compile(r'([?-]?)(?:"((?:[^"\\]|\\.)*)"|(\S+))')


def matcher(pattern: str | None) -> Callable[[str], bool]:
    """Whether a line fits: one field of JSON that equals a text, or words, each of which may be `?optional` or `-excluded`."""
    text = (pattern or "").strip()
    if text.startswith("{"):
        field = FIELD_EQUALS.fullmatch(text)
        return (lambda line: True) if field is None else lambda line: _field(line, field[1]) == field[2]
    terms = [(m[1], m[3] if m[2] is None else m[2].replace('\\"', '"')) for m in TERM.finditer(text)]
    required, optional, excluded = ([word for sign, word in terms if sign == wanted] for wanted in ("", "?", "-"))

    def fits(line: str) -> bool:
        # Beside a required word, AWS ignores the optional ones.
        found = all(word in line for word in required) if required else not optional or any(word in line for word in optional)
        return found and not any(word in line for word in excluded)

    return fits


def _field(line: str, name: str) -> str | None:
    try:
        document = json.loads(line)
    except ValueError:
        return None
    return str(document.get(name)) if isinstance(document, dict) else None


def hook(logs: Any) -> None:
    logs._compile_filter_pattern = matcher


def install(finder: Finder) -> None:
    finder.when("cloudwatch_logs", hook)
