//! Statements in the binlog that change tables: which tables, and whether rows still fit.
//!
//! A statement is looked at word by word. What is not recognised changes no table's rows without row events.

/// What a statement does to tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Every row is gone.
    Emptied(Vec<Name>),
    /// Every table of the schema is gone.
    SchemaDropped(String),
    /// The table is another; `reason` says why its rows cannot go on into the same table of the warehouse.
    Altered { table: Name, reason: Option<String> },
    /// From, to.
    Renamed(Vec<(Name, Name)>),
}

/// A table. The schema is that of the statement's session where the statement names none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    pub schema: String,
    pub table: String,
}

/// What a statement is to the order of transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bracket {
    Begin,
    End,
    /// A part of the transaction.
    Inside,
    /// A transaction by itself.
    Whole,
}

/// What the statement's first word says.
pub fn bracket(statement: &str) -> Bracket {
    let words = words(statement, 3);
    match words.first().map(Word::upper).as_deref() {
        Some("BEGIN") => Bracket::Begin,
        Some("XA")
            if words
                .get(1)
                .is_some_and(|word| matches!(word.upper().as_str(), "START" | "BEGIN")) =>
        {
            Bracket::Begin
        }
        Some("XA") if words.get(1).is_some_and(|word| word.upper() == "END") => Bracket::Inside,
        Some("COMMIT") => Bracket::End,
        Some("SAVEPOINT") => Bracket::Inside,
        Some("ROLLBACK") if words.get(1).is_some_and(|word| word.upper() == "TO") => Bracket::Inside,
        Some("ROLLBACK") => Bracket::End,
        _ => Bracket::Whole,
    }
}

/// What the statement does, if anything of interest. `schema` is the session's default.
pub fn change(schema: &str, statement: &str) -> Option<Change> {
    let words = words(statement, usize::MAX);
    let mut parser = Parser { words: &words, schema };
    match parser.next()?.as_str() {
        "TRUNCATE" => {
            parser.skip(&["TABLE"]);
            Some(Change::Emptied(vec![parser.name()?]))
        }
        "DROP" => match parser.next()?.as_str() {
            "TABLE" => {
                parser.skip(&["IF", "EXISTS"]);
                Some(Change::Emptied(parser.names()))
            }
            "DATABASE" | "SCHEMA" => {
                parser.skip(&["IF", "EXISTS"]);
                Some(Change::SchemaDropped(parser.word()?.text.clone()))
            }
            _ => None,
        },
        "CREATE" => {
            parser.next().filter(|word| word == "OR")?;
            parser.next().filter(|word| word == "REPLACE")?;
            parser.next().filter(|word| word == "TABLE")?;
            Some(Change::Emptied(vec![parser.name()?]))
        }
        "RENAME" => {
            parser.next().filter(|word| word == "TABLE" || word == "TABLES")?;
            parser.skip(&["IF", "EXISTS"]);
            let mut pairs = Vec::new();
            loop {
                let from = parser.name()?;
                parser.next().filter(|word| word == "TO")?;
                pairs.push((from, parser.name()?));
                if !parser.sign(",") {
                    return Some(Change::Renamed(pairs));
                }
            }
        }
        "ALTER" => {
            parser.skip(&["ONLINE"]);
            parser.skip(&["IGNORE"]);
            parser.next().filter(|word| word == "TABLE")?;
            parser.skip(&["IF", "EXISTS"]);
            let table = parser.name()?;
            Some(alteration(schema, table, parser.words))
        }
        _ => None,
    }
}

/// What the clauses of ALTER TABLE do.
fn alteration(schema: &str, table: Name, words: &[Word]) -> Change {
    let mut depth = 0;
    let clauses = words.split(|word| {
        depth += match word.sign() {
            "(" => 1,
            ")" => -1,
            _ => 0,
        };
        depth == 0 && word.sign() == ","
    });
    let mut reason = None;
    for clause in clauses {
        let mut parser = Parser { words: clause, schema };
        let Some(verb) = parser.next() else { continue };
        let object = clause.get(1).map(Word::upper).unwrap_or_default();
        let index = ["INDEX", "KEY", "FOREIGN", "CHECK", "CONSTRAINT", "SYSTEM", "PERIOD"];
        let found = match (verb.as_str(), object.as_str()) {
            ("RENAME", "INDEX" | "KEY") => None,
            ("RENAME", "COLUMN") => Some("a column is renamed".to_owned()),
            ("RENAME", _) => {
                parser.skip(&["TO"]);
                parser.skip(&["AS"]);
                if let Some(to) = parser.name() {
                    return Change::Renamed(vec![(table, to)]);
                }
                None
            }
            ("DROP", "PRIMARY") | ("ADD", "PRIMARY") => Some("the primary key is another".to_owned()),
            ("ADD", "CONSTRAINT") if clause.iter().any(|word| word.upper() == "PRIMARY") => {
                Some("the primary key is another".to_owned())
            }
            ("DROP" | "TRUNCATE" | "EXCHANGE" | "CONVERT", "PARTITION") => {
                Some(format!("{verb} PARTITION takes rows away without saying which"))
            }
            ("IMPORT" | "DISCARD", "TABLESPACE") => Some(format!("{verb} TABLESPACE replaces the rows")),
            ("DROP", object) if !index.contains(&object) => Some("a column is dropped".to_owned()),
            ("CHANGE", _) => {
                parser.skip(&["COLUMN"]);
                parser.skip(&["IF", "EXISTS"]);
                let (from, to) = (parser.word().cloned(), parser.word().cloned());
                let same = from
                    .zip(to)
                    .is_some_and(|(from, to)| from.text.eq_ignore_ascii_case(&to.text));
                (!same).then(|| "a column is renamed".to_owned())
            }
            _ => None,
        };
        reason = reason.or(found);
    }
    Change::Altered { table, reason }
}

/// A word, a quoted identifier, a literal or a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    quoted: bool,
}

impl Word {
    fn upper(&self) -> String {
        if self.quoted {
            String::new()
        } else {
            self.text.to_ascii_uppercase()
        }
    }

    fn sign(&self) -> &str {
        if self.quoted { "" } else { &self.text }
    }
}

struct Parser<'a> {
    words: &'a [Word],
    schema: &'a str,
}

impl Parser<'_> {
    fn word(&mut self) -> Option<&Word> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn next(&mut self) -> Option<String> {
        self.word().map(Word::upper)
    }

    /// Skips these words if they are what comes next.
    fn skip(&mut self, expected: &[&str]) {
        let found = self.words.iter().map(Word::upper).take(expected.len());
        if found.eq(expected.iter().map(|word| (*word).to_owned())) {
            self.words = &self.words[expected.len()..];
        }
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = self.words.first().is_some_and(|word| word.sign() == sign);
        if found {
            self.words = &self.words[1..];
        }
        found
    }

    fn name(&mut self) -> Option<Name> {
        let first = self.word()?.text.clone();
        if self.sign(".") {
            let table = self.word()?.text.clone();
            return Some(Name { schema: first, table });
        }
        Some(Name {
            schema: self.schema.to_owned(),
            table: first,
        })
    }

    fn names(&mut self) -> Vec<Name> {
        let mut names = Vec::new();
        while let Some(name) = self.name() {
            names.push(name);
            if !self.sign(",") {
                break;
            }
        }
        names
    }
}

/// At most so many words of a statement, without its comments. What stands in `/*! … */` and `/*M! … */` is executed,
/// so it counts.
fn words(statement: &str, limit: usize) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = statement;
    while words.len() < limit {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { break };
        let word = |text: &str, quoted| Word {
            text: text.to_owned(),
            quoted,
        };
        if let Some(comment) = rest.strip_prefix("/*") {
            let executed = comment.strip_prefix('M').unwrap_or(comment).strip_prefix('!');
            rest = match executed {
                Some(inner) => inner.trim_start_matches(|character: char| character.is_ascii_digit()),
                None => comment.split_once("*/").map_or("", |(_, behind)| behind),
            };
        } else if let Some(behind) = rest.strip_prefix("*/") {
            rest = behind;
        } else if rest.starts_with('#') || rest.starts_with("-- ") {
            rest = rest.split_once('\n').map_or("", |(_, behind)| behind);
        } else if matches!(first, '`' | '"' | '\'') {
            let (text, behind) = quoted(&rest[1..], first);
            words.push(Word { text, quoted: true });
            rest = behind;
        } else {
            let is_part = |character: char| {
                character.is_alphanumeric() || matches!(character, '_' | '$') || !character.is_ascii()
            };
            let end = rest.find(|character: char| !is_part(character)).unwrap_or(rest.len());
            let end = if end == 0 { first.len_utf8() } else { end };
            words.push(word(&rest[..end], false));
            rest = &rest[end..];
        }
    }
    words
}

/// The text up to the closing quote, which stands for itself where it is doubled, and what is behind.
fn quoted(rest: &str, quote: char) -> (String, &str) {
    let mut text = String::new();
    let mut characters = rest.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        if character == '\\' && quote != '`' {
            text.extend(characters.next().map(|(_, escaped)| escaped));
        } else if character != quote {
            text.push(character);
        } else if characters.peek().is_some_and(|(_, next)| *next == quote) {
            characters.next();
            text.push(quote);
        } else {
            return (text, &rest[at + 1..]);
        }
    }
    (text, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(schema: &str, table: &str) -> Name {
        Name {
            schema: schema.to_owned(),
            table: table.to_owned(),
        }
    }

    #[test]
    fn tables_that_lose_their_rows() {
        for (statement, names) in [
            ("truncate t", vec![name("s", "t")]),
            ("TRUNCATE TABLE /* a */ `o``dd`.`t,x` -- end", vec![name("o`dd", "t,x")]),
            (
                "DROP TABLE IF EXISTS a, b.c /* generated by server */",
                vec![name("s", "a"), name("b", "c")],
            ),
            ("DROP TABLE `a` /* generated by server */", vec![name("s", "a")]),
            ("CREATE OR REPLACE TABLE t (id INT)", vec![name("s", "t")]),
        ] {
            assert_eq!(change("s", statement), Some(Change::Emptied(names)), "{statement}");
        }
        assert_eq!(
            change("s", "drop database `x`"),
            Some(Change::SchemaDropped("x".to_owned()))
        );
        assert_eq!(change("s", "DROP TEMPORARY TABLE t"), None);
        assert_eq!(change("s", "CREATE TABLE t (id INT)"), None);
    }

    #[test]
    fn alterations_tell_whether_rows_still_fit() {
        let reason = |statement: &str| match change("s", statement) {
            Some(Change::Altered { table, reason }) => {
                assert_eq!(table, name("s", "t"), "{statement}");
                reason
            }
            other => panic!("{statement}: {other:?}"),
        };
        for fine in [
            "ALTER TABLE t ADD COLUMN x DECIMAL(10,2) DEFAULT '1,DROP', ADD INDEX (x)",
            "alter table `t` modify id bigint, algorithm=inplace, drop index y",
            "ALTER TABLE t CHANGE a `A` BIGINT",
            "ALTER TABLE t ENGINE=InnoDB",
        ] {
            assert_eq!(reason(fine), None, "{fine}");
        }
        for breaks in [
            "ALTER TABLE t ADD x INT, DROP y",
            "ALTER TABLE t DROP COLUMN y",
            "ALTER TABLE t CHANGE a b INT",
            "ALTER TABLE t RENAME COLUMN a TO b",
            "ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (b)",
            "ALTER TABLE t TRUNCATE PARTITION p0",
        ] {
            assert!(reason(breaks).is_some(), "{breaks}");
        }
        let renamed = Some(Change::Renamed(vec![(name("s", "t"), name("x", "u"))]));
        assert_eq!(change("s", "ALTER TABLE t RENAME TO x.u"), renamed);
        assert_eq!(change("s", "RENAME TABLE t TO x.u"), renamed);
    }

    #[test]
    fn transactions_have_brackets() {
        for (statement, expected) in [
            ("BEGIN", Bracket::Begin),
            ("COMMIT", Bracket::End),
            ("SAVEPOINT `a`", Bracket::Inside),
            ("ROLLBACK TO `a`", Bracket::Inside),
            ("CREATE TABLE t (id INT)", Bracket::Whole),
        ] {
            assert_eq!(bracket(statement), expected, "{statement}");
        }
    }

    proptest! {
        #[test]
        fn no_statement_makes_it_panic(statement in ".*", start in "(ALTER TABLE|DROP TABLE|RENAME TABLE|TRUNCATE) ") {
            let _ = change("s", &format!("{start}{statement}"));
            let _ = bracket(&statement);
        }
    }
}
