//! Global transaction identifiers: what was executed, so that another server can go on from there.
//!
//! MySQL names a transaction by the server's UUID and a number and keeps intervals
//! (<https://dev.mysql.com/doc/refman/8.4/en/replication-gtids-concepts.html>); MariaDB numbers each domain and keeps
//! the last of each (<https://mariadb.com/docs/server/ha-and-performance/standard-replication/gtid>).

use std::collections::BTreeMap;
use std::fmt;

use crate::runtime::mysql::Bytes;

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gtid {
    MySql { source: [u8; 16], number: u64 },
    MariaDb { domain: u32, server: u32, number: u64 },
}

impl fmt::Display for Gtid {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MySql { source, number } => write!(to, "{}:{number}", uuid::Uuid::from_bytes(*source)),
            Self::MariaDb { domain, server, number } => write!(to, "{domain}-{server}-{number}"),
        }
    }
}

/// The beginning of a transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Begin {
    pub gtid: Option<Gtid>,
    /// When it was committed where it was first, microseconds since 1970; `None` where the server does not say.
    pub at: Option<u64>,
    /// Whether it consists of one statement, behind which no COMMIT follows, unless a BEGIN does.
    pub standalone: bool,
}

impl Begin {
    /// GTID_LOG_EVENT and ANONYMOUS_GTID_LOG_EVENT
    /// (<https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Gtid__event.html>).
    pub fn mysql(body: &[u8], anonymous: bool) -> Option<Self> {
        let mut rest = Bytes(body);
        rest.byte()?;
        let source = rest.number::<16>()?;
        let number = rest.number().map(u64::from_le_bytes)?;
        let gtid = (!anonymous).then_some(Gtid::MySql { source, number });
        Some(Self {
            gtid,
            at: commit_time(rest),
            standalone: true,
        })
    }

    /// MariaDB's GTID_EVENT (<https://mariadb.com/docs/server/reference/clientserver-protocol/replication-protocol/gtid_event>).
    pub fn mariadb(body: &[u8], server: u32) -> Option<Self> {
        const STANDALONE: u8 = 1;
        let mut rest = Bytes(body);
        let number = rest.number().map(u64::from_le_bytes)?;
        let domain = rest.long()?;
        Some(Self {
            gtid: Some(Gtid::MariaDb { domain, server, number }),
            at: None,
            standalone: rest.byte()? & STANDALONE != 0,
        })
    }
}

/// Servers since 8.0.1 add when it was committed here, and where it was first unless that is the same.
fn commit_time(mut rest: Bytes<'_>) -> Option<u64> {
    if rest.byte()? != 2 {
        return None;
    }
    rest.take(16)?;
    let seven = |rest: &mut Bytes<'_>| {
        let [a, b, c, d, e, f, g] = rest.number()?;
        Some(u64::from_le_bytes([a, b, c, d, e, f, g, 0]))
    };
    let here = seven(&mut rest)?;
    const HAS_ORIGINAL: u64 = 1 << 55;
    if here & HAS_ORIGINAL == 0 {
        return Some(here);
    }
    seven(&mut rest)
}

/// What was executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Executed {
    /// Intervals by source, ends excluded.
    MySql(BTreeMap<[u8; 16], Vec<(u64, u64)>>),
    /// Server and number by domain.
    MariaDb(BTreeMap<u32, (u32, u64)>),
}

impl Executed {
    /// Reads the text of `@@gtid_executed`, or MariaDB's `@@gtid_binlog_pos`. `None` when it is neither: with tags
    /// (<https://dev.mysql.com/doc/refman/8.4/en/replication-gtids-concepts.html>) a set has no place in this program.
    pub fn read(text: &str, mariadb: bool) -> Option<Self> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        if mariadb {
            let mut all = BTreeMap::new();
            for part in parts {
                let mut numbers = part.splitn(3, '-');
                let mut next = || numbers.next();
                let (domain, server, number) = (next()?, next()?, next()?);
                all.insert(domain.parse().ok()?, (server.parse().ok()?, number.parse().ok()?));
            }
            return Some(Self::MariaDb(all));
        }
        let mut all: BTreeMap<[u8; 16], Vec<(u64, u64)>> = BTreeMap::new();
        for part in parts {
            let (source, intervals) = part.split_once(':')?;
            let known = all.entry(*uuid::Uuid::parse_str(source).ok()?.as_bytes()).or_default();
            for interval in intervals.split(':') {
                let (first, last) = interval.split_once('-').unwrap_or((interval, interval));
                let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
                known.push((first, last.checked_add(1).filter(|end| *end > first)?));
            }
            known.sort_unstable();
        }
        Some(Self::MySql(all))
    }

    /// Adds a transaction.
    pub fn add(&mut self, gtid: &Gtid) {
        match (self, gtid) {
            (Self::MySql(all), Gtid::MySql { source, number }) => add(all.entry(*source).or_default(), *number),
            (Self::MariaDb(all), Gtid::MariaDb { domain, server, number }) => {
                all.insert(*domain, (*server, *number));
            }
            _ => {}
        }
    }

    /// What COM_BINLOG_DUMP_GTID takes; nothing for MariaDB, which takes the text.
    pub fn encoded(&self) -> Vec<u8> {
        let Self::MySql(all) = self else {
            return Vec::new();
        };
        let mut out = (all.len() as u64).to_le_bytes().to_vec();
        for (source, intervals) in all {
            out.extend_from_slice(source);
            out.extend_from_slice(&(intervals.len() as u64).to_le_bytes());
            for (first, end) in intervals {
                out.extend_from_slice(&first.to_le_bytes());
                out.extend_from_slice(&end.to_le_bytes());
            }
        }
        out
    }
}

fn add(intervals: &mut Vec<(u64, u64)>, number: u64) {
    // Almost always the one behind the last.
    let place = intervals.partition_point(|(first, _)| *first <= number);
    if place > 0 && number < intervals[place - 1].1 {
        return;
    }
    let joins_before = place > 0 && intervals[place - 1].1 == number;
    let joins_behind = intervals.get(place).is_some_and(|(first, _)| *first == number + 1);
    match (joins_before, joins_behind) {
        (true, true) => {
            intervals[place - 1].1 = intervals[place].1;
            intervals.remove(place);
        }
        (true, false) => intervals[place - 1].1 = number.saturating_add(1),
        (false, true) => intervals[place].0 = number,
        (false, false) => intervals.insert(place, (number, number.saturating_add(1))),
    }
}

impl fmt::Display for Executed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        match self {
            Self::MySql(all) => {
                for (source, intervals) in all {
                    write!(to, "{comma}{}", uuid::Uuid::from_bytes(*source))?;
                    comma = ",";
                    for (first, end) in intervals {
                        match end - first {
                            1 => write!(to, ":{first}")?,
                            _ => write!(to, ":{first}-{}", end - 1)?,
                        }
                    }
                }
            }
            Self::MariaDb(all) => {
                for (domain, (server, number)) in all {
                    write!(to, "{comma}{domain}-{server}-{number}")?;
                    comma = ",";
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

    #[test]
    fn sets_read_back() {
        for text in [format!("{A}:1-5:7:9-10"), String::new()] {
            assert_eq!(Executed::read(&text, false).unwrap().to_string(), text);
        }
        assert_eq!(Executed::read("0-1-5,1-2-9", true).unwrap().to_string(), "0-1-5,1-2-9");
        assert_eq!(Executed::read(&format!("{A}:1-5:tag:1"), false), None);
        assert_eq!(Executed::read(&format!("{A}:5-4"), false), None);
    }

    proptest! {
        #[test]
        fn any_order_gives_the_same_intervals(numbers in prop::collection::vec(1_u64..30, 0..40)) {
            let source = *uuid::Uuid::parse_str(A).unwrap().as_bytes();
            let mut set = Executed::MySql(BTreeMap::new());
            for number in &numbers {
                set.add(&Gtid::MySql { source, number: *number });
            }
            let Executed::MySql(all) = &set else { unreachable!() };
            let intervals = all.get(&source).cloned().unwrap_or_default();
            let has = |number: u64| intervals.iter().any(|(first, end)| (*first..*end).contains(&number));
            prop_assert!((1..30).all(|number| has(number) == numbers.contains(&number)));
            prop_assert!(intervals.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
