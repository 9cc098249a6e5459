//! Dimensions of time: members are added as facts name moments. The key is the moment itself, as digits.

use minijinja::context;

use super::source::Expression;
use super::*;
use crate::spec::star::Calendar;

/// A column of a dimension of time: name, type, value for the moment `s.STARTS_AT`, meaning.
type Part = (&'static str, &'static str, &'static str, &'static str);

const OF_DAY: [Part; 10] = [
    ("STARTS_AT", "TIMESTAMP_NTZ(9)", "s.STARTS_AT", "When it begins"),
    ("CALENDAR_DATE", "DATE", "s.STARTS_AT::DATE", "Its day"),
    ("CALENDAR_YEAR", "NUMBER(4,0)", "YEAR(s.STARTS_AT)", "Year"),
    (
        "CALENDAR_QUARTER",
        "NUMBER(1,0)",
        "QUARTER(s.STARTS_AT)",
        "Quarter of the year",
    ),
    (
        "CALENDAR_MONTH",
        "NUMBER(2,0)",
        "MONTH(s.STARTS_AT)",
        "Month of the year",
    ),
    (
        "DAY_OF_MONTH",
        "NUMBER(2,0)",
        "DAYOFMONTH(s.STARTS_AT)",
        "Day of the month",
    ),
    (
        "DAY_OF_YEAR",
        "NUMBER(3,0)",
        "DAYOFYEAR(s.STARTS_AT)",
        "Day of the year",
    ),
    (
        "ISO_YEAR",
        "NUMBER(4,0)",
        "YEAROFWEEKISO(s.STARTS_AT)",
        "Year that the ISO week is of",
    ),
    ("ISO_WEEK", "NUMBER(2,0)", "WEEKISO(s.STARTS_AT)", "ISO week, 1 to 53"),
    (
        "ISO_WEEKDAY",
        "NUMBER(1,0)",
        "DAYOFWEEKISO(s.STARTS_AT)",
        "Monday is 1, Sunday is 7",
    ),
];
const HOUR: Part = ("HOUR_OF_DAY", "NUMBER(2,0)", "HOUR(s.STARTS_AT)", "Hour, 0 to 23");
const MINUTE: Part = (
    "MINUTE_OF_HOUR",
    "NUMBER(2,0)",
    "MINUTE(s.STARTS_AT)",
    "Minute, 0 to 59",
);

fn parts(calendar: Calendar) -> Vec<Part> {
    let mut parts = OF_DAY.to_vec();
    match calendar {
        Calendar::Day => {}
        Calendar::Hour => parts.push(HOUR),
        Calendar::Minute => parts.extend([HOUR, MINUTE]),
    }
    parts
}

fn word(calendar: Calendar) -> &'static str {
    match calendar {
        Calendar::Day => "DAY",
        Calendar::Hour => "HOUR",
        Calendar::Minute => "MINUTE",
    }
}

/// The key of the member that a moment is in.
pub(super) fn key_of(calendar: Calendar, moment: &str) -> String {
    let format = match calendar {
        Calendar::Day => "YYYYMMDD",
        Calendar::Hour => "YYYYMMDDHH24",
        Calendar::Minute => "YYYYMMDDHH24MI",
    };
    format!("TO_NUMBER(TO_CHAR({moment}, '{format}'))")
}

impl Builder<'_> {
    pub(super) fn calendar_table(
        &self,
        dimension: &Dimension,
        calendar: Calendar,
        table: &Name,
    ) -> anyhow::Result<Object> {
        let surrogate = dimension.surrogate.as_str();
        let mut columns = vec![column(
            surrogate,
            "NUMBER(38,0)",
            true,
            "Key: the moment as digits; -1 is the unknown one",
        )];
        let parts = parts(calendar).into_iter();
        columns.extend(parts.map(|(name, data_type, _, about)| column(name, data_type, false, about)));
        columns.extend([
            column("_IS_INFERRED", "BOOLEAN", false, "Always false: a moment is known"),
            column("_LOADED_AT", "TIMESTAMP_LTZ(9)", false, "When it was added"),
        ]);
        self.dimension_table(dimension, table, &columns, " NOT NULL")
    }

    pub(super) fn calendar(
        &self,
        position: usize,
        dimension: &Dimension,
        calendar: Calendar,
        table: &Name,
    ) -> anyhow::Result<Vec<String>> {
        let templates = self.context.templates;
        let mut statements = vec![self.unknown(dimension, table)?];
        let parts = parts(calendar);
        let names: Vec<&str> = parts.iter().map(|(name, ..)| *name).collect();
        let mut values = vec![raw(key_of(calendar, "s.STARTS_AT"))];
        values.extend(parts.iter().map(|(_, _, value, _)| raw(value)));
        for (fact, lookup) in self.lookups(position) {
            let moments: Vec<Expression> = lookup.sql.iter().map(|sql| Expression::moment(sql)).collect();
            let values = context! {
                dimension => raw(table),
                grain => word(calendar),
                rows => self.source(&fact.from)?.touched(&moments, &[], fact.filter.clone())?,
                names => raw(format!("{}, {}", dimension.surrogate, names.join(", "))),
                values => values.clone(),
            };
            statements.push(templates.text("star_calendar", values)?);
        }
        Ok(statements)
    }
}
