"""A public beacon in the seed: C0 first, then the round's signature, and no slip ends the ceremony."""

from __future__ import annotations

import io
import secrets

import pytest

from randomization import generator
from randomization.ceremony import making
from randomization.ceremony.beacons import ask_for_round
from randomization.domain.beacon import Beacon, BeaconInvalid, due, seed_commitment
from randomization.domain.schedule import generate_arms, spec_of
from tests.unit.ceremonies import SEED, KeyRing, a_command, a_key_ring, the_arms_in, the_commitment_in
from trialsite import protocol as protocols

# A round of the network that was published, and what it published as randomness.
ROUND = 657413
SIGNATURE = "b713718a38ae728dfd477991af2822e08d2f305e47718cef9f7848ce4050e7be41076862b98fad56e91a6b85b89cd97b"
RANDOMNESS = "fc1873a13f3545aeade8401532ef5519920652eee6b0d2b19ca12643b87b3587"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return a_key_ring(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def the_seed(monkeypatch):
    monkeypatch.setattr(secrets, "token_bytes", lambda size=32: SEED[:size])


@pytest.mark.requirement(7)
def test_a_beacon_is_waited_for_after_the_makers_part_is_bound(keys, tmp_path, the_seed, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SIGNATURE.upper()}\n"))

    status = generator.main(a_command(keys, tmp_path / "list", "--sites", "--beacon-round", ROUND))

    assert status == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"C0 {seed_commitment(SEED).hex()}\n")
    assert "2023-09-15 11:00:03 UTC" in said.out
    assert RANDOMNESS in said.out
    beacon = the_commitment_in(tmp_path / "list").beacon
    assert beacon == Beacon(ROUND, seed_commitment(SEED), bytes.fromhex(SIGNATURE))
    trial = protocols.load(protocols.DEFAULT_TRIAL_FILE)
    spec = spec_of(trial, length=12, sites=[])
    assert the_arms_in(tmp_path / "list", keys) == generate_arms(spec, beacon.mix(SEED))


SLIPS = ["\n", SIGNATURE[:-2], f"{SIGNATURE}00", "x" * 96]


@pytest.mark.parametrize("given", ["", *SLIPS])
def test_no_list_is_made_of_a_signature_that_is_none(keys, tmp_path, the_seed, monkeypatch, capsys, given):
    monkeypatch.setattr("sys.stdin", io.StringIO(given))

    assert generator.main(a_command(keys, tmp_path / "list", "--beacon-round", ROUND)) == 2
    assert f"C0 {seed_commitment(SEED).hex()} is given up: write that" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement(7)
def test_a_slip_at_the_beacon_is_asked_again_with_the_same_c0(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join([*map(str.strip, SLIPS), SIGNATURE])))

    beacon = ask_for_round(SEED, ROUND, None)

    assert beacon == Beacon(ROUND, seed_commitment(SEED), bytes.fromhex(SIGNATURE))
    said = capsys.readouterr()
    assert said.out.count("C0 ") == 1
    assert said.out.count("Then give the signature") == len(SLIPS) + 1
    assert "given up" not in said.err


@pytest.mark.requirement(7)
def test_a_signature_before_its_round_is_refused_and_asked_again(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SIGNATURE}\n{SIGNATURE}\n"))
    out = due(ROUND).timestamp()
    clock = iter([out - 60, out - 1, out])

    beacon = ask_for_round(SEED, ROUND, None, clock=lambda: next(clock))

    assert beacon is not None
    said = capsys.readouterr()
    assert said.out.count("the round is not out before 2023-09-15 11:00:03 UTC: wait") == 1
    assert said.err == ""


@pytest.mark.requirement(7)
@pytest.mark.parametrize("where", ["at the prompt", "while sealing"])
def test_a_published_c0_is_said_to_be_given_up_on_ctrl_c(
    keys, tmp_path, the_seed, monkeypatch, capsys, where
):
    class Terminal(io.StringIO):
        def readline(self, *size):
            if where == "at the prompt":
                raise KeyboardInterrupt
            return super().readline(*size)

    def interrupted(*_arguments, **_named):
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin", Terminal(SIGNATURE))
    monkeypatch.setattr(making, "sealed_seed", interrupted)

    assert generator.main(a_command(keys, tmp_path / "list", "--beacon-round", ROUND)) == 2
    said = capsys.readouterr().err
    assert said.count(f"C0 {seed_commitment(SEED).hex()} is given up") == 1
    assert said.endswith("\nInterrupted: nothing was written.\n")


@pytest.mark.requirement(7)
@pytest.mark.parametrize("more", [[], ["--beacon-signature", SIGNATURE]])
def test_a_round_that_was_known_before_is_said_to_prove_nothing(keys, tmp_path, monkeypatch, capsys, more):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{SIGNATURE}\n"))

    generator.main(a_command(keys, tmp_path / "one", "--beacon-round", ROUND, *more))
    assert "proves nothing" in capsys.readouterr().err
    generator.main(a_command(keys, tmp_path / "other", "--beacon-round", 10**9, *more))
    assert ("proves nothing" in capsys.readouterr().err) is bool(more)


def test_the_beacon_binds_the_makers_part_and_changes_the_seed():
    beacon = Beacon(ROUND, seed_commitment(SEED), bytes.fromhex(SIGNATURE))
    other = Beacon(ROUND, seed_commitment(SEED), bytes(48))

    assert beacon.mix(SEED) == beacon.mix(SEED)
    assert len({beacon.mix(SEED), other.mix(SEED), SEED}) == 3
    assert Beacon.parse(beacon.text) == beacon
    assert beacon.randomness.hex() == RANDOMNESS
    assert due(ROUND + 20) - due(ROUND) == due(21) - due(1)
    with pytest.raises(BeaconInvalid, match="committed"):
        beacon.mix(bytes(32))
