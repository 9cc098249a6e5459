//! How often the tasks run: `10 seconds`, `1 minute`, `2 hours` or `USING CRON 0 9 * * MON-FRI Europe/Berlin`.

use std::fmt;
use std::str::FromStr;

const HOUR: u32 = 3600;
const DAY: u32 = 86_400;

/// A unit of an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Seconds; at least 10.
    Seconds,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

/// When the tasks run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Schedule {
    /// Again and again, so far apart.
    Every {
        /// How many.
        amount: u32,
        /// Of what.
        unit: Unit,
    },
    /// At the times of a cron expression.
    Cron {
        /// Minute, hour, day of month, month and day of week.
        fields: [String; 5],
        /// Time zone, by its IANA name.
        zone: String,
    },
}

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ScheduleError {
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub hint: String,
}

fn error(message: impl Into<String>, hint: impl Into<String>) -> ScheduleError {
    ScheduleError {
        message: message.into(),
        hint: hint.into(),
    }
}

impl Unit {
    fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "second" | "seconds" => Some(Self::Seconds),
            "minute" | "minutes" => Some(Self::Minutes),
            "hour" | "hours" => Some(Self::Hours),
            _ => None,
        }
    }

    /// Snowflake's limits: ten seconds to eight days.
    fn limits(self) -> std::ops::RangeInclusive<u32> {
        match self {
            Self::Seconds => 10..=691_200,
            Self::Minutes => 1..=11_520,
            Self::Hours => 1..=192,
        }
    }

    fn seconds(self) -> u32 {
        match self {
            Self::Seconds => 1,
            Self::Minutes => 60,
            Self::Hours => HOUR,
        }
    }

    fn singular(self) -> &'static str {
        match self {
            Self::Seconds => "SECOND",
            Self::Minutes => "MINUTE",
            Self::Hours => "HOUR",
        }
    }
}

impl Schedule {
    /// Seconds between two runs, where they are closest. Of days, those of a `USING CRON` that runs once on each of them
    /// are a day apart, whichever of the week or month they are.
    pub fn shortest_gap(&self) -> u32 {
        match self {
            Self::Every { amount, unit } => amount.saturating_mul(unit.seconds()),
            Self::Cron {
                fields: [minute, hour, ..],
                ..
            } => {
                let (minutes, hours) = (values(minute, 60), values(hour, 24));
                let of_day = hours
                    .iter()
                    .flat_map(|hour| minutes.iter().map(move |minute| hour * 60 + minute));
                let runs: Vec<u32> = of_day.collect();
                let gaps = runs.windows(2).map(|pair| (pair[1] - pair[0]) * 60);
                // The last of a day and the first of the next.
                let over_night = runs
                    .first()
                    .zip(runs.last())
                    .map(|(first, last)| DAY - (last - first) * 60);
                gaps.chain(over_night).min().unwrap_or(DAY)
            }
        }
    }
}

/// The numbers below `end` that a field of a cron expression stands for, in order.
fn values(field: &str, end: u32) -> Vec<u32> {
    let is_in = |item: &str, value: u32| {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (from.parse().ok(), to.parse().ok()),
            None if range == "*" => (Some(0), Some(end - 1)),
            // `5/15` goes on from 5: https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
            None => (
                range.parse().ok(),
                item.contains('/').then_some(end - 1).or_else(|| range.parse().ok()),
            ),
        };
        let (Some(from), Some(to), Ok(step @ 1..)) = (from, to, step.parse::<u32>()) else {
            return false;
        };
        (from..=to).contains(&value) && (value - from).is_multiple_of(step)
    };
    (0..end)
        .filter(|value| field.split(',').any(|item| is_in(item, *value)))
        .collect()
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            [using, cron, rest @ ..] if using.eq_ignore_ascii_case("using") && cron.eq_ignore_ascii_case("cron") => {
                parse_cron(rest)
            }
            [amount, unit] => every(amount, unit),
            _ => Err(error(
                "this is not a schedule",
                "such as `10 seconds`, `1 minute`, `2 hours` or `USING CRON 0 9 * * MON-FRI Europe/Berlin`",
            )),
        }
    }
}

fn every(amount: &str, unit: &str) -> Result<Schedule, ScheduleError> {
    let Some(unit) = Unit::parse(unit) else {
        return Err(error(
            "the unit of a schedule is seconds, minutes or hours",
            "such as `1 minute`",
        ));
    };
    let limits = unit.limits();
    let hint = format!("{} to {} {}S", limits.start(), limits.end(), unit.singular());
    match amount.parse() {
        Ok(amount) if limits.contains(&amount) => Ok(Schedule::Every { amount, unit }),
        Ok(_) => Err(error("this schedule is out of Snowflake's limits", hint)),
        Err(_) => Err(error("a schedule starts with a whole number", hint)),
    }
}

fn parse_cron(words: &[&str]) -> Result<Schedule, ScheduleError> {
    let [minute, hour, day, month, weekday, zone] = words else {
        return Err(error(
            "`USING CRON` takes five fields and a time zone",
            "minute, hour, day of month, month, day of week, zone: `USING CRON 0 9 * * MON-FRI Europe/Berlin`",
        ));
    };
    check_field("minute", minute, 0, 59, &[])?;
    check_field("hour", hour, 0, 23, &[])?;
    check_field("day of month", day, 1, 31, &[])?;
    check_field("month", month, 1, 12, &MONTHS)?;
    check_field("day of week", weekday, 0, 6, &DAYS)?;
    let is_zone = zone.starts_with(|c: char| c.is_ascii_alphabetic())
        && zone
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+'));
    if !is_zone {
        return Err(error(
            format!("`{zone}` is not the name of a time zone"),
            "such as `UTC` or `Europe/Berlin`",
        ));
    }
    let fields = [minute, hour, day, month, weekday].map(|field| field.to_uppercase());
    Ok(Schedule::Cron {
        fields,
        zone: (*zone).to_owned(),
    })
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A list of `*`, `n`, `n-m`, each with an optional `/step`; the last day is `L` or `nL`.
fn check_field(name: &str, field: &str, low: u32, high: u32, words: &[&str]) -> Result<(), ScheduleError> {
    let upper = field.to_uppercase();
    let number = |text: &str| match words.iter().position(|word| *word == text) {
        Some(position) => u32::try_from(position).ok().map(|position| position + low),
        None => text.parse().ok().filter(|number| (low..=high).contains(number)),
    };
    let item = |text: &str| {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().is_ok_and(|step| step > 0)),
            None => (text, true),
        };
        let in_range = match range.split_once('-') {
            Some((from, to)) => number(from).zip(number(to)).is_some_and(|(from, to)| from <= to),
            None => range == "*" || number(range).is_some(),
        };
        let last = name.starts_with("day")
            && (text == "L"
                || (name == "day of week" && text.strip_suffix('L').is_some_and(|day| number(day).is_some())));
        (in_range && step) || last
    };
    if upper.split(',').all(item) {
        return Ok(());
    }
    Err(error(
        format!("`{field}` is not a {name} of a cron expression"),
        format!("`*`, or {low} to {high}, with `-`, `,` and `/`"),
    ))
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every { amount: 1, unit } => write!(f, "1 {}", unit.singular()),
            Self::Every { amount, unit } => write!(f, "{amount} {}S", unit.singular()),
            Self::Cron { fields, zone } => write!(f, "USING CRON {} {zone}", fields.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<String, String> {
        text.parse::<Schedule>()
            .map(|schedule| schedule.to_string())
            .map_err(|error| error.message)
    }

    #[test]
    fn schedules_are_spelled_as_snowflake_does() {
        assert_eq!(read("1 minute"), Ok("1 MINUTE".into()));
        assert_eq!(read("10 SECONDS"), Ok("10 SECONDS".into()));
        assert_eq!(
            read("using cron 0 9-17/2 L * mon-fri Europe/Berlin"),
            Ok("USING CRON 0 9-17/2 L * MON-FRI Europe/Berlin".into())
        );
        assert_eq!(
            read("USING CRON 0 9 * JAN,JUN 5L UTC"),
            Ok("USING CRON 0 9 * JAN,JUN 5L UTC".into())
        );
    }

    #[test]
    fn the_shortest_gap_of_a_schedule() {
        for (text, seconds) in [
            ("10 seconds", 10),
            ("5 minutes", 300),
            ("192 hours", 691_200),
            ("USING CRON * * * * * UTC", 60),
            ("USING CRON */5 8-18 * * MON-FRI Europe/Berlin", 300),
            ("USING CRON 50/5 * * * * UTC", 300),
            ("USING CRON 0,20 * * * * UTC", 1200),
            ("USING CRON 0 9-17/2 * * * UTC", 7200),
            ("USING CRON 55 0,23 * * * UTC", 3600),
            ("USING CRON 0 9 * * * UTC", 86_400),
            ("USING CRON 0 9 1 * * UTC", 86_400),
        ] {
            assert_eq!(text.parse::<Schedule>().unwrap().shortest_gap(), seconds, "{text}");
        }
    }

    #[test]
    fn what_snowflake_refuses_is_refused() {
        for text in [
            "9 seconds",
            "0 minutes",
            "193 hours",
            "1 day",
            "often",
            "",
            "-1 minute",
            "USING CRON * * * * UTC",
            "USING CRON 60 * * * * UTC",
            "USING CRON * * 0 * * UTC",
            "USING CRON 5-1 * * * * UTC",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gives_a_schedule_that_survives_its_spelling_or_an_error(text in "\\PC*|[0-9]{1,4} (seconds|minutes|hours)|USING CRON [0-9*/,L -]{0,12} UTC") {
            if let Ok(schedule) = text.parse::<Schedule>() {
                prop_assert!(schedule.shortest_gap() >= 10);
                prop_assert_eq!(schedule.to_string().parse::<Schedule>(), Ok(schedule));
            }
        }
    }
}
