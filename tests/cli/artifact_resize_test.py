#!/usr/bin/env python3
"""Runs `annulus artifact resize` as a shell would, and kills it.

    artifact_resize_test.py PATH_OF_ANNULUS Resize
    artifact_resize_test.py PATH_OF_ANNULUS KillSweep PATH_OF_KILL_SHIM
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
KILL_SHIM = ""


class ArtifactResizeTest(unittest.TestCase):
    artifacts = 24

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="annulus-resize-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.root = os.path.join(self.folder, "store")
        self.contents = {f"models/m{i}": os.urandom(10_000 + i) for i in range(self.artifacts)}
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

    def failed_with_output(self, exit_code, parts, command, *arguments):
        result = self.run_program(command, *arguments)
        self.assertEqual(result.returncode, exit_code, result)
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
        self.assertEqual((report["artifacts"], report["replicas"], report["superseded"]), (len(self.contents), replicas * len(self.contents), 0))
        cluster = self.cluster()
        self.assertEqual([host["id"] for host in cluster["hosts"]], hosts)
        self.assertNotIn("target", cluster)
        self.assertNotIn("former", cluster)
        self.check_contents()


class Resize(ArtifactResizeTest):
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
        self.assertEqual(report["artifacts"], self.artifacts)
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
        self.failed(1, ["under way"], "repair")
        self.failed_with_output(1, ["under way"], "verify")
        self.assertEqual(self.document("resize")["outcome"], "completed")
        self.check_all(["a", "b", "c", "d"])

    def test_one_that_died_while_it_dropped_needs_no_host_of_before(self):
        before = self.cluster()
        self.done("resize", "--remove", "a", "--replicas", "1")
        after = self.cluster()
        with open(os.path.join(self.root, "cluster.json"), "w", encoding="utf-8") as file:
            json.dump({**after, "former": {"replicas": 2, "hosts": before["hosts"]}}, file)
        shutil.rmtree(os.path.join(self.root, "a"))
        report = self.document("resize")
        self.assertEqual((report["outcome"], report["problems"][0]["host"]), ("completed", "a"))
        self.check_all(["b", "c"], replicas=1)

    def test_a_put_that_spans_a_resize_is_where_readers_look(self):
        put = subprocess.Popen([PROGRAM, "artifact", "put", self.root, "models/m5", "-"],
                               stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        put.stdin.write(b"new ")
        put.stdin.flush()
        while not any(".part" in file for _, _, files in os.walk(self.root) for file in files):
            time.sleep(0.01)  # for the put to have begun
        resize = subprocess.Popen([PROGRAM, "artifact", "resize", self.root, "--remove", "a", "--add", "d"], stdout=subprocess.DEVNULL)
        put.stdin.write(b"content")
        put.stdin.close()
        self.assertEqual((put.wait(), resize.wait()), (0, 0))
        self.contents["models/m5"] = b"new content"
        self.check_all(["b", "c", "d"])

    def test_a_host_that_joins_must_be_empty(self):
        shutil.copytree(os.path.join(self.root, "b"), os.path.join(self.folder, "old"))
        self.done("resize", "--remove", "b")
        self.done("rm", "models/m1")
        del self.contents["models/m1"]
        self.done("repair")
        shutil.rmtree(os.path.join(self.root, "b"))
        shutil.move(os.path.join(self.folder, "old"), os.path.join(self.root, "b"))
        self.failed(1, ["'b'", "empty its folder"], "resize", "--add", "b")
        self.check_all(["a", "c"])
        shutil.rmtree(os.path.join(self.root, "b"))
        self.done("resize", "--add", "b")
        self.check_all(["a", "c", "b"])

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
        self.failed(1, ["'a'", "already"], "resize", "--add", "a")
        self.failed(1, ["'a'", "already"], "resize", "--remove", "a", "--add", "a=" + os.path.join(self.folder, "other"))
        self.assertFalse(os.path.exists(os.path.join(self.folder, "other")))
        self.check_all(["a", "b", "c"])


class KillSweep(ArtifactResizeTest):
    artifacts = 6

    def test_a_resize_that_is_killed_before_any_change_of_the_disk_loses_nothing_and_goes_on(self):
        change = ("--add", "d", "--remove", "b")
        prepared = self.root + ".prepared"
        shutil.copytree(self.root, prepared)
        states = set()
        for step in range(1, 1000):
            shutil.rmtree(self.root)
            shutil.copytree(prepared, self.root)
            with self.subTest(step=step):
                environment = {**os.environ, "LD_PRELOAD": KILL_SHIM, "ANNULUS_TEST_KILL_AT": str(step)}
                result = self.run_program("resize", *change, env=environment)
                cluster = self.cluster()
                state = "target" if "target" in cluster else "former" if "former" in cluster else "none"
                states.add((state, len(cluster["hosts"]), any(host["id"] == "d" for host in cluster["hosts"])))
                self.check_contents()
                if result.returncode == 0:
                    self.check_all(["a", "c", "d"])
                    break
                self.assertEqual(result.returncode, -signal.SIGKILL, result)
                if state != "none":
                    self.done("resize")
                elif cluster["hosts"][1]["id"] == "b":
                    self.done("resize", *change)
                self.check_all(["a", "c", "d"])
                self.assertEqual(list(self.names_on("b")), [])
        self.assertGreater(step, 30)
        self.assertEqual({state for state, _, _ in states}, {"target", "former", "none"})

    def names_on(self, host):
        for _, _, files in os.walk(os.path.join(self.root, host, "artifacts")):
            yield from files


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv.pop(1))
    if len(sys.argv) > 2:
        KILL_SHIM = os.path.abspath(sys.argv.pop(2))
    unittest.main()
