"""Sealing and opening arms and the seed: what comes back, what is refused, and what lengths tell."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from trialsite import sealing
from trialsite.keyfiles import KeyFileError, write_key_file
from trialsite.opening import (
    FileKeys,
    IntegrityFailure,
    OpeningFailed,
    open_pairwise,
    open_pairwise_inner,
    open_pairwise_outer,
    open_slot,
)
from trialsite.sealing import PublicKey, PublicKeys, PublicKeysError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "primitives.json").read_text(encoding="utf-8"))
NOON = dt.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)
ROOT = hashlib.sha256(b"a list").digest()
PLACE: dict[str, Any] = {"study": "NCT04293692", "stratum": "age=18-59", "slot": 7, "root": ROOT}
SALT = bytes(range(32))
KIDS = ("code-break-1", "auditor-1", "safety-desk-1", "release-1", "release-2", "release-3")


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> FileKeys:
    folder = tmp_path_factory.mktemp("keys")
    for kid in KIDS:
        write_key_file(folder / kid, "x25519", kid, secrets.token_bytes(32), NOON)
    write_key_file(folder / "log-1", "ed25519", "log-1", secrets.token_bytes(32), NOON)
    return FileKeys([folder / kid for kid in (*KIDS, "log-1")])


def the_public_key(keys: FileKeys, kid: str) -> PublicKey:
    return PublicKey(kid=kid, alg="x25519", raw=keys.public(kid))


def a_leaf_hash(*, arm: int, salt: bytes = SALT, slot: int = 7) -> bytes:
    leaf = sealing.slot_leaf(study=PLACE["study"], stratum=PLACE["stratum"], slot=slot, arm=arm, salt=salt)
    return hashlib.sha256(b"\0" + leaf).digest()


def a_slot(keys: FileKeys, *, arm: int = 1, kid: str = "code-break-1", **place: Any) -> bytes:
    return sealing.seal_slot(the_public_key(keys, kid), arm=arm, salt=SALT, **{**PLACE, **place})


def opened(
    keys: FileKeys, envelope: bytes, *, leaf_hash: bytes, kid: str = "code-break-1", **place: Any
) -> int:
    return open_slot(keys, kid, envelope, leaf_hash=leaf_hash, **{**PLACE, **place})


# The primitives below, by their published answers.


@pytest.mark.parametrize("case", VECTORS["hpke"]["cases"], ids=lambda case: case["aead"])
def test_hpke_opens_what_the_rfc_sealed(case):
    # A private function of the package, which may move: its public one takes no associated data.
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, getattr(hpke.AEAD, case["aead"]))
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(case["secret"]))

    plaintext = hpke.rust_openssl.hpke._decrypt_with_aad(
        suite,
        bytes.fromhex(case["enc"] + case["ct"]),
        private,
        info=bytes.fromhex(VECTORS["hpke"]["info"]),
        aad=bytes.fromhex(VECTORS["hpke"]["aad"]),
    )

    assert plaintext.hex() == VECTORS["hpke"]["plaintext"]


def test_hkdf_is_that_of_rfc_5869():
    case = VECTORS["hkdf"]

    okm = HKDF(
        algorithm=SHA256(),
        length=case["length"],
        salt=bytes.fromhex(case["salt"]),
        info=bytes.fromhex(case["info"]),
    ).derive(bytes.fromhex(case["ikm"]))

    assert okm.hex() == case["okm"]


# One slot.


@pytest.mark.parametrize("arm", [0, 1])
def test_a_slot_opens_to_the_arm_that_the_list_committed_to(keys, arm):
    envelope = a_slot(keys, arm=arm)

    assert opened(keys, envelope, leaf_hash=a_leaf_hash(arm=arm)) == arm


@pytest.mark.requirement(50, 55)
@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 1), st.text(st.characters(exclude_categories=["Cs"]), max_size=40), st.integers(0, 10**6)
)
def test_every_slot_envelope_has_96_bytes(arm, stratum, slot):
    public = PublicKey("code-break-1", "x25519", X25519PrivateKey.generate().public_key().public_bytes_raw())

    envelope = sealing.seal_slot(
        public,
        arm=arm,
        salt=secrets.token_bytes(32),
        study="NCT04293692",
        stratum=stratum,
        slot=slot,
        root=ROOT,
    )

    assert len(envelope) == 96


@pytest.mark.requirement(55)
def test_the_same_arm_sealed_twice_shares_nothing(keys):
    first, second = a_slot(keys), a_slot(keys)

    assert first[:32] != second[:32]
    assert first[32:] != second[32:]


def test_the_bytes_that_bind_a_slot_are_frozen():
    info = sealing.slot_info(kid="code-break-1", **PLACE)

    assert info == (
        b'irt/slot/v1|{"kid":"code-break-1","root":"' + ROOT.hex().encode() + b'","slot":7,'
        b'"stratum":"age=18-59","study":"NCT04293692"}'
    )


def test_a_leaf_is_the_golden_one():
    leaf = sealing.slot_leaf(
        study="NCT04293692",
        stratum="site=01|sev=mild",
        slot=0,
        arm=0,
        salt=bytes.fromhex("a02352367b874c5e3ad9d430ee85f8847b11a1d80e50e52a0e1bd066dcb25999"),
    )

    assert hashlib.sha256(b"\0" + leaf).hexdigest() == (
        "9ec2716689421000801c876f15a2b7b0b48649a2f6298b2f4dac7c6335cd943c"
    )


@pytest.mark.parametrize(
    "moved", [{"slot": 8}, {"stratum": "age=60-75"}, {"study": "NCT00000000"}, {"root": bytes(32)}]
)
def test_an_envelope_moved_to_another_place_is_refused(keys, moved):
    envelope = a_slot(keys)

    with pytest.raises(OpeningFailed):
        opened(keys, envelope, leaf_hash=a_leaf_hash(arm=1), **moved)


def test_an_envelope_under_another_key_id_is_refused(tmp_path):
    secret = secrets.token_bytes(32)
    for kid in ("code-break-1", "code-break-2"):
        write_key_file(tmp_path / kid, "x25519", kid, secret, NOON)
    keys = FileKeys([tmp_path / "code-break-1", tmp_path / "code-break-2"])

    with pytest.raises(OpeningFailed):
        opened(keys, a_slot(keys), leaf_hash=a_leaf_hash(arm=1), kid="code-break-2")


def test_another_key_opens_no_slot(keys):
    with pytest.raises(OpeningFailed):
        opened(keys, a_slot(keys, kid="auditor-1"), leaf_hash=a_leaf_hash(arm=1))
    with pytest.raises(OpeningFailed):
        opened(keys, a_slot(keys), leaf_hash=a_leaf_hash(arm=1), kid="log-1")
    with pytest.raises(OpeningFailed):
        opened(keys, a_slot(keys), leaf_hash=a_leaf_hash(arm=1), kid="nobody-1")


@pytest.mark.parametrize("forged", [{"arm": 0}, {"salt": bytes(32)}])
def test_an_envelope_that_anyone_made_with_the_public_key_is_refused_by_its_leaf(keys, forged):
    # The cipher accepts it: what it holds is not what was committed to.
    envelope = sealing.seal_slot(
        the_public_key(keys, "code-break-1"), **{"arm": 1, "salt": SALT, **forged}, **PLACE
    )

    with pytest.raises(IntegrityFailure) as failure:
        opened(keys, envelope, leaf_hash=a_leaf_hash(arm=1))

    assert not any(character.isdigit() for character in str(failure.value))


@pytest.mark.parametrize("swapped", [0, 31, 32, 60, 80, 95])
def test_one_changed_bit_of_an_envelope_is_refused(keys, swapped):
    envelope = bytearray(a_slot(keys))
    envelope[swapped] ^= 1

    with pytest.raises(OpeningFailed):
        opened(keys, bytes(envelope), leaf_hash=a_leaf_hash(arm=1))


@pytest.mark.parametrize("envelope", [b"", b"\0" * 31, b"\0" * 47, b"\0" * 95, b"\0" * 96, b"\0" * 97])
def test_what_is_no_envelope_is_refused(keys, envelope):
    with pytest.raises(OpeningFailed):
        opened(keys, envelope, leaf_hash=a_leaf_hash(arm=1))


@pytest.mark.parametrize(
    "plaintext",
    [
        b"\x02\x01" + SALT + bytes(14),
        b"\x01\x02" + SALT + bytes(14),
        b"\x01\x01" + SALT + bytes(13) + b"\x01",
        b"\x01\x01" + SALT + b"\x01" + bytes(13),
    ],
)
def test_an_envelope_with_another_content_is_an_integrity_failure(keys, plaintext):
    info = sealing.slot_info(kid="code-break-1", **PLACE)
    envelope = sealing.seal(the_public_key(keys, "code-break-1"), plaintext, info=info)

    with pytest.raises(IntegrityFailure):
        opened(keys, envelope, leaf_hash=a_leaf_hash(arm=1))


@pytest.mark.parametrize(("arm", "salt"), [(26, SALT), (-1, SALT), (0, SALT[:31]), (1, b"")])
def test_only_arms_that_have_a_letter_and_a_whole_salt_are_sealed(keys, arm, salt):
    with pytest.raises(ValueError, match="0 to 25"):
        sealing.seal_slot(the_public_key(keys, "code-break-1"), arm=arm, salt=salt, **PLACE)
    with pytest.raises(ValueError, match="root"):
        a_slot(keys, root=b"short")


@pytest.mark.requirement(55)
def test_a_failure_to_open_tells_nothing_of_the_cipher_below(keys):
    with pytest.raises(OpeningFailed) as failure:
        opened(keys, a_slot(keys, slot=8), leaf_hash=a_leaf_hash(arm=1))

    assert failure.value.__cause__ is None
    assert failure.value.__suppress_context__


# Two of three.

SEED = bytes(range(32))
OFFICERS = ("release-1", "release-2", "release-3")


def the_blobs(keys: FileKeys) -> dict[str, bytes]:
    return sealing.seal_pairwise(SEED, [the_public_key(keys, kid) for kid in OFFICERS], info=b"seed")


@pytest.mark.parametrize("pair", ["1+2", "1+3", "2+3"])
def test_any_two_officers_open_the_seed(keys, pair):
    first, second = (f"release-{number}" for number in pair.split("+"))

    blob = the_blobs(keys)[pair]

    assert len(blob) == 128
    assert open_pairwise(blob, (keys, first), (keys, second), b"seed") == SEED


def test_two_officers_open_the_seed_in_turn_at_their_own_desks(keys):
    inner = open_pairwise_outer(the_blobs(keys)["1+3"], (keys, "release-3"), b"seed")

    assert SEED not in inner
    assert open_pairwise_inner(inner, (keys, "release-1"), b"seed") == SEED


def test_no_officer_opens_the_seed_alone_or_in_another_pair(keys):
    for pair, blob in the_blobs(keys).items():
        right = tuple(f"release-{number}" for number in pair.split("+"))
        for first, second in itertools.product(OFFICERS, repeat=2):
            if (first, second) != right:
                with pytest.raises(OpeningFailed):
                    open_pairwise(blob, (keys, first), (keys, second), b"seed")


def test_the_seed_of_another_list_does_not_open(keys):
    with pytest.raises(OpeningFailed):
        open_pairwise(the_blobs(keys)["1+2"], (keys, "release-1"), (keys, "release-2"), b"other")


def test_pairwise_sealing_needs_three_different_officers(keys):
    officers = [the_public_key(keys, kid) for kid in OFFICERS]

    for chosen in (officers[:2], [*officers, officers[0]], [officers[0], officers[0], officers[1]]):
        with pytest.raises(ValueError, match="three different"):
            sealing.seal_pairwise(SEED, chosen, info=b"seed")


# Keys.


def test_a_key_provider_tells_of_its_keys_and_shows_none(keys):
    description = keys.describe("log-1")

    assert (description.kid, description.alg, description.state) == ("log-1", "ed25519", "active")
    assert description.created == NOON.replace(microsecond=0)
    assert len(keys.sign("log-1", b"text")) == 64
    assert keys.kids == (*KIDS, "log-1")
    for call in (
        lambda: keys.describe("nobody"),
        lambda: keys.public("nobody"),
        lambda: keys.sign("auditor-1", b""),
    ):
        with pytest.raises(OpeningFailed):
            call()


def test_a_key_provider_takes_key_pairs_only_and_each_id_once(tmp_path):
    write_key_file(tmp_path / "identity", "hmac-sha256", "identity-1", SALT, NOON)
    write_key_file(tmp_path / "log", "ed25519", "log-1", SALT, NOON)

    with pytest.raises(KeyFileError, match="no key pair"):
        FileKeys([tmp_path / "identity"])
    with pytest.raises(KeyFileError, match="twice"):
        FileKeys([tmp_path / "log", tmp_path / "log"])


def test_a_key_provider_refuses_a_key_that_others_may_read(tmp_path):
    write_key_file(tmp_path / "log", "ed25519", "log-1", SALT, NOON)
    (tmp_path / "log").chmod(0o440)

    with pytest.raises(KeyFileError, match="others"):
        FileKeys([tmp_path / "log"])


def the_public_keys(keys: FileKeys) -> PublicKeys:
    code_break, auditor, safety_desk, *officers = (the_public_key(keys, kid) for kid in KIDS)
    first, second, third = officers
    return PublicKeys(
        code_break, auditor, safety_desk, (first, second, third), log="a vkey", statistician="another"
    )


def test_the_public_keys_are_read_back_as_they_were_written(keys, tmp_path):
    the_public_keys(keys).dump(tmp_path / "public-keys.json")

    assert PublicKeys.load(tmp_path / "public-keys.json") == the_public_keys(keys)


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


@pytest.mark.parametrize(
    "mangle",
    [
        lambda document: list(document),
        lambda document: without(document, "code_break"),
        lambda document: without(document, "log"),
        lambda document: {**document, "release": document["release"][:2]},
        lambda document: {**document, "auditor": {**document["auditor"], "raw": "AAAA"}},
        lambda document: {**document, "auditor": {**document["auditor"], "raw": "?"}},
        lambda document: {**document, "auditor": {**document["auditor"], "alg": "ed25519"}},
        lambda document: {**document, "auditor": {**document["auditor"], "kid": "an auditor"}},
        lambda document: {**document, "auditor": None},
    ],
)
def test_a_file_of_public_keys_with_one_malformed_is_refused(keys, tmp_path, mangle):
    path = tmp_path / "public-keys.json"
    the_public_keys(keys).dump(path)
    path.write_text(json.dumps(mangle(json.loads(path.read_text()))))

    with pytest.raises(PublicKeysError):
        PublicKeys.load(path)
    with pytest.raises(PublicKeysError):
        PublicKeys.load(tmp_path / "missing.json")
