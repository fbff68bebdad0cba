#!/usr/bin/env bash
# Statement coverage by the tests that are not slow, for each folder of the library.
#   scripts/coverage.sh                a line for each folder
#   scripts/coverage.sh --html DIR     also pages that show the lines
set -euo pipefail
cd "$(dirname "$0")/.."

html=
case "${1:-}" in
  "") ;;
  --html) html=${2:?coverage.sh: --html needs a folder} ;;
  *) echo "coverage.sh: unknown option '$1' (known: --html DIR)" >&2; exit 2 ;;
esac

scripts/setup.sh --sanitizers
cmake --preset coverage
cmake --build --preset coverage --parallel "$(nproc)"
find build/coverage -name '*.gcda' -delete
ctest --test-dir build/coverage --output-on-failure --parallel "$(nproc)" --label-exclude slow

# gcovr FOLDER...: an assertion's failing branch, and what GCC adds for exceptions, are no statements.
measure() {
  local filters=()
  for folder in "$@"; do filters+=(--filter "$folder/"); done
  gcovr --root . "${filters[@]}" --exclude-unreachable-branches build/coverage "${report[@]}"
}
folders=()
for folder in core ring index io shard cache artifact rebalance; do [ -d "$folder" ] && folders+=("$folder"); done

echo
for folder in "${folders[@]}" ; do
  report=(--json-summary)
  measure "$folder" | python3 -c '
import json, sys
total = json.load(sys.stdin)
print("coverage: %-10s %6.1f %% of %d lines" % (sys.argv[1] + "/", total["line_percent"], total["line_total"]))' "$folder"
done
if [ -n "$html" ]; then
  mkdir -p "$html"
  report=(--html-details "$html/index.html")
  measure "${folders[@]}"
  echo "coverage: $html/index.html shows the lines"
fi
