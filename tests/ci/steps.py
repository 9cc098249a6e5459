"""Runs the shell steps of CI files as the CI services would, with stand-ins for what only the services have.

GitHub: `run` blocks, composite actions, `if`, expressions and outputs. CircleCI: `run` blocks, commands with parameters,
`$BASH_ENV`, caches. A `uses` that has no stand-in, an expression that is not known and a cache key that is not known are
errors, so that nothing is passed over silently.
"""

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
NAME = re.compile(r"\b[a-z]+(?:\.[\w-]+)+")
SECONDS_OF_A_STEP = 300


@dataclass
class Ended:
    """How a job ended: its exit code and all that its steps printed."""

    code: int
    said: str
    outputs: dict[str, Any] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)


def load(file: Path) -> dict[Any, Any]:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def bash(script: str, environment: dict[str, str], folder: Path) -> tuple[int, str]:
    """As GitHub's `shell: bash` and CircleCI's default do: stop at the first failure, also within a pipe."""
    ended = subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd=folder, env=environment,
                           text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           timeout=SECONDS_OF_A_STEP)
    return ended.returncode, ended.stdout


class Scope:
    """What expressions can name."""

    def __init__(self, **contexts: dict[str, Any]) -> None:
        self.contexts = contexts
        self.failed = False

    def value(self, name: str) -> Any:
        found: Any = self.contexts
        for part in name.split("."):
            if not isinstance(found, dict):
                return ""
            if part not in found and found is self.contexts:
                raise AssertionError(f"nothing is known of {name}")
            found = found.get(part, "")
        return found

    def evaluate(self, expression: str) -> Any:
        """The operators and functions that the files use."""
        text = expression.replace("failure()", str(self.failed)).replace("!cancelled()", "True")
        literals: list[str] = []
        text = re.sub(r"'[^']*'", lambda match: literals.append(match[0]) or f"«{len(literals) - 1}»", text)
        text = NAME.sub(lambda match: repr(self.value(match[0])), text)
        text = text.replace("&&", " and ").replace("||", " or ")
        text = re.sub(r"«(\d+)»", lambda match: literals[int(match[1])], text)
        return eval(" ".join(text.split()), {"__builtins__": {}})  # noqa: S307 — the project's own files

    def fill(self, text: Any) -> str:
        def written(match: re.Match[str]) -> str:
            value = self.evaluate(match[1])
            return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)

        return EXPRESSION.sub(written, str(text))

    def holds(self, step: dict[str, Any]) -> bool:
        condition = step.get("if")
        if condition is None:
            return not self.failed
        if "failure()" not in condition and "cancelled()" not in condition and self.failed:
            return False
        return bool(self.evaluate(EXPRESSION.sub(r"\1", condition)))


class GitHub:
    """A runner for one repository, in `folder`."""

    def __init__(self, folder: Path, environment: dict[str, str], stand_ins: dict[str, Callable[..., None]], action: Path) -> None:
        self.folder, self.environment, self.stand_ins, self.action = folder, environment, stand_ins, action

    def job(self, workflow: dict[Any, Any], name: str, github: dict[str, Any], **contexts: dict[str, Any]) -> Ended:
        job = workflow["jobs"][name]
        temporary = self.folder / f"runner-{time.monotonic_ns()}"
        temporary.mkdir()
        variables = {key: str(value) for key, value in workflow.get("env", {}).items()} | self.environment | {
            "RUNNER_TEMP": str(temporary), "RUNNER_OS": "Linux", "RUNNER_ARCH": "X64",
            "GITHUB_STEP_SUMMARY": str(temporary / "summary"),
            **{f"GITHUB_{key.upper()}": value for key, value in github.items() if isinstance(value, str)},
        }
        scope = Scope(github=github, runner={"temp": str(temporary)}, steps={}, env=variables, vars={},
                      **{"inputs": {}, **contexts})
        ended = Ended(0, "")
        if not scope.holds(job):
            ended.ran.append("skipped")
            return ended
        self.steps(job["steps"], scope, variables, ended)
        ended.outputs = {key: scope.fill(value) for key, value in job.get("outputs", {}).items()}
        summary = temporary / "summary"
        ended.outputs["summary"] = summary.read_text() if summary.is_file() else ""
        return ended

    def steps(self, steps: list[dict[str, Any]], scope: Scope, variables: dict[str, str], ended: Ended) -> None:
        for step in steps:
            name = step.get("name") or step.get("uses")
            if not scope.holds(step):
                continue
            ended.ran.append(name)
            step_variables = variables | {key: scope.fill(value) for key, value in step.get("env", {}).items()}
            outputs: dict[str, str] = {}
            if "run" in step:
                assert "${{" not in step["run"], f"{name}: text from outside must not become part of a script"
                code, said = self.run(step["run"], step_variables, outputs)
                ended.said += said
                if code:
                    scope.failed, ended.code = True, code
            else:
                given = {key: scope.fill(value) for key, value in step.get("with", {}).items()}
                self.use(step["uses"], given, scope, variables, outputs, ended)
            if "id" in step:
                scope.contexts["steps"][step["id"]] = {"outputs": outputs}

    def run(self, script: str, variables: dict[str, str], outputs: dict[str, str]) -> tuple[int, str]:
        files = {name: self.folder / f"{name}-{time.monotonic_ns()}" for name in ("GITHUB_OUTPUT", "GITHUB_PATH")}
        for file in files.values():
            file.touch()
        ended = bash(script, variables | {name: str(file) for name, file in files.items()}, self.folder / "clone")
        outputs.update(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
        return ended

    def use(self, uses: str, given: dict[str, str], scope: Scope, variables: dict[str, str], outputs: dict[str, str],
            ended: Ended) -> None:
        action, _, commit = uses.partition("@")
        if action == "OWNER/pipectl":
            definition = load(self.action)
            inputs = {name: given.pop(name, str(entry.get("default", ""))) for name, entry in definition["inputs"].items()}
            assert not given, f"the action has no inputs {sorted(given)}"
            within = Scope(github={"action_path": str(self.action.parent)}, runner=scope.contexts["runner"], steps={},
                           inputs=inputs, env=variables)
            inner = Ended(0, "")
            self.steps(definition["runs"]["steps"], within, variables, inner)
            ended.said += inner.said
            ended.ran += inner.ran
            outputs.update({name: within.fill(entry["value"]) for name, entry in definition["outputs"].items()})
            if inner.code:
                scope.failed, ended.code = True, inner.code
            return
        assert re.fullmatch(r"[0-9a-f]{40}", commit), f"{uses} is not pinned to a commit"
        self.stand_ins[action](given)


class CircleCI:
    """An executor of one project, in `folder`."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.caches: dict[str, dict[str, Path]] = {}

    def job(self, config: dict[Any, Any], name: str, parameters: dict[str, Any], moved: dict[str, str]) -> Ended:
        """`moved` says which paths of the files stand for which here."""
        # Each job has a container of its own.
        for here in map(Path, moved.values()):
            shutil.rmtree(here) if here.is_dir() else here.unlink(missing_ok=True)
        job = config["jobs"][name]
        executor = config["executors"][job["executor"]]
        profile = self.folder / f"bash-env-{time.monotonic_ns()}"
        profile.touch()
        variables = {key: str(value) for key, value in executor["environment"].items()} | self.environment
        variables["BASH_ENV"] = str(profile)
        ended = Ended(0, "")
        self.steps(config, job["steps"], {"pipeline.parameters": parameters}, variables, moved, ended)
        return ended

    def steps(self, config: dict[Any, Any], steps: list[Any], scope: dict[str, dict[str, Any]], variables: dict[str, str],
              moved: dict[str, str], ended: Ended) -> None:
        def fill(text: str) -> str:
            for prefix, values in scope.items():
                for key, value in values.items():
                    text = re.sub(rf"<<\s*{re.escape(prefix)}\.{key}\s*>>", str(value), text)
            assert "<<" not in text.replace("<<<", ""), text
            for path, here in moved.items():
                text = text.replace(path, here)
            return text

        for step in steps:
            if ended.code:
                return
            kind, given = next(iter(step.items())) if isinstance(step, dict) else (step, {})
            match kind:
                case "checkout" | "store_artifacts":
                    pass
                case "run":
                    more = {key: fill(str(value)) for key, value in given.get("environment", {}).items()}
                    ended.code, said = bash(fill(given["command"]), variables | more, self.folder / "clone")
                    ended.said += said
                    ended.ran.append(given["name"])
                case "save_cache":
                    key = self.key(fill(given["key"]))
                    if key not in self.caches:
                        self.caches[key] = {path: self.kept(path) for path in map(fill, given["paths"])}
                case "restore_cache":
                    for wanted in map(self.key, map(fill, given["keys"])):
                        found = [key for key in self.caches if key.startswith(wanted)]
                        if found:
                            for path, kept in self.caches[found[-1]].items():
                                shutil.copytree(kept, path, dirs_exist_ok=True)
                            break
                case _:
                    command = config["commands"][kind]
                    assert set(given) == set(command.get("parameters", {})), f"{kind}: {given}"
                    self.steps(config, command["steps"], scope | {"parameters": given}, variables, moved, ended)

    def key(self, text: str) -> str:
        def filled(match: re.Match[str]) -> str:
            if match[1] == "epoch":
                return str(time.time_ns())
            file = re.fullmatch(r'checksum "(.*)"', match[1])
            assert file, f"nothing is known of {match[0]}"
            return hashlib.sha256(Path(file[1]).read_bytes()).hexdigest()

        return re.sub(r"\{\{\s*(.*?)\s*\}\}", filled, text)

    def kept(self, path: str) -> Path:
        kept = self.folder / f"cache-{time.monotonic_ns()}"
        kept.mkdir()
        source = Path(path.replace("~", self.environment["HOME"], 1))
        if source.is_dir():
            shutil.copytree(source, kept, dirs_exist_ok=True)
        return kept
