//! A schedule as EventBridge Scheduler writes it: <https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html>.

use super::schedule::{Schedule, ScheduleError, Unit};

/// A schedule of EventBridge Scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// `rate(…)` or `cron(…)`.
    pub expression: String,
    /// Time zone of a `cron(…)`.
    pub zone: Option<String>,
}

impl Rate {
    /// The same times; EventBridge knows whole minutes only, and one of the two kinds of day in an expression.
    pub fn of(schedule: &Schedule) -> Result<Self, ScheduleError> {
        match schedule {
            Schedule::Every { amount, unit } => {
                let minutes = match unit {
                    Unit::Seconds if amount % 60 == 0 => amount / 60,
                    Unit::Seconds => {
                        return Err(ScheduleError {
                            message: "EventBridge reads no more often than every minute, and in whole minutes"
                                .to_owned(),
                            hint: "such as `1 minute`".to_owned(),
                        });
                    }
                    Unit::Minutes => *amount,
                    Unit::Hours => amount * 60,
                };
                let unit = if minutes == 1 { "minute" } else { "minutes" };
                Ok(Self {
                    expression: format!("rate({minutes} {unit})"),
                    zone: None,
                })
            }
            Schedule::Cron { fields, zone } => Ok(Self {
                expression: cron(fields)?,
                zone: Some(zone.clone()),
            }),
        }
    }
}

fn cron([minute, hour, day, month, weekday]: &[String; 5]) -> Result<String, ScheduleError> {
    let (day, weekday) = match (day.as_str(), weekday.as_str()) {
        (day, "*") => (day.to_owned(), "?".to_owned()),
        ("*", weekday) => ("?".to_owned(), weekdays(weekday)),
        _ => {
            return Err(ScheduleError {
                message: "EventBridge takes a day of the month or a day of the week, not both".to_owned(),
                hint: "write `*` for one of them".to_owned(),
            });
        }
    };
    Ok(format!("cron({minute} {hour} {day} {month} {weekday} *)"))
}

/// Sunday is 0 for cron and 1 for EventBridge. What follows `/` is a step and no day.
fn weekdays(field: &str) -> String {
    let mut shifted = String::new();
    let mut is_step = false;
    for c in field.chars() {
        match c.to_digit(10) {
            Some(digit) if !is_step => shifted.push_str(&(digit + 1).to_string()),
            _ => {
                is_step = c == '/' || (is_step && c.is_ascii_digit());
                shifted.push(c);
            }
        }
    }
    shifted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Result<String, String> {
        let schedule: Schedule = text.parse().map_err(|error: ScheduleError| error.message)?;
        let rate = Rate::of(&schedule).map_err(|error| error.message)?;
        Ok(format!("{} {}", rate.expression, rate.zone.unwrap_or_default())
            .trim()
            .to_owned())
    }

    #[test]
    fn intervals_become_rates_of_minutes() {
        assert_eq!(rate("1 minute"), Ok("rate(1 minute)".into()));
        assert_eq!(rate("120 seconds"), Ok("rate(2 minutes)".into()));
        assert_eq!(rate("2 hours"), Ok("rate(120 minutes)".into()));
        assert!(rate("10 seconds").is_err());
    }

    #[test]
    fn cron_gets_a_question_mark_and_days_from_one() {
        assert_eq!(
            rate("USING CRON 0 9 * * MON-FRI Europe/Berlin"),
            Ok("cron(0 9 ? * MON-FRI *) Europe/Berlin".into())
        );
        assert_eq!(
            rate("USING CRON 0 9 * * 0,1-5/2 UTC"),
            Ok("cron(0 9 ? * 1,2-6/2 *) UTC".into())
        );
        assert_eq!(rate("USING CRON 0 9 1 * * UTC"), Ok("cron(0 9 1 * ? *) UTC".into()));
        assert_eq!(rate("USING CRON */5 * * * * UTC"), Ok("cron(*/5 * * * ? *) UTC".into()));
        assert!(rate("USING CRON 0 9 1 * 1 UTC").is_err());
    }
}
