"""Checks examples/ci and action.yml: that they are well formed, and that what they run works on the local cloud.

Their steps are run by `steps.py`, with pipectl itself and without GitHub, CircleCI and the AWS sign-in.

Run: python3 -m unittest discover -s tests/ci      (PIPECTL names the program; else target/debug/pipectl)
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import steps

ROOT = Path(__file__).resolve().parents[2]
PIPECTL = Path(os.environ.get("PIPECTL", ROOT / "target" / "debug" / "pipectl")).resolve()
WORKFLOW, CIRCLECI, ACTION = ROOT / "examples/ci/github.yml", ROOT / "examples/ci/circleci.yml", ROOT / "action.yml"
SCRIPTS = Path(sys.executable).parent
COLUMN = '    { name = "city", type = "VARCHAR(40)", path = "$.Customer.City" },\n'
TABLE = "CHINOOK_INVOICES_LOCAL.SHOP.INVOICE"


def scripts(file: Path) -> list[tuple[str, str]]:
    """Every shell script of a file, with its name."""
    found: list[tuple[str, str]] = []

    def visit(value: Any) -> None:
        if isinstance(value, dict):
            run = value.get("run")
            if isinstance(run, str):
                found.append((f"{file.name}: {value.get('name', 'a step')}", run))
            elif isinstance(run, dict):
                found.append((f"{file.name}: {run['name']}", re.sub(r"<<.*?>>", "NAME", run["command"])))
            for inner in value.values():
                visit(inner)
        elif isinstance(value, list):
            for inner in value:
                visit(inner)

    visit(steps.load(file))
    return found


class Form(unittest.TestCase):
    """What the services' own schemas and shellcheck say."""

    def test_the_files_are_what_the_services_take(self) -> None:
        for schema, file in (("github-workflows", WORKFLOW), ("github-actions", ACTION), ("circle-ci", CIRCLECI)):
            with self.subTest(file.name):
                command = [SCRIPTS / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", file]
                ended = subprocess.run(command, capture_output=True, text=True)
                self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    def test_shellcheck_finds_nothing(self) -> None:
        for file in (WORKFLOW, ACTION, CIRCLECI):
            for name, script in scripts(file):
                with self.subTest(name):
                    # SC2016: CircleCI's profile gets its variables unexpanded, on purpose.
                    command = [SCRIPTS / "shellcheck", "--shell=bash", "--exclude=SC2016", "-"]
                    ended = subprocess.run(command, input=f"set -eo pipefail\n{script}", capture_output=True, text=True)
                    self.assertEqual(ended.returncode, 0, ended.stdout)

    def test_actions_are_pinned_and_rights_are_few(self) -> None:
        workflow = steps.load(WORKFLOW)
        self.assertEqual(workflow["permissions"], {})
        writes = {name: {right for right, level in job["permissions"].items() if level == "write"}
                  for name, job in workflow["jobs"].items()}
        self.assertEqual(writes, {"plan": {"id-token", "pull-requests"}, "deploy": {"id-token"}})
        for text in (WORKFLOW.read_text(), ACTION.read_text()):
            for uses in re.findall(r"uses: (\S+)", text):
                self.assertRegex(uses, r"@([0-9a-f]{40}|COMMIT)$")
            self.assertNotIn("secrets.", text)


class Machine(unittest.TestCase):
    """A clone, a local cloud, and what stands for the services."""

    @classmethod
    def setUpClass(cls) -> None:
        if not PIPECTL.is_file():
            raise AssertionError(f"there is no {PIPECTL}: run `make build`, or name the program with PIPECTL")

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="pipectl-ci-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for name in ("bin", "clone", "home", "gh"):
            (self.folder / name).mkdir()
        (self.folder / "bin/pipectl").symlink_to(PIPECTL)
        (self.folder / "bin/gh").symlink_to(ROOT / "tests/ci/gh.py")
        self.file = self.folder / "clone/pipeline.toml"
        shutil.copy(ROOT / "examples/files/pipeline.toml", self.file)
        home = Path.home()
        kept = {name: value for name, value in os.environ.items()
                if not name.startswith(("AWS_", "SNOWFLAKE_", "GITHUB_", "PIPECTL_LOCAL", "CIRCLE"))}
        self.environment = {"RUSTUP_HOME": str(home / ".rustup"), "XDG_CACHE_HOME": str(home / ".cache")} | kept | {
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "HOME": str(self.folder / "home"),
            "PIPECTL_LOCAL_DIR": str(self.folder / "local"), "PIPECTL_ENV": "local", "GH_FOLDER": str(self.folder / "gh"),
        }
        self.addCleanup(lambda: self.pipectl("local", "down"))
        self.github = steps.GitHub(self.folder, self.environment, {
            "actions/checkout": lambda given: None,
            "aws-actions/configure-aws-credentials": lambda given: None,
            "actions/upload-artifact": self.upload,
        }, ACTION)
        self.run = 0

    def pipectl(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([PIPECTL, *words], env=self.environment, cwd=self.folder / "clone", capture_output=True, text=True)

    def sql(self, statement: str) -> None:
        self.assertEqual(self.pipectl("local", "sql", statement).returncode, 0)

    def upload(self, given: dict[str, str]) -> None:
        target = self.folder / "gh/artifacts" / str(self.run) / given["name"]
        target.mkdir(parents=True)
        shutil.copy(given["path"], target)

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        self.assertIn(old, text)
        self.file.write_text(text.replace(old, new))

    def job(self, name: str, event: str, commit: str, **more: Any) -> steps.Ended:
        pull_request = {"number": 7, "head": {"repo": {"full_name": more.pop("repository", "o/r")}}}
        github = {"event_name": event, "ref": "refs/pull/7/merge" if event == "pull_request" else "refs/heads/main",
                  "ref_name": "main", "repository": "o/r", "sha": commit, "token": "t", "run_id": str(self.run),
                  "event": {"pull_request": pull_request} if event == "pull_request" else {}}
        return self.github.job(steps.load(WORKFLOW), name, github, **more)

    def pull_request(self, commit: str, **more: Any) -> steps.Ended:
        self.run += 1
        ended = self.job("plan", "pull_request", commit, **more)
        runs = self.folder / "gh/runs.json"
        found = json.loads(runs.read_text()) if runs.is_file() else []
        found.insert(0, {"databaseId": self.run, "headSha": commit, "event": "pull_request"})
        runs.write_text(json.dumps(found))
        return ended

    def merge(self, head: str) -> steps.Ended:
        pulls = [{"merged_at": "2026-01-01T00:00:00Z", "base": {"ref": "main"}, "head": {"sha": head}}]
        (self.folder / "gh/pulls.json").write_text(json.dumps(pulls))
        self.run += 1
        return self.job("deploy", "push", "merged", needs={"plan": {"outputs": {}}})

    def by_hand(self, allow_loss: str = "") -> tuple[steps.Ended, steps.Ended]:
        self.run += 1
        inputs = {"allow_loss": allow_loss}
        plan = self.job("plan", "workflow_dispatch", "main", inputs=inputs)
        needs = {"plan": {"outputs": plan.outputs}}
        return plan, self.job("deploy", "workflow_dispatch", "main", inputs=inputs, needs=needs)

    def comments(self) -> list[str]:
        return [comment["body"] for comment in json.loads((self.folder / "gh/comments.json").read_text())]

    def difference(self) -> int:
        return self.pipectl("diff", "--env", "local").returncode


class OnTheLocalCloud(Machine):
    """From the pull request to the deploy, and what happens when the world moves between."""

    def test_github_from_the_pull_request_to_the_deploy(self) -> None:
        planned = self.pull_request("c1")
        self.assertEqual((planned.code, planned.outputs["changed"]), (0, "true"), planned.said)
        self.assertIn("to create", planned.outputs["summary"])
        [comment] = self.comments()
        self.assertTrue(comment.startswith("<!-- pipectl local -->\n### pipectl: chinook-invoices/local"), comment)

        # Another commit: the comment is kept current, and the newest plan counts.
        self.edit("VARCHAR(160)", "VARCHAR(170)")
        self.assertEqual(self.pull_request("c2").code, 0)
        self.assertEqual(len(self.comments()), 1)
        deployed = self.merge("c2")
        self.assertEqual(deployed.code, 0, deployed.said)
        self.assertIn("done:", deployed.said)
        self.assertEqual(self.difference(), 0)

        # Nothing to change is a plan, too.
        unchanged = self.pull_request("c3")
        self.assertEqual((unchanged.code, unchanged.outputs["changed"]), (0, "false"), unchanged.said)
        self.assertIn("No change.", self.comments()[0])
        self.assertEqual(self.merge("c3").code, 0)

        # A plan of a commit that was not merged is none.
        refused = self.merge("c4")
        self.assertEqual(refused.code, 1)
        self.assertIn("no plan of its last commit", refused.said)

        # A fork's pull request gets no token.
        self.assertEqual(self.pull_request("c5", repository="stranger/r").ran, ["skipped"])

        # An error is one: no plan, no comment.
        self.edit("[[table]]", "[[tabel]]")
        broken = self.pull_request("c6")
        self.assertEqual(broken.code, 1)
        self.assertNotIn("Comment on the pull request", broken.ran)

    def test_github_refuses_what_moved_and_what_loses(self) -> None:
        self.assertEqual(self.pipectl("deploy", "--env", "local", "--yes").returncode, 0)
        self.edit("VARCHAR(160)", "VARCHAR(170)")
        self.assertEqual(self.pull_request("c1").code, 0)
        self.sql(f"ALTER TABLE {TABLE} ALTER COLUMN CITY COMMENT 'by hand'")
        refused = self.merge("c1")
        self.assertEqual(refused.code, 1)
        self.assertIn("nothing was changed", refused.said)
        self.assertIn(f"table {TABLE} changed", refused.said)
        self.assertIn("Run this workflow by hand", refused.outputs["summary"])
        self.assertEqual(self.difference(), 2)
        plan, deployed = self.by_hand()
        self.assertEqual((plan.code, deployed.code), (0, 0), deployed.said)
        self.assertEqual(self.difference(), 0)

        self.edit(COLUMN, "")
        self.assertEqual(self.pull_request("c2").code, 0)
        lost = re.search(r"`--allow-loss (\S+)`", self.comments()[0])
        assert lost
        refused = self.merge("c2")
        self.assertEqual(refused.code, 1)
        self.assertIn("this needs consent", refused.said)
        self.assertEqual(self.by_hand()[1].code, 1, "a plan made anew consents to nothing")
        self.assertEqual(self.by_hand(lost[1])[1].code, 0)
        self.assertEqual(self.difference(), 0)
        # By hand without a change: the deploy has nothing to wait for.
        self.assertEqual(self.by_hand()[1].ran, ["skipped"])

    def test_circleci_from_the_branch_to_the_deploy(self) -> None:
        config = steps.load(CIRCLECI)
        ci = steps.CircleCI(self.folder, self.environment | {
            "PIPECTL_REPOSITORY": "https://example.invalid/pipectl", "PIPECTL_COMMIT": "0" * 40,
            "CIRCLE_OIDC_TOKEN_V2": "token", "PIPECTL_PLAN_ROLE": "arn:plan", "PIPECTL_DEPLOY_ROLE": "arn:deploy"})
        moved = {path: str(self.folder / path.removeprefix("/tmp/"))
                 for path in ("/tmp/plan", "/tmp/content", "/tmp/identity", "/tmp/pipectl-build")}

        def git(*words: str) -> None:
            name = ["-c", "user.name=test", "-c", "user.email=test@example.invalid", "-c", "commit.gpgsign=false"]
            subprocess.run(["git", *name, *words], cwd=self.folder / "clone", check=True, capture_output=True)

        def job(name: str, **parameters: str) -> steps.Ended:
            return ci.job(config, name, {"allow_loss": "", **parameters}, moved)

        git("init", "--quiet", "--initial-branch=main")
        git("add", ".")
        git("commit", "--quiet", "--message=first")
        planned = job("plan")
        self.assertEqual(planned.code, 0, planned.said)
        self.assertIn("to create", planned.said)
        # Merged: another commit with the same content.
        git("commit", "--quiet", "--amend", "--message=merged")
        deployed = job("deploy")
        self.assertEqual(deployed.code, 0, deployed.said)
        self.assertEqual(self.difference(), 0)

        self.edit(COLUMN, "")
        git("commit", "--quiet", "--all", "--message=second")
        self.assertEqual(job("plan").code, 0)
        # Main went on meanwhile: what is merged is not what was planned.
        (self.folder / "clone/other").write_text("other")
        git("add", ".")
        git("commit", "--quiet", "--message=other")
        refused = job("deploy")
        self.assertEqual(refused.code, 1)
        self.assertIn("No plan was made of exactly this content", refused.said)

        # Anew; and once more after somebody changed something by hand.
        planned = job("plan")
        lost = re.search(r"`--allow-loss (\S+)`", planned.said)
        assert lost
        self.assertIn("this needs consent", job("deploy").said)
        self.sql(f"ALTER TABLE {TABLE} ALTER COLUMN COUNTRY COMMENT 'by hand'")
        self.assertIn(f"table {TABLE} changed", job("deploy", allow_loss=lost[1]).said)
        self.assertEqual(job("plan").code, 0)
        deployed = job("deploy", allow_loss=lost[1])
        self.assertEqual(deployed.code, 0, deployed.said)
        self.assertEqual(self.difference(), 0)


class TheAction(Machine):
    """Which pipectl the action takes."""

    def look(self, **inputs: str) -> tuple[int, str, dict[str, str]]:
        step = steps.load(ACTION)["runs"]["steps"][0]
        scope = steps.Scope(github={"action_path": str(ROOT)}, inputs={"version": "", "architecture": "arm64", **inputs})
        variables = self.environment | {key: scope.fill(value) for key, value in step["env"].items()}
        outputs: dict[str, str] = {}
        code, said = self.github.run(step["run"], variables | {"RUNNER_OS": "Linux", "RUNNER_ARCH": "X64"}, outputs)
        return code, said, outputs

    def test_a_pipectl_on_the_path_is_taken_else_the_source_is_built(self) -> None:
        version = subprocess.run([PIPECTL, "--version"], capture_output=True, text=True).stdout.split()[1]
        for wanted in ("", version):
            self.assertEqual(self.look(version=wanted)[2], {"build": "false"})
        code, said, _ = self.look(version="99.0.0")
        self.assertEqual(code, 1)
        self.assertIn("no release can be fetched yet", said)
        self.assertEqual(self.look(architecture="mips")[0], 1)
        (self.folder / "bin/pipectl").unlink()
        code, said, outputs = self.look(version=version)
        self.assertEqual((code, outputs["build"], outputs["target"]), (0, "true", "aarch64-unknown-linux-gnu"), said)
        # The key is that of the content.
        self.assertEqual(self.look()[2]["key"], outputs["key"])
        self.assertNotEqual(self.look(architecture="x86_64")[2]["key"], outputs["key"])


if __name__ == "__main__":
    unittest.main()
