//! The calls that `repr()` writes for a database's values, and what their arguments must be.

use super::literal::{Date, Literal, Time};

/// What stands between the parentheses of a call.
#[derive(Default)]
pub struct Arguments {
    pub values: Vec<Literal>,
    pub named: Vec<(String, Literal)>,
}

impl Arguments {
    /// The only argument.
    fn single(self) -> Option<Literal> {
        let mut values = self.values.into_iter();
        let value = values.next()?;
        (values.next().is_none() && self.named.is_empty()).then_some(value)
    }

    /// The numbers that stand without a name.
    fn numbers(&self) -> Option<Vec<i64>> {
        self.values.iter().map(whole).collect()
    }

    pub fn set(self) -> Option<Literal> {
        if self.values.is_empty() && self.named.is_empty() {
            return Some(Literal::Set(Vec::new()));
        }
        match self.single()? {
            Literal::Set(members) | Literal::List(members) => Some(Literal::Set(members)),
            _ => None,
        }
    }

    pub fn decimal(self) -> Option<Literal> {
        match self.single()? {
            Literal::Text(text) => digits(&text).map(Literal::Decimal),
            _ => None,
        }
    }

    pub fn date(self) -> Option<Literal> {
        let numbers = self.numbers().filter(|_| self.named.is_empty())?;
        let [year, month, day] = numbers.as_slice() else {
            return None;
        };
        Date::new(*year, *month, *day).map(Literal::Date)
    }

    pub fn time(self) -> Option<Literal> {
        let numbers = self
            .numbers()
            .filter(|_| self.named.iter().all(|(name, _)| name == "fold"))?;
        Time::new(&numbers).map(Literal::Time)
    }

    pub fn date_time(self) -> Option<Literal> {
        let numbers = self.numbers()?;
        let (day, time) = numbers.split_at_checked(3)?;
        let [year, month, day] = day else { return None };
        let mut zone = None;
        for (name, value) in &self.named {
            match (name.as_str(), value) {
                ("tzinfo", Literal::Zone(minutes)) => zone = Some(*minutes),
                ("fold", _) => {}
                _ => return None,
            }
        }
        Some(Literal::DateTime(
            Date::new(*year, *month, *day)?,
            Time::new(time)?,
            zone,
        ))
    }

    /// Days, seconds, microseconds, with names or in this order.
    pub fn delta(self) -> Option<Literal> {
        const UNITS: [(&str, i64); 3] = [("days", 86_400_000_000), ("seconds", 1_000_000), ("microseconds", 1)];
        let numbers = self.numbers().filter(|numbers| numbers.len() <= UNITS.len())?;
        let mut sum: i64 = 0;
        for (number, (_, unit)) in numbers.iter().zip(UNITS) {
            sum = sum.checked_add(number.checked_mul(unit)?)?;
        }
        for (name, value) in &self.named {
            let (_, unit) = UNITS.into_iter().find(|(known, _)| known == name)?;
            sum = sum.checked_add(whole(value)?.checked_mul(unit)?)?;
        }
        Some(Literal::Delta(sum))
    }

    pub fn zone(self) -> Option<Literal> {
        match self.values.first()? {
            Literal::Delta(micros) if micros % 60_000_000 == 0 => {
                let minutes = i32::try_from(micros / 60_000_000).ok()?;
                (minutes.abs() < 24 * 60).then_some(Literal::Zone(minutes))
            }
            _ => None,
        }
    }
}

impl Date {
    /// A day of the calendar.
    fn new(year: i64, month: i64, day: i64) -> Option<Self> {
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        let fits = (1..=9999).contains(&year) && (1..=days).contains(&day);
        fits.then_some(Self {
            year: u16::try_from(year).ok()?,
            month: u8::try_from(month).ok()?,
            day: u8::try_from(day).ok()?,
        })
    }
}

impl Time {
    /// Hour, minute, second, microsecond; what is missing is zero.
    fn new(numbers: &[i64]) -> Option<Self> {
        let limits = [24, 60, 60, 1_000_000];
        let fits = numbers.len() <= 4
            && numbers
                .iter()
                .zip(limits)
                .all(|(number, limit)| (0..limit).contains(number));
        let at = |index: usize| numbers.get(index).copied().unwrap_or_default();
        fits.then_some(Self {
            hour: u8::try_from(at(0)).ok()?,
            minute: u8::try_from(at(1)).ok()?,
            second: u8::try_from(at(2)).ok()?,
            micros: u32::try_from(at(3)).ok()?,
        })
    }
}

fn whole(value: &Literal) -> Option<i64> {
    match value {
        Literal::Int(digits) => digits.parse().ok(),
        _ => None,
    }
}

/// A decimal as MySQL writes it: without an exponent. Python shortens zeros: `Decimal('0E-10')`.
fn digits(text: &str) -> Option<String> {
    let (sign, number) = text.strip_prefix('-').map_or(("", text), |number| ("-", number));
    let (mantissa, exponent) = number.split_once(['E', 'e']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i64 = exponent.parse().ok().filter(|exponent: &i64| exponent.abs() <= 100)?;
    let all = format!("{whole}{fraction}");
    if whole.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if exponent == 0 {
        return Some(text.to_owned());
    }
    let point = i64::try_from(whole.len()).ok()? + exponent;
    let (whole, fraction) = if point <= 0 {
        (
            "0".to_owned(),
            format!("{}{all}", "0".repeat(usize::try_from(-point).ok()?)),
        )
    } else {
        let point = usize::try_from(point).ok()?;
        let padded = format!("{all:0<point$}");
        let (whole, fraction) = padded.split_at(point);
        let whole = whole.trim_start_matches('0');
        (
            if whole.is_empty() { "0" } else { whole }.to_owned(),
            fraction.to_owned(),
        )
    };
    let point = if fraction.is_empty() { "" } else { "." };
    Some(format!("{sign}{whole}{point}{fraction}"))
}
