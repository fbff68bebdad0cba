"""`annulus ring` and `annulus bench ring`: what their JSON says. Arguments: the program, then tests/golden/ring_v1.json."""

import json
import subprocess
import sys
import unittest

PROGRAM = GOLDEN = ""


def annulus(*arguments):
    result = subprocess.run([PROGRAM, *arguments, "--json"], capture_output=True, timeout=300, check=True)
    return json.loads(result.stdout)


class RingProgram(unittest.TestCase):
    def test_a_join_of_a_thousand_nodes_has_no_excess(self):
        diff = annulus("ring", "diff", "--nodes", "1000", "--vnodes", "160", "--add", "joiner", "--replicas", "3")
        self.assertEqual(diff["excess_fraction"], 0)
        self.assertEqual(diff["moved_fraction"], diff["lower_bound_fraction"])
        self.assertAlmostEqual(diff["ideal_fraction"], 1 / 1001)
        self.assertGreater(diff["arcs"], 300)
        gained = {node["id"]: node["gained"] for node in diff["nodes"] if node["gained"] > 0}
        self.assertEqual(gained, {"joiner": diff["moved_fraction"]})
        self.assertEqual(len(diff["nodes"]), 1001)

    def test_a_diff_takes_joins_leaves_and_weights_together(self):
        diff = annulus("ring", "diff", "--nodes", "4", "--node", "big:3", "--add", "new:2", "--remove", "node-1", "--weight", "big=1")
        changed = {node["id"]: (node["gained"] > 0, node["lost"] > 0) for node in diff["nodes"]}
        self.assertEqual(changed["new"], (True, False))
        self.assertEqual(changed["node-1"], (False, True))
        self.assertEqual(diff["excess_fraction"], 0)
        self.assertAlmostEqual(sum(n["gained"] for n in diff["nodes"]), sum(n["lost"] for n in diff["nodes"]))

    def test_stats_say_what_the_ring_is(self):
        stats = annulus("ring", "stats", "--node", "a:2:east", "--node", "b", "--node", "c::west", "--vnodes", "100", "--replicas", "2")
        self.assertEqual([(n["id"], n["weight"], n["zone"], n["tokens"]) for n in stats["nodes"]],
                         [("a", 2, "east", 200), ("b", 1, "", 100), ("c", 1, "west", 100)])
        self.assertAlmostEqual(sum(n["share"] for n in stats["nodes"]), 1)
        self.assertEqual((stats["tokens"], stats["replicas"], stats["exact"]), (400, 2, True))
        self.assertLessEqual(annulus("ring", "stats", "--nodes", "100")["bytes_per_token"], 16)
        self.assertEqual(annulus("ring", "stats", "--nodes", "3", "--probes", "2")["exact"], False)

    def test_lookup_finds_the_replicas_of_the_golden_ring(self):
        with open(GOLDEN, encoding="utf-8") as file:
            golden = json.load(file)
        ring = next(r for r in golden["rings"] if r["name"] == "plain")
        ids = [node["id"] for node in ring["nodes"]]
        nodes = [argument for id in ids for argument in ("--node", id)]
        keys = {bytes.fromhex(k["bytes"]).decode(): (k["token"], replicas)
                for k, replicas in zip(golden["keys"], ring["replicas"]) if bytes.fromhex(k["bytes"]).isalnum()}
        answer = annulus("ring", "lookup", *nodes, "--vnodes", "16", "--replicas", "4", *keys)["keys"]
        self.assertEqual({row["key"]: (row["token"], [ids.index(id) for id in row["replicas"]]) for row in answer}, keys)
        self.assertGreater(len(keys), 5)

    def test_lookup_states_both_shortfalls(self):
        row = annulus("ring", "lookup", "--node", "a::z", "--node", "b::z", "--replicas", "3", "key")["keys"][0]
        self.assertEqual((len(row["replicas"]), row["node_shortfall"], row["zone_shortfall"]), (2, 1, 1))

    def test_the_benchmark_prints_its_context_and_a_row_for_each_method(self):
        document = annulus("bench", "ring", "--nodes", "20", "--vnodes", "16", "--repetitions", "1")
        self.assertLessEqual({"commit", "compiler", "flags", "cpu", "instruction_set", "threads", "faiss_version"},
                             set(document["context"]))
        rows = {row["method"]: row for row in document["rows"]}
        for method in ("lower_bound", "annulus", "annulus_batch"):
            self.assertGreater(rows[method]["ns_per_lookup"], 0)
            self.assertGreater(rows[method]["ratio_to_lower_bound"], 0)
        for method in ("rebuild", "add", "remove", "set_weight", "clone", "diff", "replica_table"):
            self.assertGreater(rows[method]["ns_per_call"], 0)
        self.assertEqual(rows["diff"]["excess_fraction"], 0)
        self.assertEqual(rows["memory"]["tokens"], 320)


if __name__ == "__main__":
    GOLDEN = sys.argv.pop()
    PROGRAM = sys.argv.pop()
    unittest.main()
