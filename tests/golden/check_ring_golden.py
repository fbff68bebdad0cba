#!/usr/bin/python3
"""Recomputes everything in ring_v1.json from the definition alone, with Debian's python3-xxhash and none of our code.

What a token is, who owns it, which replicas a key has, and what a saved ring's bytes are: docs/formats/ring.md.
Prints nothing and exits 0 if the file is right; says what differs and exits 1 if not.
"""

import bisect
import json
import math
import struct
import sys

import xxhash

MASK = 2**64 - 1


def virtual_node_token(version, node_id, i, seed, bits):
    data = struct.pack("<II", version, len(node_id)) + node_id + struct.pack("<I", i)
    return xxhash.xxh3_64_intdigest(data, seed=seed) >> (64 - bits) << (64 - bits)


def token_count(weight, per_weight):
    return max(1, math.floor(weight * per_weight + 0.5))


def probes_of(token, count):
    return [token] + [xxhash.xxh3_64_intdigest(struct.pack("<Q", token), seed=j) for j in range(1, count)]


def replicas(tokens, owners, zones, probes, r):
    nearest = {}
    for probe in probes:
        start = bisect.bisect_left(tokens, probe)
        for step in range(len(tokens)):
            at = (start + step) % len(tokens)
            distance = (tokens[at] - probe) & MASK
            nearest[owners[at]] = min(distance, nearest.get(owners[at], MASK))
    first_of_zones, others, used = [], [], set()
    for node in sorted(nearest, key=lambda n: (nearest[n], n)):
        zone = zones[node] or ("no zone", node)
        (others if zone in used else first_of_zones).append(node)
        used.add(zone)
    return (first_of_zones + others)[:r]


def saved_bytes(version, ring, tokens, owners):
    nodes = ring["nodes"]
    payload = struct.pack("<IIII", version, ring["virtual_nodes_per_weight"], ring["probes"], ring["token_bits"])
    payload += struct.pack("<QI", int(ring["seed"]), len(nodes))
    for node in nodes:
        for_id, for_zone = node["id"].encode(), node["zone"].encode()
        payload += struct.pack("<I", len(for_id)) + for_id + struct.pack("<d", node["weight"])
        payload += struct.pack("<I", len(for_zone)) + for_zone
    fingerprint = xxhash.xxh3_64_intdigest(payload)
    placed = b"".join(struct.pack("<QI", t, o) for t, o in zip(tokens, owners))
    payload += struct.pack("<Q", xxhash.xxh3_64_intdigest(placed))
    head = b"ANNULUS\x1a" + struct.pack("<IIQ", 1, 1, len(payload))
    inner = xxhash.xxh3_128_intdigest(payload)
    checksum = xxhash.xxh3_128_intdigest(head + struct.pack("<QQ", inner & MASK, inner >> 64))
    return fingerprint, head + struct.pack("<QQ", checksum & MASK, checksum >> 64) + payload


def check(golden):
    def expect(what, ours, theirs):
        if ours != theirs:
            raise SystemExit(f"{what}: the file says {theirs!r}, the definition gives {ours!r}")

    version = golden["placement_version"]
    key_tokens = []
    for key in golden["keys"]:
        key_tokens.append(xxhash.xxh3_64_intdigest(bytes.fromhex(key["bytes"])))
        expect(f"token of key {key['bytes']}", str(key_tokens[-1]), key["token"])
    for ring in golden["rings"]:
        name = ring["name"]
        nodes = ring["nodes"]
        expect(f"{name}: order of nodes", sorted(n["id"].encode() for n in nodes), [n["id"].encode() for n in nodes])
        placed = sorted(
            (virtual_node_token(version, node["id"].encode(), i, int(ring["seed"]), ring["token_bits"]), index)
            for index, node in enumerate(nodes)
            for i in range(token_count(node["weight"], ring["virtual_nodes_per_weight"]))
        )
        tokens, owners = [t for t, _ in placed], [o for _, o in placed]
        expect(f"{name}: tokens", [str(t) for t in tokens], ring["tokens"])
        expect(f"{name}: owners", owners, ring["owners"])
        zones = [node["zone"] for node in nodes]
        for token, listed in zip(key_tokens, ring["replicas"], strict=True):
            expect(f"{name}: replicas of {token}", replicas(tokens, owners, zones, probes_of(token, ring["probes"]), 4), listed)
        fingerprint, data = saved_bytes(version, ring, tokens, owners)
        expect(f"{name}: fingerprint", str(fingerprint), ring["fingerprint"])
        expect(f"{name}: bytes", data.hex(), ring["bytes"])
    expect("rings", len(golden["rings"]) >= 4, True)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        check(json.load(file))
