#!/usr/bin/env bash
# Installs what is needed, builds the program, and runs `annulus demo` with the arguments given.
#   scripts/demo.sh [--shards 4] [--replicas 2] [--json]
set -euo pipefail
cd "$(dirname "$0")/.."

# Progress goes to stderr: stdout is the demo's alone.
scripts/setup.sh >&2
echo "demo: building build/bench/annulus" >&2
cmake --preset bench >&2
cmake --build --preset bench --target annulus_program >&2
exec build/bench/annulus demo "$@"
