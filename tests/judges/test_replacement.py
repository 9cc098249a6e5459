"""What `src/aws/replacement.rs` says of replaced resources, against the schemas of CloudFormation that cfn-lint ships."""

import json
import re
import unittest
from pathlib import Path

import cfnlint

SOURCE = Path(__file__).resolve().parents[2] / "src" / "aws" / "replacement.rs"
SCHEMAS = Path(cfnlint.__file__).parent / "data" / "schemas"


def table(name: str) -> dict[str, set[str]]:
    body = re.search(rf"pub const {name}: .*? = &\[(.*?)\n\];", SOURCE.read_text(encoding="utf-8"), re.DOTALL)
    assert body is not None
    entries = re.findall(r'\(\s*"(AWS::[\w:]+)",\s*&\[([^\]]*)\],?\s*\)', body[1])
    return {kind: set(re.findall(r'"(\w+)"', properties)) for kind, properties in entries}


def properties(schema: dict, key: str) -> set[str]:
    return {pointer.removeprefix("/properties/").split("/")[0] for pointer in schema.get(key, [])}


class Replacement(unittest.TestCase):
    def test_each_type_replaces_as_its_schema_says(self) -> None:
        files = json.loads((SCHEMAS / "providers" / "us-east-1.json").read_text(encoding="utf-8"))
        replacing, sometimes = table("REPLACING"), table("SOMETIMES")
        self.assertGreaterEqual(len(replacing), 13)
        self.assertLessEqual(set(sometimes), set(replacing))
        for kind, known in replacing.items():
            schema = json.loads((SCHEMAS / "resources" / f"{files[kind]}.json").read_text(encoding="utf-8"))
            with self.subTest(kind):
                self.assertEqual(known, properties(schema, "createOnlyProperties"))
                self.assertEqual(sometimes.get(kind, set()), properties(schema, "conditionalCreateOnlyProperties"))


if __name__ == "__main__":
    unittest.main()
