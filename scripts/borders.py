#!/usr/bin/env python3
"""Proves the architecture: who may depend on whom, and which names may stand where.

Data flows one way: adapter, service, state machine, port, store. Adapters never name a store, stores never name the
service, the state machines name neither, and only programs wire concrete types together. Each check prints one line.

    borders.py               checks the workspace
    borders.py --self-test   proves that each check can fail, on a made-up workspace
"""

import copy
import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parent.parent

DOMAIN = "bms-domain"
STORES = {"bms-redis", "bms-postgres"}
ADAPTER = "bms-adapters-"
LAMBDA = "bms-adapters-lambda"
MAINS = "functions"
"""The feature of the Lambda adapter that builds its mains, which wire stores."""
AWS = {"sqs", "sns"}
"""The features of the Lambda adapter that bring the AWS SDK, each its own part; its mains use both."""
SDK = ("aws-config", "aws-sdk-", "aws-smithy-", "aws-runtime", "aws-types")
"""How the names of the SDK's crates begin."""
PROGRAMS = {"bms-examples", "bms-benches"}
EMBEDDED = {"memory", "testing", "servers"}
"""Features of the domain crate that bring concrete stores."""

FOREIGN = (
    "tokio mio hyper axum tower reqwest sqlx redis async-std async-io async-executor async-global-executor smol"
    " embassy-executor glommio monoio compio actix-rt"
).split()
"""Runtimes, drivers and web frameworks, each with everything whose name begins with it and a hyphen."""

OTHER_TLS = {"ring", "openssl", "openssl-sys", "native-tls"}

LINTS = {"unsafe_code": ("forbid",), "missing_docs": ("deny", "forbid"), "unreachable_pub": ("deny", "forbid")}

CLOCKS = {
    "chrono::Utc::now",
    "chrono::Local::now",
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::thread::sleep",
    "uuid::Uuid::now_v7",
    "uuid::Uuid::new_v4",
}
CLOCK_SITES = {"bms-domain/src/time.rs": 1, "bms-domain/src/id.rs": 1, "bms-domain/src/testing/servers/wait.rs": 2}
"""Where the ban on clocks and randomness may be lifted, and how often; a server under test knows no clock but the machine's."""

STORE_WIRING = {"bms-domain/src/memory/mod.rs"}
"""Puts a service together on the embedded stores; no store itself."""


@dataclasses.dataclass
class Facts:
    """What the checks look at."""

    packages: list[dict]
    """The workspace's packages, as `cargo metadata` tells them, manifest paths relative to the workspace."""
    trees: dict[str, dict[str, dict[str, set[str]]]]
    """Normal dependencies, by package, by cargo's feature arguments: names with their features."""
    everything: set[str]
    """Names in the whole tree, build and development dependencies and all targets included."""
    sources: set[str | None]
    """Where the packages of the whole tree come from."""
    files: dict[str, str]
    """Manifests, settings and sources, by path relative to the workspace."""

    def package(self, name: str) -> dict | None:
        return next((package for package in self.packages if package["name"] == name), None)

    def folder(self, package: dict) -> str:
        return package["manifest_path"].removesuffix("Cargo.toml")

    def code(self, *places: str) -> Iterator[tuple[str, str]]:
        """Rust files in the places, comments and literals blanked out."""
        for path in sorted(self.files):
            if path.endswith(".rs") and path.startswith(places):
                yield path, blank(self.files[path])


CHECKS: list[tuple[str, str, Callable[[Facts], list[str]]]] = []


def check(promise: str, remedy: str) -> Callable:
    """Registers a check: what holds when it passes, what to do when it fails."""

    def register(function: Callable[[Facts], list[str]]) -> Callable:
        CHECKS.append((promise, remedy, function))
        return function

    return register


NO_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|\br(?P<hashes>\#*)".*?"(?P=hashes)|"(?:\\.|[^"\\])*"|'(?:\\[^\n]+?|[^\\'\n])'""", re.DOTALL | re.VERBOSE
)


def blank(source: str) -> str:
    """Rust source without its comments and literals, every line where it was."""
    return NO_CODE.sub(lambda match: " " + "\n" * match.group().count("\n"), source)


def mentions(facts: Facts, places: tuple[str, ...], pattern: str, spared: set[str] = frozenset()) -> list[str]:
    """Where code in the places names what the pattern matches."""
    found = []
    for path, code in facts.code(*places):
        if path not in spared:
            for number, line in enumerate(code.splitlines(), start=1):
                if match := re.search(pattern, line):
                    found.append(f"{path}:{number} names `{match.group()}`")
    return found


def foreign(name: str) -> bool:
    return any(name == word or name.startswith(f"{word}-") for word in FOREIGN)


def normal(package: dict) -> list[dict]:
    return [dependency for dependency in package["dependencies"] if dependency["kind"] is None]


def behind_default(package: dict) -> set[str]:
    """Optional dependencies and features that a package switches on by default."""
    found: set[str] = set()
    waiting = ["default"]
    while waiting:
        word = waiting.pop()
        if word not in found:
            found.add(word)
            waiting.extend(package["features"].get(word, []))
    return {word.removeprefix("dep:").split("/")[0].rstrip("?") for word in found}


@check(
    "bms-domain stands on no runtime, driver or web framework, whatever its features",
    "Move what needs it into an adapter, a store or a program, behind one of the domain's ports.",
)
def domain_is_pure(facts: Facts) -> list[str]:
    trees = facts.trees.get(DOMAIN, {})
    if len(trees) < 2:
        return [f"the dependency tree of {DOMAIN} is not known"]
    return [
        f"{DOMAIN} {arguments} depends on {name}"
        for arguments, tree in sorted(trees.items())
        for name in sorted(tree)
        if foreign(name)
    ]


@check(
    "bms-domain depends on no other crate of the workspace",
    "The domain is what the others stand on: put a port into bms-domain and implement it outside.",
)
def domain_is_the_bottom(facts: Facts) -> list[str]:
    ours = {package["name"] for package in facts.packages} - {DOMAIN}
    trees = facts.trees.get(DOMAIN, {})
    return sorted({f"{DOMAIN} depends on {name}" for tree in trees.values() for name in tree if name in ours})


@check(
    "adapters depend on no concrete store",
    "Take the store through a port of bms-domain; wire it in examples/ or in a Lambda main (src/bin, optional dependency).",
)
def adapters_know_no_store(facts: Facts) -> list[str]:
    found = []
    for package in facts.packages:
        name = package["name"]
        if not name.startswith(ADAPTER):
            continue
        if not facts.trees.get(name):
            found.append(f"the dependency tree of {name} is not known")
        for arguments, tree in sorted(facts.trees.get(name, {}).items()):
            if name == LAMBDA and arguments.split()[-1:] in (["--all-features"], [MAINS]):
                continue  # the mains' optional dependencies, looked at below
            found.extend(f"{name} {arguments} depends on {store}" for store in sorted(STORES & set(tree)))
            found.extend(
                f"{name} {arguments} switches on bms-domain's `{feature}`"
                for feature in sorted(EMBEDDED & tree.get(DOMAIN, set()))
            )
        crates = "|".join(sorted(store.replace("-", "_") for store in STORES))
        mains = {path for path in facts.files if re.match(rf"{LAMBDA}/src/(main\.rs|bin/)", path)}
        found.extend(mentions(facts, (f"{facts.folder(package)}src/",), rf"\b({crates})\b", mains))
    return found


@check(
    "stores depend on no adapter and on no other store",
    "A store implements bms-domain's ports and knows nothing else of the workspace.",
)
def stores_know_no_adapter(facts: Facts) -> list[str]:
    found = []
    for store in sorted(STORES):
        if facts.package(store) and not facts.trees.get(store):
            found.append(f"the dependency tree of {store} is not known")
        for arguments, tree in sorted(facts.trees.get(store, {}).items()):
            found.extend(
                f"{store} {arguments} depends on {name}"
                for name in sorted(tree)
                if name.startswith(ADAPTER) or name in STORES - {store}
            )
    return found


@check(
    "only examples/, benches/ and the Lambda mains depend on concrete stores",
    "Depend on bms-domain with `default-features = false` and take ports; a program chooses the stores.",
)
def only_programs_wire(facts: Facts) -> list[str]:
    found = []
    for package in facts.packages:
        name = package["name"]
        if name in PROGRAMS:
            continue
        for dependency in normal(package):
            optional_main = name == LAMBDA and dependency["optional"] and dependency["name"] not in behind_default(package)
            if dependency["name"] in STORES and not optional_main:
                found.append(f"{name} depends on {dependency['name']}")
            if dependency["name"] == DOMAIN and dependency["uses_default_features"]:
                found.append(f"{name} depends on {DOMAIN} with its default features")
            if dependency["name"] == DOMAIN and (features := EMBEDDED & set(dependency["features"])):
                found.append(f"{name} depends on {DOMAIN} with `{'`, `'.join(sorted(features))}`")
    return found


@check(
    "only the Lambda adapter's features sqs and sns bring the AWS SDK, each its own part of it",
    "Put what speaks to AWS into bms-adapters-lambda, behind one of these features, and keep them out of its default.",
)
def only_lambda_knows_aws(facts: Facts) -> list[str]:
    found = []
    for package in facts.packages:
        name = package["name"]
        if name != LAMBDA:
            found.extend(
                f"{name} depends on {dependency['name']}" for dependency in package["dependencies"] if dependency["name"].startswith(SDK)
            )
    for name, trees in sorted(facts.trees.items()):
        for arguments, tree in sorted(trees.items()):
            feature = arguments.split()[-1:]
            if name == LAMBDA and feature in (["--all-features"], [MAINS]):
                continue
            # Every part of the SDK has its own of `aws-sdk-`; what they share comes with either.
            own = f"aws-sdk-{feature[0]}" if name == LAMBDA and feature and feature[0] in AWS else None
            others = {f"aws-sdk-{other}" for other in AWS} - {own}
            found.extend(
                f"{name} {arguments} depends on {crate}"
                for crate in sorted(tree)
                if crate.startswith(SDK) and (own is None or crate in others)
            )
    return found


@check(
    "no store names the service",
    "Put what both need into a value or a port (store/, hold, order, payment); the service calls stores, never the reverse.",
)
def stores_know_no_service(facts: Facts) -> list[str]:
    inside = ("bms-domain/src/memory/", "bms-domain/src/store/", "bms-domain/src/store.rs")
    outside = tuple(f"{facts.folder(package)}src/" for package in facts.packages if package["name"] in STORES)
    if not list(facts.code("bms-domain/src/memory/")) or not list(facts.code("bms-domain/src/store/")):
        return ["the stores' sources are not where this check looks for them"]
    # Outside the domain a service may be another thing: sentinels call the group that they watch so.
    module = r"\bservice\s*::|::\s*service\b|\bservice\s+as\b|\bBookingService\b"
    return mentions(facts, inside, r"\b(service|BookingService)\b", STORE_WIRING) + mentions(facts, outside, module)


@check(
    "the state machines hold and order name no service, no store and no port, and never wait",
    "A machine is a pure function of state, command and time: pass what it needs as an argument.",
)
def machines_are_pure(facts: Facts) -> list[str]:
    names = r"\b(service|BookingService|memory|Memory\w+|bms_redis|bms_postgres|\w+(Store|Gateway|Sink)|Clock|async|await)\b"
    found = []
    for machine in ("hold", "order"):
        places = (f"bms-domain/src/{machine}.rs", f"bms-domain/src/{machine}/")
        if not list(facts.code(*places)):
            found.append(f"bms-domain/src/{machine}.rs is not where this check looks for it")
        found += mentions(facts, places, names)
    return found


@check(
    "time and randomness are banned in bms-domain, with one exception site each",
    "Restore the ban in bms-domain/clippy.toml; ask the Clock and IdSource ports instead of lifting it.",
)
def clocks_are_banned(facts: Facts) -> list[str]:
    settings = tomllib.loads(facts.files.get("bms-domain/clippy.toml", ""))
    entries = settings.get("disallowed-methods", [])
    banned = {entry if isinstance(entry, str) else entry["path"] for entry in entries}
    found = [f"bms-domain/clippy.toml does not ban {path}" for path in sorted(CLOCKS - banned)]
    lifted = r"\b(?:allow|expect|warn)\s*\([^)]*\bclippy::(?:disallowed_methods|style|all)\b"
    for path, code in facts.code("bms-domain/src/"):
        count = len(re.findall(lifted, code))
        if count > CLOCK_SITES.get(path, 0):
            found.append(f"{path} lifts the ban {count} times, {CLOCK_SITES.get(path, 0)} allowed")
    return found


@check(
    "every crate takes the workspace's lints, which forbid unsafe code and deny missing documentation",
    "Add `[lints] workspace = true` to the crate's Cargo.toml, or restore the table in the workspace's.",
)
def lints_are_shared(facts: Facts) -> list[str]:
    found = []
    for package in facts.packages:
        manifest = tomllib.loads(facts.files[package["manifest_path"]])
        if manifest.get("lints") != {"workspace": True}:
            found.append(f"{package['manifest_path']} has lints of its own, or none")
    table = tomllib.loads(facts.files["Cargo.toml"]).get("workspace", {}).get("lints", {}).get("rust", {})
    for lint, levels in LINTS.items():
        level = table.get(lint)
        level = level.get("level") if isinstance(level, dict) else level
        if level not in levels:
            found.append(f"Cargo.toml: the lint {lint} is not at `{levels[0]}`")
    return found


@check(
    "every crate to be published tells what a registry and docs.rs need to know",
    "Complete the crate's [package] table after bms-domain/Cargo.toml's, or set `publish = false`.",
)
def metadata_is_complete(facts: Facts) -> list[str]:
    found = []
    for package in facts.packages:
        if package["publish"] == []:
            continue
        name, folder = package["name"], facts.folder(package)
        wanted = {
            "a description": package["description"],
            "a category": package["categories"],
            "the licence MIT OR Apache-2.0": package["license"] == "MIT OR Apache-2.0",
            "a rust-version": package["rust_version"],
            "[package.metadata.docs.rs]": ((package["metadata"] or {}).get("docs") or {}).get("rs"),
            "one to five keywords": 1 <= len(package["keywords"]) <= 5,
            "a readme that exists": package["readme"] and folder + package["readme"] in facts.files,
        }
        found.extend(f"{name} lacks {what}" for what, there in wanted.items() if not there)
        if any("lib" in target["kind"] for target in package["targets"]):
            front_page = 'include_str!("../README.md")'
            if front_page not in facts.files.get(f"{folder}src/lib.rs", ""):
                found.append(f"{name} does not show its README.md as the crate's front page ({front_page})")
        found.extend(
            f"{name} depends on {dependency['name']} by path alone, without a version"
            for dependency in normal(package)
            if dependency.get("path") and dependency["req"] == "*"
        )
    return found


@check(
    "one TLS and cryptography library (rustls with aws-lc-rs), nothing of the system's",
    "Find who brings it with `cargo tree --workspace --all-features --target all -i NAME` and choose its features.",
)
def one_tls(facts: Facts) -> list[str]:
    if not facts.everything:
        return ["the whole dependency tree is not known"]
    return [f"{name} is in the tree" for name in sorted(OTHER_TLS & facts.everything)]


@check(
    "every dependency comes from the default registry or from this workspace",
    "Depend on a published version.",
)
def one_registry(facts: Facts) -> list[str]:
    registries = {source for source in facts.sources if source and source.startswith(("registry+", "sparse+"))}
    elsewhere = {source for source in facts.sources if source and source not in registries}
    if len(registries) > 1:
        elsewhere |= registries
    found = [f"something comes from {source}" for source in sorted(elsewhere)]
    for package in facts.packages:
        found.extend(
            f"{package['name']} takes {dependency['name']} from {dependency['registry']}"
            for dependency in package["dependencies"]
            if dependency.get("registry")
        )
    return found


# The facts, from the workspace.


def cargo(*arguments: str) -> str:
    return subprocess.run(["cargo", *arguments], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def tree(*arguments: str) -> dict[str, set[str]]:
    """Names and features in a dependency tree."""
    found: dict[str, set[str]] = {}
    for line in cargo("tree", "--locked", "--target", "all", "--prefix", "none", "--format", "{p}|{f}", *arguments).splitlines():
        package, _, features = line.removesuffix(" (*)").partition("|")
        if package:
            found.setdefault(package.split()[0], set()).update(filter(None, features.split(",")))
    return found


def from_workspace() -> Facts:
    metadata = json.loads(cargo("metadata", "--locked", "--all-features", "--format-version", "1"))
    members = set(metadata["workspace_members"])
    packages = sorted((p for p in metadata["packages"] if p["id"] in members), key=lambda package: package["name"])
    files = {"Cargo.toml": (ROOT / "Cargo.toml").read_text()}
    trees: dict[str, dict[str, dict[str, set[str]]]] = {}
    for package in packages:
        folder = pathlib.Path(package["manifest_path"]).parent
        package["manifest_path"] = str(pathlib.Path(package["manifest_path"]).relative_to(ROOT))
        for path in [*folder.glob("*.toml"), *folder.glob("*.md"), *folder.glob("src/**/*.rs")]:
            files[str(path.relative_to(ROOT))] = path.read_text()
        choices = [[], ["--no-default-features"], ["--all-features"]]
        choices += [["--no-default-features", "--features", feature] for feature in package["features"]]
        if package["name"] not in PROGRAMS:
            trees[package["name"]] = {
                " ".join(choice): tree("-p", package["name"], "--edges", "normal", *choice) for choice in choices
            }
    return Facts(
        packages=packages,
        trees=trees,
        everything=set(tree("--workspace", "--all-features", "--edges", "normal,build,dev")),
        sources={package["source"] for package in metadata["packages"]},
        files=files,
    )


# The self-test: a workspace in which everything is right, and one thing wrong at a time.


def dependency(name: str, **changes: object) -> dict:
    return {
        "name": name,
        "kind": None,
        "optional": False,
        "uses_default_features": False,
        "features": [],
        "req": "^0.1.0",
        "path": f"/{name}",
        "registry": None,
        **changes,
    }


def package(name: str, folder: str, *dependencies: dict, **changes: object) -> dict:
    return {
        "name": name,
        "manifest_path": f"{folder}/Cargo.toml",
        "publish": None,
        "description": "It books.",
        "keywords": ["booking"],
        "categories": ["concurrency"],
        "license": "MIT OR Apache-2.0",
        "rust_version": "1.95",
        "readme": "README.md",
        "metadata": {"docs": {"rs": {"all-features": True}}},
        "features": {},
        "targets": [{"kind": ["lib"]}],
        "dependencies": list(dependencies),
        **changes,
    }


def made_up() -> Facts:
    domain = dependency(DOMAIN)
    packages = [
        package(DOMAIN, DOMAIN, dependency("serde", path=None, req="^1"), features={"default": ["memory"], "memory": []}),
        package("bms-redis", "bms-redis", domain),
        package("bms-postgres", "bms-postgres", domain),
        package("bms-adapters-http", "bms-adapters-http", domain, dependency(DOMAIN, kind="dev", features=["testing"])),
        package(
            LAMBDA,
            LAMBDA,
            domain,
            dependency("bms-redis", optional=True),
            dependency("aws-sdk-sqs", optional=True, path=None),
            features={MAINS: ["dep:bms-redis", "sqs"], "sqs": ["dep:aws-sdk-sqs"]},
        ),
        package("bms-examples", "examples", dependency("bms-redis"), publish=[]),
    ]
    plain = {DOMAIN: set(), "serde": {"derive"}}
    driver = {**plain, "bms-redis": set(), "redis": set(), "tokio": set()}
    web = {**plain, "bms-adapters-http": set(), "axum": set(), "tokio": set(), "aws-lc-rs": set()}
    sqs = {**web, "aws-config": set(), "aws-sdk-sqs": set(), "aws-sdk-sts": set()}
    files = {
        "Cargo.toml": '[workspace.lints.rust]\nunsafe_code = "forbid"\nmissing_docs = "deny"\nunreachable_pub = { level = "deny" }\n',
        "bms-domain/clippy.toml": "disallowed-methods = [" + ", ".join(f'{{ path = "{path}" }}' for path in CLOCKS) + "]",
        "bms-domain/src/hold.rs": "//! The service and memory are named in comments only.\npub fn apply<'a>(s: &'a str) -> char { 'x' }\n",
        "bms-domain/src/order.rs": 'use crate::store::SoldSeats;\nconst WHY: &str = "no \\" service";\n',
        "bms-domain/src/time.rs": '#[expect(clippy::disallowed_methods, reason = "the clock")]\nfn now() {}\n',
        "bms-domain/src/store/hold.rs": "/// Called by the service.\npub trait HoldStore {}\n",
        "bms-domain/src/memory/mod.rs": "use crate::service::BookingService;\n",
        "bms-domain/src/memory/holds.rs": "use crate::store::HoldStore;\n",
        "bms-redis/src/store.rs": "use bms_domain::store::HoldStore;\n",
        "bms-adapters-http/src/routes.rs": "use bms_domain::service::BookingService;\n",
        "bms-adapters-lambda/src/bin/holds.rs": "use bms_redis::RedisHolds;\n",
    }
    for entry in packages:
        folder = entry["manifest_path"].removesuffix("Cargo.toml")
        files[entry["manifest_path"]] = "[lints]\nworkspace = true\n"
        files[f"{folder}README.md"] = "# It books\n"
        files[f"{folder}src/lib.rs"] = '#![doc = include_str!("../README.md")]\n'
    return Facts(
        packages=packages,
        trees={
            DOMAIN: {"": plain, "--no-default-features --features testing": {**plain, "proptest": set()}},
            "bms-redis": {"": driver},
            "bms-postgres": {"": {**plain, "bms-postgres": set(), "sqlx": set()}},
            "bms-adapters-http": {"": web},
            LAMBDA: {
                "": web,
                "--no-default-features --features functions": {**sqs, **driver, DOMAIN: {"memory"}},
                "--no-default-features --features sqs": sqs,
                "--no-default-features --features alone": web,
                "--all-features": {**sqs, **driver},
            },
        },
        everything={"serde", "tokio", "aws-lc-rs"},
        sources={None, "registry+https://registry.example/index"},
        files=files,
    )


def put(path: str, text: str) -> Callable[[Facts], None]:
    return lambda facts: facts.files.__setitem__(path, text)


def drop(path: str) -> Callable[[Facts], None]:
    return lambda facts: facts.files.__delitem__(path)


def depends(name: str, on: str, arguments: str = "", features: set[str] = frozenset()) -> Callable[[Facts], None]:
    return lambda facts: facts.trees[name][arguments].__setitem__(on, set(features))


def says(name: str, **changes: object) -> Callable[[Facts], None]:
    return lambda facts: facts.package(name).update(changes)


BROKEN: dict[str, list[Callable[[Facts], None]]] = {
    "domain_is_pure": [
        *(depends(DOMAIN, name) for name in FOREIGN),
        depends(DOMAIN, "tokio-util"),
        depends(DOMAIN, "sqlx-core", "--no-default-features --features testing"),
        lambda facts: facts.trees.pop(DOMAIN),
    ],
    "domain_is_the_bottom": [depends(DOMAIN, "bms-redis"), depends(DOMAIN, "bms-adapters-http")],
    "adapters_know_no_store": [
        depends("bms-adapters-http", "bms-redis"),
        depends("bms-adapters-http", "bms-postgres"),
        depends("bms-adapters-http", DOMAIN, features={"memory"}),
        depends(LAMBDA, DOMAIN, features={"testing"}),
        depends(LAMBDA, "bms-redis"),
        depends(LAMBDA, "bms-redis", "--no-default-features --features alone"),
        put("bms-adapters-http/src/routes.rs", "use bms_redis::RedisHolds;"),
        put("bms-adapters-lambda/src/lib/router.rs", "use bms_postgres::PostgresOrders;"),
        lambda facts: facts.trees.pop("bms-adapters-http"),
    ],
    "stores_know_no_adapter": [
        depends("bms-redis", "bms-adapters-http"),
        depends("bms-postgres", "bms-redis"),
        lambda facts: facts.trees.pop("bms-redis"),
    ],
    "only_programs_wire": [
        lambda facts: facts.packages.append(package("bms-queue", "bms-queue", dependency("bms-redis"))),
        says("bms-redis", dependencies=[dependency(DOMAIN, uses_default_features=True)]),
        says("bms-adapters-http", dependencies=[dependency(DOMAIN, features=["memory"])]),
        says(LAMBDA, dependencies=[dependency("bms-redis")]),
        says(LAMBDA, features={"default": [MAINS], MAINS: ["dep:bms-redis"]}),
    ],
    "only_lambda_knows_aws": [
        depends(LAMBDA, "aws-sdk-sqs"),
        depends(LAMBDA, "aws-smithy-http", "--no-default-features --features alone"),
        depends(LAMBDA, "aws-sdk-sns", "--no-default-features --features sqs"),
        depends("bms-adapters-http", "aws-config"),
        depends("bms-redis", "aws-types"),
        says("bms-examples", dependencies=[dependency("aws-sdk-sns")]),
        says("bms-adapters-http", dependencies=[dependency("aws-config", kind="dev")]),
    ],
    "stores_know_no_service": [
        put("bms-redis/src/store.rs", "use bms_domain::service::Policy;"),
        put("bms-redis/src/store.rs", "use bms_domain::{hold, service};\nfn f(p: service::Policy) {}"),
        put("bms-redis/src/store.rs", "use bms_domain::{service as other};"),
        put("bms-redis/src/store.rs", "use bms_domain::BookingService;"),
        put("bms-domain/src/memory/holds.rs", "use crate::{service, store};"),
        put("bms-domain/src/store/order.rs", "fn f(all: &crate::BookingService) {}"),
        lambda facts: [facts.files.pop(path) for path in list(facts.files) if path.startswith("bms-domain/src/memory/")],
    ],
    "machines_are_pure": [
        put("bms-domain/src/hold.rs", "use crate::service::Policy;"),
        put("bms-domain/src/order.rs", "use crate::memory::MemoryOrders;"),
        put("bms-domain/src/order.rs", "fn f(store: &dyn OrderStore) {}"),
        put("bms-domain/src/hold/apply.rs", "async fn f() {}"),
        put("bms-domain/src/hold.rs", "fn f(clock: &dyn Clock) {}"),
        put("bms-domain/src/hold.rs", "fn f<'a>(c: char) -> bool { c == '\"' || g(BookingService) }"),
        drop("bms-domain/src/order.rs"),
    ],
    "clocks_are_banned": [
        drop("bms-domain/clippy.toml"),
        put("bms-domain/clippy.toml", 'disallowed-methods = ["chrono::Utc::now"]'),
        put("bms-domain/src/hold.rs", "#[allow(clippy::disallowed_methods)]\nfn f() {}"),
        put("bms-domain/src/time.rs", "#[expect(clippy::disallowed_methods)]\nfn f() {}\n" * 2),
        put("bms-domain/src/lib.rs", '#![doc = include_str!("../README.md")]\n#![allow(dead_code, clippy::all)]\n'),
    ],
    "lints_are_shared": [
        put("bms-redis/Cargo.toml", '[lints.rust]\nunsafe_code = "allow"\n'),
        put("examples/Cargo.toml", ""),
        put("Cargo.toml", '[workspace.lints.rust]\nunsafe_code = "deny"\nmissing_docs = "deny"\nunreachable_pub = "deny"\n'),
    ],
    "metadata_is_complete": [
        says("bms-redis", description=None),
        says("bms-redis", keywords=[]),
        says("bms-redis", keywords=list("abcdef")),
        says("bms-redis", categories=[]),
        says("bms-redis", license="MIT"),
        says("bms-redis", rust_version=None),
        says("bms-redis", readme=None),
        says("bms-redis", metadata=None),
        says("bms-redis", dependencies=[dependency(DOMAIN, req="*")]),
        drop("bms-redis/README.md"),
        put("bms-redis/src/lib.rs", "//! Another front page."),
    ],
    "one_tls": [*(lambda facts, name=name: facts.everything.add(name) for name in OTHER_TLS), lambda facts: facts.everything.clear()],
    "one_registry": [
        lambda facts: facts.sources.add("git+https://forge.example/crate"),
        lambda facts: facts.sources.add("registry+https://second.example/index"),
        says("bms-redis", dependencies=[dependency("serde", registry="https://second.example/index")]),
    ],
}
"""For each check, changes to the made-up workspace that it must notice."""


def self_test() -> int:
    failures = []
    for _, _, function in CHECKS:
        if complaints := function(made_up()):
            failures.append(f"{function.__name__} complains of nothing: {complaints}")
        if not BROKEN.get(function.__name__):
            failures.append(f"{function.__name__} is never shown to fail")
        for number, change in enumerate(BROKEN.get(function.__name__, []), start=1):
            facts = copy.deepcopy(made_up())
            change(facts)
            if not function(facts):
                failures.append(f"{function.__name__} does not notice case {number}")
    for failure in failures:
        print(f"self-test failed: {failure}", file=sys.stderr)
    if not failures:
        print(f"ok      each of the {len(CHECKS)} border checks fails when it should ({sum(map(len, BROKEN.values()))} cases)")
    return 1 if failures else 0


def main() -> int:
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    facts = from_workspace()
    failed = False
    for promise, remedy, function in CHECKS:
        complaints = function(facts)
        failed = failed or bool(complaints)
        print(f"{'FAILED' if complaints else 'ok    '}  {promise}")
        for complaint in complaints:
            print(f"        {complaint}")
        if complaints:
            print(f"        What to do: {remedy}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
