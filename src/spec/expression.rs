//! SQL expressions that users write: read with Snowflake's grammar, so that a slip is found before a deploy.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};

use sqlparser::ast::{Expr, FunctionArguments, Query, Visit, Visitor};
use sqlparser::dialect::SnowflakeDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Token, Tokenizer, Whitespace};

use super::suggest;

/// Why a text is no expression that a load can use, and which bytes of it are to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpressionError {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    pub(crate) hint: String,
}

impl ExpressionError {
    fn new(at: Range<usize>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            at,
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// Functions that look at several rows: <https://docs.snowflake.com/en/sql-reference/functions-aggregation>. An expression
/// sees one.
const OF_SEVERAL_ROWS: [&str; 34] = [
    "ANY_VALUE",
    "APPROX_COUNT_DISTINCT",
    "ARRAY_AGG",
    "ARRAY_UNIQUE_AGG",
    "AVG",
    "BITAND_AGG",
    "BITOR_AGG",
    "BOOLAND_AGG",
    "BOOLOR_AGG",
    "CORR",
    "COUNT",
    "COUNT_IF",
    "DENSE_RANK",
    "FIRST_VALUE",
    "HASH_AGG",
    "LAG",
    "LAST_VALUE",
    "LEAD",
    "LISTAGG",
    "MAX",
    "MAX_BY",
    "MEDIAN",
    "MIN",
    "MIN_BY",
    "MODE",
    "NTILE",
    "OBJECT_AGG",
    "RANK",
    "ROW_NUMBER",
    "STDDEV",
    "SUM",
    "VARIANCE",
    "VAR_POP",
    "VAR_SAMP",
];

/// Words that functions of time take without quotes:
/// <https://docs.snowflake.com/en/sql-reference/functions-date-time#supported-date-and-time-parts>.
const TIME_PARTS: [&str; 16] = [
    "DAY",
    "DAYOFWEEK",
    "DAYOFWEEKISO",
    "DAYOFYEAR",
    "EPOCH_SECOND",
    "HOUR",
    "MICROSECOND",
    "MILLISECOND",
    "MINUTE",
    "MONTH",
    "NANOSECOND",
    "QUARTER",
    "SECOND",
    "WEEK",
    "WEEKISO",
    "YEAR",
];

/// Checks that `sql` is one expression over one row with these columns. All its faults, in their order.
pub(crate) fn check(sql: &str, columns: &[&str]) -> Vec<ExpressionError> {
    let places = Places::of(sql);
    let dialect = SnowflakeDialect {};
    let tokens = match Tokenizer::new(&dialect, sql).tokenize_with_location() {
        Ok(tokens) => tokens,
        Err(error) => {
            let at = places.rest(error.location);
            return vec![ExpressionError::new(at, error.message, "write one SQL expression")];
        }
    };
    for token in &tokens {
        let at = places.byte(token.span.start)..places.byte(token.span.end);
        match &token.token {
            Token::Whitespace(Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)) => {
                let message = "a comment cannot stand in an expression";
                return vec![ExpressionError::new(at, message, "put it in front, behind `#`")];
            }
            Token::SingleQuotedString(text) if text.contains('\n') => {
                let message = "this text goes over the end of its line";
                return vec![ExpressionError::new(at, message, "write `\\n` where its line ends")];
            }
            _ => {}
        }
    }
    let mut parser = Parser::new(&dialect).with_tokens_with_locations(tokens);
    let expression = match parser.parse_expr() {
        Ok(expression) => expression,
        Err(error) => {
            let at = places.rest(parser.peek_token().span.start);
            let message = error.to_string();
            let message = message.trim_start_matches("sql parser error: ");
            let message = message.split(" at Line:").next().unwrap_or(message);
            return vec![ExpressionError::new(at, message, "write one SQL expression")];
        }
    };
    let next = parser.peek_token();
    if next.token != Token::EOF {
        let message = format!("`{}` comes after the end of the expression", next.token);
        let at = places.byte(next.span.start)..sql.len();
        return vec![ExpressionError::new(at, message, "write one expression")];
    }
    let mut found = Found {
        places,
        columns: columns.iter().map(|name| name.to_uppercase()).collect(),
        shown: columns,
        errors: Vec::new(),
    };
    let _ = expression.visit(&mut found);
    found.errors
}

/// Without empty lines, which part statements in the files that `render` writes. Texts do not span lines ([`check`]).
pub(crate) fn compact(sql: &str) -> String {
    let lines: Vec<&str> = sql.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    lines.join("\n").trim_start().to_owned()
}

/// The byte of each place in lines and columns.
struct Places<'a> {
    sql: &'a str,
    lines: Vec<usize>,
}

impl<'a> Places<'a> {
    fn of(sql: &'a str) -> Self {
        let starts = sql.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            sql,
            lines: std::iter::once(0).chain(starts).collect(),
        }
    }

    fn byte(&self, place: Location) -> usize {
        let line = usize::try_from(place.line.saturating_sub(1)).unwrap_or(usize::MAX);
        let column = usize::try_from(place.column.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(start) = self.lines.get(line).filter(|_| place.line > 0) else {
            return self.sql.len();
        };
        let rest = self.sql.get(*start..).unwrap_or_default();
        start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
    }

    /// From a place to the end; the last character where nothing follows.
    fn rest(&self, place: Location) -> Range<usize> {
        let end = self.sql.trim_end().len();
        let last = self.sql.trim_end().char_indices().last().map_or(0, |(at, _)| at);
        self.byte(place).min(last)..end
    }
}

struct Found<'a> {
    places: Places<'a>,
    columns: BTreeSet<String>,
    shown: &'a [&'a str],
    errors: Vec<ExpressionError>,
}

impl Found<'_> {
    fn column(&mut self, name: &sqlparser::ast::Ident) {
        let folded = if name.quote_style.is_some() {
            name.value.clone()
        } else {
            name.value.to_uppercase()
        };
        if self.columns.contains(&folded) || (name.quote_style.is_none() && TIME_PARTS.contains(&folded.as_str())) {
            return;
        }
        let at = self.places.byte(name.span.start)..self.places.byte(name.span.end);
        let hint = suggest::hint(&name.value, self.shown);
        let message = format!("the table has no column `{}`", name.value);
        self.errors.push(ExpressionError::new(at, message, hint));
    }
}

impl Visitor for Found<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        let message = "a query cannot stand in an expression over one row";
        let hint = "say it in a `[[transform]]`, or look a member up with `dimensions`";
        let whole = 0..self.places.sql.len();
        self.errors.push(ExpressionError::new(whole, message, hint));
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(name) => self.column(name),
            Expr::CompoundIdentifier(parts) => {
                if let Some(first) = parts.first() {
                    self.column(first);
                }
            }
            Expr::Function(function) => {
                let name = function.name.to_string().to_uppercase();
                if function.over.is_some() || OF_SEVERAL_ROWS.contains(&name.as_str()) {
                    let message = format!("`{name}` looks at several rows, and an expression sees one");
                    let hint = "say it in a `[[transform]]`, or in the query that reads the fact";
                    let at = self.name_of(&function.name);
                    self.errors.push(ExpressionError::new(at, message, hint));
                }
                if matches!(function.args, FunctionArguments::Subquery(_)) {
                    return ControlFlow::Continue(());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

impl Found<'_> {
    fn name_of(&self, name: &sqlparser::ast::ObjectName) -> Range<usize> {
        let spans: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        match (spans.first(), spans.last()) {
            (Some(first), Some(last)) => self.places.byte(first.span.start)..self.places.byte(last.span.end),
            _ => 0..self.places.sql.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [&str; 4] = ["title", "events", "event_ts", "payload"];

    fn faults(sql: &str) -> Vec<(String, String)> {
        let found = check(sql, &COLUMNS);
        found
            .into_iter()
            .map(|error| (sql[error.at].to_owned(), error.message))
            .collect()
    }

    #[test]
    fn what_snowflake_takes_is_taken() {
        for sql in [
            "TRIM(SPLIT_PART(title, '|', -1))",
            "ARRAY_CONTAINS('206'::VARIANT, SPLIT(events, ','))",
            "TRY_TO_TIMESTAMP_NTZ(event_ts, 'YYYY-MM-DD\"T\"HH24:MI:SS.FF3\"Z\"')",
            "CASE WHEN REGEXP_LIKE(UPPER(TRIM(title)), '(IPHONE|APP).*') THEN 'a' ELSE INITCAP(title) END",
            "DATE_TRUNC('MINUTE', event_ts)",
            "DATEADD(day, 1, event_ts::DATE)",
            "payload:a.b[0]::NUMBER(10,2) + 1",
            "IFF(title ILIKE 'x%' AND events IS NOT NULL, NULL, 1)",
            "EXTRACT(year FROM event_ts)",
            "COALESCE(NULLIF(TITLE, ''), 'none')",
            "title RLIKE '.*a.*' OR events IN ('1', '2')",
        ] {
            assert_eq!(faults(sql), [], "{sql}");
        }
    }

    #[test]
    fn a_column_that_is_not_there_is_found_where_it_stands() {
        let found = check("UPPER(\n  titel) || event", &COLUMNS);
        assert_eq!(&"UPPER(\n  titel) || event"[found[0].at.clone()], "titel");
        assert_eq!(found[0].hint, "did you mean `title`?");
        assert_eq!(&"UPPER(\n  titel) || event"[found[1].at.clone()], "event");
    }

    #[test]
    fn what_is_not_one_expression_over_one_row_is_refused() {
        for (sql, at, message) in [
            ("UPPER(title", "e", "Expected: )"),
            ("title; DROP TABLE t", "; DROP TABLE t", "comes after the end"),
            ("title, events", ", events", "comes after the end"),
            ("(SELECT 1)", "(SELECT 1)", "a query"),
            ("title IN (SELECT 1)", "title IN (SELECT 1)", "a query"),
            ("MAX(title)", "MAX", "several rows"),
            ("1 + ROW_NUMBER() OVER (ORDER BY title)", "ROW_NUMBER", "several rows"),
            ("title -- the title", "-- the title", "comment"),
            ("'a\nb'", "'a\nb'", "end of its line"),
        ] {
            let found = faults(sql);
            let (where_, what) = &found[0];
            assert!(what.contains(message), "{sql}: {found:?}");
            assert_eq!(where_, at, "{sql}");
        }
    }

    #[test]
    fn empty_lines_go() {
        assert_eq!(
            compact("\n CASE\n\n  WHEN a THEN 1\n END\n"),
            "CASE\n  WHEN a THEN 1\n END"
        );
    }
}
