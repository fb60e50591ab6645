#!/usr/bin/env python3
"""Prints, a line each, the cargo arguments that build a library crate of the workspace with every feature alone.

The first line of a crate is the crate with no feature at all; features that switch on the same set (such as `default`
and the only feature behind it) appear once. New crates and new features are covered without anybody naming them here.

    feature-sets.py          every set
    feature-sets.py --bare   each crate without any feature, and nothing else
"""

import json
import subprocess
import sys


def closure(features: dict[str, list[str]], name: str) -> frozenset[str]:
    """Everything that feature `name` switches on, itself included."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        feature = waiting.pop()
        if feature not in found:
            found.add(feature)
            waiting.extend(features.get(feature, []))
    return frozenset(found)


def sets(package: dict) -> list[tuple[str | None, frozenset[str]]]:
    """The feature sets of a package: none, then each feature alone, a feature before the `default` that equals it."""
    features = package["features"]
    chosen: list[tuple[str | None, frozenset[str]]] = [(None, frozenset())]
    for name in sorted(features, key=lambda feature: (feature == "default", feature)):
        switched_on = closure(features, name) - {"default"}
        if switched_on not in [known for _, known in chosen]:
            chosen.append((name, switched_on))
    return chosen


def main() -> int:
    bare = sys.argv[1:] == ["--bare"]
    if sys.argv[1:] and not bare:
        print(__doc__, file=sys.stderr)
        return 2
    command = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    packages = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)["packages"]
    for package in sorted(packages, key=lambda package: package["name"]):
        if package["publish"] == [] or not any("lib" in target["kind"] for target in package["targets"]):
            continue
        for name, _ in sets(package)[: 1 if bare else None]:
            feature = ["--features", name] if name else []
            print("-p", package["name"], "--no-default-features", *feature)
    return 0


if __name__ == "__main__":
    sys.exit(main())
