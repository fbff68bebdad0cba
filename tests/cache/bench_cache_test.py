#!/usr/bin/env python3
"""Runs `annulus bench cache` with tiny sizes and looks at what it prints; no times are judged.

    bench_cache_test.py PATH_OF_ANNULUS
"""
import json
import subprocess
import sys
import unittest

PROGRAM = ""
TINY = ["--items", "1000", "--value-bytes", "16", "--operations", "2000", "--repetitions", "2", "--nodes", "3", "--no-redis"]


def bench_cache(*arguments):
    return subprocess.run([PROGRAM, "bench", "cache", *arguments], capture_output=True, text=True, timeout=120, check=False)


class BenchCacheTest(unittest.TestCase):
    def test_json_has_the_fields_of_the_page(self):
        result = bench_cache(*TINY, "--threads", "1,2", "--json")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        document = json.loads(result.stdout)
        self.assertIn("compiler", document["context"])
        rows = document["rows"]
        memory = [row for row in rows if "engine" in row]
        self.assertEqual([(row["method"], row["engine"], row["threads"]) for row in memory],
                         [(method, engine, threads) for threads in (1, 2) for method in ("get", "put")
                          for engine in ("unordered_map_and_list", "annulus")])
        for row in memory:
            self.assertEqual(row["value_bytes"], 16)
            least, greatest = row["per_second_range"]
            self.assertTrue(0 < least <= row["per_second"] <= greatest, row)
            self.assertEqual("ratio_to_baseline" in row, row["engine"] == "annulus")
            if row["method"] == "get":
                self.assertAlmostEqual(row["hit_rate"], 0.9, delta=0.05)
        routed = [row for row in rows if "ns_overhead" in row]
        self.assertEqual([row["method"] for row in routed], ["routed_get", "routed_put"])
        for row in routed:
            self.assertEqual((row["nodes"], row["replicas"]), (3, 1))
            self.assertGreater(row["ns_bare_node"], 0)
            self.assertGreater(row["ns_per_call"], 0)
        self.assertEqual(len(rows), len(memory) + len(routed))

    def test_the_table_names_both_engines(self):
        result = bench_cache(*TINY, "--threads", "1")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for part in ("unordered_map_and_list", "annulus", "routed_get", "x the baseline"):
            self.assertIn(part, result.stdout)

    def test_bad_options_are_wrong_usage(self):
        for arguments in (["--threads", "0"], ["--threads", "1,0"], ["--threads", "many"], ["--items", "999"], ["--value-bytes", "0"],
                          ["--repetitions", "0"], ["--operations", "0"], ["--nodes", "0"]):
            result = bench_cache(*arguments)
            self.assertEqual((result.returncode, result.stdout), (2, ""), arguments)
            self.assertIn(arguments[0], result.stderr)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
