#!/usr/bin/env python3
"""Runs `annulus artifact` as a shell would, over folders of a test's own.

    artifact_test.py PATH_OF_ANNULUS
"""
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

PROGRAM = ""


class ArtifactTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="annulus-artifact-test-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.root = os.path.join(self.folder, "store")
        self.content = os.urandom(5 << 20)
        self.file = os.path.join(self.folder, "file")
        with open(self.file, "wb") as file:
            file.write(self.content)

    def run_program(self, command, *arguments, **options):
        return subprocess.run([PROGRAM, "artifact", command, self.root, *arguments], capture_output=True, timeout=120, check=False,
                              cwd=self.folder, **options)

    def done(self, command, *arguments, **options):
        result = self.run_program(command, *arguments, **options)
        self.assertEqual(result.returncode, 0, result)
        return result

    def document(self, command, *arguments, **options):
        return json.loads(self.done(command, *arguments, "--json", **options).stdout)  # fails on anything around the document

    def failed(self, exit_code, parts, command, *arguments, **options):
        result = self.run_program(command, *arguments, **options)
        self.assertEqual(result.returncode, exit_code, result)
        self.assertRegex(result.stderr, rb"\Aannulus: [^\n]+\n\Z")
        for part in parts:
            self.assertIn(part, result.stderr.decode())
        return result

    def init(self):
        return self.document("init", "--host", "a:1:east", "--host", "b::west", "--host", "c:0.5", "--replicas", "2")

    def files_of(self, host, name, suffix):
        return glob.glob(os.path.join(self.root, host, "artifacts", name, "*" + suffix))

    def test_help_is_no_error(self):
        for command in ("init", "put", "get", "ls", "rm", "verify", "repair"):
            result = subprocess.run([PROGRAM, "artifact", command, "--help"], capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual((result.returncode, result.stderr), (0, ""))
            self.assertIn("ROOT", result.stdout)

    def test_a_store_keeps_what_is_put(self):
        made = self.init()
        self.assertEqual([host["id"] for host in made["hosts"]], ["a", "b", "c"])
        put = self.document("put", "llama/lora-7", self.file)
        self.assertEqual(put["bytes"], len(self.content))
        self.assertEqual(put["sha256"], hashlib.sha256(self.content).hexdigest())
        self.assertEqual(len(put["replicas"]), 2)
        self.assertEqual(put["missed"], [])
        got = self.document("get", "llama/lora-7")  # to the last part of its name
        self.assertEqual(got["file"], "lora-7")
        self.assertEqual((got["healed"], got["problems"]), ([], []))
        with open(os.path.join(self.folder, "lora-7"), "rb") as file:
            self.assertTrue(file.read() == self.content)
        self.assertTrue(self.done("get", "llama/lora-7", "-").stdout == self.content)

    def test_standard_input_is_a_file_too(self):
        self.init()
        self.assertEqual(self.document("put", "note", "-", input=b"hello")["bytes"], 5)
        self.assertEqual(self.done("get", "note", "-").stdout, b"hello")
        self.document("put", "note", "-", input=b"")
        self.assertEqual(self.done("get", "note", "-").stdout, b"")

    def test_lists_and_erases(self):
        self.init()
        for name in ("m/a", "m/b", "n"):
            self.done("put", name, self.file)
        self.assertEqual([entry["name"] for entry in self.document("ls")["artifacts"]], ["m/a", "m/b", "n"])
        self.assertEqual([entry["name"] for entry in self.document("ls", "m/")["artifacts"]], ["m/a", "m/b"])
        table = self.done("ls").stdout
        self.assertIn(b"5.24 MB", table)
        self.assertNotIn(b"\x1b", table)
        self.assertEqual([entry["name"] for entry in self.document("rm", "m/a", "n")["erased"]], ["m/a", "n"])
        self.assertEqual([entry["name"] for entry in self.document("ls")["artifacts"]], ["m/b"])
        self.failed(1, ["'m/a'", "erased"], "get", "m/a")
        self.failed(1, ["'never'"], "rm", "never")
        self.assertEqual(self.document("repair")["removed"], 4)
        self.assertEqual(self.done("ls", "none").stdout, b"no artifacts\n")

    def test_damage_is_found_and_repaired(self):
        self.init()
        primary, second = self.document("put", "x", self.file)["replicas"]
        self.assertEqual(self.document("verify")["replicas"], 2)
        for host in (primary, second):
            with open(self.files_of(host, "x", ".blob")[0], "r+b") as blob:
                blob.seek(1000)
                byte = blob.read(1)[0]
                blob.seek(1000)
                blob.write(bytes([byte ^ 1]))
            result = self.failed(1, ["1 replica damaged", "annulus artifact repair " + self.root], "verify", "--json")
            report = json.loads(result.stdout)
            self.assertEqual((report["damaged"], report["lost"]), (1, 0))
            self.assertEqual([(found["name"], found["host"]) for found in report["findings"]], [("x", host)])
            self.assertIn(b"damaged", self.run_program("verify").stdout)
            self.assertEqual(self.document("repair")["healed"], 1)
            self.assertTrue(self.document("verify")["damaged"] == 0)
        os.remove(self.files_of(primary, "x", ".manifest")[0])
        self.assertEqual(self.document("get", "x", "out")["healed"], [primary])
        for host in (primary, second):
            os.truncate(self.files_of(host, "x", ".blob")[0], 10)
        self.failed(1, ["no whole replica"], "get", "x", "other")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "other")))
        self.failed(1, ["1 artifact lost"], "repair")

    def test_a_host_out_of_reach_is_named_and_the_others_serve(self):
        self.init()
        gone, left = self.document("put", "x", self.file)["replicas"]
        os.rename(os.path.join(self.root, gone), os.path.join(self.folder, "away"))
        got = self.run_program("get", "x", "out", "--json")
        self.assertEqual(got.returncode, 0)
        self.assertIn(f"host '{gone}'".encode(), got.stderr)
        self.assertEqual([problem["host"] for problem in json.loads(got.stdout)["problems"]], [gone])
        self.assertEqual(json.loads(got.stdout)["host"], left)
        self.failed(1, ["host"], "verify")
        os.mkdir(os.path.join(self.root, gone))  # a disk that is not mounted
        self.assertEqual([entry["name"] for entry in self.document("ls")["artifacts"]], ["x"])
        put = json.loads(self.run_program("put", "x", "-", "--json", input=b"new").stdout)
        self.assertEqual((put["replicas"], put["missed"][0]["host"]), ([left], gone))
        os.rmdir(os.path.join(self.root, gone))
        os.rename(os.path.join(self.folder, "away"), os.path.join(self.root, gone))
        repaired = self.document("repair")
        self.assertEqual((repaired["healed"], repaired["removed"]), (1, 2), "the old version on both")
        self.assertEqual(self.document("verify")["replicas"], 2)
        self.assertEqual(self.done("get", "x", "-").stdout, b"new")

    def test_hosts_may_be_elsewhere_and_a_store_is_made_once(self):
        elsewhere = os.path.join(self.folder, "else", "where")
        self.document("init", "--host", "a/b=" + elsewhere, "--replicas", "1")
        self.done("put", "x", self.file)
        self.assertTrue(os.path.exists(os.path.join(elsewhere, "@host.json")))
        self.failed(1, ["cluster.json"], "init", "--host", "a")
        os.remove(os.path.join(self.root, "cluster.json"))
        self.failed(1, ["a/b"], "init", "--host", "z=" + elsewhere)
        self.document("init", "--host", "a/b=" + elsewhere, "--replicas", "1")  # as it was
        self.assertTrue(self.done("get", "x", "-").stdout == self.content)

    def test_wrong_usage_exits_2_and_bad_names_1(self):
        for arguments in (["init"], ["init", "--host", "a:heavy"], ["init", "--host", "../a"], ["init", "--host", "a/b"],
                          ["init", "--host", "a="], ["init", "--host", "a", "--replicas", "0"], ["put", "x"], ["rm"], ["wheel"]):
            self.failed(2, ["annulus artifact"], *arguments)
        self.failed(1, ["cluster.json", "annulus artifact init"], "ls")
        self.failed(1, ["'a'"], "init", "--host", "a", "--host", "a")
        self.init()
        for name in ("../x", "/x", "a//b", "@x"):
            self.failed(1, ["no name of an artifact"], "put", name, self.file)
        self.failed(1, ["nowhere"], "put", "x", "nowhere")
        self.failed(1, ["'none'"], "get", "none")
        self.failed(2, ["--json"], "get", "x", "-", "--json")
        with open(os.path.join(self.root, "cluster.json"), "w", encoding="utf-8") as file:
            file.write("{}")
        self.failed(1, ["cluster.json", "damaged"], "ls")

    def test_the_benchmark_prints_its_rows(self):
        result = subprocess.run([PROGRAM, "bench", "artifact", "--mib", "2", "--repetitions", "1", "--replicas", "2", "--folder", self.folder,
                                 "--json"], capture_output=True, text=True, timeout=120, check=False)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        document = json.loads(result.stdout)
        self.assertIn("cpu", document["context"])
        rows = {row["method"]: row for row in document["rows"]}
        self.assertEqual(list(rows), ["cp+sha256sum", "cp+fsync+sha256sum", "put_file", "get_file", "get", "sha256sum"])
        for name in ("put_file", "get_file", "get"):
            for field in ("seconds", "seconds_range", "mib_per_second", "ratio_to_baseline", "peak_bytes", "growth_bytes"):
                self.assertIn(field, rows[name])
        self.assertEqual(os.listdir(self.folder), ["file"], "it removes what it made")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
