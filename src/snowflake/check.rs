//! What the rows of a table say to a change of its columns, asked before anything is changed: one statement for a table.

use std::collections::BTreeMap;

use serde::Serialize;

use super::client::ResultSet;
use super::ident::Name;

/// What is asked of the rows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// How many have a value in the column that is none of the new type.
    Misfits(String),
    /// How many have a value in the column that does not come back the same.
    Changes(String),
    /// How many have no value in the column.
    Empty(String),
    /// How many repeat the key of another row, or have none.
    Repeats,
}

/// What the rows answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How many rows.
    pub rows: u64,
    /// The first and the last of them: their key and value.
    pub examples: Vec<String>,
}

/// What the rows of one table answer.
pub type Findings = BTreeMap<Question, Finding>;

/// Questions to one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Check {
    questions: Vec<Question>,
    selected: Vec<String>,
}

impl Check {
    /// Asks how many rows there are for which `condition` (SQL) holds; `example` tells one of them.
    pub fn rows(&mut self, question: Question, condition: &str, example: &str) {
        self.questions.push(question);
        self.selected.extend([
            format!("COUNT_IF({condition})"),
            format!("MIN(IFF({condition}, {example}, NULL))"),
            format!("MAX(IFF({condition}, {example}, NULL))"),
        ]);
    }

    /// Asks how many rows have not a value of their own in `columns` (SQL).
    pub fn repeats(&mut self, columns: &[String]) {
        self.questions.push(Question::Repeats);
        let distinct = format!("COUNT(*) - COUNT(DISTINCT {})", columns.join(", "));
        self.selected.extend([distinct, "NULL".to_owned(), "NULL".to_owned()]);
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// The statement that asks `table`.
    pub fn sql(&self, table: &Name) -> String {
        format!("SELECT {} FROM {table}", self.selected.join(", "))
    }

    /// What it answered.
    pub fn findings(&self, answer: &ResultSet) -> Findings {
        let row: Vec<Option<&str>> = answer.rows.first().map(|row| row.iter().collect()).unwrap_or_default();
        let finding = |values: &[Option<&str>]| {
            let examples = values.iter().skip(1).flatten();
            let mut examples: Vec<String> = examples.map(|text| (*text).to_owned()).collect();
            examples.dedup();
            let rows = values.first().copied().flatten().unwrap_or_default();
            Finding {
                rows: rows.parse().unwrap_or_default(),
                examples,
            }
        };
        self.questions.iter().cloned().zip(row.chunks(3).map(finding)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_belong_to_their_questions() {
        let mut check = Check::default();
        assert!(check.is_empty());
        check.rows(Question::Misfits("A".to_owned()), "A > 1", "TO_VARCHAR(A)");
        check.repeats(&["A".to_owned(), "B".to_owned()]);
        assert_eq!(
            check.sql(&Name::account("T")),
            "SELECT COUNT_IF(A > 1), MIN(IFF(A > 1, TO_VARCHAR(A), NULL)), MAX(IFF(A > 1, TO_VARCHAR(A), NULL)), \
             COUNT(*) - COUNT(DISTINCT A, B), NULL, NULL FROM T"
        );
        let mut answer = ResultSet::default();
        answer
            .rows
            .push([Some("1"), Some("5"), Some("5"), Some("2"), None, None]);
        let finding = |rows, examples: &[&str]| Finding {
            rows,
            examples: examples.iter().map(|text| (*text).to_owned()).collect(),
        };
        assert_eq!(
            check.findings(&answer),
            Findings::from([
                (Question::Misfits("A".to_owned()), finding(1, &["5"])),
                (Question::Repeats, finding(2, &[])),
            ])
        );
    }
}
