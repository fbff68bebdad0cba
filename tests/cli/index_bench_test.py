#!/usr/bin/env python3
"""Runs `annulus bench index` on a small set: every figure has its rows, and a row has what bench/README.md says.

    index_bench_test.py PATH_OF_ANNULUS
"""
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = ""
ROWS_OF = {"hnsw_single": 1, "hnsw_build": 1, "shards_single": 2, "shards_batch": 2, "one_shard_batch": 2, "sharding_tax": 3,
           "replicas": 1, "erased": 2, "beside_upserts": 4, "bulk_erase": 5, "filters": 24, "memory": 7}


def bench(*arguments, environment=None):
    return subprocess.run([PROGRAM, "bench", "index", "--quick", *arguments], capture_output=True, text=True, timeout=300, check=False,
                          env=os.environ | (environment or {}))


def rows_of(*arguments):
    result = bench("--json", *arguments)
    assert result.returncode == 0, result
    return json.loads(result.stdout)


def write_fvecs(path, rows):
    with open(path, "wb") as file:
        for row in rows:
            file.write(struct.pack(f"<i{len(row)}f", len(row), *row))


class IndexBenchTest(unittest.TestCase):
    def test_every_figure_has_its_rows_with_measured_values(self):
        document = rows_of("--synthetic", "2000x16", "--lists", "16")
        for field in ("commit", "compiler", "flags", "cpu", "faiss_version", "simd"):
            self.assertIn(field, document["context"])
        self.assertEqual(document["context"]["data_set"]["rows"], 2000)
        self.assertEqual(document["context"]["data_set"]["dimension"], 16)
        counts = {}
        for row in document["rows"]:
            counts[row["figure"]] = counts.get(row["figure"], 0) + 1
            if "upserts_per_second" not in row or "HNSW" in row["engine"]:  # upserts to lists have no target
                self.assertIsInstance(row["met"], bool, row)
                self.assertTrue({"target", "target_at_most", "target_rows_per_second"} & row.keys(), row)
            if row["figure"] != "memory":
                self.assertIn("engine", row["baseline"], row)
            if "qps" in row:
                self.assertGreater(row["qps"], 0)
                self.assertGreater(row["baseline"]["qps"], 0)
            if "recall_at_10" in row:
                if row["figure"] != "filters":  # how well those do is for the index's tests
                    self.assertGreater(row["recall_at_10"], 0.8, row)
                self.assertLessEqual(row["recall_at_10"], 1, row)
        self.assertEqual(counts, ROWS_OF)
        scans = [row["baseline"]["scan_recall_at_10"] for row in document["rows"]
                 if "scan_recall_at_10" in row.get("baseline", {})]
        self.assertGreater(len(scans), 0)
        self.assertEqual(set(scans), {1})

    def test_a_row_is_met_only_if_its_recall_is(self):
        for row in rows_of("--synthetic", "2000x16", "--lists", "16", "--only", "shards_batch,filters")["rows"]:
            if row["met"]:
                self.assertGreaterEqual(row["recall_at_10"], row["target_recall"], row)

    def test_a_table_lines_up_for_people(self):
        result = bench("--synthetic", "1000x8", "--lists", "8", "--only", "hnsw_single,replicas")
        self.assertEqual((result.returncode, result.stderr), (0, ""), result)
        lines = result.stdout.splitlines()
        self.assertRegex(lines[0], r"figure.*ratio +target +met")
        self.assertEqual(len([line for line in lines if "hnsw_single" in line or "replicas" in line]), 2)
        self.assertIn("1000 x 8", lines[-1])

    def test_files_are_read_and_what_takes_long_is_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            base, queries, cache = (os.path.join(folder, name) for name in ("base.fvecs", "queries.fvecs", "cache"))
            rows = [[(i * 37 % 101) / 101 + 0.01, (i * 53 % 89) / 89, (i * 71 % 97) / 97, (i % 7) / 7] for i in range(600)]
            write_fvecs(base, rows[:580])
            write_fvecs(queries, rows[580:])
            arguments = ("--base", base, "--queries", queries, "--metric", "l2", "--cache", cache, "--only", "hnsw_single")
            first = rows_of(*arguments)
            kept = {name: os.stat(os.path.join(cache, name)).st_mtime_ns for name in os.listdir(cache)}
            self.assertEqual({name.split("-")[0] for name in kept}, {"answers", "hnsw16"})
            second = rows_of(*arguments)
            self.assertEqual({name: os.stat(os.path.join(cache, name)).st_mtime_ns for name in os.listdir(cache)}, kept)
            self.assertEqual(first["rows"][0]["baseline"]["recall_at_10"], second["rows"][0]["baseline"]["recall_at_10"])
            self.assertEqual(first["context"]["data_set"], {"name": "base.fvecs", "rows": 580, "dimension": 4, "queries": 20, "metric": "l2"})

    def test_wrong_arguments_say_what_is_right(self):
        result = bench("--only", "speed")
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"\Aannulus: [^\n]*speed[^\n]*hnsw_single[^\n]*\n\Z")
        for size in ("many", "100", "0x8", "8x0", "-100x8", "100x8x9", "1e3x8", "100x8 "):
            result = bench("--synthetic", size)
            self.assertEqual(result.returncode, 2, size)
            self.assertRegex(result.stderr, r"\Aannulus: [^\n]*1000000x128[^\n]*\n\Z")
        self.assertEqual(bench("--synthetic", "1000x8", "--rows", "500").returncode, 2)
        self.assertEqual(bench("--synthetic", "1000x8", "--metric", "ip").returncode, 2)
        result = bench("--only", "memory", environment={"ANNULUS_SIMD": "avx1024"})
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"\Aannulus: [^\n]*avx1024[^\n]*baseline[^\n]*\n\Z")
        self.assertEqual(bench("--base", "somewhere").returncode, 2)


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
