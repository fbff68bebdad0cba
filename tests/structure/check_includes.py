#!/usr/bin/env python3
"""Checks that every #include "..." of the tree points downward.

    check_includes.py ROOT          prints each stranger and exits 1 if there is one
    check_includes.py --self-test   plants bad includes in a tree of its own and checks that each is found

MAY_INCLUDE is the table: each folder of ROOT may include itself and what its row names. A folder that is not in the table
and has C++ files is a stranger too, and so is <faiss/...> outside the folders of MAY_USE_FAISS.
"""
import pathlib
import re
import sys
import tempfile

LIBRARY = {
    "core": set(),
    "ring": {"core"},
    "index": {"core"},
    "shard": {"core", "ring", "index"},
    "cache": {"core", "ring"},
    "artifact": {"core", "ring"},
    "rebalance": {"core", "ring", "shard", "cache", "artifact"},
    "io": {"core"},
}
ALL = set(LIBRARY)
MAY_INCLUDE = LIBRARY | {
    "bench": ALL,
    "cli": ALL | {"bench"},
    "tests": ALL | {"bench", "cli"},
    "examples": ALL,
}
# rebalance/ moves what index/ stores, but only through the interface of shard/.
MAY_USE_FAISS = {"index", "bench", "tests"}
NOT_OURS = {"build", "data", "docs", "scripts", "cmake"}

SUFFIXES = {".h", ".cc", ".inl"}
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def strangers(root):
    """Yields "file:line: what is wrong" for each include that MAY_INCLUDE does not allow."""
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".") and p.name not in NOT_OURS):
        files = sorted(p for p in folder.rglob("*") if p.suffix in SUFFIXES)
        if files and folder.name not in MAY_INCLUDE:
            yield f"{folder.name}/: is not in the table of tests/structure/check_includes.py"
            continue
        for file in files:
            if file.is_relative_to(root / "tests" / "install"):
                continue  # consumers of the installed package, whose headers have other names
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                found = INCLUDE.match(line)
                problem = found and problem_with(root, folder.name, *found.groups())
                if problem:
                    yield f"{file.relative_to(root)}:{number}: {problem}"


def problem_with(root, folder, quoted, angled):
    """What is wrong with an include of a file in `folder`, or None."""
    if angled:
        if angled.startswith("faiss/") and folder not in MAY_USE_FAISS:
            return f"<{angled}> may be included in {', '.join(sorted(MAY_USE_FAISS))} only"
        if angled.split("/")[0] in MAY_INCLUDE and "/" in angled and (root / angled).exists():
            return f'<{angled}> is ours: write "{angled}"'
        return None
    target = quoted.split("/")[0]
    if "/" not in quoted or ".." in quoted.split("/"):
        return f'"{quoted}" must name its folder, as in "ring/token.h"'
    if target not in MAY_INCLUDE:
        return f'"{quoted}" is in no folder of ours; write <...> for a dependency'
    if target != folder and target not in MAY_INCLUDE[folder]:
        return f'"{quoted}": {folder}/ must not include {target}/'
    if not (root / quoted).is_file():
        return f'"{quoted}" does not exist'
    return None


def self_test():
    planted = [  # a file, a line in it, and a part of the complaint (None: legal)
        ("ring/a.cc", '#include "core/a.h"', None),
        ("ring/a.cc", "#include <vector>", None),
        ("index/a.cc", "#include <faiss/Index.h>", None),
        ("tests/ring/a_test.cc", '#include "ring/a.h"', None),
        ("tests/ring/a_test.cc", '#include "tests/ring/b.h"', None),
        ("cli/a.cc", '#include "bench/a.h"', None),
        ("core/a.cc", '#include "ring/a.h"', "core/ must not include ring/"),
        ("ring/a.cc", '  #  include "index/a.h"', "ring/ must not include index/"),
        ("rebalance/a.cc", '#include "index/a.h"', "rebalance/ must not include index/"),
        ("shard/a.cc", '#include "rebalance/a.h"', "shard/ must not include rebalance/"),
        ("shard/a.cc", '#include "tests/ring/b.h"', "shard/ must not include tests/"),
        ("shard/a.cc", "#include <faiss/Index.h>", "bench, index, tests only"),
        ("ring/a.cc", '#include "a.h"', "must name its folder"),
        ("ring/a.cc", '#include "core/../index/a.h"', "must name its folder"),
        ("ring/a.cc", '#include "gtest/gtest.h"', "in no folder of ours"),
        ("ring/a.cc", '#include "core/none.h"', "does not exist"),
        ("ring/a.cc", "#include <core/a.h>", "is ours"),
        ("wheel/a.cc", "#include <vector>", "not in the table"),
    ]
    for path, line, complaint in planted:
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            for header in ["core/a.h", "ring/a.h", "index/a.h", "bench/a.h", "rebalance/a.h", "tests/ring/b.h", path]:
                (root / header).parent.mkdir(parents=True, exist_ok=True)
                (root / header).touch()
            (root / path).write_text(line + "\n", encoding="utf-8")
            found = list(strangers(root))
            as_expected = not found if complaint is None else len(found) == 1 and complaint in found[0]
            if not as_expected:
                sys.exit(f"{path} with {line!r}: expected {complaint!r}, found {found}")
    print(f"{len(planted)} planted includes judged rightly")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: check_includes.py ROOT | --self-test")
    if sys.argv[1] == "--self-test":
        return self_test()
    found = list(strangers(pathlib.Path(sys.argv[1]).resolve()))
    print("\n".join(found) or "all includes point downward")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
