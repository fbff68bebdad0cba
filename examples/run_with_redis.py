#!/usr/bin/env python3
"""Runs the example of a response cache against a redis-server of its own: the second run finds what the first one has put.

    run_with_redis.py build/.../example_response_cache
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"AUTH s3cret\r\nPING\r\n")
            return connection.recv(64).startswith(b"+OK")
    except OSError:
        return False


def expect(program, url, last_line):
    result = subprocess.run([program, url], capture_output=True, text=True, timeout=60)
    if result.returncode != 0 or result.stdout.splitlines()[-1] != last_line:
        sys.exit(f"expected '{last_line}', got {result.returncode}, {result.stdout!r}, {result.stderr!r}")


def main():
    (program,) = sys.argv[1:]
    server = shutil.which("redis-server", path="/usr/bin:" + (os.environ.get("PATH", "")))
    if server is None:
        sys.exit("there is no redis-server; scripts/setup.sh installs it")
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(20):  # another program may take the port meanwhile
            port = free_port()
            arguments = [server, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--requirepass", "s3cret"]
            process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
            try:
                while process.poll() is None and not answers(port):
                    time.sleep(0.01)
                if process.poll() is not None:
                    continue
                expect(program, f"redis://:s3cret@127.0.0.1:{port}", "2 calls of the model for 3 questions: 1 hits, 2 misses")
                expect(program, f"redis://:s3cret@127.0.0.1:{port}", "0 calls of the model for 3 questions: 3 hits, 0 misses")
                refused = subprocess.run([program, f"redis://:wrong@127.0.0.1:{port}"], capture_output=True, text=True, timeout=60)
                if refused.returncode != 1 or "password" not in refused.stderr or "wrong" in refused.stderr:
                    sys.exit(f"a wrong password: got {refused.returncode}, {refused.stderr!r}")
                return
            finally:
                process.kill()
                process.wait()
        sys.exit("redis-server does not start")


if __name__ == "__main__":
    main()
