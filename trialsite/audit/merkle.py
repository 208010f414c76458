"""
The Merkle tree of RFC 9162 (section 2.1), as of RFC 6962 before it.

``leaf = SHA-256(0x00 || data)``, ``node = SHA-256(0x01 || left || right)``, and the empty tree's root
is the hash of nothing. The audit trail is one such tree and so is the randomization list.

The verify functions return nothing and raise ``ProofInvalid``: an answer that could be ignored would
be. But for the leaf they do not ask how long a hash is; whoever reads hashes from outside does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


class ProofInvalid(ValueError):
    """The proof does not show what it was asked to show."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node; the prefix keeps it from ever being a leaf's."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """
    A growing tree kept as the roots of its full subtrees: O(log n) hashes, largest subtree first.

    The database function that appends to the trail keeps the same array.
    """

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """
        Take up a tree where it was left.

        :raises ValueError: if ``hashes`` is not one for each full subtree of ``size`` leaves.
        """
        self._size = size
        self._hashes = list(hashes)
        if size < 0 or len(self._hashes) != size.bit_count():
            raise ValueError("a frontier has one hash for each full subtree")

    @property
    def size(self) -> int:
        """Return the number of leaves."""
        return self._size

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Return the roots of the full subtrees, largest first."""
        return tuple(self._hashes)

    @property
    def root(self) -> bytes:
        """Return the root of the whole tree."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            root = node_hash(left, root)
        return root

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash on the right."""
        size = self._size
        while size & 1:
            leaf = node_hash(self._hashes.pop(), leaf)
            size >>= 1
        self._hashes.append(leaf)
        self._size += 1


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root of a tree, reading its leaf hashes once."""
    frontier = Frontier()
    for leaf in leaf_hashes:
        frontier.append(leaf)
    return frontier.root


def inclusion_proof(leaf_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """
    Return the proof that leaf ``index`` is in the tree (RFC 9162, 2.1.3.1), lowest node first.

    :raises ValueError: if there is no such leaf.
    """
    if not 0 <= index < len(leaf_hashes):
        raise ValueError("there is no such leaf")
    proof = []
    while len(leaf_hashes) > 1:
        split = _split(len(leaf_hashes))
        left, right = leaf_hashes[:split], leaf_hashes[split:]
        if index < split:
            proof.append(root_of(right))
            leaf_hashes = left
        else:
            proof.append(root_of(left))
            leaf_hashes, index = right, index - split
    return proof[::-1]


def consistency_proof(leaf_hashes: Sequence[bytes], size1: int) -> list[bytes]:
    """
    Return the proof that the tree of the first ``size1`` leaves grew into this one (RFC 9162, 2.1.4.1).

    :raises ValueError: if ``size1`` is 0, which nothing proves, or larger than the tree.
    """
    if not 0 < size1 <= len(leaf_hashes):
        raise ValueError("a consistency proof starts from 1 leaf or more of the same tree")
    proof = []
    whole = True
    while size1 != len(leaf_hashes):
        split = _split(len(leaf_hashes))
        left, right = leaf_hashes[:split], leaf_hashes[split:]
        if size1 <= split:
            proof.append(root_of(right))
            leaf_hashes = left
        else:
            proof.append(root_of(left))
            leaf_hashes, size1 = right, size1 - split
            whole = False
    # Where the old tree is one full subtree, the verifier has its root already.
    if not whole:
        proof.append(root_of(leaf_hashes))
    return proof[::-1]


def _split(size: int) -> int:
    """Return the largest power of two smaller than ``size``."""
    return 1 << (size - 1).bit_length() - 1


def verify_inclusion(*, leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """
    Check that a leaf hash stands at ``index`` in the tree of ``size`` leaves (RFC 9162, 2.1.3.2).

    :raises ProofInvalid: if the proof does not show it.
    """
    if not 0 <= index < size:
        raise ProofInvalid("the index lies outside the tree")
    if len(leaf) != len(EMPTY_ROOT):
        raise ProofInvalid("the leaf is not a hash")
    if _root_above(leaf, index=index, size=size, proof=proof) != root:
        raise ProofInvalid("the leaf is not in the tree with this root")


def _root_above(leaf: bytes, *, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """Return the root that the proof's nodes lead to."""
    fn, sn, computed = index, size - 1, leaf
    for sibling in proof:
        if sn == 0:
            raise ProofInvalid("the proof is too long")
        if fn & 1 or fn == sn:
            computed = node_hash(sibling, computed)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            computed = node_hash(computed, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise ProofInvalid("the proof is too short")
    return computed


def verify_consistency(*, size1: int, size2: int, root1: bytes, root2: bytes, proof: Sequence[bytes]) -> None:
    """
    Check that the tree of ``size2`` leaves has that of ``size1`` as its beginning (RFC 9162, 2.1.4.2).

    Every tree begins with the empty one, so ``size1 = 0`` proves nothing and is refused even where
    sizes and roots match; a caller who knows an empty tree deals with it before.

    :raises ProofInvalid: if the proof does not show it.
    """
    if not 0 < size1 <= size2:
        raise ProofInvalid("the sizes are not those of a tree and its beginning")
    if size1 == size2:
        if proof or root1 != root2:
            raise ProofInvalid("two trees of one size are one tree and need no proof")
        return
    nodes = list(proof)
    if size1.bit_count() == 1:
        nodes.insert(0, root1)
    if not nodes:
        raise ProofInvalid("the proof is too short")
    if _climb(nodes, size1=size1, size2=size2) != (root1, root2):
        raise ProofInvalid("the later tree does not begin with the earlier one")


def _climb(nodes: list[bytes], *, size1: int, size2: int) -> tuple[bytes, bytes]:
    """Return the two roots that the nodes lead to."""
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if sn == 0:
            raise ProofInvalid("the proof is too long")
        if fn & 1 or fn == sn:
            old, new = node_hash(node, old), node_hash(node, new)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            new = node_hash(new, node)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise ProofInvalid("the proof is too short")
    return old, new
