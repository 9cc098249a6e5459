//! Random changes of the source, the same ones in every run.

/// A row that a reading has seen as it is: to delete it, or to change a customer again, before that would leave it to
/// chance what the warehouse knows of it.
const SEEN: &str = "UpdatedAt < (SELECT SeenAt FROM Reading)";

pub struct Batches {
    numbers: Numbers,
    made: usize,
    next_invoice: u64,
    next_line: u64,
    next_customer: u64,
    next_track: u64,
}

/// Numbers that look random (xorshift).
struct Numbers(u64);

impl Numbers {
    /// From 1 to `end`.
    fn upto(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end + 1
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let place = usize::try_from(self.upto(of.len().try_into().unwrap())).unwrap() - 1;
        of[place]
    }
}

impl Batches {
    pub fn new() -> Self {
        Self {
            numbers: Numbers(0x9e37_79b9_7f4a_7c15),
            made: 0,
            next_invoice: 1000,
            next_line: 10_000,
            next_customer: 100,
            next_track: 5000,
        }
    }

    pub fn made(&self) -> usize {
        self.made
    }

    /// The statements of the next batch.
    pub fn next(&mut self) -> String {
        self.made += 1;
        let mut statements = Vec::new();
        self.inserts(&mut statements);
        for _ in 0..4 {
            let statement = self.update();
            statements.push(statement);
        }
        for _ in 0..2 {
            let statement = self.delete();
            statements.push(statement);
        }
        statements.join(";\n")
    }

    fn customer(&mut self) -> u64 {
        match self.numbers.upto(4) {
            1 if self.next_customer > 100 => 99 + self.numbers.upto(self.next_customer - 100),
            _ => self.numbers.upto(59),
        }
    }

    fn track(&mut self) -> u64 {
        match self.numbers.upto(4) {
            1 if self.next_track > 5000 => 4999 + self.numbers.upto(self.next_track - 5000),
            _ => self.numbers.upto(3503),
        }
    }

    fn inserts(&mut self, statements: &mut Vec<String>) {
        let city = self.numbers.one(&["Oslo", "Zürich", "São Paulo", "Brno"]);
        if self.numbers.upto(3) == 1 {
            let (id, employee) = (self.next_customer, 2 + self.numbers.upto(3));
            self.next_customer += 1;
            statements.push(format!(
                "INSERT INTO Customer (CustomerId, FirstName, LastName, City, Country, Email, SupportRepId)
                 VALUES ({id}, 'Nova', 'Nr {id}', '{city}', 'Norway', 'Nova{id}@Example.com', {employee})"
            ));
        }
        if self.numbers.upto(3) == 1 {
            let (id, album, genre) = (self.next_track, self.numbers.upto(347), self.numbers.upto(25));
            self.next_track += 1;
            statements.push(format!(
                "INSERT INTO Track (TrackId, Name, AlbumId, MediaTypeId, GenreId, Milliseconds, UnitPrice)
                 VALUES ({id}, 'Take ''{id}''', {album}, 1, {genre}, 61499, 1.29)"
            ));
        }
        for _ in 0..self.numbers.upto(3) {
            let (invoice, customer) = (self.next_invoice, self.customer());
            self.next_invoice += 1;
            let date = self.numbers.one(&[
                "NOW(6)",
                "NOW(6)",
                "'2022-02-28 23:59:59.999999'",
                "NOW(6) - INTERVAL 20 SECOND",
            ]);
            let lines: Vec<String> = (0..self.numbers.upto(4))
                .map(|_| {
                    let line = self.next_line;
                    self.next_line += 1;
                    let price = self.numbers.one(&["0.99", "1.99", "0.01", "1234567.89"]);
                    format!(
                        "({line}, {invoice}, {}, {price}, {})",
                        self.track(),
                        self.numbers.upto(3)
                    )
                })
                .collect();
            statements.push(format!(
                "INSERT INTO InvoiceLine (InvoiceLineId, InvoiceId, TrackId, UnitPrice, Quantity) VALUES {};
                 INSERT INTO Invoice (InvoiceId, CustomerId, InvoiceDate, BillingCountry, Total)
                 SELECT {invoice}, {customer}, {date}, 'Norway', SUM(UnitPrice * Quantity) FROM InvoiceLine WHERE InvoiceId = {invoice}",
                lines.join(", ")
            ));
        }
    }

    fn update(&mut self) -> String {
        let made = self.made;
        match self.numbers.upto(10) {
            1..=3 => {
                let city = self.numbers.one(&["Bergen", "Lund", "Łódź", "O''Fallon"]);
                let change = match self.numbers.upto(5) {
                    1 => "Phone = CONCAT('+', SupportRepId, Phone)".to_owned(),
                    2 => format!("Email = 'Moved{made}@Example.com'"),
                    3 => "SupportRepId = 3 + SupportRepId MOD 3".to_owned(),
                    _ => format!("City = '{city}'"),
                };
                format!(
                    "UPDATE Customer SET {change} WHERE CustomerId = {} AND {SEEN}",
                    self.customer()
                )
            }
            4 => format!(
                "UPDATE Invoice SET Total = Total + 0.37 WHERE InvoiceId = {}",
                self.numbers.upto(412)
            ),
            5 => format!(
                "UPDATE InvoiceLine SET Quantity = Quantity + 1 WHERE InvoiceLineId = {}",
                self.numbers.upto(2240)
            ),
            6 => format!(
                "UPDATE Track SET Name = CONCAT('Remix ', TrackId), GenreId = {} WHERE TrackId = {}",
                self.numbers.upto(25),
                self.track()
            ),
            7 => format!(
                "UPDATE Album SET Title = 'Best of {made}', ArtistId = {} WHERE AlbumId = {}",
                self.numbers.upto(275),
                self.numbers.upto(347)
            ),
            8 => format!(
                "UPDATE Artist SET Name = 'The \"{made}\"' WHERE ArtistId = {}",
                self.numbers.upto(275)
            ),
            9 => format!(
                "UPDATE Genre SET Name = 'Genre {made}' WHERE GenreId = {}",
                self.numbers.upto(25)
            ),
            _ => format!(
                "UPDATE Employee SET Title = 'Agent {made}' WHERE EmployeeId = {}",
                self.numbers.upto(8)
            ),
        }
    }

    /// Deletes a row, or brings a customer back that was deleted.
    fn delete(&mut self) -> String {
        match self.numbers.upto(5) {
            1 => format!(
                "DELETE FROM Invoice WHERE InvoiceId = {} AND {SEEN}",
                self.numbers.upto(412)
            ),
            2 => format!(
                "DELETE FROM InvoiceLine WHERE InvoiceLineId = {} AND {SEEN}",
                self.numbers.upto(2240)
            ),
            3 => format!("DELETE FROM Track WHERE TrackId = {} AND {SEEN}", self.track()),
            4 => format!("DELETE FROM Customer WHERE CustomerId = {} AND {SEEN}", self.customer()),
            _ => "INSERT INTO Customer (CustomerId, FirstName, LastName, City, Country, Email, SupportRepId)
                  SELECT CustomerId, FirstName, LastName, 'Back again', Country, Email, SupportRepId FROM SeenCustomer
                  WHERE CustomerId NOT IN (SELECT CustomerId FROM Customer) LIMIT 1"
                .to_owned(),
        }
    }
}
