#!/usr/bin/env python3
"""Checks that README.md shows an example as it is, and below it what the example prints.

    check_readme.py README.md examples/quickstart.cc build/.../example_quickstart

The first ```cpp block must be the source, and the ```text block after it the program's output.
"""
import difflib
import re
import subprocess
import sys


def compare(what, shown, real):
    difference = list(difflib.unified_diff(shown.splitlines(), real.splitlines(), "README.md", what, lineterm=""))
    if difference:
        sys.exit("\n".join(["README.md shows " + what + " otherwise than it is:", *difference]))


def main():
    readme, source, program = sys.argv[1:]
    with open(readme, encoding="utf-8") as file:
        blocks = re.search(r"^```cpp\n(.*?)^```$.*?^```text\n(.*?)^```$", file.read(), re.MULTILINE | re.DOTALL)
    if blocks is None:
        sys.exit(f"{readme} has no ```cpp block followed by a ```text block")
    with open(source, encoding="utf-8") as file:
        compare(source, blocks[1], file.read())
    output = subprocess.run([program], check=True, capture_output=True, text=True, timeout=60).stdout
    compare("the output of " + program, blocks[2], output)


if __name__ == "__main__":
    main()
