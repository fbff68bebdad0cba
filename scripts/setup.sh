#!/usr/bin/env bash
# Installs what Annulus needs from Debian's packages, and says what it installs.
#   scripts/setup.sh               what building, testing and running needs
#   scripts/setup.sh --sanitizers  also what the tsan and fuzz presets and the coverage report need
set -euo pipefail

packages=(
  build-essential cmake ninja-build pkg-config python3
  libxxhash-dev libeigen3-dev          # ring; vectors in the public API
  libfaiss-dev libopenblas-pthread-dev # index
  libhwy-dev robin-map-dev # SIMD kernels; id map
  libhiredis-dev libssl-dev nlohmann-json3-dev # cache nodes on Redis; content hashes and manifests of artifacts
  libfmt-dev libcli11-dev # program
  libgtest-dev libgmock-dev libbenchmark-dev python3-xxhash # tests and benchmarks
  redis-server # tests and benchmarks start servers of their own
)
case "${1:-}" in
  "") ;;
  --sanitizers) packages+=(clang libclang-rt-14-dev libomp-dev gcovr clang-format clang-tidy) ;;
  *) echo "setup.sh: unknown option '$1' (known: --sanitizers)" >&2; exit 2 ;;
esac

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "setup: all ${#packages[@]} packages are installed"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "setup.sh: needs root to install: ${missing[*]}; run it as root, or install sudo" >&2
    exit 1
  }
  as_root=(sudo)
fi
echo "setup: installing ${missing[*]}"
"${as_root[@]}" apt-get update -qq
# RUNLEVEL=1: Debian's redis-server is not started as a service where that can be told (without systemd); nothing here uses it
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "setup: done"
