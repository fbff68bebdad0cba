#!/usr/bin/env python3
"""Checks that code for AVX-512 with VNNI does not use AVX-VNNI, which is another extension.

    check_instructions.py ARCHIVE   prints each function that does and exits 1 if there is one, or if there is no VNNI at all
    check_instructions.py --self-test

Both have `vpdpbusd` on half a register, in two encodings. Compilers take the one of AVX-VNNI where they may, and such a program
ends with "illegal instruction" on processors that have the other alone, like Ice Lake and Zen 4. A test that runs the kernels does
not notice on a processor that has both. objdump writes the encoding as `{vex}`.
"""
import contextlib
import io
import re
import subprocess
import sys

FUNCTION = re.compile(r"^[0-9a-f]+ <(.*)>:$")


def strangers(lines):
    """The functions that use AVX-VNNI, and how many instructions of VNNI were seen in all."""
    function, found, seen = "?", {}, 0
    for line in lines:
        match = FUNCTION.match(line)
        if match:
            function = match.group(1)
        elif "vpdp" in line:
            seen += 1
            if "{vex}" in line:
                found[function] = found.get(function, 0) + 1
    return found, seen


def disassembly(archive):
    command = ["objdump", "--disassemble", "--no-show-raw-insn", archive]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as objdump:
        yield from objdump.stdout
    if objdump.returncode != 0:
        sys.exit(f"check_instructions: objdump failed on {archive}")


def check(lines):
    found, seen = strangers(lines)
    for function, count in sorted(found.items()):
        print(f"{function}: {count} instructions of AVX-VNNI")
    if seen == 0:
        print("no instruction of VNNI at all: was this built for x86-64, and is it the right library?")
    return 1 if found or seen == 0 else 0


def self_test():
    wide = "  10:\tvpdpbusd %zmm0,%zmm6,%zmm2\n"
    half = "  20:\tvpdpbusd %ymm0,%ymm6,%ymm2\n"
    foreign = "  30:\t{vex} vpdpbusd %ymm0,%ymm4,%ymm1\n"
    assert strangers(["0000 <scan>:", wide, half]) == ({}, 2)
    assert strangers(["0000 <scan>:", wide, "0040 <scan_half>:", foreign, foreign]) == ({"scan_half": 2}, 3)
    with contextlib.redirect_stdout(io.StringIO()):
        assert check(["0000 <scan>:", half]) == 0
        assert check(["0000 <scan>:", half, foreign]) == 1
        assert check(["0000 <scan>:", "  10:\tvpaddd %zmm0,%zmm6,%zmm2\n"]) == 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(self_test() if sys.argv[1] == "--self-test" else check(disassembly(sys.argv[1])))
