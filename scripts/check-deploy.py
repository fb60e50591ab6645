#!/usr/bin/env python3
"""Checks deploy/: cfn-lint and `sam validate --lint`, and what they cannot know: that the template fits the programs.

    check-deploy.py              checks template and README
    check-deploy.py --self-test  proves that each check of its own can fail, by breaking the template in memory

Wants the environment of scripts/requirements-deploy.txt, and bms-server built (`cargo build --bin bms-server`), which is
asked for the contract. No account and no network are needed.
"""

import copy
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEMPLATE = ROOT / "deploy" / "template.yaml"

PROBES = {"/healthz", "/readyz", "/metrics"}
"""Every function answers them for itself, so no gateway can route them."""

ONLY_EVERYTHING = {
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
}
"""What AWS grants for the resource `*` only: network interfaces, and traces."""

RIGHTS = {
    "StoresRole": set(),
    "RelayRole": {"sqs:SendMessage"},
    "NotifyRole": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sns:Publish"},
}
"""What each role may do besides running, logging and tracing."""

RUNS_AS = {"Relay": "RelayRole", "Notify": "NotifyRole"}
"""Functions with a role of their own; all others have no rights but to run."""

SECRETS = re.compile(r"DATABASE_URL|REPLICA_URL|REDIS_URL|SECRET|PASSWORD|WEBHOOK_URL")
"""Names of variables that hold a secret."""


@dataclasses.dataclass
class Facts:
    """What the checks look at."""

    template: dict
    contract: dict[tuple[str, str], bool]
    """Method and path, and whether the OpenAPI document wants a token."""
    cut: list[tuple[str, str]]
    """Beginnings of paths and the functions that serve them; the first that fits counts."""
    variables: set[str]
    """What the README of bms-adapters-lambda names."""
    programs: set[str]
    options: dict[str, set[str]]
    """The commands of bms-server with their options."""
    sources: str
    """The domain's source, of which the log lines are counted."""
    readme: str

    @property
    def resources(self) -> dict[str, dict]:
        return self.template["Resources"]

    def of(self, kind: str) -> dict[str, dict]:
        return {name: it.get("Properties", {}) for name, it in self.resources.items() if it["Type"] == kind}

    @property
    def functions(self) -> dict[str, dict]:
        return self.of("AWS::Serverless::Function")

    def setting(self, function: str, name: str) -> object:
        return self.functions[function].get(name, self.template["Globals"]["Function"].get(name))

    def environment(self, function: str) -> dict[str, object]:
        settings = (self.template["Globals"]["Function"], self.functions[function])
        return {name: value for it in settings for name, value in it.get("Environment", {}).get("Variables", {}).items()}

    def events(self, kind: str) -> Iterator[tuple[str, dict]]:
        for name, function in self.functions.items():
            for event in function.get("Events", {}).values():
                if event["Type"] == kind:
                    yield name, event["Properties"]


Check = tuple[str, Callable[[Facts], list[str]]]
CHECKS: list[Check] = []


def check(promise: str) -> Callable[[Callable[[Facts], list[str]]], Callable[[Facts], list[str]]]:
    def add(function: Callable[[Facts], list[str]]) -> Callable[[Facts], list[str]]:
        CHECKS.append((promise, function))
        return function

    return add


@check("each route of the contract leads to the function that serves it, and no other route exists")
def routes(facts: Facts) -> list[str]:
    found, routed = [], {}
    for function, event in facts.events("HttpApi"):
        route = (event["Method"], event["Path"])
        if route in routed:
            found.append(f"{route} leads to {routed[route]} and to {function}")
        routed[route] = function
        if event["ApiId"] != {"Ref": "Api"}:
            found.append(f"{route} is not of the one API")
    for method, path in facts.contract.keys() - routed.keys():
        found.append(f"{method} {path} leads nowhere")
    for (method, path), function in routed.items():
        under = (name for beginning, name in facts.cut if path == beginning or path.startswith(beginning + "/"))
        wanted = next(under, None)
        if (method, path) not in facts.contract:
            found.append(f"{method} {path} is not in the contract")
        elif function != wanted:
            found.append(f"{method} {path} leads to {function}, and {wanted} serves it")
    return found


@check("the gateway wants a token where the contract does, and nowhere else")
def tokens(facts: Facts) -> list[str]:
    api = facts.resources["Api"]["Properties"]
    found = [] if api.get("Auth", {}).get("DefaultAuthorizer") == "Tokens" else ["routes have no authorizer unless they name one"]
    for _, event in facts.events("HttpApi"):
        authorizer = event.get("Auth", {}).get("Authorizer", "Tokens")
        wanted = "Tokens" if facts.contract.get((event["Method"], event["Path"])) else "NONE"
        if authorizer != wanted:
            found.append(f"{event['Method']} {event['Path']} has the authorizer {authorizer}, and should have {wanted}")
    return found


@check("functions trust the authorizer, and only the gateway leads to them")
def authorizer_is_trusted(facts: Facts) -> list[str]:
    found = []
    for name in facts.functions:
        trusts = facts.environment(name).get("BMS_TRUST_AUTHORIZER") == "true"
        if not trusts:
            found.append(f"{name} does not take the user from the authorizer")
        if "FunctionUrlConfig" in facts.functions[name]:
            found.append(f"{name} has a URL of its own")
    found += [f"{name} lets others invoke a function" for name in facts.of("AWS::Lambda::Permission")]
    return found


@check("each function is a program of bms-adapters-lambda, in the right runtime, with time enough")
def programs(facts: Facts) -> list[str]:
    found = []
    built = set()
    for name, function in facts.functions.items():
        program = f"bms-lambda-{name.lower()}"
        built.add(program)
        wanted = {
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "CodeUri": f"build/{name.lower()}/",
            "Architectures": [{"Ref": "Architecture"}],
        }
        for setting, value in wanted.items():
            if facts.setting(name, setting) != value:
                found.append(f"{name} has the {setting} {facts.setting(name, setting)}, and needs {value}")
        if program not in facts.programs:
            found.append(f"{name}: there is no program {program}")
        if not 15 <= facts.setting(name, "Timeout") <= 60:
            found.append(f"{name} has {facts.setting(name, 'Timeout')} seconds, and needs 15 to 60")
        if facts.setting(name, "LoggingConfig") != {"LogGroup": {"Ref": "FunctionLog"}}:
            found.append(f"{name} logs elsewhere")
        if facts.setting(name, "Tracing") != "Active":
            found.append(f"{name} is not traced")
    found += [f"{name} is not deployed" for name in sorted(facts.programs - built)]
    kinds = {item for item in facts.template["Parameters"]["Architecture"]["AllowedValues"]}
    return found if kinds == {"arm64", "x86_64"} else [*found, f"the architectures are {kinds}"]


@check("every variable is one that the programs read, and secrets come from Secrets Manager only")
def variables(facts: Facts) -> list[str]:
    found = []
    for function in facts.functions:
        for name, value in facts.environment(function).items():
            if name not in facts.variables:
                found.append(f"{function} is given {name}, which the README of bms-adapters-lambda does not know")
            branches = value["Fn::If"][1:] if isinstance(value, dict) and "Fn::If" in value else [value]
            for branch in branches:
                text = branch.get("Fn::Sub", "another function") if isinstance(branch, dict) else str(branch)
                if SECRETS.search(name) and text and not text.startswith("{{resolve:secretsmanager:"):
                    found.append(f"{function}: {name} is not from Secrets Manager")
    return found


@check("each secret is told only to the functions that need it")
def secrets(facts: Facts) -> list[str]:
    found = []
    for function in facts.functions:
        told = {name for name, value in facts.environment(function).items() if SECRETS.search(name) and value != ""}
        wanted = set() if function == "Notify" else {"DATABASE_URL", "REDIS_URL"}
        wanted |= {"BMS_PAYMENT_WEBHOOK_SECRET"} if function == "Orders" else set()
        if told != wanted:
            found.append(f"{function} is told {sorted(told)}, and needs {sorted(wanted)}")
    return found


def statements(policy: dict) -> Iterator[tuple[set[str], list[object]]]:
    """Actions and resources of what a policy allows."""
    for statement in policy["Statement"]:
        if statement["Effect"] == "Allow":
            actions, resources = statement.get("Action", "*"), statement.get("Resource", "*")
            yield (
                set(actions if isinstance(actions, list) else [actions]),
                resources if isinstance(resources, list) else [resources],
            )


@check("no function may do more than it does")
def rights(facts: Facts) -> list[str]:
    found = []
    own = facts.of("AWS::IAM::ManagedPolicy")
    policies = [(name, properties["PolicyDocument"]) for name, properties in own.items()]
    for name, role in facts.of("AWS::IAM::Role").items():
        inline = [policy["PolicyDocument"] for policy in role.get("Policies", [])]
        policies += [(name, policy) for policy in inline]
        granted = {action for policy in inline for actions, _ in statements(policy) for action in actions}
        if granted != RIGHTS.get(name):
            found.append(f"{name} may {sorted(granted)}, and needs {sorted(RIGHTS.get(name, set()))}")
        ours = [{"Ref": policy} for policy in own]
        found += [f"{name} has {arn}" for arn in role.get("ManagedPolicyArns", []) if arn not in ours]
    for name, policy in policies:
        for actions, resources in statements(policy):
            found += [f"{name} may {action}" for action in actions if "*" in action]
            if any("*" in json.dumps(resource) for resource in resources) and not actions <= ONLY_EVERYTHING:
                found.append(f"{name} may {sorted(actions)} with more than it needs")
    for name, function in facts.functions.items():
        wanted = {"Fn::GetAtt": f"{RUNS_AS.get(name, 'StoresRole')}.Arn"}
        if function.get("Role") != wanted or "Policies" in function:
            found.append(f"{name} runs as {function.get('Role')}, and should as {wanted}")
    return found


@check("the queue has dead letters of its own kind, and its reader says which messages failed")
def queues(facts: Facts) -> list[str]:
    found, queues = [], facts.of("AWS::SQS::Queue")
    behind = {}
    for name, queue in queues.items():
        if target := queue.get("RedrivePolicy", {}).get("deadLetterTargetArn"):
            behind[name] = target["Fn::GetAtt"].removesuffix(".Arn")
    for name, queue in queues.items():
        if not queue.get("FifoQueue"):
            found.append(f"{name} does not keep the order of events")
        if name not in behind and name not in behind.values():
            found.append(f"{name} has no dead letters")
    for name, dead in behind.items():
        if dead not in queues or queues[dead].get("MessageRetentionPeriod", 0) <= queues[name].get("MessageRetentionPeriod", 0):
            found.append(f"{dead} keeps dead letters no longer than {name} keeps messages")
    readers = dict(facts.events("SQS"))
    if set(readers) != {"Notify"}:
        found.append(f"the queue is read by {sorted(readers)}")
    for function, event in readers.items():
        queue = event["Queue"]["Fn::GetAtt"].removesuffix(".Arn")
        if event.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            found.append(f"{function} cannot say which messages failed")
        if queues[queue].get("VisibilityTimeout", 30) < 6 * facts.setting(function, "Timeout"):
            found.append(f"{queue} gives messages out again before {function} is done")
    return found


@check("the sweeper and the relay are woken by a schedule, one at a time, and nobody else is")
def schedules(facts: Facts) -> list[str]:
    woken = [name for name, _ in facts.events("Schedule")]
    found = [] if sorted(woken) == ["Relay", "Sweeper"] else [f"a schedule wakes {woken}"]
    for name in {"Relay", "Sweeper"} & facts.functions.keys():
        if facts.functions[name].get("ReservedConcurrentExecutions") != 1:
            found.append(f"{name} runs more than once at a time")
    return found


def connections(facts: Facts) -> int | None:
    """How many connections to the database the functions open at most, as the template's defaults have it."""
    total = 0
    for name in facts.functions:
        environment = facts.environment(name)
        if not environment.get("DATABASE_URL"):
            continue
        concurrency = facts.functions[name].get("ReservedConcurrentExecutions")
        if isinstance(concurrency, dict):
            concurrency = facts.template["Parameters"][concurrency["Ref"]]["Default"]
        if concurrency is None:
            return None
        total += concurrency * int(environment.get("BMS_DATABASE_CONNECTIONS", 2))
    return total


@check("the connections to the database are bounded, and README.md tells their number")
def bounded(facts: Facts) -> list[str]:
    if (total := connections(facts)) is None:
        return ["a function that uses the database has no reserved concurrency"]
    return [] if f"**{total} connections**" in facts.readme else [f"README.md does not say **{total} connections**"]


@check("each function fails loudly, a deployment that fails goes back, and every alarm is heard")
def alarms(facts: Facts) -> list[str]:
    all_alarms = facts.of("AWS::CloudWatch::Alarm")
    found = [f"{name} tells nobody" for name, alarm in all_alarms.items() if alarm.get("AlarmActions") != [{"Ref": "Alarms"}]]
    for name in facts.functions:
        errors = all_alarms.get(f"{name}Errors", {})
        if errors.get("MetricName") != "Errors" or errors.get("Dimensions") != [{"Name": "FunctionName", "Value": {"Ref": name}}]:
            found.append(f"errors of {name} are no alarm")
        if {"Ref": f"{name}Errors"} not in (facts.functions[name].get("DeploymentPreference") or {}).get("Alarms", []):
            found.append(f"a deployment of {name} that fails goes on")
    watched = json.dumps(all_alarms)
    for name, _ in facts.events("HttpApi"):
        if {"Ref": "ServerErrors"} not in facts.functions[name]["DeploymentPreference"]["Alarms"]:
            found.append(f"a deployment of {name} that answers 5xx goes on")
    for metric in ("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage", "Throttles", "Duration", "Invocations"):
        if f'"{metric}"' not in watched:
            found.append(f"{metric} is no alarm")
    for name, metric in facts.of("AWS::Logs::MetricFilter").items():
        if f'"{metric["MetricTransformations"][0]["MetricName"]}"' not in watched:
            found.append(f"{name} counts for no alarm")
    return found


@check("log lines that are counted are written")
def counted(facts: Facts) -> list[str]:
    patterns = {name: it["FilterPattern"] for name, it in facts.of("AWS::Logs::MetricFilter").items()}
    messages = {name: re.findall(r'\.message = "([^"]+)"', pattern) for name, pattern in patterns.items()}
    found = [f"{name}: nobody logs {text!r}" for name, texts in messages.items() for text in texts if f'"{text}"' not in facts.sources]
    counted = {metric["MetricTransformations"][0]["MetricName"] for metric in facts.of("AWS::Logs::MetricFilter").values()}
    ours = {name: it["MetricName"] for name, it in facts.of("AWS::CloudWatch::Alarm").items() if "Sub" in str(it.get("Namespace"))}
    return found + [f"{name} watches {metric}, which nobody counts" for name, metric in ours.items() if metric not in counted]


@check("the commands that README.md gives exist")
def commands(facts: Facts) -> list[str]:
    found, given = [], re.findall(r"bms-server (?:-- )?([a-z]+)([^`\n]*)", facts.readme)
    for command, rest in given:
        if command not in facts.options:
            found.append(f"bms-server has no command {command}")
            continue
        options = re.findall(r"--([a-z-]+)", rest)
        found += [f"bms-server {command} has no --{option}" for option in options if option not in facts.options[command]]
    return found if {command for command, _ in given} >= {"migrate", "doctor", "sweep", "replay"} else [*found, "a command is missing"]


# The facts.


class Loader(yaml.SafeLoader):
    """Reads `!Ref x` as `{"Ref": x}`, and the other short forms likewise."""


Loader.add_multi_constructor(
    "!",
    lambda loader, suffix, node: {
        suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": {
            yaml.ScalarNode: loader.construct_scalar,
            yaml.SequenceNode: lambda node: loader.construct_sequence(node, deep=True),
            yaml.MappingNode: lambda node: loader.construct_mapping(node, deep=True),
        }[type(node)](node)
    },
)


def target_folder() -> pathlib.Path:
    metadata = subprocess.run(
        ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"], check=True, stdout=subprocess.PIPE, cwd=ROOT
    )
    return pathlib.Path(json.loads(metadata.stdout)["target_directory"])


def document() -> dict:
    """The OpenAPI document, from the example server in its demo mode."""
    program = target_folder() / "debug" / "bms-server"
    if not program.exists():
        sys.exit("bms-server is not built, which is asked for the contract. Run: cargo build --bin bms-server")
    clean = {name: value for name, value in os.environ.items() if not re.match(r"BMS_|REDIS_URL$|DATABASE_URL$", name)}
    server = subprocess.Popen(
        [program, "--listen", "127.0.0.1:0"], env=clean, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        # It greets with its address when it listens.
        address = re.search(r"http://\S+", server.stdout.readline())
        if address is None:
            sys.exit("bms-server ended before it was ready.")
        with urllib.request.urlopen(f"{address[0]}/api/v1/openapi.json", timeout=10) as answer:
            return json.load(answer)
    finally:
        server.kill()
        server.wait()


def options() -> dict[str, set[str]]:
    """The commands of bms-server with their options, as the program itself tells them."""
    program = target_folder() / "debug" / "bms-server"

    def told(*arguments: str) -> str:
        return subprocess.run([program, *arguments, "--help"], check=True, stdout=subprocess.PIPE, text=True).stdout

    listed = told().partition("Commands:\n")[2].partition("\n\n")[0]
    names = set(re.findall(r"^  ([a-z]+)", listed, re.MULTILINE)) - {"help"}
    return {name: set(re.findall(r"--([a-z-]+)", told(name))) for name in names}


def from_workspace() -> Facts:
    paths = document()["paths"]
    cut = (ROOT / "bms-adapters-lambda/src/function.rs").read_text()
    table = [line for line in (ROOT / "bms-adapters-lambda/README.md").read_text().splitlines() if line.startswith("| `")]
    named = {name for line in table for name in re.findall(r"`([A-Z_…]+)", line.split("|")[1])}
    # `…_CA` after `BMS_DATABASE_SCHEMA` is BMS_DATABASE_CA.
    stems = ("BMS_DATABASE", "BMS_REDIS")
    named |= {name.replace("…", stem) for name in named if name.startswith("…") for stem in stems}
    return Facts(
        template=yaml.load(TEMPLATE.read_text(), Loader),
        contract={
            (method.upper(), path): bool(operation.get("security"))
            for path, operations in paths.items()
            if path not in PROBES
            for method, operation in operations.items()
            if method in ("get", "put", "post", "delete", "patch")
        },
        cut=re.findall(r'\("(/[^"]+)", Self::(\w+)\)', cut),
        variables=named,
        programs=set(re.findall(r'^name = "(bms-lambda-\w+)"', (ROOT / "bms-adapters-lambda/Cargo.toml").read_text(), re.MULTILINE)),
        options=options(),
        sources="".join(
            path.read_text()
            for folder in ("bms-domain/src/service", "bms-adapters-lambda/src")
            for path in sorted((ROOT / folder).rglob("*.rs"))
        ),
        readme=(ROOT / "deploy/README.md").read_text(),
    )


# The self-test: the template as it is, and one thing wrong at a time.


def change(path: str, value: object) -> Callable[[Facts], None]:
    """Sets what lies at a path of the template; to nothing where the value is `...`."""

    def apply(facts: Facts) -> None:
        place = facts.template
        *way, last = path.split("/")
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if value is ...:
            del place[int(last) if isinstance(place, list) else last]
        else:
            place[int(last) if isinstance(place, list) else last] = value

    return apply


def move(event: str, source: str, target: str) -> Callable[[Facts], None]:
    def apply(facts: Facts) -> None:
        facts.functions[target]["Events"][event] = facts.functions[source]["Events"].pop(event)

    return apply


def says(text: str) -> Callable[[Facts], None]:
    return lambda facts: setattr(facts, "readme", facts.readme + text)


BROKEN: dict[str, list[Callable[[Facts], None]]] = {
    "routes": [
        change("Resources/Holds/Properties/Events/GetHold", ...),
        change("Resources/Holds/Properties/Events/GetHold/Properties/Path", "/{proxy+}"),
        change("Resources/Holds/Properties/Events/GetHold/Properties/Path", "/healthz"),
        change("Resources/Holds/Properties/Events/GetHold/Properties/Method", "ANY"),
        change("Resources/Holds/Properties/Events/GetHold/Properties/ApiId", {"Ref": "Other"}),
        move("GetTicket", "Orders", "Movies"),
        move("CancelOrder", "Orders", "Movies"),
        lambda facts: facts.functions["Movies"]["Events"].update(Again=facts.functions["Orders"]["Events"]["GetTicket"]),
        lambda facts: facts.contract.update({("GET", "/api/v1/venues"): False}),
    ],
    "tokens": [
        change("Resources/Api/Properties/Auth/DefaultAuthorizer", ...),
        change("Resources/Holds/Properties/Events/GetHold/Properties/Auth", {"Authorizer": "NONE"}),
        change("Resources/Movies/Properties/Events/PutMovie/Properties/Auth", {"Authorizer": "NONE"}),
        change("Resources/Seats/Properties/Events/GetSeatMap/Properties/Auth", ...),
        change("Resources/Orders/Properties/Events/TakePaymentNotice/Properties/Auth", ...),
    ],
    "authorizer_is_trusted": [
        change("Globals/Function/Environment/Variables/BMS_TRUST_AUTHORIZER", ...),
        change("Resources/Seats/Properties/FunctionUrlConfig", {"AuthType": "NONE"}),
        change("Resources/AnyoneMay", {"Type": "AWS::Lambda::Permission"}),
    ],
    "programs": [
        change("Globals/Function/Runtime", "provided.al2024"),
        change("Globals/Function/Runtime", ...),
        change("Resources/Seats/Properties/Runtime", "provided.al2"),
        change("Globals/Function/Handler", ...),
        change("Globals/Function/Timeout", 10),
        change("Globals/Function/Architectures", ...),
        change("Globals/Function/Tracing", ...),
        change("Globals/Function/LoggingConfig", ...),
        change("Resources/Seats/Properties/CodeUri", "build/movies/"),
        change("Resources/Seats", ...),
        change("Resources/Basket", {"Type": "AWS::Serverless::Function", "Properties": {"CodeUri": "build/basket/"}}),
        change("Parameters/Architecture/AllowedValues", ["arm64"]),
    ],
    "variables": [
        change("Globals/Function/Environment/Variables/BMS_DATABASE_CONECTIONS", "2"),
        change("Globals/Function/Environment/Variables/BMS_RATE_LIMIT", "9/s"),
        change("Globals/Function/Environment/Variables/DATABASE_URL", "postgres://u:p@h/d"),
        change("Globals/Function/Environment/Variables/REDIS_URL", {"Ref": "RedisUrl"}),
        change("Resources/Orders/Properties/Environment/Variables/BMS_PAYMENT_WEBHOOK_SECRET/Fn::If/1", {"Ref": "Key"}),
    ],
    "secrets": [
        change("Resources/Notify/Properties/Environment/Variables/DATABASE_URL", ...),
        change("Resources/Orders/Properties/Environment", {}),
        lambda facts: facts.functions["Seats"].update(Environment=facts.functions["Orders"]["Environment"]),
    ],
    "rights": [
        change("Resources/RelayRole/Properties/Policies/0/PolicyDocument/Statement/0/Resource", "*"),
        change("Resources/RelayRole/Properties/Policies/0/PolicyDocument/Statement/0/Resource", {"Fn::Sub": "arn:aws:sqs:*:*:*"}),
        change("Resources/RelayRole/Properties/Policies/0/PolicyDocument/Statement/0/Action", "sqs:*"),
        change("Resources/NotifyRole/Properties/Policies/0/PolicyDocument/Statement/0/Action/0", "sqs:PurgeQueue"),
        change("Resources/StoresRole/Properties/ManagedPolicyArns/0", "arn:aws:iam::aws:policy/AdministratorAccess"),
        change("Resources/WriteLogAndTrace/Properties/PolicyDocument/Statement/0/Resource", "*"),
        change("Resources/RunInNetwork/Properties/PolicyDocument/Statement/0/Action/0", "ec2:RunInstances"),
        change("Resources/Seats/Properties/Role", {"Fn::GetAtt": "RelayRole.Arn"}),
        change("Resources/Seats/Properties/Role", ...),
        change("Resources/Seats/Properties/Policies", ["AmazonSQSFullAccess"]),
    ],
    "queues": [
        change("Resources/Events/Properties/RedrivePolicy", ...),
        change("Resources/DeadLetters/Properties/FifoQueue", ...),
        change("Resources/DeadLetters/Properties/MessageRetentionPeriod", 345600),
        change("Resources/Events/Properties/VisibilityTimeout", 30),
        change("Resources/Notify/Properties/Timeout", 60),
        change("Resources/Notify/Properties/Events/FromQueue/Properties/FunctionResponseTypes", ...),
        move("FromQueue", "Notify", "Relay"),
    ],
    "schedules": [
        change("Resources/Relay/Properties/Events", {}),
        move("EveryMinute", "Sweeper", "Seats"),
        change("Resources/Sweeper/Properties/ReservedConcurrentExecutions", 2),
    ],
    "bounded": [
        change("Resources/Seats/Properties/ReservedConcurrentExecutions", ...),
        change("Parameters/SeatsConcurrency/Default", 41),
        change("Globals/Function/Environment/Variables/BMS_DATABASE_CONNECTIONS", "3"),
    ],
    "alarms": [
        change("Resources/SeatsErrors", ...),
        change("Resources/SeatsErrors/Properties/AlarmActions", ...),
        change("Resources/SeatsErrors/Properties/Dimensions/0/Value/Ref", "Movies"),
        change("Resources/Seats/Properties/DeploymentPreference/Alarms/0", ...),
        change("Resources/Seats/Properties/DeploymentPreference/Alarms/1", ...),
        change("Resources/DeadLettersWait", ...),
        change("Resources/EventsWait", ...),
        change("Resources/Throttles", ...),
        change("Resources/Slow", ...),
        change("Resources/Asleep", ...),
        change("Resources/Buried", ...),
        change("Resources/Untaken", ...),
        change("Resources/Failed", ...),
    ],
    "counted": [
        change("Resources/CountBuriedEvents", ...),
        change("Resources/CountBuriedEvents/Properties/FilterPattern", '{ $.fields.message = "an event is lost" }'),
        change("Resources/CountUntakenEvents", ...),
        change("Resources/CountFailedMessages", ...),
        change("Resources/CountFailedMessages/Properties/FilterPattern", '{ $.fields.message = "a message is lost" }'),
    ],
    "commands": [
        says("`bms-server repair`"),
        says("`bms-server replay --all`"),
        lambda facts: setattr(facts, "readme", facts.readme.replace("doctor", "audit")),
    ],
}
"""For each check, changes that it must notice."""


def self_test(facts: Facts) -> list[str]:
    failures = []
    for _, function in CHECKS:
        if not BROKEN.get(function.__name__):
            failures.append(f"{function.__name__} is never shown to fail")
        for number, spoil in enumerate(BROKEN.get(function.__name__, []), start=1):
            spoilt = copy.deepcopy(facts)
            spoil(spoilt)
            if not set(function(spoilt)) - set(function(facts)):
                failures.append(f"{function.__name__} does not notice case {number}")
    return failures


def lint() -> bool:
    """cfn-lint alone says more than `sam validate --lint`, which in turn carries out the transformation."""
    tools = pathlib.Path(sys.executable).parent
    nowhere = {"AWS_EC2_METADATA_DISABLED": "true", "SAM_CLI_TELEMETRY": "0", "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    well = True
    for command in (
        ["cfn-lint", "--regions", "eu-west-1", "--template", str(TEMPLATE)],
        ["sam", "validate", "--lint", "--region", "eu-west-1", "--template", str(TEMPLATE)],
    ):
        done = subprocess.run(
            [tools / command[0], *command[1:]], env=os.environ | nowhere, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        well &= done.returncode == 0
        print(f"{'ok    ' if done.returncode == 0 else 'FAILED'}  {' '.join(command[:2])}")
        if done.returncode != 0:
            print(done.stdout)
    return well


def main() -> int:
    if sys.argv[1:] not in ([], ["--self-test"]):
        print(__doc__, file=sys.stderr)
        return 2
    facts = from_workspace()
    if sys.argv[1:]:
        failures = self_test(facts)
        for failure in failures:
            print(f"self-test failed: {failure}", file=sys.stderr)
        if not failures:
            print(f"ok      each of the {len(CHECKS)} checks fails when it should ({sum(map(len, BROKEN.values()))} cases)")
        return 1 if failures else 0
    well = lint()
    for promise, function in CHECKS:
        complaints = function(facts)
        well &= not complaints
        print(f"{'FAILED' if complaints else 'ok    '}  {promise}")
        for complaint in complaints:
            print(f"        {complaint}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
