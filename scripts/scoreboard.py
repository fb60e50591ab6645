#!/usr/bin/env python3
"""Puts known bugs back, one at a time, and shows that the tests catch each of them.

A bug is a patch in scripts/bugs/ with a header: `Bug:` says what is wrong, `Seen:` what it did on real servers, if it was
seen there, and each `Test:` names a layer and the command that is to fail, the cheapest first. The patches are applied to a
git worktree in the target folder, which has a target folder of its own; the project's own tree is not touched.

    scoreboard.py [NAME…]     puts all bugs back, or those whose names contain a NAME, and writes the table of docs/evidence.md
    scoreboard.py --to FILE   writes the table into a file instead, and leaves the documentation as it is
    scoreboard.py --check     only looks whether each patch still applies, its tests exist, and the table tells of no other bug
    scoreboard.py --self-test proves that the verdicts can be told apart

A command fixes its seed where it draws one: `cargo test --config 'env.PROPTEST_RNG_SEED="1"' …`.

Only a failing test catches a bug. Code that does not compile, a server that is not installed, a test that does not end and a
command that runs no test at all are errors of the run.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUGS = ROOT / "scripts" / "bugs"
EVIDENCE = ROOT / "docs" / "evidence.md"
BEGIN, END = "<!-- score board: begin -->", "<!-- score board: end -->"
HEAD = "| bug | caught by | tests that failed | after |\n|---|---|---|---|\n"

LIMIT = 1_800
"""Seconds that a command may take, building included. A test that hangs has caught nothing."""

NO_FAULT_OF_THE_CODE = re.compile(r"is not installed; install it with|--- end of its log ---|No space left on device")
"""What a test says that has no server."""


class Broken(Exception):
    """The run itself went wrong; nothing is known of the bug."""


@dataclasses.dataclass(frozen=True)
class Test:
    """A command that is to catch a bug."""

    layer: str
    command: str


@dataclasses.dataclass(frozen=True)
class Bug:
    """A patch with its header."""

    name: str
    what: str
    seen: str
    tests: tuple[Test, ...]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What came of a command."""

    failed: tuple[str, ...]
    """The tests that failed, and the rules of a suite within them; none when all passed."""
    seconds: float
    """How long the tests took, without building them."""


def parse(name: str, text: str) -> Bug:
    """Reads the header of a patch. A line that begins with spaces goes on with the field before it."""
    header = re.split(r"^(?=diff --git )", text, maxsplit=1, flags=re.MULTILINE)
    fields: list[tuple[str, str]] = []
    for line in header[0].splitlines():
        if line.startswith(" ") and fields:
            fields[-1] = (fields[-1][0], f"{fields[-1][1]} {line.strip()}")
        elif line.strip():
            field, colon, value = line.partition(":")
            if not colon or field not in ("Bug", "Seen", "Test"):
                raise Broken(f"{name}: no field of a header: {line}")
            fields.append((field, value.strip()))
    what, seen, tests = ([value for field, value in fields if field == wanted] for wanted in ("Bug", "Seen", "Test"))
    if len(header) != 2 or len(what) != 1 or len(seen) > 1 or not tests:
        raise Broken(f"{name}: a patch has one `Bug:`, one `Seen:` at most, a `Test:` at least, and a diff")
    parts = [[part.strip() for part in test.split("|", 1)] for test in tests]
    if any(len(part) != 2 or not part[1].startswith("cargo test ") for part in parts):
        raise Broken(f"{name}: a test is `layer | cargo test …`")
    return Bug(name, what[0], "".join(seen), tuple(Test(*part) for part in parts))


def known_bugs() -> list[Bug]:
    return [parse(path.stem, path.read_text()) for path in sorted(BUGS.glob("*.patch"))]


def judge(status: int, output: str) -> Verdict:
    """What a cargo command has shown.

    Raises Broken when it ended for another reason than its tests.
    """
    ended = re.findall(r"^test result: (ok|FAILED)\. (\d+) passed; (\d+) failed;.*finished in ([\d.]+)s$", output, re.MULTILINE)
    ran = sum(int(passed) + int(failed) for _, passed, failed, _ in ended)
    seconds = sum(float(took) for _, _, _, took in ended)
    if status == 0:
        if ran == 0:
            raise Broken("no test has this name")
        return Verdict((), seconds)
    if not any(result == "FAILED" for result, _, _, _ in ended):
        raise Broken("it does not compile, or ended before its tests did")
    if found := NO_FAULT_OF_THE_CODE.search(output):
        raise Broken(f"a test could not be run: {found.group()}")
    tests = re.findall(r"^test (\S+) \.\.\. FAILED$", output, re.MULTILINE)
    rules = []
    for told in re.findall(r"^(?:.*: )?the [\w ]+ breaks \d+ rules:\n((?:.*\n)+?)(?:note: |\n|$)", output, re.MULTILINE):
        rules += re.findall(r"^- (\w+): ", told, re.MULTILINE)
    return Verdict(tuple(dict.fromkeys([test.rsplit("::", 1)[-1] for test in tests] + rules)), seconds)


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def row(bug: Bug, layer: str, verdict: Verdict) -> str:
    """A bug's row. A suite's rules say more than the test that runs them all."""
    failed = [f"`{name}`" for name in verdict.failed]
    more = f" and {len(failed) - 2} more" if len(failed) > 3 else ""
    failed = failed[: 2 if more else 3]
    what = f"[{bug.name[:2]}](../scripts/bugs/{bug.name}.patch) {bug.what}" + (f" *Seen: {bug.seen}*" if bug.seen else "")
    return f"| {cell(what)} | {cell(layer)} | {', '.join(failed)}{more} | {verdict.seconds:.1f} s |"


def name_in(line: str) -> str | None:
    """Which bug a row of the table is about."""
    found = re.match(r"\| \[\d+\]\(\.\./scripts/bugs/([\w-]+)\.patch\)", line)
    return found and found.group(1)


def rows_of(document: str) -> dict[str, str]:
    """The rows of the table in the documentation, by bug."""
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise Broken(f"{EVIDENCE.name} has no place for the table: {BEGIN} and {END}")
    table = document.split(BEGIN)[1].split(END)[0]
    return {name: line for line in table.splitlines() if (name := name_in(line))}


def with_table(document: str, rows: dict[str, str]) -> str:
    table = HEAD + "".join(f"{rows[name]}\n" for name in sorted(rows) if rows[name])
    return f"{document.split(BEGIN)[0]}{BEGIN}\n{table}{END}{document.split(END)[1]}"


# The run.


def git(folder: pathlib.Path, *arguments: str, text: str | None = None) -> str:
    done = subprocess.run(["git", "-C", folder, *arguments], input=text, capture_output=True, text=True)
    if done.returncode != 0:
        raise Broken(f"git {shlex.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def metadata() -> dict:
    command = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout)


class Tree:
    """A worktree of the commit that is checked out, with what is not committed yet. It is kept, so that the next run builds
    what changed since and nothing else; git forgets it once the target folder is deleted."""

    def __init__(self, folder: pathlib.Path):
        self.tree, self.target = folder / "tree", folder / "target"
        git(ROOT, "worktree", "prune")
        if self.tree.exists():
            git(self.tree, "checkout", "--quiet", "--force", "--detach", git(ROOT, "rev-parse", "HEAD").strip())
            git(self.tree, "clean", "--quiet", "-fd")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            git(ROOT, "worktree", "add", "--quiet", "--detach", str(self.tree))
        if changes := git(ROOT, "diff", "--binary", "HEAD"):
            git(self.tree, "apply", text=changes)
        # The index knows the tree without bugs from now on.
        git(self.tree, "add", "--all")

    def put_back(self, bug: Bug) -> None:
        git(self.tree, "apply", str(BUGS / f"{bug.name}.patch"))

    def mend(self) -> None:
        # Files that were changed are written anew, and so are newer than what was built of them.
        git(self.tree, "checkout", "--quiet", "--", ".")
        git(self.tree, "clean", "--quiet", "-fd")

    def run(self, command: str) -> Verdict:
        """Runs a command of a header.

        Raises Broken when nothing can be told from it.
        """
        environment = {name: value for name, value in os.environ.items() if name != "RUST_BACKTRACE"}
        environment |= {"CARGO_TARGET_DIR": str(self.target), "CARGO_TERM_COLOR": "never", "CARGO_INCREMENTAL": "1"}
        with open(self.target.parent / "last.log", "w+", encoding="utf-8", errors="replace") as log:
            process = subprocess.Popen(
                shlex.split(command),
                cwd=self.tree,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                status = process.wait(LIMIT)
            except BaseException as error:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    raise Broken(f"it did not end within {LIMIT} s") from None
                raise
            log.seek(0)
            return judge(status, log.read())


def catch(tree: Tree, bug: Bug) -> tuple[str, Verdict] | None:
    """Puts a bug back, and tells what caught it, if anything did."""
    tree.put_back(bug)
    try:
        for test in bug.tests:
            verdict = tree.run(test.command)
            if verdict.failed:
                return test.layer, verdict
        return None
    finally:
        tree.mend()


def write(rows: dict[str, str], to: pathlib.Path | None) -> None:
    """Writes the table: into a file, or those of its rows that are new into the documentation. What was not caught has none."""
    if to:
        to.write_text(HEAD + "".join(f"{line}\n" for line in rows.values() if line))
        return
    document, there = EVIDENCE.read_text(), {bug.name for bug in known_bugs()}
    kept = {name: line for name, line in rows_of(document).items() if name in there}
    EVIDENCE.write_text(with_table(document, kept | rows))


def run(bugs: list[Bug], to: pathlib.Path | None) -> int:
    began = time.monotonic()
    tree = Tree(pathlib.Path(metadata()["target_directory"]) / "scoreboard")
    commands = list(dict.fromkeys(test.command for bug in bugs for test in bug.tests))
    for number, command in enumerate(commands, start=1):
        print(f"[{number:2}/{len(commands)}] without any bug: {command}", flush=True)
        if failed := tree.run(command).failed:
            raise Broken(f"it fails without any bug: {', '.join(failed)}. Repeat it with: {command}")
    rows, missed = {}, []
    for number, bug in enumerate(bugs, start=1):
        print(f"[{number:2}/{len(bugs)}] {bug.name}: ", end="", flush=True)
        try:
            caught = catch(tree, bug)
        except Broken as error:
            raise Broken(f"{bug.name}: {error}. The output: {tree.target.parent / 'last.log'}") from None
        if caught is None:
            missed.append(bug)
            rows[bug.name] = ""
            print("NOT CAUGHT", flush=True)
        else:
            layer, verdict = caught
            rows[bug.name] = row(bug, layer, verdict)
            print(f"{layer}, after {verdict.seconds:.1f} s: {', '.join(verdict.failed)}", flush=True)
        # As it goes: a run that is cut short has shown something, too.
        write(rows, to)
    for bug in missed:
        print(f"NOT CAUGHT  {bug.name}: {bug.what}")
        for test in bug.tests:
            print(f"            should have failed: {test.command}")
    print(f"{len(bugs) - len(missed)} of {len(bugs)} bugs were caught, in {time.monotonic() - began:.0f} s.")
    return 1 if missed else 0


# What is fast to check.


def selected(arguments: list[str], packages: list[dict]) -> list[tuple[dict, dict]]:
    """The targets that a command runs tests of, with their packages."""
    names = {value for flag, value in zip(arguments, arguments[1:]) if flag in ("-p", "--package")}
    wanted = {(flag.lstrip("-"), value) for flag, value in zip(arguments, arguments[1:]) if flag in ("--test", "--bin")}
    return [
        (package, target)
        for package in packages
        if package["name"] in names or "--workspace" in arguments
        for target in package["targets"]
        if "--lib" in arguments and "lib" in target["kind"] or any((kind, target["name"]) in wanted for kind in target["kind"])
    ]


def complaints(bug: Bug, packages: list[dict]) -> list[str]:
    """What is wrong with a bug's commands."""
    found = []
    for test in bug.tests:
        arguments, _, filters = test.command.partition(" -- ")
        targets = selected(shlex.split(arguments), packages)
        sources = ""
        for package, target in targets:
            source = pathlib.Path(target["src_path"])
            # A target that is one file has its modules nowhere else.
            several = source.name in ("main.rs", "lib.rs")
            files = sorted(source.parent.rglob("*.rs")) if several else [source]
            sources += "".join(file.read_text() for file in files) + f"\nmod {' mod '.join(file.stem for file in files)} "
        if not targets:
            found.append(f"{bug.name}: no package has these tests: {test.command}")
        for wanted in filters.split():
            named = all(re.search(rf"\b(fn|mod) \w*{re.escape(part)}", sources) for part in wanted.split("::") if part)
            if targets and not wanted.startswith("-") and not named:
                found.append(f"{bug.name}: no test is called {wanted}: {test.command}")
    return found


def check() -> int:
    bugs, packages, found = known_bugs(), metadata()["packages"], []
    for bug in bugs:
        try:
            git(ROOT, "apply", "--check", str(BUGS / f"{bug.name}.patch"))
        except Broken as error:
            found.append(f"{bug.name} does not apply any more: {error}")
        found += complaints(bug, packages)
    rows = rows_of(EVIDENCE.read_text())
    found += [f"{name}: the table has a bug of which there is no patch" for name in sorted(rows.keys() - {bug.name for bug in bugs})]
    found += [f"{bug.name}: the table tells of another bug" for bug in bugs if cell(bug.what) not in rows.get(bug.name, cell(bug.what))]
    for complaint in found:
        print(f"FAILED  {complaint}")
    if waiting := sorted({bug.name for bug in bugs} - rows.keys()):
        print(f"note    the table does not tell yet what catches {', '.join(waiting)}: run scripts/scoreboard.py")
    if not found:
        print(f"ok      {len(bugs)} known bugs can be put back, and the tests that catch them are there")
    return 1 if found else 0


PASSED = "running 1 test\ntest a ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.50s\n"
NONE = "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.00s\n"
FAILED = """running 2 tests
test races::two ... FAILED
test every_rule ... FAILED

---- every_rule stdout ----
thread 'every_rule' panicked at mod.rs:1:1:
the hold store breaks 2 rules:
- one_rule: seat 1 - again: is held
- another_rule: 1 and
2
note: run with `RUST_BACKTRACE=1`

test result: FAILED. 0 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.25s
"""
PATCH = """Bug: A seat | is sold
  twice.
Seen: 2 of 3.
Test: rules | cargo test --workspace --test x -- a
Test: races | cargo test -p y --lib
diff --git a/x b/x
"""


def self_test() -> int:
    def breaks(act) -> bool:
        try:
            act()
        except Broken:
            return True
        return False

    bug = parse("07-a-bug", PATCH)
    line = row(bug, "rules", judge(101, NONE + FAILED))
    document = with_table(f"before\n{BEGIN}\nold\n{END}\nafter\n", {"07-a-bug": line})
    packages = [{"name": "y", "targets": [{"kind": ["lib"], "name": "y", "src_path": __file__}]}]
    cases = {
        "what passes has caught nothing": judge(0, NONE + PASSED) == Verdict((), 0.5),
        "no test is no verdict": breaks(lambda: judge(0, NONE)),
        "what does not compile is no verdict": breaks(lambda: judge(101, "error: could not compile `y`")),
        "a crash is no verdict": breaks(lambda: judge(101, PASSED + "error: test failed\n(signal: 6, SIGABRT)")),
        "a missing server is no verdict": breaks(lambda: judge(101, FAILED + "`x` is not installed; install it with: y")),
        "what failed is named": judge(101, NONE + FAILED) == Verdict(("two", "every_rule", "one_rule", "another_rule"), 1.25),
        "a header is read": (bug.what, bug.seen, len(bug.tests)) == ("A seat | is sold twice.", "2 of 3.", 2),
        "a command stays whole": bug.tests[0] == Test("rules", "cargo test --workspace --test x -- a"),
        "a header without a test is refused": breaks(lambda: parse("x", "Bug: y\ndiff --git a/x b/x\n")),
        "a header without a diff is refused": breaks(lambda: parse("x", PATCH.split("diff")[0])),
        "a field that is none is refused": breaks(lambda: parse("x", "Why: y\n" + PATCH)),
        "a command that is no test is refused": breaks(lambda: parse("x", PATCH.replace("cargo test -p", "cargo run -p"))),
        "a row is short": line.endswith("| rules | `two`, `every_rule` and 2 more | 1.2 s |"),
        "a row has four cells": len(re.findall(r"(?<!\\)\|", line)) == 5,
        "the table is found again": rows_of(document) == {"07-a-bug": line},
        "the rest of the page stays": document.startswith("before\n") and document.endswith(f"{END}\nafter\n"),
        "a page without a place is refused": breaks(lambda: rows_of("nothing")),
        "a target that is not there is noticed": len(complaints(bug, packages)) == 1,
        "a target that is there is not": complaints(dataclasses.replace(bug, tests=bug.tests[1:]), packages) == [],
        "a test that is not there is noticed": len(
            complaints(dataclasses.replace(bug, tests=(Test("x", "cargo test -p y --lib -- nothing_is_called_this"),)), packages)
        )
        == 1,
    }
    failures = [what for what, holds in cases.items() if not holds]
    for failure in failures:
        print(f"self-test failed: {failure}", file=sys.stderr)
    if not failures:
        print(f"ok      the score board tells a caught bug from anything else ({len(cases)} cases)")
    return 1 if failures else 0


def main() -> int:
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("names", nargs="*")
    options.add_argument("--to", type=pathlib.Path)
    options.add_argument("--check", action="store_true")
    options.add_argument("--self-test", action="store_true")
    asked = options.parse_args()
    if asked.self_test:
        return self_test()
    try:
        if asked.check:
            return check()
        bugs = [bug for bug in known_bugs() if not asked.names or any(name in bug.name for name in asked.names)]
        if not bugs:
            raise Broken("no bug has such a name")
        return run(bugs, asked.to)
    except Broken as error:
        print(f"FAILED  {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
