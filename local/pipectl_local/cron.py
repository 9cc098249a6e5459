# SPDX-License-Identifier: Apache-2.0
"""USING CRON schedules: https://docs.snowflake.com/en/sql-reference/sql/create-task (SCHEDULE)"""
from __future__ import annotations

import datetime as dt
import zoneinfo
from dataclasses import dataclass

from . import errors

NAMES = {name: str(i) for i, name in enumerate(("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), 1)}
DAYS = {name: str(i) for i, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"))}
RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
MAX_DAYS = 366 * 5


@dataclass(frozen=True)
class Cron:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int] | None
    months: frozenset[int]
    weekdays: frozenset[int] | None
    zone: dt.tzinfo

    def after(self, moment: dt.datetime) -> dt.datetime:
        """The next time of the schedule after a moment."""
        local = moment.astimezone(self.zone)
        day = local.date()
        for _ in range(MAX_DAYS):
            if self._fits(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        found = dt.datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone)
                        if found > local:
                            return found.astimezone(dt.timezone.utc)
            day += dt.timedelta(days=1)
        raise errors.execution("The schedule never fires.", "001008")

    def _fits(self, day: dt.date) -> bool:
        if day.month not in self.months:
            return False
        in_month = self.days is None or day.day in self.days
        in_week = self.weekdays is None or (day.isoweekday() % 7) in self.weekdays
        if self.days is not None and self.weekdays is not None:
            return in_month or in_week
        return in_month and in_week


def _field(text: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        if span == "*":
            start, end = low, high
        else:
            start = int(first)
            end = int(last) if last else (high if step else start)
        width = int(step) if step else 1
        if not (low <= start <= end <= high and width > 0):
            raise ValueError(part)
        found.update(range(start, end + 1, width))
    return frozenset(found)


def parse(schedule: str) -> Cron:
    words = schedule.split()[2:]
    try:
        if len(words) != 6:
            raise ValueError(schedule)
        fields = [w.upper() for w in words[:5]]
        for name, value in NAMES.items():
            fields[3] = fields[3].replace(name, value)
        for name, value in DAYS.items():
            fields[4] = fields[4].replace(name, value)
        sets = [_field(f, *r) for f, r in zip(fields, RANGES)]
        zone = zoneinfo.ZoneInfo(words[5])
    except (ValueError, KeyError, OSError) as error:
        if "L" in schedule.upper().split("CRON", 1)[-1].split("/")[0] and not isinstance(error, zoneinfo.ZoneInfoNotFoundError):
            raise errors.unsupported(f"SCHEDULE '{schedule}'") from None
        raise errors.invalid_value(schedule, "SCHEDULE") from None
    weekdays = frozenset(d % 7 for d in sets[4]) if fields[4] != "*" else None
    return Cron(sets[0], sets[1], sets[2] if fields[2] != "*" else None, sets[3], weekdays, zone)
