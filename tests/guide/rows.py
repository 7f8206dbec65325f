"""Which rows of docs/guide-checklist.md have no test, at which door.

    rows.py [--all]

Prints them, and fails if there are any. `--all` prints every row with its proofs.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CHECKLIST = PROJECT / "docs/guide-checklist.md"
# Where the proofs of a door lie, and how a test is declared there.
PLACES = {
    "A": ("tests/guide", "tests/contract", "invoke-server/tests"),
    "C": ("invoke-cli/tests",),
    "L": ("invoke-core/tests/library", "invoke-py/tests", "invoke-ffi/tests"),
    "W": ("tests/browser",),
}
DECLARED = re.compile(r"(?:\bfn|\bdef|\btest\(\s*[\"'`])\s*((?:g\d\d_)+)", re.IGNORECASE)
KINDS = (".rs", ".py", ".mjs")


def doors():
    """The doors of every row, by its number."""
    rows = re.findall(r"^\| (G\d\d) \|.*\| ([AWCL ]+) \|$", CHECKLIST.read_text(encoding="utf-8"), re.MULTILINE)
    return {row: named.split() for row, named in rows}


def proofs():
    """Places of the tests of every row and door."""
    found = defaultdict(list)
    for door, folders in PLACES.items():
        for folder in folders:
            for file in sorted((PROJECT / folder).rglob("*")):
                if file.suffix in KINDS and "node_modules" not in file.parts:
                    for match in DECLARED.finditer(file.read_text(encoding="utf-8")):
                        for number in re.findall(r"\d\d", match.group(1)):
                            found[f"G{number}", door].append(file.relative_to(PROJECT))
    return found


def main():
    wanted, found = doors(), proofs()
    assert len(wanted) == 74, f"{CHECKLIST}: 74 rows were expected, {len(wanted)} found"
    if "--all" in sys.argv:
        for row, named in wanted.items():
            print(row, *(f"{door}:{len(found[row, door])}" for door in named))
    missing = [(row, door) for row, named in wanted.items() for door in named if not found[row, door]]
    for row, door in missing:
        print(f"{row} has no proof at door {door}")
    unknown = sorted({row for row, _ in found if row not in wanted})
    for row in unknown:
        print(f"{row} is proved and not on the list")
    total = sum(len(named) for named in wanted.values())
    print(f"{total - len(missing)} of {total} rows and doors have a proof")
    return 1 if missing or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
