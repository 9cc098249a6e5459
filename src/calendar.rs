//! Days of the Gregorian calendar as numbers, and back.
//!
//! The method is Howard Hinnant's (<https://howardhinnant.github.io/date_algorithms.html>), with years that begin in
//! March so that the leap day is the last.

/// Year, month and day of a day since 1970-01-01, some 25 quadrillion years to either side.
pub fn from_days(days: i64) -> (i64, u8, u8) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u8, day as u8)
}

/// Days since 1970-01-01 of a date.
pub fn to_days(year: i64, month: u8, day: u8) -> i64 {
    let (month, day) = (i64::from(month), i64::from(day));
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let of_400 = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + of_400 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        // Julian day numbers from the US Naval Observatory's converter, less 2440588 (1970-01-01).
        for (date, days) in [
            ((1970, 1, 1), 0),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((1969, 12, 31), -1),
            ((2024, 11, 21), 20_048),
        ] {
            assert_eq!(from_days(days), date);
            assert_eq!(to_days(date.0, date.1, date.2), days);
        }
    }

    #[test]
    fn every_day_reads_back_and_follows_the_one_before() {
        let mut before = from_days(-719_529);
        for days in -719_528..2_932_897 {
            let (year, month, day) = from_days(days);
            assert_eq!(to_days(year, month, day), days);
            assert!((year, month, day) > before);
            before = (year, month, day);
        }
        assert_eq!(before, (9999, 12, 31));
    }
}
