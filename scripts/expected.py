#!/usr/bin/env python3
"""Prints, as JSON, what the tables of examples/files must hold: the truth that the tests compare with.

It comes from Chinook's SQL alone, not from the files made of it and not from pipectl. Money is summed in whole cents and
printed as text, exact to the cent.

Usage: expected.py [SQLFILE]      (default: examples/chinook/Chinook_PostgreSql.sql)
"""

import json
import sqlite3
import sys
from pathlib import Path

import chinook


def cents(expression: str) -> str:
    return f"SUM(CAST(ROUND(100 * {expression}) AS INTEGER))"


def money(total_cents: int) -> str:
    return f"{total_cents // 100}.{total_cents % 100:02}"


def expected(database: sqlite3.Connection) -> dict:
    """Counts and sums over all invoices and lines, and per country, year and genre."""
    [(invoices, total)] = database.execute(f"SELECT COUNT(*), {cents('total')} FROM invoice")
    [(lines, quantity, amount)] = database.execute(
        f"SELECT COUNT(*), SUM(quantity), {cents('unit_price * quantity')} FROM invoice_line"
    )
    return {
        "invoices": invoices,
        "total": money(total),
        "lines": lines,
        "quantity": quantity,
        "amount": money(amount),
        "per_country": _groups(
            database,
            f"SELECT billing_country, COUNT(*), {cents('total')} FROM invoice GROUP BY 1 ORDER BY 1",
            ("invoices", "total"),
        ),
        "per_year": _groups(
            database,
            f"SELECT SUBSTR(invoice_date, 1, 4), COUNT(*), {cents('total')} FROM invoice GROUP BY 1 ORDER BY 1",
            ("invoices", "total"),
        ),
        "per_genre": _groups(
            database,
            f"""SELECT g.name, COUNT(*), {cents("l.unit_price * l.quantity")}
                FROM invoice_line AS l JOIN track AS t USING (track_id) JOIN genre AS g USING (genre_id)
                GROUP BY 1 ORDER BY 1""",
            ("lines", "amount"),
        ),
    }


def _groups(database: sqlite3.Connection, query: str, names: tuple[str, str]) -> dict:
    count, total = names
    return {group: {count: rows, total: money(sum_cents)} for group, rows, sum_cents in database.execute(query)}


def main() -> None:
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else chinook.SQL
    print(json.dumps(expected(chinook.load(source)), ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
