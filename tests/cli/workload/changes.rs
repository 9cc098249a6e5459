//! Random transactions, the same ones for the same seed.

use std::fmt::Write as _;

use super::tables::{LATE, TABLES};

/// Texts that are hard to carry: quotes, backslashes, line ends, other planes, what looks like something else.
const TEXTS: &[&str] = &[
    "plain",
    "",
    "it's",
    "\"quoted\"",
    "back\\slash",
    "two\nlines",
    "tab\there",
    "Zoë Ünal",
    "日本語",
    "😀 smile",
    "null",
    "{\"a\": 1}",
    "%d?;--",
    "\r",
    "0000-00-00",
];

/// Keys of a table that has one number for a key.
const KEYS: u64 = 600;

pub struct Changes {
    random: fastrand::Rng,
    /// How many late columns there are.
    pub late: usize,
}

impl Changes {
    pub fn new(seed: u64, late: usize) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            late,
        }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.random.u64(..end)
    }

    /// A script of so many transactions. Its last row is the number of rows that they changed.
    pub fn script(&mut self, transactions: usize) -> String {
        let mut text = "SET @changed = 0;\n".to_owned();
        for _ in 0..transactions {
            self.transaction(&mut text);
        }
        text + "SELECT @changed;\n"
    }

    /// Rows to begin with.
    pub fn first_rows(&mut self) -> String {
        TABLES
            .iter()
            .map(|table| {
                let rows: Vec<String> = (0..200).map(|_| self.row(table.name)).collect();
                format!("INSERT IGNORE INTO {} VALUES {};\n", table.name, rows.join(", "))
            })
            .collect()
    }

    pub fn truncate(&mut self) -> String {
        let table = &TABLES[self.random.usize(..TABLES.len())];
        format!("TRUNCATE TABLE {};\n", table.name)
    }

    fn transaction(&mut self, text: &mut String) {
        text.push_str("BEGIN; SET @own = 0;\n");
        for _ in 0..self.random.usize(1..7) {
            let statement = self.statement();
            let _ = writeln!(text, "{statement};\nSET @own = @own + GREATEST(ROW_COUNT(), 0);");
        }
        if self.random.u8(..6) == 0 {
            let statement = self.statement();
            let _ = writeln!(text, "SAVEPOINT here;\n{statement};\nROLLBACK TO here;");
        }
        text.push_str(match self.random.u8(..7) {
            0 => "ROLLBACK;\n",
            _ => "COMMIT; SET @changed = @changed + @own;\n",
        });
    }

    fn statement(&mut self) -> String {
        let table = TABLES[self.random.usize(..TABLES.len())].name;
        match self.random.u8(..10) {
            0..=4 => {
                let verb = ["INSERT IGNORE", "INSERT IGNORE", "REPLACE"][self.random.usize(..3)];
                let most = self.most(8, if table == "kinds" { 40 } else { 120 });
                let rows: Vec<String> = (0..1 + self.below(most)).map(|_| self.row(table)).collect();
                format!("{verb} INTO {table} VALUES {}", rows.join(", "))
            }
            5..=7 => self.update(table),
            _ => {
                let most = self.most(5, 60);
                format!("DELETE FROM {table} WHERE {}", self.some(table, most))
            }
        }
    }

    /// Most statements are small. One in four is large.
    fn most(&mut self, small: u64, large: u64) -> u64 {
        if self.random.u8(..4) == 0 { large } else { small }
    }

    /// Which rows: of up to so many keys beside each other, where there are such.
    fn some(&mut self, table: &str, most: u64) -> String {
        let (from, count) = (self.below(KEYS), 1 + self.below(most));
        match table {
            "composite" if self.random.bool() => format!("a = {}", from % 20),
            "composite" => format!("b = 'b{}'", from % 20),
            "codes" => format!("code LIKE '%{}'", from % 100),
            _ => format!("id BETWEEN {from} AND {}", from + count),
        }
    }

    fn update(&mut self, table: &str) -> String {
        let changes_key = self.random.u8(..3) == 0 || table == "moves";
        let most = self.most(12, 150);
        let change = match (table, changes_key) {
            // Each row takes the key of the one behind it, from the last one on.
            ("moves", _) if self.random.bool() => {
                return format!(
                    "UPDATE IGNORE moves SET id = id + 1 WHERE {} ORDER BY id DESC",
                    self.some(table, most)
                );
            }
            ("moves" | "single", true) => format!("id = (id + {}) MOD {KEYS}", self.below(KEYS)),
            ("composite", true) => format!("a = {}, v = v + 1", self.below(20)),
            ("codes", true) => "code = UPPER(code)".to_owned(),
            ("single", _) => format!("amount = amount + 0.37, name = {}, changed = NOW(6)", self.text(100)),
            ("composite", _) => format!("v = 1 - v, note = {}", self.text(400)),
            ("codes", _) => format!("label = {}", self.text(100)),
            ("grows", _) if self.late > 0 && self.random.bool() => {
                format!("{} = {}", LATE[self.random.usize(..self.late)], self.text(100))
            }
            ("grows", _) => format!("v = {}", self.text(100)),
            (_, true) => format!("c_json = JSON_SET(c_json, '$.n', {}), c_text = NULL", self.below(1000)),
            _ => format!("c_price = c_price * -1, c_blob = {}, c_stamp = NOW(3)", self.bytes(300)),
        };
        // A key may be taken already: then the row stays.
        format!("UPDATE IGNORE {table} SET {change} WHERE {}", self.some(table, most))
    }

    /// The values of a row.
    fn row(&mut self, table: &str) -> String {
        let id = self.below(KEYS);
        match table {
            "single" => format!(
                "({id}, {}, {}.{:02}, NOW(6))",
                self.text(100),
                self.below(1_000_000),
                self.below(100)
            ),
            "composite" => format!(
                "({}, 'b{}', {}, {})",
                id % 20,
                self.below(20),
                self.random.i32(..),
                self.text(400)
            ),
            "codes" => format!("({}, {})", self.code(), self.text(100)),
            "kinds" => self.kinds(id),
            "grows" => {
                let most = if self.late > 0 { 400 } else { 100 };
                let late: String = (0..self.late).map(|_| format!(", {}", self.text(100))).collect();
                format!("({id}, {}{late})", self.text(most))
            }
            _ => format!("({id}, {})", self.text(100)),
        }
    }

    fn code(&mut self) -> String {
        let before = ["k", "K", "it''s ", "ü\"", "\\\\ ", "/a b:"][self.random.usize(..6)];
        format!("'{before}{}'", self.below(100))
    }

    /// One in eight is NULL.
    fn or_null(&mut self, value: String) -> String {
        if self.random.u8(..8) == 0 {
            "NULL".to_owned()
        } else {
            value
        }
    }

    fn text(&mut self, most: usize) -> String {
        let mut text = TEXTS[self.random.usize(..TEXTS.len())].to_owned();
        if self.random.bool() {
            let _ = write!(text, " {}", self.random.u32(..));
        }
        if self.random.u8(..20) == 0 {
            text = "lång ".repeat(most / 5).trim_end().to_owned();
        }
        self.or_null(literal(&text))
    }

    fn bytes(&mut self, most: usize) -> String {
        let count = self.random.usize(..=most);
        let digits: String = (0..count).map(|_| format!("{:02x}", self.random.u8(..))).collect();
        self.or_null(format!("x'{digits}'"))
    }

    fn blob(&mut self) -> String {
        let most = self.most(100, 2000);
        self.bytes(most as usize)
    }

    fn kinds(&mut self, id: u64) -> String {
        let day = format!(
            "{}-{:02}-{:02}",
            1000 + self.below(9000),
            1 + self.below(12),
            1 + self.below(28)
        );
        let clock = format!("{:02}:{:02}:{:02}", self.below(24), self.below(60), self.below(60));
        let micros = self.below(1_000_000);
        let sign = ["", "-"][self.random.usize(..2)];
        let json = format!(
            "{{\"n\": {}, \"t x\": {}, \"list\": [null, {}, {{\"a\": {{}}}}], \"z\": 1.50}}",
            self.random.i64(..),
            serde_json::json!(TEXTS[self.random.usize(..TEXTS.len())]),
            self.below(10),
        );
        let values = [
            self.random.i8(..).to_string(),
            self.random.i16(..).to_string(),
            self.below(1 << 24).to_string(),
            self.below(2).to_string(),
            self.random.u64(..).to_string(),
            format!("{sign}{}.{:06}", self.random.u32(..), micros),
            // Eighths and no large ones: exact in both, and in three decimals.
            format!("{sign}{}", self.below(80_000) as f64 / 8.0),
            format!("{sign}{}", self.below(8_000_000_000) as f64 / 8.0),
            format!("b'{:b}'", self.below(4096)),
            format!("'{day}'"),
            format!("'{day} {clock}.{micros:06}'"),
            format!("'20{:02}-06-01 {clock}.{:03}'", self.below(38), micros / 1000),
            format!(
                "'{sign}{}:{:02}:{:02}.{:03}'",
                self.below(839),
                self.below(60),
                self.below(59),
                micros / 1000
            ),
            (1901 + self.below(255)).to_string(),
            literal(["ab", "", "é😀", "0123456789", "a  b"][self.random.usize(..5)]),
            literal(TEXTS[self.random.usize(..TEXTS.len())]),
            literal(["é€", "it's", "", "ÿþ"][self.random.usize(..4)]),
            self.bytes(40),
            self.bytes(4),
            self.blob(),
            literal(["a", "b,c", "é"][self.random.usize(..3)]),
            literal(["", "x", "x,z", "y,z,x"][self.random.usize(..4)]),
            literal(&"län\n".repeat(self.below(200) as usize)),
            format!("ST_GeomFromText('POINT({} -0.5)')", self.below(100)),
            literal(&json),
        ];
        let values: Vec<String> = values.into_iter().map(|value| self.or_null(value)).collect();
        format!("({id}, {})", values.join(", "))
    }
}

/// MySQL's literal of a text.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
