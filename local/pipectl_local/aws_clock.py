# SPDX-License-Identifier: Apache-2.0
"""How fast time runs in the AWS stand-ins: the same `--time-scale` as task schedules (60: a minute is a second)."""
from __future__ import annotations

import os

VARIABLE = "PIPECTL_LOCAL_TIME_SCALE"


def scale() -> float:
    """How many seconds of AWS's time one real second is."""
    return float(os.environ.get(VARIABLE, "1"))


def real(seconds: float, least: float = 0.0) -> float:
    """Real seconds for seconds of AWS's time."""
    return max(seconds / scale(), least)
