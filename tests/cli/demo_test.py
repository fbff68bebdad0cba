#!/usr/bin/env python3
"""Runs `annulus demo` and judges what it reports.

    demo_test.py PATH_OF_ANNULUS DefaultDemo|OtherDemos
"""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = ""
RECALL_TOLERANCE = 0.01


def demo(*arguments, **options):
    return subprocess.run([PROGRAM, "demo", *arguments], capture_output=True, text=True, timeout=500, check=False, **options)


class DemoTest(unittest.TestCase):
    def document(self, *arguments):
        result = demo(*arguments, "--json")
        self.assertEqual((result.returncode, result.stderr), (0, ""), arguments)
        return json.loads(result.stdout)  # fails on anything around the document

    def check_resize(self, resize, document):
        copies = document["replicas"] * document["keys"]
        self.assertEqual(resize["outcome"], "completed")
        self.assertGreater(resize["verified"], 0)
        self.assertEqual((resize["lost"], resize["duplicated"]), (0, 0))
        # A live write that brings a key to its new owner first leaves less to copy. One that comes after the count, more.
        writes = (resize["load"]["writes"] + 1) * document["replicas"] / copies
        self.assertAlmostEqual(resize["moved_fraction"], resize["lower_bound_fraction"], delta=0.001 + writes)
        self.assertAlmostEqual(resize["moved_fraction"], resize["moved"] / copies, delta=0.05)
        # 256 virtual nodes a shard spread by about a sixteenth.
        self.assertAlmostEqual(resize["lower_bound_fraction"], resize["ideal_fraction"], delta=0.25 * resize["ideal_fraction"])
        self.assertAlmostEqual(resize["planned_fraction"], resize["lower_bound_fraction"], delta=0.02)
        self.assertGreaterEqual(resize["recall_at_10"], document["recall_at_10"] - RECALL_TOLERANCE)
        self.assertGreater(resize["seconds"], 0)
        for counted in ("incomplete", "wrong", "stale"):
            self.assertEqual(resize["load"][counted], 0, counted)
        self.assertEqual(sum(node["copied_in"] for node in resize["nodes"]), resize["moved"])
        self.check_proof(resize["proof"], document)

    def check_proof(self, proof, document):
        self.assertTrue(proof["ok"])
        self.assertEqual(proof["copies"], proof["keys"] * document["replicas"])
        self.assertGreater(proof["arcs"], 0)
        for counted in ("arcs_differing", "strangers", "missing", "wrong", "resurrected"):
            self.assertEqual(proof[counted], 0, counted)

    def check_cache(self, document):
        self.assertEqual(document["cache"]["entries"], document["keys"])
        changes = [resize["change"] for resize in document["resizes"]]
        self.assertEqual([resize["change"] for resize in document["cache"]["resizes"]], changes)
        for resize, ideal in zip(document["cache"]["resizes"], [resize["ideal_fraction"] for resize in document["resizes"]]):
            self.assertEqual((resize["hit_rate"], resize["hit_rate_without_warm_up"], resize["wrong"]), (1, 0, 0))
            self.assertEqual((resize["moved"], resize["lower_bound"], resize["dropped"]), (resize["changed"],) * 3)
            self.assertAlmostEqual(resize["changed"] / document["keys"], ideal, delta=0.25 * ideal)

    def check_artifacts(self, document):
        artifacts = document["artifacts"]
        copies = artifacts["artifacts"] * document["replicas"]
        self.assertEqual(artifacts["replicas"], document["replicas"])
        self.assertEqual(artifacts["bytes"], 4 * document["dimension"] * document["keys"])
        for resize in artifacts["resizes"]:
            self.assertEqual((resize["outcome"], resize["lost"], resize["proof"]["ok"]), ("completed", 0, True))
            self.assertEqual((resize["moved"], resize["moved"]), (resize["lower_bound"], resize["verified"]))
            self.assertGreater(resize["moved"], 0)
            self.assertEqual(resize["proof"]["replicas"], copies)
        if document["replicas"] > 1:
            self.assertEqual((artifacts["damaged"]["healed"], artifacts["damaged"]["proof"]["ok"]), (True, True))

    def check_document(self, document, shards=4, replicas=2, keys=10000):
        self.assertEqual((document["ok"], document["problems"]), (True, []))
        self.assertEqual((document["keys"], document["shards"], document["replicas"]), (keys, shards, replicas))
        self.assertGreater(document["recall_at_10"], 0.9)
        join, leave = document["resizes"]
        self.assertEqual((join["change"], leave["change"]), (f"shard-{shards + 1} joins", "shard-2 leaves"))
        self.assertAlmostEqual(join["ideal_fraction"], 1 / (shards + 1), places=6)
        self.assertAlmostEqual(leave["ideal_fraction"], 1 / (shards + 1), places=6)
        for resize in (join, leave):
            self.check_resize(resize, document)
        # Only the shard that joins takes, and only the shard that leaves is emptied.
        self.assertEqual({node["id"] for node in join["nodes"] if node["copied_in"] > 0}, {f"shard-{shards + 1}"})
        self.assertEqual({node["id"] for node in leave["nodes"] if node["dropped"] > 0}, {"shard-2"})
        self.check_cache(document)
        self.check_artifacts(document)
        down = document["shard_down"]
        self.assertTrue(down["back"])
        self.check_proof(down["proof"], document)
        if replicas > 1:
            self.assertEqual(down["coverage"], 1)
            self.assertGreaterEqual(down["recall_at_10"], document["recall_at_10"] - RECALL_TOLERANCE)
            self.assertGreater(down["writes"], 0)
            self.assertGreater(down["copied"], 0)
        self.assertGreaterEqual(down["recall_at_10_after"], document["recall_at_10"] - RECALL_TOLERANCE)


class DefaultDemo(DemoTest):
    def test_nothing_is_lost_doubled_or_incomplete_while_the_cluster_changes_under_load(self):
        document = self.document()
        self.check_document(document)
        for resize in document["resizes"]:
            self.assertGreater(resize["load"]["searches"], 0)
            self.assertGreater(resize["load"]["writes"], 0)


class OtherDemos(DemoTest):
    def test_exact_indexes_have_a_recall_of_1_and_answer_the_same_with_a_shard_down(self):
        document = self.document("--index", "Flat", "--shards", "3")
        self.check_document(document, shards=3)
        recalls = [document["recall_at_10"], document["shard_down"]["recall_at_10"], document["shard_down"]["recall_at_10_after"]]
        recalls += [resize["recall_at_10"] for resize in document["resizes"]]
        self.assertEqual(set(recalls), {1})
        self.assertEqual(document["shard_down"]["equal_answers"], document["queries"])

    def test_with_one_replica_answers_say_that_they_are_partial(self):
        document = self.document("--index", "IVF64,Flat", "--replicas", "1")
        self.check_document(document, replicas=1)
        down = document["shard_down"]
        self.assertAlmostEqual(down["coverage"], 0.75, delta=0.1)
        self.assertAlmostEqual(down["recall_at_10"], down["coverage"] * document["recall_at_10"], delta=0.1)
        self.assertEqual(down["writes"], 0)

    def test_people_get_lines_of_100_columns_without_escape_codes_when_piped(self):
        result = demo("--index", "Flat", "--shards", "12", "--replicas", "3")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertNotIn("\x1b", result.stdout)
        self.assertNotIn("✗", result.stdout)
        for line in result.stdout.replace(PROGRAM, "annulus").splitlines():
            self.assertLessEqual(len(line), 100, line)
            self.assertEqual(line, line.rstrip(), "trailing spaces")
        for part in ("shard-13 joins", "shard-2 leaves", "shard-1 goes down", "Summary"):
            self.assertIn(part, result.stdout)

    def check_error(self, result, exit_code, *parts):
        self.assertEqual((result.returncode, result.stdout), (exit_code, ""))
        self.assertRegex(result.stderr, r"\Aannulus: [^\n]+\n\Z")
        for part in parts:
            self.assertIn(part, result.stderr)

    def test_wrong_usage_exits_2(self):
        self.check_error(demo("--shards", "1"), 2, "--shards", "annulus demo --help")
        self.check_error(demo("--shards", "2", "--replicas", "3"), 2, "--replicas 3", "--shards 2")
        self.check_error(demo("--index", "Flatt"), 2, "Flatt", "HNSW<M>")
        self.check_error(demo("--index", "HNSW16,SQ8"), 2, "HNSW16,SQ8", "approximate")

    def test_data_that_cannot_be_used_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            self.check_error(demo("--data", folder), 1, folder, "words.fbin", "--data DIR")

            def write(words, rows):
                with open(os.path.join(folder, "words.txt"), "w", encoding="utf-8") as file:
                    file.write("".join(word + "\n" for word in words))
                with open(os.path.join(folder, "words.fbin"), "wb") as file:
                    file.write(struct.pack("<II", len(rows), 2))
                    for row in rows:
                        file.write(struct.pack("<2f", *row))

            words = [f"w{i}" for i in range(600)]
            rows = [(math.cos(i), math.sin(i)) for i in range(600)]
            write(words, rows)
            self.check_document(self.document("--data", folder, "--index", "Flat"), keys=600)
            write(words[:-1], rows)
            self.check_error(demo("--data", folder), 1, folder, "599", "600")
            write(words[:10], rows[:10])
            self.check_error(demo("--data", folder), 1, "10 words")
            write(words[:-1] + ["w7"], rows)
            self.check_error(demo("--data", folder), 1, "'w7'", "twice")
            write(words, rows[:-1] + [(0.0, 0.0)])
            self.check_error(demo("--data", folder), 1, "'w599'", "zero")

    def test_the_data_is_found_from_any_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            result = demo("--index", "Flat", "--json", cwd=folder)
        self.assertEqual(result.returncode, 0, result.stderr)


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
