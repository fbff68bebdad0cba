"""Word vectors from JSON into fvecs files: base and queries, as they are and normalised.

    convert_word_vectors.py VECTORS.json FOLDER NAME [QUERIES]

The JSON has "dimensions", and "vectors": {word: [floats, and more behind them]}, with "words" giving their order. QUERIES words (10,000) are
drawn by a seeded permutation and held out; the others stay in their order. Writes NAME_base, NAME_query, NAME_normalised_base and
NAME_normalised_query with the ending .fvecs: for each vector its dimension (int32), then its floats, little-endian.
"""

import json
import pathlib
import sys

import numpy

SEED = 12345


def write_fvecs(path, rows):
    count, dimension = rows.shape
    framed = numpy.empty((count, dimension + 1), dtype="<f4")
    framed[:, 0] = numpy.frombuffer(numpy.int32(dimension).tobytes(), dtype="<f4")[0]
    framed[:, 1:] = rows
    framed.tofile(path)
    print(f"  {path}: {count} x {dimension}")


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    source, folder, name = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    query_count = int(sys.argv[4]) if len(sys.argv) == 5 else 10_000
    with open(source, encoding="utf-8") as file:
        document = json.load(file)
    dimension = document["dimensions"]
    vectors = document["vectors"]
    rows = numpy.array([vectors[word][:dimension] for word in document["words"] if word in vectors], dtype=numpy.float32)
    norms = numpy.linalg.norm(rows.astype(numpy.float64), axis=1)
    usable = numpy.isfinite(norms) & (norms > 0)
    rows, norms = rows[usable], norms[usable]
    order = numpy.random.RandomState(SEED).permutation(len(rows))
    queries = order[:query_count]
    kept = numpy.ones(len(rows), dtype=bool)
    kept[queries] = False
    normalised = (rows / norms[:, None]).astype(numpy.float32)
    for label, matrix in (("", rows), ("_normalised", normalised)):
        write_fvecs(folder / f"{name}{label}_base.fvecs", matrix[kept])
        write_fvecs(folder / f"{name}{label}_query.fvecs", matrix[queries])


main()
