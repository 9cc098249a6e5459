"""The files of examples/files: made again they are the same, and the good ones hold the whole of Chinook."""

import gzip
import json
import subprocess
import sys
import tempfile
import unittest
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "files" / "data"
BROKEN = "invoices/2025-broken.json"


def run(script: str, *arguments: str) -> str:
    command = [sys.executable, str(ROOT / "scripts" / script), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8").stdout


def objects(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def text(key: str, data: bytes) -> str:
    return (gzip.decompress(data) if key.endswith(".gz") else data).decode()


def records(content: str) -> list[dict]:
    """Every record of an array, of concatenated documents or of lines."""
    decoder = json.JSONDecoder(parse_float=Decimal)
    found, position = [], 0
    content = content.strip()
    while position < len(content):
        value, position = decoder.raw_decode(content, position)
        found += value if isinstance(value, list) else [value]
        while position < len(content) and content[position].isspace():
            position += 1
    return found


class ExampleData(unittest.TestCase):
    def test_regenerating_gives_the_same_files(self) -> None:
        with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
            run("make_invoices.py", first)
            run("make_invoices.py", second)
            made = objects(Path(first))
            self.assertEqual(made, objects(Path(second)), "two runs differ")
            committed = objects(DATA)
            self.assertEqual(sorted(made), sorted(committed))
            for key in made:
                # Compression may differ from one zlib to the next; what is compressed may not.
                same = made[key] == committed[key] or (
                    key.endswith(".gz") and text(key, made[key]) == text(key, committed[key])
                )
                self.assertTrue(same, f"{key} is not what scripts/make_invoices.py writes")

    def test_good_files_hold_every_invoice_once(self) -> None:
        expected = json.loads(run("expected.py"))
        invoices = [
            record
            for key, data in objects(DATA).items()
            if key != BROKEN
            for record in records(text(key, data))
        ]
        lines = [line for invoice in invoices for line in invoice["Lines"]]
        self.assertEqual(len({invoice["InvoiceId"] for invoice in invoices}), len(invoices))
        self.assertEqual((len(invoices), len(lines)), (expected["invoices"], expected["lines"]))
        self.assertEqual(sum(invoice["Total"] for invoice in invoices), Decimal(expected["total"]))
        self.assertEqual(sum(line["UnitPrice"] * line["Quantity"] for line in lines), Decimal(expected["amount"]))

    def test_broken_file_holds_only_copies_and_ends_in_a_record(self) -> None:
        broken = (DATA / BROKEN).read_text(encoding="utf-8")
        *whole, last = broken.splitlines()
        good = records((DATA / "invoices/2025.json").read_text(encoding="utf-8"))
        for line in whole:
            self.assertIn(json.loads(line, parse_float=Decimal), good)
        with self.assertRaises(json.JSONDecodeError):
            json.loads(last)


if __name__ == "__main__":
    unittest.main()
