"""CloudFormation's and Snowflake's rules on a rendered pipeline: what waits for what, and how long.

Reads what `pipectl render` writes and nothing else that pipectl says. The dependencies between stacks, between clouds and
between statements are found here, from what AWS and Snowflake themselves look at when a thing is created.
"""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent


class Latencies:
    """The numbers of latencies.toml, in seconds."""

    def __init__(self, path: Path = HERE / "latencies.toml") -> None:
        numbers = tomllib.loads(path.read_text())
        self.change_set = float(numbers["stack"]["change_set"])
        self.operation = float(numbers["stack"]["operation"])
        self.statement = float(numbers["snowflake"]["statement"])
        self._resources = numbers["resource"]

    def complete(self, kind: str) -> float:
        """Until a resource of a type is complete; a type without a number is an error."""
        return float(self._resources[kind]["complete"])

    def ready(self, kind: str) -> float:
        """Until what depends on it is started."""
        return float(self._resources[kind].get("ready", self._resources[kind]["complete"]))


def references(value: Any) -> Iterator[str]:
    """Names that a part of a template refers to: Ref, Fn::GetAtt and Fn::Sub."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield inner[0] if isinstance(inner, list) else inner.split(".")[0]
            elif key == "Fn::Sub":
                text, *values = inner if isinstance(inner, list) else [inner]
                yield from re.findall(r"\$\{([A-Za-z0-9]+)[.}]", text)
                yield from references(values)
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def needs_inside(template: dict[str, Any]) -> dict[str, set[str]]:
    """Which resources of a template each of its resources waits for."""
    resources = template["Resources"]
    needs = {}
    for name, resource in resources.items():
        explicit = resource.get("DependsOn", [])
        named = {*references(resource), *([explicit] if isinstance(explicit, str) else explicit)}
        needs[name] = {other for other in named if other in resources and other != name}
    return needs


def resource_times(template: dict[str, Any], latencies: Latencies, start: float = 0.0) -> dict[str, tuple[float, float]]:
    """When each resource is ready for what depends on it, and complete, when all start as early as they may."""
    needs, times = needs_inside(template), {}

    def of(name: str) -> tuple[float, float]:
        if name not in times:
            begin = max((of(need)[0] for need in needs[name]), default=start)
            kind = template["Resources"][name]["Type"]
            times[name] = (begin + latencies.ready(kind), begin + latencies.complete(kind))
        return times[name]

    return {name: of(name) for name in needs}


def operation_seconds(template: dict[str, Any], latencies: Latencies) -> float:
    """How long CloudFormation works on a stack after its change set is executed."""
    return latencies.operation + max(complete for _, complete in resource_times(template, latencies).values())


@dataclass
class Node:
    """Something that takes time once all it needs is there."""

    name: str
    seconds: float
    needs: set[str] = field(default_factory=set)


def longest(nodes: dict[str, Node]) -> tuple[float, list[str]]:
    """The longest chain: its length and its nodes."""
    sys.setrecursionlimit(100_000)
    ends: dict[str, float] = {}
    before: dict[str, str | None] = {}

    def end(name: str) -> float:
        if name not in ends:
            node = nodes[name]
            last = max(node.needs, key=lambda need: (end(need), need), default=None)
            ends[name], before[name] = (end(last) if last else 0.0) + node.seconds, last
        return ends[name]

    name: str | None = max(nodes, key=lambda each: (end(each), each))
    length, chain = ends[name], []
    while name:
        chain.append(name)
        name = before[name]
    return length, chain[::-1]


def _starts(nodes: dict[str, Node]) -> dict[str, float]:
    """When each node can start at the earliest."""
    starts: dict[str, float] = {}

    def start(name: str) -> float:
        if name not in starts:
            starts[name] = max((start(need) + nodes[need].seconds for need in nodes[name].needs), default=0.0)
        return starts[name]

    return {name: start(name) for name in nodes}


def bounded(nodes: dict[str, Node], at_once: int, counts: Callable[[str], bool]) -> float:
    """The least time when at most `at_once` of the nodes that count run at the same time.

    Whatever the order, all that starts after `head` and is followed by at least `tail` must fit in between: a lower bound
    for machines in parallel, from each pair of a head and a tail that occurs.
    """
    length, _ = longest(nodes)
    after: dict[str, set[str]] = {name: set() for name in nodes}
    for node in nodes.values():
        for need in node.needs:
            after[need].add(node.name)
    heads, tails = _starts(nodes), _starts({name: Node(name, nodes[name].seconds, after[name]) for name in nodes})
    work = [(heads[name], tails[name], node.seconds) for name, node in nodes.items() if counts(name)]
    for head in {head for head, _, _ in work}:
        late = [(tail, seconds) for start, tail, seconds in work if start >= head]
        for least in {tail for tail, _ in late}:
            between = sum(seconds for tail, seconds in late if tail >= least)
            length = max(length, head + between / at_once + least)
    return length


CREATED = re.compile(
    r"CREATE (?:OR ALTER |OR REPLACE )?(ROLE|WAREHOUSE|STORAGE INTEGRATION|NOTIFICATION INTEGRATION|DATABASE|SCHEMA"
    r"|FILE FORMAT|STAGE|TABLE|PIPE|STREAM|TASK) (?:IF NOT EXISTS )?(\S+)")


def statements(sql: str) -> list[str]:
    """The statements of a rendered file: each ends with a semicolon at the end of a line that no block is open on."""
    found, current, depth = [], "", 0
    for line in sql.splitlines():
        if not current and (not line.strip() or line.startswith("--")):
            continue
        word = line.strip()
        opens = re.fullmatch(r"BEGIN|DECLARE|IF .* THEN", word) is not None and not word.startswith("BEGIN TRANSACTION")
        # DECLARE and the BEGIN after it open one block.
        if opens and not (word == "BEGIN" and current.rstrip().endswith(";") and "\nDECLARE\n" in current and depth == 1
                          and "\nBEGIN\n" not in current):
            depth += 1
        if re.fullmatch(r"END(?: IF)?;?", word):
            depth -= 1
        current += line + "\n"
        if line.endswith(";") and depth <= 0:
            found.append(current.rstrip()[:-1])
            current, depth = "", 0
    return found


class Rendered:
    """The files of one `pipectl render`."""

    def __init__(self, folder: Path) -> None:
        self.templates = {path.stem.split("-", 1)[1]: yaml.safe_load(path.read_text())
                          for path in sorted(folder.glob("cloudformation/*.yaml"))}
        self.statements = [statement for path in sorted(folder.glob("snowflake/*.sql"))
                           for statement in statements(path.read_text())]

    def resources(self, kind: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Stack, name and properties of the resources of a type."""
        for stack, template in self.templates.items():
            for name, resource in template["Resources"].items():
                if resource["Type"] == kind:
                    yield stack, name, resource["Properties"]


class CriticalPath:
    """The longest chain of a first deploy."""

    def __init__(self, rendered: Rendered, latencies: Latencies) -> None:
        self.rendered, self.latencies = rendered, latencies
        self.nodes: dict[str, Node] = {}
        self.objects: dict[str, str] = {}
        self._snowflake()
        self._stacks()
        self._between()

    def length(self) -> tuple[float, list[str]]:
        return longest(self.nodes)

    def bounded(self, at_once: int) -> float:
        """The least time with so many statements at once."""
        of_aws = tuple(f"{stack}{mark}" for stack in self.rendered.templates for mark in (":", "."))
        return bounded(self.nodes, at_once, lambda name: not name.startswith(of_aws))

    def _add(self, name: str, seconds: float, *needs: str) -> str:
        self.nodes[name] = Node(name, seconds, set(needs))
        return name

    # -- Snowflake

    def _snowflake(self) -> None:
        """A statement waits for every object that it names. The last statement on an object says that it is whole, so it
        waits for those before it."""
        seconds = self.latencies.statement
        whole: dict[str, list[str]] = {}
        for statement in self.rendered.statements:
            created = CREATED.match(statement)
            if created:
                name = created[2].strip("()")
                self.objects[name] = f"{created[1]} {name}"
                whole[name] = []
        for number, statement in enumerate(self.rendered.statements):
            created = CREATED.match(statement)
            own = created[2] if created else None
            node = self.objects[own] if own else f"{number}: {statement.splitlines()[0][:70]}"
            head = statement.split("\nAS\n")[0] if created and created[1] == "TASK" else statement
            head = re.sub(r"'(?:[^']|'')*'", "''", head)
            named = {word for word in re.findall(r"[A-Za-z_][\w.$]*", head) if word in self.objects and word != own}
            # The name of a schema holds that of its database: it waits for both.
            named |= {word.rsplit(".", count)[0] for word in [*named, *([own] if own else [])]
                      for count in range(1, word.count(".") + 1)}
            self._add(node, seconds, *(self.objects[name] for name in named if name in self.objects))
            on = re.match(r"ALTER (?:STORAGE |NOTIFICATION )?[A-Z ]+? (\S+) SET COMMENT", statement)
            if on:
                self.nodes[node].needs |= set(whole.get(on[1], []))
            elif not created:
                for name in named & {word for word in statement.split()}:
                    if re.search(rf" ON [A-Z ]+ {re.escape(name)} |^GRANT ROLE {re.escape(name)} ", statement + " "):
                        whole[name].append(node)
        self._resume()

    def _resume(self) -> None:
        """The graph of tasks runs when every task is there: its root is suspended, its children resumed and looked at."""
        tasks = [node for node in self.nodes if node.startswith("TASK ")]
        if not tasks:
            return
        last = self._add("suspend the root", self.latencies.statement, *tasks)
        last = self._add("resume the graph", self.latencies.statement, last)
        self._add("see that every task is started", self.latencies.statement, last)

    # -- CloudFormation

    def _stacks(self) -> None:
        """Resources wait for each other, and all of a stack for its change set; a stack is there after its last one."""
        for stack, template in self.rendered.templates.items():
            latencies = self.latencies
            begin = self._add(f"{stack}: change set", latencies.change_set)
            begin = self._add(f"{stack}: begins", latencies.operation / 2, begin)
            ends = []
            for name, needs in needs_inside(template).items():
                kind = template["Resources"][name]["Type"]
                node = self._add(f"{stack}.{name}", latencies.ready(kind), begin, *(f"{stack}.{need}" for need in needs))
                rest = latencies.complete(kind) - latencies.ready(kind)
                ends.append(self._add(f"{stack}.{name} complete", rest, node) if rest else node)
            self._add(f"{stack}: ends", latencies.operation / 2, *ends)

    # -- between

    def _between(self) -> None:
        """What AWS and Snowflake look for outside of a stack when they make something.

        CloudFormation cannot hold back one resource of a stack for something outside of it, so the whole stack waits.
        """
        self._wait_for_zip()
        self._wait_for_outputs()
        self._wait_for_functions()
        self._wait_for_topics()
        self._wait_for_integrations()
        self._wait_for_roles()

    def _hold(self, stack: str, *needs: str) -> None:
        self.nodes[f"{stack}: begins"].needs |= set(needs)

    def _wait_for_zip(self) -> None:
        """Lambda takes a function's code from a bucket that another stack makes."""
        for stack, _, properties in self.rendered.resources("AWS::Lambda::Function"):
            bucket = properties["Code"]["S3Bucket"]
            for other, name, made in self.rendered.resources("AWS::S3::Bucket"):
                if made["BucketName"] == bucket:
                    self._hold(stack, f"{other}.{name}")

    def _wait_for_outputs(self) -> None:
        """A parameter named like another stack's output takes its value, which is told when that stack is there. A change
        set is made with the values."""
        outputs = {name: stack for stack, template in self.rendered.templates.items() for name in template.get("Outputs", {})}
        for stack, template in self.rendered.templates.items():
            for name in template.get("Parameters", {}):
                if name in outputs:
                    self.nodes[f"{stack}: change set"].needs.add(f"{outputs[name]}: ends")

    def _wait_for_functions(self) -> None:
        """A schedule invokes its function from when it is there, so that function must be; and so must what the function
        fills, and the buckets that its rows end up in, which tell of a file only once."""
        for stack, _, properties in self.rendered.resources("AWS::Scheduler::Schedule"):
            function = properties["Target"]["Arn"].rsplit(":", 1)[-1]
            for other, name, made in self.rendered.resources("AWS::Lambda::Function"):
                if made["FunctionName"] == function:
                    self._hold(stack, f"{other}.{name}")
            for kind in ("AWS::KinesisFirehose::DeliveryStream", "AWS::S3::Bucket"):
                self._hold(stack, *(f"{other}.{name}" for other, name, _ in self.rendered.resources(kind)))

    def _topic(self, arn: str) -> str | None:
        """The policy of a topic, which lets others publish to it or subscribe to it."""
        for stack, name, made in self.rendered.resources("AWS::SNS::Topic"):
            if made["TopicName"] == arn.rsplit(":", 1)[-1]:
                return next((f"{other}.{policy}" for other, policy, properties in self.rendered.resources("AWS::SNS::TopicPolicy")
                             if other == stack and {"Ref": name} in properties["Topics"]), f"{stack}.{name}")
        return None

    def _wait_for_topics(self) -> None:
        """S3 looks whether it may publish to the topic of a notification, and Snowflake whether it may subscribe. A
        bucket tells of its objects only when every listener of its topic listens: what came before is not told."""
        listeners: dict[str, set[str]] = {}
        for statement in self.rendered.statements:
            created = CREATED.match(statement)
            topic = re.search(r"\bAWS_SNS_TOPIC = '([^']+)'", statement)
            if created and topic and (policy := self._topic(topic[1])):
                node = self.objects[created[2]]
                self.nodes[node].needs.add(policy)
                listeners.setdefault(policy, set()).add(node)
        for stack, name, properties in self.rendered.resources("AWS::SNS::Subscription"):
            for topic in references(properties["TopicArn"]):
                policy = next((f"{other}.{policy}" for other, policy, made in self.rendered.resources("AWS::SNS::TopicPolicy")
                               if other == stack and {"Ref": topic} in made["Topics"]), None)
                if policy:
                    listeners.setdefault(policy, set()).add(f"{stack}.{name}")
        for stack, _, properties in self.rendered.resources("AWS::S3::Bucket"):
            for configuration in properties.get("NotificationConfiguration", {}).get("TopicConfigurations", []):
                if isinstance(configuration["Topic"], str) and (policy := self._topic(configuration["Topic"])):
                    self._hold(stack, policy, *listeners.get(policy, ()))

    def _wait_for_integrations(self) -> None:
        """Snowflake makes the user that a trust policy names with the integration, and DESC tells it."""
        integrations = [node for node in self.nodes if " INTEGRATION " in node and not node[0].isdigit()]
        for stack, template in self.rendered.templates.items():
            if any(name.startswith("Snowflake") for name in template.get("Parameters", {})):
                for integration in integrations:
                    told = self._add(f"DESC {integration}", self.latencies.statement, integration)
                    self.nodes[f"{stack}: change set"].needs.add(told)

    def _wait_for_roles(self) -> None:
        """Snowflake lists the bucket through the role: SYSTEM$VALIDATE_STORAGE_INTEGRATION, after the deploy."""
        for statement in self.rendered.statements:
            created = CREATED.match(statement)
            role = re.search(r"STORAGE_AWS_ROLE_ARN = '[^']*/([^']+)'", statement)
            location = re.search(r"STORAGE_ALLOWED_LOCATIONS = \('s3://([^/']+)", statement)
            if created and role and location:
                roles = [f"{stack}.{name}" for stack, name, made in self.rendered.resources("AWS::IAM::Role")
                         if made.get("RoleName") == role[1]]
                buckets = [f"{stack}.{name}" for stack, name, made in self.rendered.resources("AWS::S3::Bucket")
                           if made["BucketName"] == location[1]]
                self._add("check the handshake", self.latencies.statement, *roles, *buckets, self.objects[created[2]])
