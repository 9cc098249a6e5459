//! The source: Chinook in MySQL, and what it says that the warehouse must hold.

use std::fs;
use std::path::Path;

use crate::cloud::REPOSITORY;
use crate::database::Database;

/// The tables that the example reads.
pub const NAMES: [&str; 8] = [
    "Artist",
    "Album",
    "Genre",
    "Track",
    "Employee",
    "Customer",
    "Invoice",
    "InvoiceLine",
];

/// What is compared: what it is, asked of the source, asked of the warehouse.
pub const QUESTIONS: [(&str, &str, &str); 4] = [
    (
        "each invoice with its day and the customer's city of that day",
        "SELECT i.InvoiceId, DATE(i.InvoiceDate), i.CustomerId, i.City, i.Total FROM Dated AS i",
        "select f.INVOICE_ID, d.CALENDAR_DATE, c.CUSTOMER_ID, c.CITY, f.TOTAL from {db}.FACT_INVOICE f
         join {db}.DIM_DAY d on d.DAY_KEY = f.DAY_KEY join {db}.DIM_CUSTOMER c on c.CUSTOMER_KEY = f.CUSTOMER_KEY",
    ),
    (
        "each line of an invoice with its track",
        "SELECT InvoiceLineId, InvoiceId, TrackId, Quantity, UnitPrice * Quantity FROM SeenInvoiceLine",
        "select f.INVOICE_LINE_ID, f.INVOICE_ID, t.TRACK_ID, f.QUANTITY, f.AMOUNT from {db}.FACT_INVOICE_LINE f
         join {db}.DIM_TRACK t on t.TRACK_KEY = f.TRACK_KEY",
    ),
    (
        "the versions of each customer",
        "SELECT CustomerId, CONCAT(FirstName, ' ', LastName), IFNULL(Company, 'NULL'), City, LOWER(Email), SupportRepId,
         DATE_FORMAT(ValidFrom, '%Y-%m-%d %H:%i:%s.%f'), IFNULL(DATE_FORMAT(ValidTo, '%Y-%m-%d %H:%i:%s.%f'), 'NULL') FROM Version",
        "select CUSTOMER_ID, NAME, COMPANY, CITY, EMAIL, SUPPORT_REP_ID, to_varchar(VALID_FROM, 'YYYY-MM-DD HH24:MI:SS.FF6'),
         to_varchar(VALID_TO, 'YYYY-MM-DD HH24:MI:SS.FF6') from {db}.DIM_CUSTOMER where CUSTOMER_KEY > 0",
    ),
    (
        "totals by customer, employee, track, album, artist and genre",
        "SELECT 'customer', CustomerId, SUM(Total) FROM Dated GROUP BY 2
         UNION ALL SELECT 'employee', CONCAT(e.FirstName, ' ', e.LastName, ', ', e.Title), SUM(i.Total)
           FROM Dated AS i JOIN SeenEmployee AS e ON e.EmployeeId = i.SupportRepId GROUP BY 2
         UNION ALL SELECT 'track', CONCAT(TrackId, ' ', Track), SUM(Amount) FROM Sold GROUP BY 2
         UNION ALL SELECT 'album', CONCAT(AlbumId, ' ', Album), SUM(Amount) FROM Sold GROUP BY 2
         UNION ALL SELECT 'artist', CONCAT(ArtistId, ' ', Artist), SUM(Amount) FROM Sold GROUP BY 2
         UNION ALL SELECT 'genre', CONCAT(GenreId, ' ', Genre), SUM(Amount) FROM Sold GROUP BY 2",
        "with sold as (
           select f.AMOUNT, t.TRACK_ID, t.NAME as TRACK, b.ALBUM_ID, b.TITLE as ALBUM, a.ARTIST_ID, a.NAME as ARTIST, g.GENRE_ID, g.NAME as GENRE
           from {db}.FACT_INVOICE_LINE f join {db}.DIM_TRACK t on t.TRACK_KEY = f.TRACK_KEY
           join {db}.DIM_ALBUM b on b.ALBUM_ID = t.ALBUM_ID join {db}.DIM_ARTIST a on a.ARTIST_ID = b.ARTIST_ID
           join {db}.DIM_GENRE g on g.GENRE_ID = t.GENRE_ID)
         select 'customer', c.CUSTOMER_ID::varchar, sum(f.TOTAL) from {db}.FACT_INVOICE f
           join {db}.DIM_CUSTOMER c on c.CUSTOMER_KEY = f.CUSTOMER_KEY group by 2
         union all select 'employee', e.NAME || ', ' || e.TITLE, sum(f.TOTAL) from {db}.FACT_INVOICE f
           join {db}.DIM_CUSTOMER c on c.CUSTOMER_KEY = f.CUSTOMER_KEY join {db}.DIM_EMPLOYEE e on e.EMPLOYEE_ID = c.SUPPORT_REP_ID group by 2
         union all select 'track', TRACK_ID || ' ' || TRACK, sum(AMOUNT) from sold group by 2
         union all select 'album', ALBUM_ID || ' ' || ALBUM, sum(AMOUNT) from sold group by 2
         union all select 'artist', ARTIST_ID || ' ' || ARTIST, sum(AMOUNT) from sold group by 2
         union all select 'genre', GENRE_ID || ' ' || GENRE, sum(AMOUNT) from sold group by 2",
    ),
];

/// Views on what was seen: versions of customers, invoices as of their day, lines with all that they belong to.
const VIEWS: &str = "
    CREATE VIEW Version AS
    SELECT v.*, LEAD(ValidFrom) OVER (PARTITION BY CustomerId ORDER BY ValidFrom) AS ValidTo,
      ROW_NUMBER() OVER (PARTITION BY CustomerId ORDER BY ValidFrom) AS Place
    FROM (
      SELECT h.*, UpdatedAt AS ValidFrom,
        CONCAT_WS('|', FirstName, LastName, IFNULL(Company, '-'), City, Country, Email, SupportRepId) AS Now,
        LAG(CONCAT_WS('|', FirstName, LastName, IFNULL(Company, '-'), City, Country, Email, SupportRepId))
          OVER (PARTITION BY CustomerId ORDER BY UpdatedAt) AS Before_
      FROM CustomerHistory AS h
    ) AS v WHERE Before_ IS NULL OR Before_ <> Now;
    CREATE VIEW Dated AS
    SELECT i.InvoiceId, i.InvoiceDate, i.CustomerId, i.Total, v.City, v.SupportRepId
    FROM SeenInvoice AS i JOIN Version AS v ON v.CustomerId = i.CustomerId
      AND (v.Place = 1 OR v.ValidFrom <= i.InvoiceDate) AND (v.ValidTo IS NULL OR i.InvoiceDate < v.ValidTo);
    CREATE VIEW Sold AS
    SELECT l.UnitPrice * l.Quantity AS Amount, t.TrackId, t.Name AS Track, b.AlbumId, b.Title AS Album, a.ArtistId, a.Name AS Artist,
      g.GenreId, g.Name AS Genre
    FROM SeenInvoiceLine AS l JOIN SeenTrack AS t USING (TrackId) JOIN SeenAlbum AS b ON b.AlbumId = t.AlbumId
    JOIN SeenArtist AS a ON a.ArtistId = b.ArtistId JOIN SeenGenre AS g ON g.GenreId = t.GenreId;
";

pub struct Source {
    database: Database,
}

impl Source {
    /// Fills the database from Chinook's SQL, which is for another system and names things its way.
    pub fn load(database: Database) -> Self {
        let file = Path::new(REPOSITORY).join("examples/chinook/Chinook_PostgreSql.sql");
        let script = fs::read_to_string(file).unwrap();
        let mut statements = "SET sql_mode = 'NO_BACKSLASH_ESCAPES';\nUSE Chinook;\n".to_owned();
        for name in NAMES {
            statements += &table(&script, name);
        }
        statements += "CREATE TABLE CustomerHistory AS SELECT * FROM SeenCustomer;
            ALTER TABLE CustomerHistory ADD PRIMARY KEY (CustomerId, UpdatedAt);
            CREATE TABLE Reading (SeenAt DATETIME(6) NOT NULL); INSERT INTO Reading VALUES ('2000-01-01');\n";
        statements += VIEWS;
        let inserts = script
            .split(";\n")
            .filter_map(|statement| statement.split_once("INSERT INTO "));
        for (head, rows) in inserts.filter_map(|(_, insert)| insert.split_once(" VALUES\n")) {
            let head = camel(head);
            if NAMES.iter().any(|name| head.starts_with(&format!("{name} "))) {
                statements += &format!("INSERT INTO {head} VALUES\n{rows};\n");
            }
        }
        database.script(&statements);
        let source = Self { database };
        source.run("DO 0");
        source
    }

    /// Runs one batch, as one transaction, and keeps what it made.
    pub fn run(&self, statements: &str) {
        let changed = "WHERE UpdatedAt >= (SELECT SeenAt FROM Reading)";
        let kept = NAMES.map(|name| format!("REPLACE INTO Seen{name} SELECT * FROM {name} {changed};"));
        let kept = kept.concat();
        let states = format!("INSERT IGNORE INTO CustomerHistory SELECT * FROM Customer {changed};");
        let batch = format!("USE Chinook; START TRANSACTION; {statements}; {kept} {states} COMMIT;");
        self.database.script(&batch);
    }

    pub fn rows(&self, query: &str) -> Vec<Vec<String>> {
        let answer = self.database.script(&format!("USE Chinook; {query};"));
        let fields = |line: &str| line.split('\t').map(str::to_owned).collect();
        answer.lines().map(fields).collect()
    }

    /// The newest watermark of each table.
    pub fn newest(&self) -> Vec<(String, String)> {
        let each = NAMES.map(|name| format!("SELECT '{name}', MAX(UpdatedAt) FROM Seen{name}"));
        let rows = self.rows(&each.join(" UNION ALL "));
        rows.into_iter().map(|row| (row[0].clone(), row[1].clone())).collect()
    }

    /// Everything that was changed up to now has been read.
    pub fn seen(&self) {
        self.database.script("UPDATE Chinook.Reading SET SeenAt = NOW(6)");
    }
}

/// `invoice_line_id` as `InvoiceLineId`.
fn camel(text: &str) -> String {
    let mut camel = String::new();
    let mut is_first = true;
    for character in text.chars() {
        match character {
            '_' => is_first = true,
            letter if is_first => {
                camel.extend(letter.to_uppercase());
                is_first = false;
            }
            other => {
                camel.push(other);
                is_first = !other.is_alphanumeric();
            }
        }
    }
    camel
}

/// The columns of a table, each with its type.
fn columns(script: &str, name: &str) -> Vec<(String, String)> {
    let tables = script.split("CREATE TABLE ").skip(1);
    let body = tables
        .filter_map(|text| text.split_once("\n(\n"))
        .find(|(found, _)| camel(found) == name)
        .and_then(|(_, rest)| rest.split_once("\n);"))
        .unwrap_or_else(|| panic!("no table {name}"))
        .0;
    let lines = body
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("CONSTRAINT"));
    lines
        .map(|line| {
            let (column, kind) = line.trim_end_matches(',').split_once(' ').unwrap();
            (camel(column), kind.replace("TIMESTAMP", "DATETIME(6)"))
        })
        .collect()
}

/// The table, with the column that the example asks for, and what was ever in it.
fn table(script: &str, name: &str) -> String {
    let columns = columns(script, name);
    let key = &columns[0].0;
    let list: Vec<String> = columns
        .iter()
        .map(|(column, kind)| format!("{column} {kind}"))
        .collect();
    let list = list.join(", ");
    let moment = "CURRENT_TIMESTAMP(6)";
    format!(
        "CREATE TABLE {name} ({list}, UpdatedAt TIMESTAMP(6) NOT NULL DEFAULT {moment} ON UPDATE {moment}, PRIMARY KEY ({key}), KEY (UpdatedAt));
         CREATE TABLE Seen{name} ({list}, UpdatedAt DATETIME(6) NOT NULL, PRIMARY KEY ({key}));\n"
    )
}
