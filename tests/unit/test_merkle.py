"""The tree of RFC 9162: published vectors, most of them bad, and our own golden ledger."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trialsite.audit.canonical import canonical
from trialsite.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofInvalid,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

VECTORS = Path(__file__).parents[1] / "vectors"
CASES = json.loads((VECTORS / "merkle.json").read_text(encoding="utf-8"))
LEDGER = json.loads((VECTORS / "ledger.json").read_text(encoding="utf-8"))

# The eight leaves of Certificate Transparency's reference tests.
LEAVES = [
    bytes.fromhex(data)
    for data in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
HASHES = [leaf_hash(data) for data in LEAVES]
LEAF_HASHES = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "0298d122906dcfc10892cb53a73992fc5b9f493ea4c9badb27b791b4127a7fe7",
    "07506a85fd9dd2f120eb694f86011e5bb4662e5c415a62917033d4a9624487e7",
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "4271a26be0d8a84f0bd54c8c302e7cb3a3b5d1fa6780a40bcce2873477dab658",
    "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
    "46f6ffadd3d06a09ff3c5860d2755c8b9819db7df44251788c7d8e3180de8eb1",
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
NODE_2_3 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
NODE_4_7 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
NODE_4_5 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
NODE_6_7 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"


def from_base64(value: str | None) -> bytes:
    return base64.b64decode(value or "")


def a_proof(case: dict[str, Any]) -> list[bytes]:
    return [from_base64(node) for node in case["proof"] or []]


def test_the_leaves_hash_as_published():
    assert [each.hex() for each in HASHES] == LEAF_HASHES
    assert leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    assert base64.b64encode(leaf_hash(b"hello world")) == b"TszzRgjTG6xce+z2AG31kAXYKBgQVtCSCE40HmuwBb0="


def test_a_node_hashes_as_published():
    assert node_hash(b"N123", b"N456").hex() == (
        "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )


@pytest.mark.parametrize("size", range(9))
def test_the_trees_of_every_size_have_the_published_root(size):
    frontier = Frontier()

    for each in HASHES[:size]:
        frontier.append(each)

    assert frontier.root.hex() == root_of(HASHES[:size]).hex() == ROOTS[size]


def test_an_empty_tree_hashes_nothing():
    assert EMPTY_ROOT == root_of([]) == hashlib.sha256(b"").digest()


@pytest.mark.parametrize(
    ("index", "size", "proof"),
    [
        (0, 8, [LEAF_HASHES[1], NODE_2_3, NODE_4_7]),
        (5, 8, [LEAF_HASHES[4], NODE_6_7, ROOTS[4]]),
        (2, 3, [ROOTS[2]]),
        (1, 5, [LEAF_HASHES[0], NODE_2_3, LEAF_HASHES[4]]),
    ],
)
def test_inclusion_proofs_are_the_published_ones(index, size, proof):
    assert [node.hex() for node in inclusion_proof(HASHES[:size], index)] == proof


@pytest.mark.parametrize(
    ("size1", "size2", "proof"),
    [
        (1, 8, [LEAF_HASHES[1], NODE_2_3, NODE_4_7]),
        (6, 8, [NODE_4_5, NODE_6_7, ROOTS[4]]),
        (2, 5, [NODE_2_3, LEAF_HASHES[4]]),
        (6, 7, [NODE_4_5, LEAF_HASHES[6], ROOTS[4]]),
    ],
)
def test_consistency_proofs_are_the_published_ones(size1, size2, proof):
    assert [node.hex() for node in consistency_proof(HASHES[:size2], size1)] == proof


@pytest.mark.parametrize("case", CASES["inclusion"], ids=lambda case: case["case"])
def test_a_published_inclusion_case_is_judged_as_its_makers_do(case):
    arguments = {
        "leaf": from_base64(case["leafHash"]),
        "index": case["leafIdx"],
        "size": case["treeSize"],
        "proof": a_proof(case),
        "root": from_base64(case["root"]),
    }

    if case["wantErr"]:
        with pytest.raises(ProofInvalid):
            verify_inclusion(**arguments)
    else:
        verify_inclusion(**arguments)


@pytest.mark.parametrize("case", CASES["consistency"], ids=lambda case: case["case"])
def test_a_published_consistency_case_is_judged_as_its_makers_do(case):
    arguments = {
        "size1": case["size1"],
        "size2": case["size2"],
        "root1": from_base64(case["root1"]),
        "root2": from_base64(case["root2"]),
        "proof": a_proof(case),
    }

    if case["wantErr"]:
        with pytest.raises(ProofInvalid):
            verify_consistency(**arguments)
    else:
        verify_consistency(**arguments)


def test_the_published_cases_are_all_here():
    assert {kind: len(cases) for kind, cases in CASES.items()} == {"consistency": 98, "inclusion": 98}
    assert sum(not case["wantErr"] for cases in CASES.values() for case in cases) == 12


@pytest.mark.parametrize("size2", [0, 1, 8])
def test_nothing_proves_that_a_tree_grew_from_the_empty_one(size2):
    root = bytes.fromhex(ROOTS[size2])

    with pytest.raises(ProofInvalid):
        verify_consistency(size1=0, size2=size2, root1=EMPTY_ROOT, root2=root, proof=[])
    with pytest.raises(ValueError, match="1 leaf or more"):
        consistency_proof(HASHES[:size2], 0)


@pytest.mark.parametrize("index", [-1, 3, 8])
def test_a_leaf_that_is_not_there_has_no_proof(index):
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_proof(HASHES[:3], index)
    with pytest.raises(ProofInvalid):
        verify_inclusion(leaf=HASHES[0], index=index, size=3, proof=[], root=HASHES[0])


def test_a_tree_does_not_grow_from_a_larger_one():
    with pytest.raises(ValueError, match="1 leaf or more"):
        consistency_proof(HASHES[:3], 4)
    with pytest.raises(ProofInvalid):
        verify_consistency(size1=4, size2=3, root1=HASHES[0], root2=HASHES[0], proof=[])


@given(st.integers(1, 70), st.data())
def test_every_proof_that_is_made_is_accepted_and_of_no_other_leaf(size, data):
    hashes = [leaf_hash(str(i).encode()) for i in range(size)]
    index = data.draw(st.integers(0, size - 1))
    size1 = data.draw(st.integers(1, size))
    root = root_of(hashes)

    inclusion = inclusion_proof(hashes, index)
    consistency = consistency_proof(hashes, size1)

    verify_inclusion(leaf=hashes[index], index=index, size=size, proof=inclusion, root=root)
    verify_consistency(size1=size1, size2=size, root1=root_of(hashes[:size1]), root2=root, proof=consistency)
    with pytest.raises(ProofInvalid):
        verify_inclusion(leaf=leaf_hash(b"other"), index=index, size=size, proof=inclusion, root=root)
    with pytest.raises(ProofInvalid):
        verify_inclusion(leaf=hashes[index], index=index, size=size, proof=[*inclusion, root], root=root)


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_tree_taken_up_where_it_was_left_grows_the_same(before, after):
    hashes = [leaf_hash(str(i).encode()) for i in range(before + after)]
    frontier = Frontier()
    for each in hashes[:before]:
        frontier.append(each)

    taken_up = Frontier(frontier.size, frontier.hashes)
    for each in hashes[before:]:
        taken_up.append(each)

    assert taken_up.size == before + after
    assert taken_up.root == root_of(hashes)


@pytest.mark.parametrize(("size", "count"), [(-1, 0), (0, 1), (3, 1), (4, 2), (7, 2)])
def test_a_frontier_without_one_hash_for_each_full_subtree_is_refused(size, count):
    with pytest.raises(ValueError, match="one hash for each full subtree"):
        Frontier(size, [bytes(32)] * count)


def test_the_golden_ledger_has_its_leaves_roots_and_proofs():
    leaves = [leaf_hash(canonical(entry)) for entry in LEDGER["entries"]]

    assert [leaf.hex() for leaf in leaves] == LEDGER["leaves"]
    assert root_of(leaves[:2]).hex() == LEDGER["root_2"]
    assert root_of(leaves).hex() == LEDGER["root_3"]
    assert consistency_proof(leaves, 2) == [leaves[2]]
    assert consistency_proof(leaves, 1) == [leaves[1], leaves[2]]
    assert inclusion_proof(leaves, 1) == [leaves[0], leaves[2]]
