//! The rows of an answer, in one text: tens of thousands of short values take little more room than their letters.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// Rows of values; a value is a text, or NULL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    text: String,
    values: Vec<Place>,
    /// Where each row ends in `values`.
    ends: Vec<usize>,
}

/// Where a value lies in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    start: u32,
    end: u32,
}

/// No value ends before it starts.
const NULL: Place = Place { start: 1, end: 0 };

/// The values of one row.
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    text: &'a str,
    places: &'a [Place],
}

impl Rows {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The rows, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Values<'_>> {
        (0..self.len()).map(|position| self.row(position))
    }

    /// The first row.
    pub fn first(&self) -> Option<Values<'_>> {
        (!self.is_empty()).then(|| self.row(0))
    }

    fn row(&self, position: usize) -> Values<'_> {
        let start = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        Values {
            text: &self.text,
            places: &self.values[start..self.ends[position]],
        }
    }

    /// Adds a row.
    pub fn push<'v>(&mut self, row: impl IntoIterator<Item = Option<&'v str>>) {
        for value in row {
            self.add(value);
        }
        self.ends.push(self.values.len());
    }

    /// Adds all rows of another answer.
    pub fn append(&mut self, other: &Rows) {
        for row in other.iter() {
            self.push(row.iter());
        }
    }

    /// An answer is far below the 4 GiB that a place can name; what is beyond would be told as NULL.
    fn add(&mut self, value: Option<&str>) -> bool {
        let start = u32::try_from(self.text.len());
        let end = u32::try_from(self.text.len() + value.map_or(0, str::len));
        let place = match (value, start, end) {
            (Some(text), Ok(start), Ok(end)) => {
                // By a quarter: beside the body that it comes from, megabytes that stay empty count.
                if self.text.capacity() - self.text.len() < text.len() {
                    self.text.reserve_exact(text.len().max(self.text.len() / 4));
                }
                self.text.push_str(text);
                Place { start, end }
            }
            _ => NULL,
        };
        self.values.push(place);
        value.is_none() || place != NULL
    }
}

impl<'a> Values<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The value at a position; nothing for NULL, and behind the last.
    pub fn get(&self, position: usize) -> Option<&'a str> {
        let place = self.places.get(position)?;
        self.text.get(place.start as usize..place.end as usize)
    }

    /// The values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&'a str>> + use<'a> {
        let values = *self;
        (0..self.len()).map(move |position| values.get(position))
    }
}

impl<'de> serde::Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rows = Rows::default();
        deserializer.deserialize_seq(Reader(&mut rows, Level::Rows))?;
        rows.text.shrink_to_fit();
        rows.values.shrink_to_fit();
        Ok(rows)
    }
}

/// Reads into the rows without making a value of its own for each.
struct Reader<'r>(&'r mut Rows, Level);

/// What is read next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Rows,
    Row,
    Value,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.1 {
            Level::Rows | Level::Row => deserializer.deserialize_seq(self),
            Level::Value => deserializer.deserialize_option(self),
        }
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.1 {
            Level::Rows => "rows",
            Level::Row => "a row",
            Level::Value => "a text or null",
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let below = match self.1 {
            Level::Rows => Level::Row,
            Level::Row | Level::Value => Level::Value,
        };
        while items.next_element_seed(Reader(self.0, below))?.is_some() {}
        if self.1 == Level::Row {
            self.0.ends.push(self.0.values.len());
        }
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.0.add(None);
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        if self.1 != Level::Value {
            return Err(E::invalid_type(serde::de::Unexpected::Str(text), &self));
        }
        match self.0.add(Some(text)) {
            true => Ok(()),
            false => Err(E::custom("the answer has more than 4 GiB")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Rows, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn rows_are_read_as_they_are_written() {
        let written = json!([["a", null, "é\n\"", ""], [], [null]]);
        for rows in [
            read(&written.to_string()).unwrap(),
            serde_json::from_value(written).unwrap(),
        ] {
            let found: Vec<Vec<Option<&str>>> = rows.iter().map(|row| row.iter().collect()).collect();
            assert_eq!(
                found,
                [vec![Some("a"), None, Some("é\n\""), Some("")], vec![], vec![None]]
            );
            assert_eq!(rows.first().unwrap().get(4), None);
            let mut twice = rows.clone();
            twice.append(&rows);
            assert_eq!((twice.len(), twice.row(3).get(2)), (6, Some("é\n\"")));
        }
        assert!(read("[]").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_rows_is_an_error() {
        for wrong in [
            "{}",
            "[1]",
            "[\"a\"]",
            "[[1]]",
            "[[[\"a\"]]]",
            "[[true]]",
            "\"a\"",
            "null",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
