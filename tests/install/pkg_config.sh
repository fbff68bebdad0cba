#!/bin/sh
# pkg_config.sh PREFIX LIBDIR COMPILER SOURCE OUT [FLAG...]: builds SOURCE with what pkg-config says, and runs it.
set -eu
prefix=$1 libdir=$2 compiler=$3 source=$4 out=$5
shift 5
PKG_CONFIG_PATH="$prefix/$libdir/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
export PKG_CONFIG_PATH
# shellcheck disable=SC2046  # the flags are words
"$compiler" "$@" "$source" -o "$out" $(pkg-config --cflags --libs annulus)
"$out"
