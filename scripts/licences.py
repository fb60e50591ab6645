#!/usr/bin/env python3
"""Checks that every crate in the dependency tree may be used under a permissive licence.

The list of licences is the one in deny.toml, which `cargo deny` reads too. Every feature, every target, build and
development dependencies included.

    licences.py               checks the workspace
    licences.py --self-test   proves that the check can fail
"""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Malformed(Exception):
    """Not an SPDX licence expression."""


def permitted(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX licence expression can be satisfied with allowed licences alone.

    AND binds tighter than OR, WITH tighter than AND. Cargo's old `A/B` means `A OR B`.
    """
    text = expression.replace("/", " OR ")
    tokens = re.findall(r"[()]|[A-Za-z0-9.+-]+", text)
    if re.sub(r"[()\s]|[A-Za-z0-9.+-]+", "", text):
        raise Malformed(expression)
    words = {"AND", "OR", "WITH", "(", ")"}

    def peek() -> str | None:
        return tokens[0] if tokens else None

    def name() -> str:
        if peek() is None or peek() in words:
            raise Malformed(expression)
        return tokens.pop(0)

    def term() -> bool:
        if peek() == "(":
            tokens.pop(0)
            answer = any_of()
            if peek() != ")":
                raise Malformed(expression)
            tokens.pop(0)
            return answer
        licence = name()
        if peek() == "WITH":
            tokens.pop(0)
            licence = f"{licence} WITH {name()}"
        return licence in allowed

    def all_of() -> bool:
        answers = [term()]
        while peek() == "AND":
            tokens.pop(0)
            answers.append(term())
        return all(answers)

    def any_of() -> bool:
        answers = [all_of()]
        while peek() == "OR":
            tokens.pop(0)
            answers.append(all_of())
        return any(answers)

    answer = any_of()
    if tokens:
        raise Malformed(expression)
    return answer


def complaints(packages: list[dict], rules: dict) -> list[str]:
    """What stands against the packages: one line each."""
    allowed = set(rules["allow"])
    exceptions: dict[str, set[str]] = {}
    for exception in rules.get("exceptions", []):
        exceptions.setdefault(exception["crate"], set()).update(exception["allow"])
    clarified = {entry["crate"]: entry["expression"] for entry in rules.get("clarify", [])}
    found = []
    for package in packages:
        label = f"{package['name']} {package['version']}"
        expression = clarified.get(package["name"]) or package["license"]
        if not expression:
            found.append(f"{label} names no licence")
            continue
        try:
            if not permitted(expression, allowed | exceptions.get(package["name"], set())):
                found.append(f"{label} is under {expression}")
        except Malformed:
            found.append(f"{label} has a licence that is no SPDX expression: {expression}")
    return found


def self_test() -> int:
    allowed = {"MIT", "Apache-2.0", "ISC", "Apache-2.0 WITH LLVM-exception"}
    verdicts = {
        "MIT": True,
        "GPL-3.0-only": False,
        "MIT OR GPL-3.0-only": True,
        "MIT AND GPL-3.0-only": False,
        "MIT/Apache-2.0": True,
        "Apache-2.0 / GPL-2.0": True,
        "GPL-2.0 / GPL-3.0": False,
        "(MIT OR GPL-3.0-only) AND ISC": True,
        "(MIT OR ISC) AND GPL-3.0-only": False,
        "MIT OR ISC AND GPL-3.0-only": True,
        "GPL-3.0-only AND MIT OR GPL-2.0-only": False,
        "ISC AND (Apache-2.0 OR (GPL-3.0-only AND MIT))": True,
        "Apache-2.0 WITH LLVM-exception": True,
        "MIT WITH LLVM-exception": False,
        "GPL-2.0-only WITH Classpath-exception-2.0 OR MIT": True,
        "mit": False,
    }
    failures = [f"{text}: not {verdict}" for text, verdict in verdicts.items() if permitted(text, allowed) != verdict]
    for text in ["", "MIT OR", "AND MIT", "(MIT", "MIT)", "MIT ISC", "MIT WITH", "see LICENSE, please", "()"]:
        try:
            permitted(text, allowed)
            failures.append(f"{text!r}: taken for an expression")
        except Malformed:
            pass
    rules = {
        "allow": sorted(allowed),
        "exceptions": [{"crate": "special", "allow": ["Zlib"]}],
        "clarify": [{"crate": "unclear", "expression": "MIT"}],
    }
    cases = [
        ("plain", "MIT", 0),
        ("plain", None, 1),
        ("plain", "Zlib", 1),
        ("special", "Zlib", 0),
        ("unclear", None, 0),
        ("plain", "what it says", 1),
    ]
    for name, licence, expected in cases:
        found = complaints([{"name": name, "version": "1.0.0", "license": licence}], rules)
        if len(found) != expected:
            failures.append(f"{name} under {licence}: {found}")
    for failure in failures:
        print(f"self-test failed: {failure}", file=sys.stderr)
    if not failures:
        print(f"ok      the licence check refuses what it should ({len(verdicts) + 9 + len(cases)} cases)")
    return 1 if failures else 0


def main() -> int:
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    rules = tomllib.loads((ROOT / "deny.toml").read_text())["licenses"]
    command = ["cargo", "metadata", "--locked", "--all-features", "--format-version", "1"]
    packages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT).stdout)["packages"]
    found = complaints(packages, rules)
    for complaint in found:
        print(f"FAILED  {complaint}")
    if found:
        print("        Do without the crate, or, if the licence is permissive, add it to the list in deny.toml with a reason.")
        return 1
    print(f"ok      {len(packages)} crates, all under permissive licences")
    needed = {name for name in rules["allow"] if complaints(packages, {**rules, "allow": set(rules["allow"]) - {name}})}
    if idle := sorted(set(rules["allow"]) - needed):
        print(f"note    nothing in the tree needs {', '.join(idle)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
