#!/usr/bin/env python3
"""Runs `annulus artifact resize` as a shell would, and kills it.

    artifact_resize_test.py PATH_OF_ANNULUS
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = ""
ARTIFACTS = 24


class ArtifactResizeTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="annulus-resize-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.root = os.path.join(self.folder, "store")
        self.contents = {f"models/m{i}": os.urandom(10_000 + i) for i in range(ARTIFACTS)}
        self.done("init", "--host", "a", "--host", "b", "--host", "c")
        for name, content in self.contents.items():
            self.done("put", name, "-", input=content)

    def run_program(self, command, *arguments, **options):
        return subprocess.run([PROGRAM, "artifact", command, self.root, *arguments], capture_output=True, timeout=120, check=False,
                              **options)

    def done(self, command, *arguments, **options):
        result = self.run_program(command, *arguments, **options)
        self.assertEqual(result.returncode, 0, result)
        return result

    def document(self, command, *arguments):
        return json.loads(self.done(command, *arguments, "--json").stdout)

    def failed(self, exit_code, parts, command, *arguments):
        result = self.run_program(command, *arguments)
        self.assertEqual((result.returncode, result.stdout), (exit_code, b""), result)
        self.assertRegex(result.stderr, rb"\Aannulus: [^\n]+\n\Z")
        for part in parts:
            self.assertIn(part, result.stderr.decode())

    def cluster(self):
        with open(os.path.join(self.root, "cluster.json"), encoding="utf-8") as file:
            return json.load(file)

    def check_contents(self):
        for name, content in self.contents.items():
            self.assertEqual(self.done("get", name, "-").stdout, content, name)

    def check_all(self, hosts, replicas=2):
        report = self.document("verify")
        self.assertEqual((report["artifacts"], report["replicas"], report["superseded"]), (ARTIFACTS, replicas * ARTIFACTS, 0))
        cluster = self.cluster()
        self.assertEqual([host["id"] for host in cluster["hosts"]], hosts)
        self.assertNotIn("target", cluster)
        self.assertNotIn("former", cluster)
        self.check_contents()

    def start_slowly(self, *arguments):
        """A resize that will take minutes, once it has copied something."""
        process = subprocess.Popen([PROGRAM, "artifact", "resize", self.root, *arguments, "--max-rate", "2KB"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.kill)
        blobs = os.path.join(self.root, "d", "artifacts")
        while not any(file.endswith(".manifest") for _, _, files in os.walk(blobs) for file in files):
            self.assertIsNone(process.poll())
            time.sleep(0.01)  # for a process of its own: there is nothing else to wait for
        return process

    def test_a_host_joins_and_one_leaves(self):
        report = self.document("resize", "--add", "d:2:west")
        self.assertEqual((report["outcome"], report["stage"], report["lost"]), ("completed", "none", 0))
        self.assertEqual(report["artifacts"], ARTIFACTS)
        self.assertGreater(report["moved"], 0)
        self.assertEqual(report["moved"], report["lower_bound"])
        self.assertEqual(report["moved"], report["verified"])
        self.assertEqual(report["moved"], report["dropped"])
        self.check_all(["a", "b", "c", "d"])
        self.assertEqual(self.cluster()["hosts"][3], {"id": "d", "weight": 2.0, "zone": "west", "folder": "d"})
        report = self.document("resize", "--remove", "a", "--weight", "d=1", "--replicas", "3")
        self.assertEqual(report["outcome"], "completed")
        self.check_all(["b", "c", "d"], replicas=3)
        self.assertIn(b"minimum", self.done("resize", "--replicas", "1").stdout)
        self.check_all(["b", "c", "d"], replicas=1)

    def test_one_that_is_killed_goes_on_or_is_taken_back(self):
        process = self.start_slowly("--add", "d", "--remove", "b")
        self.failed(1, ["another process"], "resize", "--replicas", "1")
        self.contents["models/m3"] = b"put meanwhile, by another process"
        self.done("put", "models/m3", "-", input=self.contents["models/m3"])
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertIn("target", self.cluster())
        self.check_contents()
        self.failed(1, ["under way", "--abort"], "resize", "--replicas", "1")
        report = self.document("resize")
        self.assertEqual(report["outcome"], "completed")
        self.assertGreater(report["already_there"], 0)
        self.check_all(["a", "c", "d"])

    def test_one_that_is_killed_is_taken_back(self):
        process = self.start_slowly("--add", "d")
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.assertEqual(self.document("resize", "--abort")["outcome"], "aborted")
        self.check_all(["a", "b", "c"])
        self.failed(1, ["no resize"], "resize", "--abort")

    def test_one_that_died_while_it_dropped_goes_on(self):
        before = self.cluster()
        self.done("resize", "--add", "d")
        after = self.cluster()
        # What a process leaves that dies when the new hosts serve and the old copies are there still.
        for name in self.contents:
            shutil.copytree(os.path.join(self.root, "d", "artifacts"), os.path.join(self.root, "a", "artifacts"), dirs_exist_ok=True)
        with open(os.path.join(self.root, "cluster.json"), "w", encoding="utf-8") as file:
            json.dump({**after, "former": {"replicas": 2, "hosts": before["hosts"]}}, file)
        self.check_contents()
        self.failed(1, ["too late"], "resize", "--abort")
        self.assertEqual(self.document("resize")["outcome"], "completed")
        self.done("repair")
        self.check_all(["a", "b", "c", "d"])

    def test_a_host_that_is_gone_can_be_removed(self):
        shutil.rmtree(os.path.join(self.root, "b"))
        report = self.document("resize", "--remove", "b", "--add", "d")
        self.assertEqual(report["outcome"], "completed")
        self.check_all(["a", "c", "d"])

    def test_one_that_cannot_go_on_says_what_it_waits_for(self):
        self.done("resize", "--replicas", "1")
        shutil.move(os.path.join(self.root, "b"), os.path.join(self.folder, "b"))
        self.failed(1, ["b", "To go on"], "resize", "--remove", "b")
        shutil.move(os.path.join(self.folder, "b"), os.path.join(self.root, "b"))
        self.assertEqual(self.document("resize")["outcome"], "completed")
        self.check_all(["a", "c"], replicas=1)

    def test_wrong_usage(self):
        self.failed(2, ["nothing to change"], "resize")
        self.failed(1, ["no host 'x'"], "resize", "--remove", "x")
        self.failed(2, ["ID=WEIGHT"], "resize", "--weight", "a")
        self.failed(2, ["no host would be left"], "resize", "--remove", "a", "--remove", "b", "--remove", "c")
        self.failed(1, ["'a'"], "resize", "--add", "a")
        self.check_all(["a", "b", "c"])


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    unittest.main()
