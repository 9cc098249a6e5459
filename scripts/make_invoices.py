#!/usr/bin/env python3
"""Writes the input of examples/files: Chinook's invoices with their lines, in every shape that files come in.

Every run writes the same bytes. All invoices are in the good files; the broken one holds only copies of some.

Usage: make_invoices.py [DIR]      (default: examples/files/data)
"""

import gzip
import io
import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import chinook

TARGET = chinook.ROOT / "examples" / "files" / "data"

INVOICES = """
    SELECT i.invoice_id, i.invoice_date, i.billing_country, i.total,
           c.customer_id, c.first_name, c.last_name, c.country, c.city
    FROM invoice AS i JOIN customer AS c USING (customer_id)
    ORDER BY i.invoice_id
"""
LINES = """
    SELECT l.invoice_line_id, l.track_id, t.name, g.name, b.title, a.name, l.unit_price, l.quantity
    FROM invoice_line AS l
    JOIN track AS t USING (track_id)
    LEFT JOIN genre AS g USING (genre_id)
    LEFT JOIN album AS b USING (album_id)
    LEFT JOIN artist AS a USING (artist_id)
    WHERE l.invoice_id = ?
    ORDER BY l.invoice_line_id
"""


def invoices(database: sqlite3.Connection) -> Iterator[dict]:
    """Yields one record per invoice, its lines nested in it."""
    for number, date, country, total, customer, first, last, home, city in database.execute(INVOICES).fetchall():
        year, month, day = (int(part) for part in date.split("/"))
        yield {
            "InvoiceId": number,
            "InvoiceDate": f"{year:04}-{month:02}-{day:02}T00:00:00",
            "Customer": {
                "CustomerId": customer,
                "FirstName": first,
                "LastName": last,
                "Country": home,
                "City": city,
            },
            "BillingCountry": country,
            "Total": exact(total),
            "Lines": [
                {
                    "InvoiceLineId": line,
                    "TrackId": track,
                    "Track": name,
                    "Genre": genre,
                    "Album": album,
                    "Artist": artist,
                    "UnitPrice": exact(price),
                    "Quantity": quantity,
                }
                for line, track, name, genre, album, artist, price, quantity in database.execute(LINES, (number,))
            ],
        }


def exact(text: str) -> float:
    """A JSON number that is written with exactly these digits."""
    number = float(text)
    if repr(number) != text:
        raise ValueError(f"{text} would be written as {number!r}")
    return number


def lines(records: list[dict]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def array(records: list[dict]) -> str:
    return json.dumps(records, ensure_ascii=False) + "\n"


def documents(records: list[dict]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False, indent=2) + "\n" for record in records)


def cut(records: list[dict]) -> str:
    """Two whole records and the first half of a third: what a broken upload leaves."""
    whole, third = lines(records[:2]), lines(records[2:3])
    return whole + third[: len(third) // 2]


def gzipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


# Object key: the year whose invoices it holds, and how they are written.
OBJECTS = {
    "invoices/2021.json": ("2021", lines),
    "invoices/2022.json.gz": ("2022", lines),
    "invoices/2023 été + extras.json": ("2023", lines),
    "invoices/2024.json": ("2024", array),
    "invoices/2025.json": ("2025", documents),
    "invoices/2025-broken.json": ("2025", cut),
}


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    years: dict[str, list[dict]] = {}
    for invoice in invoices(chinook.load()):
        years.setdefault(invoice["InvoiceDate"][:4], []).append(invoice)
    for key, (year, write) in OBJECTS.items():
        data = write(years[year]).encode()
        path = target / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzipped(data) if key.endswith(".gz") else data)
        print(f"{path}  {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
