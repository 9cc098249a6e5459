"""The stand-in for the server that reads a binary log takes its settings from the user data, and nothing from elsewhere."""
from pathlib import Path

from pipectl_local.aws_reader import MARK, settings_of

SCRIPT = Path(__file__).parents[2] / "templates" / "reader" / "user-data.sh"


def user_data() -> str:
    own = "region='eu-west-1'\nbucket='artifacts'\nkey='runtime/0011223344556677-arm64.zip'"
    environment = "PIPECTL_TABLES='[{\"schema\":\"s\",\"table\":\"t$1\"}]'\nPIPECTL_STREAM='arn:aws:kinesis:x'"
    return SCRIPT.read_text().replace("@SETTINGS@", own).replace("@ENVIRONMENT@", environment)


def test_settings_are_those_of_the_user_data() -> None:
    own, environment = settings_of(user_data())
    assert own == {"region": "eu-west-1", "bucket": "artifacts", "key": "runtime/0011223344556677-arm64.zip"}
    assert environment == {"PIPECTL_TABLES": '[{"schema":"s","table":"t$1"}]', "PIPECTL_STREAM": "arn:aws:kinesis:x"}


def test_the_script_is_known_by_its_unit() -> None:
    assert MARK in user_data()
