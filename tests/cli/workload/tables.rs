//! The tables of the workload, what the pipeline's file says of them, and how both sides are asked for the same text.

/// A table of the source.
pub struct Table {
    pub name: &'static str,
    /// What stands in the parentheses of CREATE TABLE.
    made_of: &'static str,
    columns: &'static [Column],
}

/// A column: its name in the source, its type in the warehouse, and the text of its value on each side.
struct Column {
    name: &'static str,
    kind: &'static str,
    is_key: bool,
    /// SQL over `?`, the column; several expressions where a value is asked for in parts.
    source: &'static str,
    warehouse: &'static str,
}

const fn column(name: &'static str, kind: &'static str) -> Column {
    asked(name, kind, "?", "?")
}

const fn key(name: &'static str, kind: &'static str) -> Column {
    Column {
        is_key: true,
        ..column(name, kind)
    }
}

const fn asked(name: &'static str, kind: &'static str, source: &'static str, warehouse: &'static str) -> Column {
    Column {
        name,
        kind,
        is_key: false,
        source,
        warehouse,
    }
}

const MICROSECONDS: &str = "TO_CHAR(?, 'YYYY-MM-DD HH24:MI:SS.FF6')";
/// As many digits as the source is asked for: floating-point numbers have no text that two databases write alike.
const DIGITS: (&str, &str) = ("CAST(? AS DECIMAL(20,3))", "CAST(? AS NUMBER(20,3))");
const BYTES: (&str, &str) = ("HEX(?)", "HEX_ENCODE(?)");

pub const TABLES: &[Table] = &[
    Table {
        name: "single",
        made_of: "id INT PRIMARY KEY, name VARCHAR(100), amount DECIMAL(12,2), changed DATETIME(6)",
        columns: &[
            key("id", "NUMBER(10,0)"),
            column("name", "VARCHAR(100)"),
            column("amount", "NUMBER(12,2)"),
            asked("changed", "TIMESTAMP_NTZ", "?", MICROSECONDS),
        ],
    },
    Table {
        name: "composite",
        made_of: "a INT, b VARCHAR(20), v BIGINT, note TEXT, PRIMARY KEY (b, a)",
        columns: &[
            key("a", "NUMBER(10,0)"),
            key("b", "VARCHAR(20)"),
            column("v", "NUMBER(20,0)"),
            column("note", "VARCHAR"),
        ],
    },
    Table {
        name: "codes",
        made_of: "code VARCHAR(40) COLLATE utf8mb4_bin PRIMARY KEY, label VARCHAR(100)",
        columns: &[key("code", "VARCHAR(40)"), column("label", "VARCHAR(100)")],
    },
    Table {
        name: "kinds",
        made_of: "id INT PRIMARY KEY, c_tiny TINYINT, c_small SMALLINT, c_medium MEDIUMINT UNSIGNED, c_flag BOOLEAN, c_big BIGINT UNSIGNED, c_price DECIMAL(20,6), c_float FLOAT, c_double DOUBLE,
            c_bits BIT(12), c_day DATE, c_at DATETIME(6), c_stamp TIMESTAMP(3) NULL, c_span TIME(3), c_year YEAR, c_char CHAR(10), c_text TEXT,
            c_latin VARCHAR(50) CHARACTER SET latin1, c_bytes VARBINARY(40), c_pad BINARY(4), c_blob BLOB, c_enum ENUM('a','b,c','é'),
            c_set SET('x','y','z'), c_long LONGTEXT, c_spot POINT, c_json JSON",
        columns: &[
            key("id", "NUMBER(10,0)"),
            column("c_tiny", "NUMBER(3,0)"),
            column("c_small", "NUMBER(5,0)"),
            column("c_medium", "NUMBER(8,0)"),
            column("c_flag", "NUMBER(1,0)"),
            column("c_big", "NUMBER(20,0)"),
            column("c_price", "NUMBER(20,6)"),
            asked("c_float", "FLOAT", DIGITS.0, DIGITS.1),
            asked("c_double", "FLOAT", DIGITS.0, DIGITS.1),
            asked("c_bits", "NUMBER(20,0)", "?+0", "?"),
            asked("c_day", "DATE", "?", "TO_CHAR(?, 'YYYY-MM-DD')"),
            asked("c_at", "TIMESTAMP_NTZ", "?", MICROSECONDS),
            asked("c_stamp", "TIMESTAMP_NTZ", "?", "TO_CHAR(?, 'YYYY-MM-DD HH24:MI:SS.FF3')"),
            column("c_span", "VARCHAR(20)"),
            column("c_year", "NUMBER(4,0)"),
            column("c_char", "VARCHAR(10)"),
            column("c_text", "VARCHAR"),
            column("c_latin", "VARCHAR(50)"),
            asked("c_bytes", "BINARY", BYTES.0, BYTES.1),
            asked("c_pad", "BINARY", BYTES.0, BYTES.1),
            asked("c_blob", "BINARY", BYTES.0, BYTES.1),
            column("c_enum", "VARCHAR"),
            column("c_set", "VARCHAR"),
            column("c_long", "VARCHAR"),
            asked(
                "c_spot",
                "OBJECT",
                "ST_SRID(?), HEX(ST_AsWKB(?))",
                "?:srid::VARCHAR, HEX_ENCODE(TO_BINARY(?:wkb::VARCHAR, 'BASE64'))",
            ),
            asked(
                "c_json",
                "VARIANT",
                "JSON_UNQUOTE(JSON_EXTRACT(?, '$.n')), JSON_UNQUOTE(JSON_EXTRACT(?, '$.\"t x\"')), JSON_UNQUOTE(JSON_EXTRACT(?, '$.list[1]')), JSON_LENGTH(?, '$.list')",
                "?:n::VARCHAR, ?['t x']::VARCHAR, ?:list[1]::VARCHAR, ARRAY_SIZE(?:list)",
            ),
        ],
    },
    Table {
        name: "moves",
        made_of: "id INT PRIMARY KEY, v VARCHAR(100)",
        columns: &[key("id", "NUMBER(10,0)"), column("v", "VARCHAR(100)")],
    },
    Table {
        name: "grows",
        made_of: "id INT PRIMARY KEY, v VARCHAR(100)",
        columns: &[
            key("id", "NUMBER(10,0)"),
            column("v", "VARCHAR(800)"),
            column(LATE[0], "VARCHAR(100)"),
            column(LATE[1], "VARCHAR(100)"),
            column(LATE[2], "VARCHAR(100)"),
        ],
    },
];

/// The columns of `grows` that come in the middle, one for each seed.
pub const LATE: [&str; 3] = ["extra", "more", "most"];

/// What brings a late column. The type of another one is widened at the same time.
pub fn growth(late: usize) -> String {
    let wide = 200 * (late + 2);
    format!(
        "ALTER TABLE grows ADD COLUMN {} VARCHAR(100), MODIFY v VARCHAR({wide})",
        LATE[late]
    )
}

impl Table {
    pub fn create(&self) -> String {
        format!("CREATE TABLE {} ({}) CHARACTER SET utf8mb4;\n", self.name, self.made_of)
    }

    /// Its columns when so many late ones have come.
    fn columns(&self, late: usize) -> impl Iterator<Item = &Column> {
        self.columns
            .iter()
            .filter(move |column| !LATE[late..].contains(&column.name))
    }

    /// Its part of the pipeline's file.
    pub fn section(&self, late: usize) -> String {
        let columns: String = self
            .columns(late)
            .map(|column| {
                let key = if column.is_key { ", key = true" } else { "" };
                format!(
                    "    {{ name = \"{}\", type = \"{}\"{key} }},\n",
                    column.name, column.kind
                )
            })
            .collect();
        let name = self.name;
        format!("[[table]]\nname = \"{name}\"\nfrom = \"shop.{name}\"\ncolumns = [\n{columns}]\n\n")
    }

    /// The query whose rows are JSON arrays of texts.
    pub fn of_source(&self, late: usize) -> String {
        let of = |column: &Column| parts(column.source, column.name);
        let cells: Vec<String> = self.columns(late).flat_map(of).collect();
        let cells: Vec<String> = cells.iter().map(|cell| format!("CAST({cell} AS CHAR)")).collect();
        format!("SELECT JSON_ARRAY({}) FROM {}", cells.join(", "), self.name)
    }

    /// The query that gives the same texts of the warehouse.
    pub fn of_warehouse(&self, schema: &str, late: usize) -> String {
        let of = |column: &Column| parts(column.warehouse, column.name);
        let cells: Vec<String> = self.columns(late).flat_map(of).collect();
        format!("SELECT {} FROM {schema}.{}", cells.join(", "), self.name)
    }
}

/// The expressions of a list, parted by the commas outside of parentheses.
fn parts(expressions: &str, column: &str) -> Vec<String> {
    let mut depth = 0;
    let is_comma = |letter: char| {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    };
    expressions
        .split(is_comma)
        .map(|part| part.trim().replace('?', column))
        .collect()
}
