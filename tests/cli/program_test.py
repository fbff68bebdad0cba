#!/usr/bin/env python3
"""Runs the program as a shell would: exit codes, one-line errors, one JSON document.

    program_test.py PATH_OF_ANNULUS
"""
import json
import os
import subprocess
import sys
import unittest

PROGRAM = ""


def annulus(*arguments, **options):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=False, **options)


class ProgramTest(unittest.TestCase):
    def assert_error(self, result, exit_code, *parts):
        self.assertEqual(result.returncode, exit_code, result)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, r"\Aannulus: [^\n]+\n\Z")
        for part in parts:
            self.assertIn(part, result.stderr)

    def test_help_and_version_are_no_errors(self):
        for arguments in (["--help"], ["ring", "--help"], ["ring", "stats", "--help"], ["bench", "ring", "--help"]):
            result = annulus(*arguments)
            self.assertEqual((result.returncode, result.stderr), (0, ""), arguments)
            self.assertIn("Usage: annulus", result.stdout)
        self.assertRegex(annulus("--version").stdout, r"\Aannulus \d+\.\d+\.\d+\n\Z")

    def test_wrong_usage_exits_2_and_names_the_help_of_the_command(self):
        self.assert_error(annulus(), 2, "; see annulus --help\n")
        self.assert_error(annulus("wheel"), 2, "wheel", "; see annulus --help\n")
        self.assert_error(annulus("ring"), 2, "; see annulus ring --help\n")
        self.assert_error(annulus("ring", "stats", "--nodes", "2", "--wheel"), 2, "--wheel", "; see annulus ring stats --help\n")
        self.assert_error(annulus("ring", "stats", "--nodes", "many"), 2, "many", "; see annulus ring stats --help\n")
        self.assert_error(annulus("bench"), 2, "; see annulus bench --help\n")

    def test_a_failure_at_run_time_exits_1_and_says_why(self):
        self.assert_error(annulus("ring", "lookup", "--node", "a", "--node", "a", "key"), 1, "a")

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full here")
    def test_a_full_disk_behind_stdout_is_a_failure(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            result = subprocess.run([PROGRAM, "ring", "stats", "--nodes", "2", "--json"], stdout=full, stderr=subprocess.PIPE,
                                    text=True, timeout=120, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"\Aannulus: [^\n]*standard output[^\n]*\n\Z")

    def test_json_is_one_document_and_nothing_else(self):
        commands = {
            ("ring", "stats", "--nodes", "3"): ["nodes", "tokens", "peak_to_average", "stddev", "theory_stddev", "fingerprint"],
            ("ring", "diff", "--node", "a", "--node", "b", "--add", "c"): ["moved_fraction", "lower_bound_fraction", "arcs"],
            ("ring", "lookup", "--node", "a", "--node", "b", "key"): ["keys"],
        }
        for arguments, fields in commands.items():
            result = annulus(*arguments, "--json")
            self.assertEqual((result.returncode, result.stderr), (0, ""), arguments)
            document = json.loads(result.stdout)  # fails on anything around the document
            for field in fields:
                self.assertIn(field, document)

    def test_keys_that_are_not_utf_8_are_shown_escaped(self):
        result = subprocess.run([PROGRAM, "ring", "lookup", "--node", "a", "--json", b"\xff-key"], capture_output=True, timeout=120,
                                check=False)
        self.assertEqual(json.loads(result.stdout)["keys"][0]["key"], "\\xff-key")

    def test_tables_carry_no_escape_codes_when_piped(self):
        result = annulus("ring", "stats", "--nodes", "3")
        self.assertEqual(result.returncode, 0)
        self.assertNotIn("\x1b", result.stdout)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
