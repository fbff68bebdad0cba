#!/usr/bin/env bash
# Installs what is needed, builds everything and runs the tests.
#   scripts/test.sh                 every test, on the release preset
#   scripts/test.sh -L unit         arguments go to ctest
#   scripts/test.sh --sanitizers    then also the unit tests under ASan and UBSan, and the concurrent ones under TSan
set -euo pipefail
cd "$(dirname "$0")/.."

sanitizers=no
arguments=()
for argument in "$@"; do
  case "$argument" in
    --sanitizers) sanitizers=yes ;;
    *) arguments+=("$argument") ;;
  esac
done
jobs=$(nproc)

# run PRESET TARGET CTEST-ARGUMENT...
run() {
  local preset=$1 target=$2
  shift 2
  echo
  echo "test: building build/$preset"
  cmake --preset "$preset"
  cmake --build --preset "$preset" --parallel "$jobs" --target "$target"
  echo
  echo "test: running the tests of build/$preset: ctest $*"
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error --parallel "$jobs" "$@"
}

if [ $sanitizers = yes ]; then
  scripts/setup.sh --sanitizers
else
  scripts/setup.sh
fi
run release all "${arguments[@]}"
if [ $sanitizers = yes ]; then
  run dev all -L unit
  run tsan concurrent_tests -L concurrent
fi
