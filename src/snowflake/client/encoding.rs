//! Values as Snowflake sends them, and as people read them.
//!
//! Source: <https://docs.snowflake.com/en/developer-guide/sql-api/handling-responses>, "data": dates are days since 1970,
//! times and timestamps are seconds with a fraction, and TIMESTAMP_TZ adds its offset in minutes plus 1440.

use super::result::Column;
use crate::calendar;

/// Writes out dates, times and timestamps; everything else stays as it is. What does not parse stays as well.
pub(super) fn show(column: &Column, value: &str) -> String {
    let shown = match column.data_type.to_ascii_lowercase().as_str() {
        "date" => value.parse().ok().and_then(date),
        "time" => Instant::parse(value).map(Instant::time),
        "timestamp_ntz" | "timestamp" => Instant::parse(value).and_then(|instant| instant.date_time(0)),
        "timestamp_ltz" => Instant::parse(value)
            .and_then(|instant| instant.date_time(0))
            .map(|text| text + " +0000"),
        "timestamp_tz" => timestamp_tz(value),
        _ => None,
    };
    shown.unwrap_or_else(|| value.to_owned())
}

fn timestamp_tz(value: &str) -> Option<String> {
    let (seconds, offset) = value.split_once(' ')?;
    let minutes = offset
        .parse::<i64>()
        .ok()?
        .checked_sub(1440)
        .filter(|minutes| minutes.abs() <= 1440)?;
    let local = Instant::parse(seconds)?.date_time(minutes * 60)?;
    let sign = if minutes < 0 { '-' } else { '+' };
    Some(format!(
        "{local} {sign}{:02}{:02}",
        minutes.abs() / 60,
        minutes.abs() % 60
    ))
}

/// Seconds, rounded down, and the digits of the rest.
#[derive(Clone, Copy)]
struct Instant {
    seconds: i64,
    nanoseconds: u32,
}

impl Instant {
    fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || fraction.len() > 9 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let seconds: i64 = whole.parse().ok()?;
        let nanoseconds: u32 = format!("{fraction:0<9}").parse().ok()?;
        Some(match (negative, nanoseconds) {
            (false, _) => Self { seconds, nanoseconds },
            (true, 0) => Self {
                seconds: -seconds,
                nanoseconds,
            },
            (true, _) => Self {
                seconds: -seconds - 1,
                nanoseconds: 1_000_000_000 - nanoseconds,
            },
        })
    }

    fn time(self) -> String {
        let day = self.seconds.rem_euclid(86_400);
        let mut text = format!("{:02}:{:02}:{:02}", day / 3600, day / 60 % 60, day % 60);
        if self.nanoseconds > 0 {
            let fraction = format!(".{:09}", self.nanoseconds);
            text.push_str(fraction.trim_end_matches('0'));
        }
        text
    }

    fn date_time(self, offset: i64) -> Option<String> {
        let local = Self {
            seconds: self.seconds.checked_add(offset)?,
            ..self
        };
        Some(format!("{} {}", date(local.seconds.div_euclid(86_400))?, local.time()))
    }
}

/// A day counted from 1970-01-01; none where the number is no day that anybody wrote.
fn date(days: i64) -> Option<String> {
    let (year, month, day) = calendar::from_days(i32::try_from(days).ok()?.into());
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(data_type: &str, value: &str) -> String {
        let column = Column {
            name: String::new(),
            data_type: data_type.to_owned(),
            scale: None,
            precision: None,
            nullable: true,
        };
        show(&column, value)
    }

    #[test]
    fn written_out() {
        for (data_type, value, expected) in [
            ("date", "18262", "2020-01-01"),
            ("date", "-1", "1969-12-31"),
            ("date", "11016", "2000-02-29"),
            ("date", "-719162", "0001-01-01"),
            ("DATE", "2932896", "9999-12-31"),
            ("time", "82919.000000000", "23:01:59"),
            ("timestamp_ntz", "1611869700.125000000", "2021-01-28 21:35:00.125"),
            ("timestamp_ntz", "-0.500000000", "1969-12-31 23:59:59.5"),
            ("timestamp_ltz", "0.000000000", "1970-01-01 00:00:00 +0000"),
            ("timestamp_tz", "1616173619.000000000 960", "2021-03-19 09:06:59 -0800"),
            ("timestamp_tz", "1616173619.000000000 1770", "2021-03-19 22:36:59 +0530"),
            ("fixed", "12.50", "12.50"),
            ("variant", "{\"a\":1}", "{\"a\":1}"),
        ] {
            assert_eq!(shown(data_type, value), expected, "{data_type} {value}");
        }
    }

    #[test]
    fn what_does_not_parse_stays() {
        for value in ["", "-", "x", "1.2.3", "9223372036854775807", "1 2 3", "1.0 99999"] {
            for data_type in ["date", "timestamp_tz"] {
                let _ = shown(data_type, value);
            }
        }
        assert_eq!(shown("timestamp_tz", "1.0 99999"), "1.0 99999");
    }
}
