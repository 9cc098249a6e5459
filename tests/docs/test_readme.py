"""Checks that README.md and docs/ say what the program does.

A fenced block says in its first line what becomes of it:

    ```sh run       each line is run, in order, in a copy of the clone, against a local cloud of its own; a line exits
                    with 0, or with N when it ends in `# exit N`
    ```toml run     is a whole pipeline.toml, and validates
    ```console      needs what no test has (a real account, the network, a build): not run
    anything else   is output, configuration, SQL or a picture: not run

Run: python3 -m unittest discover -s tests/docs      (PIPECTL names the program; else target/debug/pipectl)
"""

import json
import os
import re
import subprocess
import tempfile
import unittest
from dataclasses import dataclass
from pathlib import Path

import keys

ROOT = keys.ROOT
PIPECTL = Path(os.environ.get("PIPECTL", ROOT / "target" / "debug" / "pipectl")).resolve()
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NEVER_RUN = {"console", "text", "sql", "toml", "python", "mermaid"}
BLOCK = re.compile(r"^```(\S+)(?: (\w+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
WANTED_EXIT = re.compile(r"#\s*exit (\d+)")
# A busy machine takes longer until rows arrive.
PATIENCE = 'sleep() { command sleep "$((3 * $1))"; }'
SECONDS_OF_A_BLOCK = 600


@dataclass
class Block:
    document: Path
    line: int
    language: str
    run: bool
    text: str

    def __str__(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(document: Path) -> list[Block]:
    text = document.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        language, mark, body = match.groups()
        found.append(Block(document, text.count("\n", 0, match.start()) + 1, language, mark == "run", body))
    return found


def all_blocks() -> list[Block]:
    return [block for document in DOCUMENTS for block in blocks(document)]


def without_blocks(document: Path) -> str:
    return BLOCK.sub("", document.read_text(encoding="utf-8"))


def statements(text: str) -> list[str]:
    """The lines of a block; one that ends in a backslash goes on in the next."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def help_of(*command: str) -> str:
    ended = subprocess.run([PIPECTL, *command, "--help"], capture_output=True, text=True, check=True)
    return ended.stdout


def commands_in(text: str) -> list[str]:
    section = re.search(r"^Commands:\n(.*?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    names = re.findall(r"^  ([a-z-]+)", section[1], re.MULTILINE) if section else []
    return [name for name in names if name != "help"]


def options_in(text: str) -> set[str]:
    """The options of a help text, `--help` and `--version` left out."""
    found = re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", text, re.MULTILINE)
    return set(found) - {"--help", "--version"}


def surface() -> dict[str, set[str]]:
    """Every command with its options, as --help tells them."""
    top = help_of()
    found = {"": options_in(top)}
    for command in commands_in(top):
        text = help_of(command)
        found[command] = options_in(text)
        for inner in commands_in(text):
            found[f"{command} {inner}"] = options_in(help_of(command, inner))
    return found


def invocations() -> list[tuple[str, list[str]]]:
    """Where pipectl is called in the documents, and with which words."""
    found = []
    for document in DOCUMENTS:
        name = document.relative_to(ROOT)
        found += [(f"{name}: `{code}`", code) for code in CODE.findall(without_blocks(document))]
    for block in all_blocks():
        if block.language in ("sh", "console"):
            found += [(str(block), line) for line in statements(block.text)]
    calls = []
    for where, line in found:
        line = re.sub(r"\s#.*", "", line.removeprefix("$ "))
        for call in re.findall(r"(?:^|[(;&]\s*)pipectl ([^)|]*)", line):
            calls.append((where, re.findall(r"[^\s\[\]\"]+", call)))
    return calls


class Documents(unittest.TestCase):
    def test_every_block_is_run_or_says_that_it_is_not(self) -> None:
        for block in all_blocks():
            with self.subTest(str(block)):
                self.assertTrue(block.run or block.language in NEVER_RUN, f"mark ```{block.language} with `run`, or use ```console")

    def test_links_lead_somewhere(self) -> None:
        for document in DOCUMENTS:
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
                with self.subTest(f"{document.name}: {target}"):
                    self.assertTrue((document.parent / target).exists())

    def test_the_version_of_rust_is_that_of_cargo(self) -> None:
        wanted = re.search(r'^rust-version = "(.+)"', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)
        self.assertIn(f"[Rust](https://rustup.rs) {wanted[1]} or newer", (ROOT / "README.md").read_text(encoding="utf-8"))

    def test_lines_are_short(self) -> None:
        for document in DOCUMENTS:
            for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
                if not line.startswith("|"):
                    self.assertLessEqual(len(line), 120, f"{document.name}:{number}")


class Keys(unittest.TestCase):
    def setUp(self) -> None:
        self.schema = json.loads(keys.SCHEMA.read_text(encoding="utf-8"))
        self.document = keys.DOCUMENT.read_text(encoding="utf-8")

    def test_tables_are_those_of_the_schema(self) -> None:
        self.maxDiff = None
        filled = keys.filled(self.document, self.schema)
        self.assertEqual(self.document, filled, "run: python3 tests/docs/keys.py --write")

    def test_every_table_of_the_schema_has_its_place(self) -> None:
        self.assertEqual(keys.places(self.document), set(keys.objects(self.schema)))

    def test_keys_are_told_one_by_one(self) -> None:
        """The same again without the code that makes the tables."""
        for name, owner in keys.objects(self.schema).items():
            place = re.search(rf"<!-- keys: {name} -->(.*?)<!-- /keys -->", self.document, re.DOTALL)
            self.assertIsNotNone(place, name)
            told = re.findall(r"^\| `(\w+)` \|", place[1], re.MULTILINE)
            self.assertEqual(told, list(owner["properties"]), name)


class CommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.surface = surface()

    def test_what_the_documents_call_exists(self) -> None:
        for where, words in invocations():
            with self.subTest(where):
                command = self.command(words)
                options = {word.split("=")[0] for word in words if word.startswith("--")}
                self.assertLessEqual(options - {"--help", "--version"}, self.surface[command])

    def command(self, words: list[str]) -> str:
        """The command that the words call: `local up`, `deploy`, or nothing where only options stand."""
        plain = [word for word in words if re.fullmatch(r"[a-z-]+", word) and not word.startswith("-")]
        for length in (2, 1):
            if " ".join(plain[:length]) in self.surface and plain[:length]:
                return " ".join(plain[:length])
        self.assertFalse(plain and not words[0].startswith("-"), f"there is no command {words}")
        return ""

    def test_every_command_is_in_the_table(self) -> None:
        table = re.findall(r"^\| `pipectl ([a-z]+(?: [a-z-]+)?)", (ROOT / "README.md").read_text(), re.MULTILINE)
        self.assertEqual(set(table), set(self.surface) - {"", "local"})

    def test_every_option_is_told(self) -> None:
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        for command, options in self.surface.items():
            for option in options:
                self.assertIn(option, text, f"pipectl {command} {option}")


class Examples(unittest.TestCase):
    """Runs the marked blocks; each document is one session, all of them with one local cloud."""

    @classmethod
    def setUpClass(cls) -> None:
        if not PIPECTL.is_file():
            raise AssertionError(f"there is no {PIPECTL}: run `make build`, or name the program with PIPECTL")
        folder = tempfile.TemporaryDirectory(prefix="pipectl-docs-")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        (cls.folder / "bin").mkdir()
        (cls.folder / "bin" / "pipectl").symlink_to(PIPECTL)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SNOWFLAKE_", "PIPECTL_LOCAL"))}
        path = f"{cls.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        cls.environment = kept | {"PATH": path, "PIPECTL_LOCAL_DIR": str(cls.folder / "local")}
        cls.addClassCleanup(lambda: subprocess.run([PIPECTL, "local", "down"], env=cls.environment, capture_output=True))

    def test_pipelines_validate(self) -> None:
        for number, block in enumerate(block for block in all_blocks() if block.language == "toml" and block.run):
            with self.subTest(str(block)):
                file = self.folder / f"{number}.toml"
                file.write_text(block.text, encoding="utf-8")
                ended = subprocess.run([PIPECTL, "validate", "--file", file], capture_output=True, text=True)
                self.assertEqual(ended.returncode, 0, ended.stderr)

    def test_commands_run(self) -> None:
        for document in DOCUMENTS:
            marked = [block for block in blocks(document) if block.language == "sh" and block.run]
            if marked:
                with self.subTest(document.name):
                    self.session(document, marked)

    def session(self, document: Path, marked: list[Block]) -> None:
        """One shell for all blocks of a document, so that what one sets the next one has."""
        clone = self.folder / document.stem
        clone.mkdir()
        for name in ("examples", "scripts"):
            (clone / name).symlink_to(ROOT / name)
        lines = [(str(block), line) for block in marked for line in statements(block.text)]
        script = [PATIENCE]
        for number, (_, line) in enumerate(lines):
            script += [line, f'echo "{number} $?" >>"{clone}/exits"']
        ended = subprocess.run(["bash", "-c", "\n".join(script)], cwd=clone, env=self.environment, capture_output=True,
                               text=True, stdin=subprocess.DEVNULL, timeout=SECONDS_OF_A_BLOCK)
        exits = dict(map(int, line.split()) for line in (clone / "exits").read_text().splitlines())
        for number, (where, line) in enumerate(lines):
            wanted = WANTED_EXIT.search(line)
            found = exits.get(number, f"not run (the shell ended with {ended.returncode})")
            self.assertEqual(found, int(wanted[1]) if wanted else 0, f"{where}: {line}\n{ended.stdout}\n{ended.stderr}")
        if first := re.search(r"^chinook-invoices/local \d+ to create.*$", ended.stdout, re.MULTILINE):
            self.assertIn(first[0], document.read_text(encoding="utf-8"), "what the demo shows has changed")


if __name__ == "__main__":
    unittest.main()
