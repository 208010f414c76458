"""
Did every allocation follow the list? An answer for people who trust neither us nor our program.

    verifier.py --statistician KEY --list FOLDER [--list EXTENSION ...] --export BUNDLE.zip
                [--code-break-key FILE] [--allocations NEW.csv] [--json]
    verifier.py --statistician KEY --proof FILE --note FILE

KEY is the statistician's verifier key, or a file with it. FOLDER holds commitment.note, revealed.json and, if
at hand, slots.jsonl. The code-break key opens every envelope too; the CSV gets who had which arm.

A second implementation, from docs/specs/randomization-list.md alone; it needs Python 3.11 and cryptography.
Its sections are the steps of the proof. Exit code 0: yes. 1: no. 2: there is no answer.
"""

from __future__ import annotations

import argparse
import base64
import csv
import functools
import hashlib
import hmac
import json
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

# 1. The words of the formats, and the answer.
HEX, BASE64, TEXT = "[0-9a-f]{64}", "[A-Za-z0-9+/]{%d}[AEIMQUYcgkosw048]=", r'"(?:[^"\\]|\\.)*"'
mac = functools.partial(hmac.digest, digest="sha256")  # HMAC-SHA-256, the key first
Json = dict[str, Any]
Place = tuple[str, int]  # stratum and slot
Signer = tuple[str, bytes, bytes]  # name, key id, Ed25519 public key


def expect(condition: object, reason: str) -> None:
    """:raises ValueError: for this reason, unless the condition holds."""
    if not condition:
        raise ValueError(reason)


def canonical(value: object) -> bytes:
    """Return the canonical JSON (RFC 8785) of texts, whole numbers, booleans, null, arrays and objects."""
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
        return b"{" + b",".join(canonical(name) + b":" + canonical(item) for name, item in members) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(canonical, value)) + b"]"
    expect(not isinstance(value, float) and (not isinstance(value, int) or abs(value) < 2**53), "a fraction")
    return json.dumps(value, ensure_ascii=False).encode()


def parse_json(data: bytes, shape: str = "") -> Json:
    """Return a JSON object, canonically of this shape; naming a member twice is no object."""
    value = json.loads(data.decode(), object_pairs_hook=lambda p: dict(p) if len(dict(p)) == len(p) else None)
    expect(isinstance(value, dict), "no JSON object")
    expect(not shape or re.fullmatch(shape, canonical(value).decode()), "not the members of its format")
    return dict(value)


def sha256(data: bytes) -> bytes:
    """Return the hash."""
    return hashlib.sha256(data).digest()


def differ(expected: object, found: object, **place: object) -> list[Json]:
    """Return the one difference of two values, with its place (list, event, stratum, slot), or none."""
    return [{"expected": str(expected), "found": str(found), **place}] if expected != found else []


@dataclass
class Report:
    """The answer: for each check a line, ``ok`` or ``wrong``, with the first place that differs."""

    write: Callable[[str], object]
    lines: list[Json] = field(default_factory=list)

    def tell(self, result: str, text: str, **more: object) -> None:
        """Add a line; what not every screen can show is spelled out."""
        text = "".join(sign if " " <= sign <= "~" else f"\\u{ord(sign):04x}" for sign in text)
        self.lines.append({"result": result, "text": text, **more})
        self.write(f"{result}: {text}\n")

    def check(self, promise: str, differences: Iterable[Json]) -> None:
        """Say that a promise is kept, or where first it is not; also if reading on fails after that."""
        found: list[Json] = []
        try:
            found.extend(differences)
        finally:
            if found:
                place = ", ".join(f"{name} {value}" for name, value in list(found[0].items())[2:])
                text = f"{place}: expected {found[0]['expected']}, there is {found[0]['found']}"
                text += f" (the first of {len(found)}; not so: {promise})"
                self.tell("wrong", text, of=len(found), **found[0])
        if not found:
            self.tell("ok", promise)

    def texts(self, result: str) -> list[str]:
        """Return what the lines of one result say."""
        return [line["text"] for line in self.lines if line["result"] == result]


# 2. What was signed before the trial: a C2SP note (Ed25519) over root and commitment.
COMMITMENT = re.compile(
    rf"irt-list-commitment/v1\n(?P<study>.+)\n(?P<root>{BASE64 % 42})\n(?P<commitment>{HEX})\n"
    rf"(?P<leaves>[1-9][0-9]{{0,8}})\n(?P<software>{HEX})\n(?P<spec>{HEX})\n(?P<trial>{HEX})\n"
    rf"(?P<file>{HEX})\n(?P<extends>-|{BASE64 % 42})\n"
    rf"(?P<beacon>-|drand-quicknet [1-9][0-9]* (?P<c0>{HEX}) (?P<signature>[0-9a-f]{{96}}))\n"
)


def read_signer(text: str) -> Signer:
    """Read a verifier key, ``name+id+key``, or a file with it. :raises ValueError: if it is none."""
    text = Path(text).read_text() if Path(text).is_file() else text
    name, _, rest = text.strip().partition("+")
    raw = base64.b64decode(rest[9:])
    key_id = sha256(f"{name}\n".encode() + raw)[:4]
    expect(len(raw) == 33 and raw[0] == 1 and rest[:9] == key_id.hex() + "+", "no verifier key of Ed25519")
    return name, key_id, raw[1:]


def open_commitment(note: bytes, signer: Signer) -> dict[str, str]:
    """Return what a note says. :raises InvalidSignature: unless it is a commitment that was signed."""
    text, _, signatures = note.decode(errors="replace").rpartition("\n\n")
    values = re.findall(f"^— {re.escape(signer[0])} ({BASE64 % 90})$", signatures, re.MULTILINE)
    own = [value[4:] for value in map(base64.b64decode, values) if value[:4] == signer[1]]
    match = COMMITMENT.fullmatch(f"{text}\n")
    if match is None or not own:
        raise InvalidSignature
    for signature in own:
        ed25519.Ed25519PublicKey.from_public_bytes(signer[2]).verify(signature, f"{text}\n".encode())
    return {**match.groupdict(""), "note": note.decode()}


# 3. The arms again, from seed and specification.
def hmac_drbg(entropy: bytes, personalization: bytes, size: int = 4) -> Iterator[bytes]:
    """Yield requests of ``size`` bytes (NIST SP 800-90A Rev. 1, 10.1.2; SHA-256; nothing but these two)."""
    key, value = bytes(32), b"\x01" * 32
    for step in (b"\x00", b"\x01"):
        key = mac(key, value + step + entropy + personalization)
        value = mac(key, value)
    while True:
        made = b""
        while len(made) < size:
            value = mac(key, value)
            made += value
        yield made[:size]
        key = mac(key, value + b"\x00")
        value = mac(key, value)


def uniform(draws: Iterator[bytes], n: int) -> int:
    """Return one of 0 to n-1, each equally likely: draws past the last multiple of n are thrown away."""
    numbers = (int.from_bytes(draw, "big") for draw in draws)
    return next(number for number in numbers if number < 2**32 - 2**32 % n) % n


def permuted_blocks(draws: Iterator[bytes], length: int, blocks: list[int], ratio: list[int]) -> list[int]:
    """Return ``length`` arms or a few more, in whole blocks of which each keeps the ratio."""
    arms: list[int] = []
    while len(arms) < length:
        size = blocks[uniform(draws, len(blocks))]
        block = [arm for arm, weight in enumerate(ratio) for _ in range(weight * (size // sum(ratio)))]
        expect(len(block) == size > 0, f"a block of {size} in the ratio {ratio}")
        for i in range(size - 1, 0, -1):
            j = uniform(draws, i + 1)
            block[i], block[j] = block[j], block[i]
        arms += block
    return arms


def big_stick(draws: Iterator[bytes], length: int, mti: int) -> list[int]:
    """Return ``length`` arms, each by a coin, or the arm behind once the difference is ``mti``."""
    arms: list[int] = []
    ahead = 0  # arm 0 less arm 1
    for _ in range(length):
        arms.append(int(ahead > 0) if abs(ahead) == mti else uniform(draws, 2))
        ahead += 1 - 2 * arms[-1]
    return arms


def arms_of(spec: Json, stratum: str, length: int, seed: bytes, given: Json) -> list[int]:
    """Return a stratum's arms in order; ``given`` are those of a list that was made elsewhere."""
    design = spec.get("design", {"kind": "blocks"})
    if design["kind"] == "imported":
        expect(set(given[stratum]) <= set(range(len(spec["arms"]))), "an unknown arm")
        return list(given[stratum])
    draws = hmac_drbg(mac(seed, b"irt/sched/v1"), canonical([spec["study"], stratum]))
    if design["kind"] == "big_stick":
        return big_stick(draws, length, design["mti"])
    return permuted_blocks(draws, length, spec["blocks"], spec["ratio"])


# 4. Salts, leaves, and the root over them: RFC 9162.
def leaf_of(study: str, place: Place, arm: int, salt: bytes) -> bytes:
    """Return the leaf of a slot, which holds its place, its arm and its salt."""
    at = {"study": study, "stratum": place[0], "slot": place[1]}
    return sha256(b"\x00" + canonical({"v": "irt-slot/1", **at, "arm": arm, "salt": salt.hex()}))


def regenerate(spec: Json, seed: bytes, given: Json, leaves: int) -> dict[Place, tuple[int, bytes]]:
    """Return arm and salt of every slot, in the order of leaves. :raises ValueError: if that is unclear."""
    kind = spec.get("design", {"kind": "blocks"})["kind"]
    own = {"blocks": {"blocks", "length"}, "big_stick": {"design", "length"}, "imported": {"design"}}
    needed = {"study", "trial", "strata", "arms", "ratio"} | own.get(kind, {f"design {kind}"})
    expect(needed <= spec.keys() <= needed | {"first", "emergency"}, f"other members than {sorted(needed)}")
    expect(kind != "big_stick" or spec["ratio"] == [1, 1], "a big stick that is not 1:1")
    emergency, first = spec.get("emergency", {"strata": [], "length": 0}), spec.get("first", {})
    least = [(stratum, spec.get("length", 0)) for stratum in spec["strata"]]
    least += [(stratum, emergency["length"]) for stratum in emergency["strata"]]
    expect(first.keys() <= dict(least).keys() and len(dict(least)) == len(least), "strata that do not fit")
    expect(sum(dict(least).values()) <= leaves, f"a length of more than the {leaves} slots signed for")
    slots = {}
    for stratum, length in least:
        for slot, arm in enumerate(arms_of(spec, stratum, length, seed, given), first.get(stratum, 0)):
            slots[stratum, slot] = arm, mac(seed, b"irt/salt/v1|" + canonical([stratum, slot]))
            if not len(slots) % 10_000:
                sys.stderr.write(f"{len(slots)} of {leaves} slots made again\n")
    return slots


def root_of(leaves: list[bytes]) -> bytes:
    """Return the root: neighbours are joined, level by level; an odd last one goes up as it is."""
    while len(leaves) > 1:
        pairs = [sha256(b"\x01" + leaves[i] + leaves[i + 1]) for i in range(0, len(leaves) - 1, 2)]
        leaves = pairs + leaves[len(pairs) * 2 :]
    return leaves[0] if leaves else sha256(b"")


def root_by_path(leaf: bytes, index: int, leaves: int, path: list[bytes]) -> bytes:
    """Return the root to which an inclusion path leads (2.1.3). :raises ValueError: if it is no path."""
    expect(0 <= index < leaves and bool(path) == (leaves > 1), "a path of another tree")
    if leaves == 1:
        return leaf
    left = 1 << (leaves - 1).bit_length() - 1
    if index < left:
        return sha256(b"\x01" + root_by_path(leaf, index, left, path[:-1]) + path[-1])
    return sha256(b"\x01" + path[-1] + root_by_path(leaf, index - left, leaves - left, path[:-1]))


# 5. The list: what was revealed against the note, then each line of slots.jsonl, then each envelope.
REVEALED = (
    rf'.*"root":"{HEX}","seed":"{HEX}",("seed0":"{HEX}",)?"spec":{{.+"study":{TEXT},"v":"irt-revealed/1"}}'
)
LINE = re.compile(
    rf'{{"envelope":"([A-Za-z0-9+/]{{128}})","leaf":"({HEX})","randomization_number":"(R[0-9]{{6,9}})",'
    rf'"slot":([0-9]+),"stratum":({TEXT})}}'
)


@dataclass
class Listed:
    """A list: what its note says, arms in words, arm and salt of each slot, its file's lines."""

    number: int
    says: dict[str, str]
    spec: Json
    arms: list[str]
    slots: dict[Place, tuple[int, bytes]]
    lines: list[str] | None
    numbers: dict[Place, str] = field(default_factory=dict)


def side_by_side(says: dict[str, str], revealed: Json) -> Iterator[tuple[str, object, object]]:
    """Yield what the note says, and what follows from what was revealed."""
    spec, seed = revealed["spec"], bytes.fromhex(revealed["seed"])
    signed = [says["study"], base64.b64decode(says["root"]).hex(), says["study"], says["trial"]]
    told = [revealed["study"], revealed["root"], spec.get("study"), spec.get("trial")]
    yield "what was revealed is of its study, root and trial", signed, told
    committed = sha256(b"irt/commit/v1\n" + canonical(spec) + b"\n" + seed)
    yield "seed and specification are those committed to", says["commitment"], committed.hex()
    yield "the specification is as signed", says["spec"], mac(seed, b"irt/spec/v1|" + canonical(spec)).hex()
    if says["c0"]:
        seed0, signature = bytes.fromhex(revealed.get("seed0", "")), bytes.fromhex(says["signature"])
        c0 = sha256(b"irt/seed/v1" + seed0)
        yield "seed0 is the one named with the beacon", says["c0"], c0.hex()
        mixed = mac(mac(sha256(signature), seed0), c0 + b"\x01")  # HKDF (RFC 5869): extract, expand
        yield "the seed is seed0 mixed with the beacon", mixed.hex(), seed.hex()


def open_list(folder: Path, revealed: Json, signer: Signer, before: list[Listed], report: Report) -> Listed:
    """Make a list again and check it whole. :raises InvalidSignature: if its note is not signed."""
    number, spec, path = len(before) + 1, revealed["spec"], folder / "slots.jsonl"
    says = open_commitment((folder / "commitment.note").read_bytes(), signer)
    report.tell("ok", f"list {number}: signed by {signer[0]}; software {says['software']}")

    def compare(promise: str, expected: object, found: object) -> None:
        report.check(f"list {number}: {promise}", differ(expected, found, list=number))

    for equality in side_by_side(says, revealed):
        compare(*equality)
    arms = [f"arm {arm} ({name})" for arm, name in enumerate(spec["arms"])]
    slots = regenerate(spec, bytes.fromhex(revealed["seed"]), revealed.get("arms", {}), int(says["leaves"]))
    compare("as many slots are made as were signed for", says["leaves"], str(len(slots)))
    root = root_of([leaf_of(spec["study"], place, *made) for place, made in slots.items()])
    compare("their root is the one signed", says["root"], base64.b64encode(root).decode())
    compare("it extends the list so far", before[-1].says["root"] if before else "-", says["extends"])
    ends = {stratum: slot + 1 for listed in before for stratum, slot in listed.slots}
    begins = dict(reversed(slots))
    gaps = {name: ends.get(name, 0) for name, slot in begins.items() if slot != ends.get(name, 0)}
    compare("its slots go on from there", gaps, {name: begins[name] for name in gaps})
    file = path.read_bytes() if path.exists() else None
    if file is not None:
        compare("slots.jsonl is the file signed for", says["file"], sha256(file).hex())
    lines = file.decode(errors="replace").split("\n")[:-1] if file is not None else None
    return Listed(number, says, spec, arms, slots, lines)


def line_differences(listed: Listed, seen: dict[str, object]) -> Iterator[Json]:
    """Compare each line with the slot that belongs there; ``seen``: envelopes and numbers of all lists."""
    study, slots, lines = listed.spec["study"], listed.slots, listed.lines or []
    for (place, (arm, salt)), line in zip(slots.items(), [*lines, *[""] * len(slots)], strict=False):
        at = {"list": listed.number, "stratum": place[0], "slot": place[1]}
        match = LINE.fullmatch(line)
        envelope, leaf, number, slot, stratum = match.groups() if match else [""] * 5
        if (stratum, slot) != (canonical(place[0]).decode(), str(place[1])):
            found = f"that of {stratum}, slot {slot}" if match else f"no line of its form: {line}"
            yield from differ("its line", found if line else "the end of slots.jsonl", **at)
            continue
        leaves = {leaf_of(study, place, other, salt).hex(): name for other, name in enumerate(listed.arms)}
        yield from differ(listed.arms[arm], leaves.get(leaf, f"the leaf {leaf}"), **at)
        for value in (envelope, number):
            if (first := seen.setdefault(value, at)) is not at:
                yield from differ("an envelope and a number of its own", f"{value} of {first}", **at)
        listed.numbers[place] = number
    yield from differ(f"{len(slots)} lines", f"{len(lines)} lines", list=listed.number)


def envelope_differences(listed: Listed, key_file: str) -> Iterator[Json]:
    """Open each envelope (HPKE, RFC 9180) with the code-break key and compare what is inside."""
    _, _, kid, _, secret = key_file.split()
    private = x25519.X25519PrivateKey.from_private_bytes(base64.b64decode(secret))
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    bound = {"kid": kid, "root": base64.b64decode(listed.says["root"]).hex(), "study": listed.spec["study"]}
    for ((stratum, slot), (arm, salt)), line in zip(listed.slots.items(), listed.lines or [], strict=False):
        at = {"stratum": stratum, "slot": slot}
        inside = {b"\x01" + bytes([other]) + salt + bytes(14): name for other, name in enumerate(listed.arms)}
        try:
            sealed, info = base64.b64decode(line[13:141]), b"irt/slot/v1|" + canonical({**bound, **at})
            found = inside.get(suite.decrypt(sealed, private, info=info), "an envelope of something else")
        except (InvalidTag, ValueError):
            found = "an envelope that does not open"
        yield from differ(listed.arms[arm], found, list=listed.number, **at)


# 6. The trail: lists committed to before they serve, slots taken one by one, each by a new person.
def read_events(path: Path) -> Iterator[Json]:
    """Yield the events of a bundle, each with its number as ``seq``. :raises ValueError: if one is none."""
    with zipfile.ZipFile(path) as bundle, bundle.open("entries.jsonl") as file:
        expect(len(set(bundle.namelist())) == len(bundle.namelist()), "a file that stands twice")
        for line in iter(lambda: file.readline(1 << 20), b""):
            entry = parse_json(line)
            body = base64.b64decode(entry["body"])
            expect(base64.b64encode(body).decode() == entry["body"], "base64 that is not canonical")
            yield {**parse_json(body), "seq": entry["seq"]}


@dataclass
class Trail:
    """What the trail says of lists and slots, compared with the lists, event after event."""

    lists: list[Listed]
    committed: int = 0
    spoiled: int = 0
    taken: dict[str, int] = field(default_factory=dict)
    people: dict[str, int] = field(default_factory=dict)
    allocations: list[tuple[object, ...]] = field(default_factory=list)

    def differences(self, path: Path) -> Iterator[Json]:
        """Read the events in their order."""
        for number, event in enumerate(read_events(path)):
            yield from differ(f"event {number}", f"event {event['seq']}", event=number)
            if event["k"] in ("list.committed", "list.extended"):
                due = [listed.says["note"] for listed in self.lists[self.committed :]]
                if [event["data"].get("note")] != due[:1]:
                    yield from differ(f"the note of list {self.committed + 1}", "another note", event=number)
                self.committed += 1
            elif event["k"] in ("participant.randomized", "slot.spoiled"):
                yield from self._take(event, event["about"]["stratum"], event["data"]["slot"])
        for listed in self.lists[self.committed :]:
            yield from differ("an event with its note", "none", list=listed.number)

    def _take(self, event: Json, stratum: str, slot: int) -> Iterator[Json]:
        due = self.taken.get(stratum, 0)
        at = {"event": event["seq"], "stratum": stratum, "slot": due}
        yield from differ(f"slot {due}", f"slot {slot}", **at)
        self.taken[stratum] = max(due, slot + 1)
        listed = next((listed for listed in self.lists if (stratum, slot) in listed.slots), None)
        if listed is None:
            yield from differ("a slot of a list", f"slot {slot}, which no list has", **at)
            return
        if listed.number > self.committed:
            yield from differ(f"an earlier event with the note of list {listed.number}", "none", **at)
        number = event["about"].get("randomization_number")
        yield from differ(listed.numbers.get((stratum, slot), number), number, **at)
        if event["k"] == "slot.spoiled":
            self.spoiled += 1
            if stratum not in listed.spec.get("emergency", {"strata": []})["strata"]:
                yield from differ("an allocation, for this is no emergency list", "a spoiled slot", **at)
            return
        person, arm = event["about"]["participant"], listed.slots[stratum, slot][0]
        if (first := self.people.setdefault(person, event["seq"])) != event["seq"]:
            yield from differ("someone without a slot", f"participant {person} of event {first}", **at)
        person = re.sub("^(?=[=+@-])", "'", str(person))  # no spreadsheet computes it
        self.allocations.append((person, stratum, slot, number, arm, listed.spec["arms"][arm]))


# 7. One slot, proved without the others.
PROOF = (
    rf'{{"arm":[0-9]+,"index":[0-9]+,"leaves":[0-9]+,"path":\[("{HEX}",?)*\],"root":"{HEX}","salt":"{HEX}",'
    rf'"slot":[0-9]+,"stratum":{TEXT},"study":{TEXT},"v":"irt-slot-proof/1"}}'
)


def check_proof(options: argparse.Namespace, report: Report) -> str:
    """Check that a proof leads from its slot to the signed root; return what it shows."""
    says = open_commitment(options.note.read_bytes(), options.statistician)
    given = parse_json(options.proof.read_bytes(), PROOF)
    place, path = (given["stratum"], given["slot"]), [bytes.fromhex(step) for step in given["path"]]
    leaf = leaf_of(given["study"], place, given["arm"], bytes.fromhex(given["salt"]))
    root = root_by_path(leaf, given["index"], given["leaves"], path).hex()
    signed = [says["study"], says["leaves"], *[base64.b64decode(says["root"]).hex()] * 2]
    found = [given["study"], str(given["leaves"]), given["root"], root]
    report.check("the proof leads to the root", differ(signed, found, stratum=place[0], slot=place[1]))
    return f"slot {place[1]} of {place[0]} has arm {given['arm']} in the list that was signed"


# 8. The answer.
def judge(options: argparse.Namespace, report: Report) -> str:
    """Check lists, lines, envelopes and trail; return the answer if all of it holds."""
    lists: list[Listed] = []
    for number, folder in enumerate(options.list, start=1):
        revealed = parse_json((folder / "revealed.json").read_bytes(), REVEALED)
        try:
            lists.append(open_list(folder, revealed, options.statistician, lists, report))
        except InvalidSignature:
            report.check("its note is signed", differ("a commitment by this signer", "none", list=number))
            return ""
    report.tell("not checked", "how a seed, or arms that were given, came about; a beacon's own signature")
    seen: dict[str, object] = {}
    for listed in lists:
        its = f"list {listed.number}: "
        if listed.lines is None:
            report.tell("not checked", f"{its}numbers and envelopes, for there is no slots.jsonl")
            continue
        report.check(f"{its}every line is that of its slot", line_differences(listed, seen))
        if key := options.code_break_key:
            found = list(envelope_differences(listed, key.read_text()))
            shut = [one for one in found if "not open" in one["found"]]
            expect(len(shut) < len(listed.slots), "a key of other envelopes")
            report.check(f"{its}every envelope holds its arm", found)
    if not options.export:
        return "this is the list that was signed; without --export nothing is said of allocations"
    trail = Trail(lists)
    report.check("every allocation took the next slot of a committed list", trail.differences(options.export))
    report.tell("not checked", f"that the trail is whole: python -m trialsite.audit.verify {options.export}")
    if options.allocations and not report.texts("wrong"):
        with options.allocations.open("x", encoding="utf-8", newline="") as file:
            names = ("participant", "stratum", "slot", "randomization_number", "arm", "treatment")
            csv.writer(file).writerows([names, *trail.allocations])
    return f"all {len(trail.allocations)} allocations followed the list; {trail.spoiled} slots were spoiled"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--statistician", required=True, type=read_signer, metavar="KEY")
    parser.add_argument("--list", action="append", default=[], type=Path, metavar="FOLDER")
    for name in ("--export", "--code-break-key", "--allocations", "--proof", "--note"):
        parser.add_argument(name, type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    one = bool(options.list) != bool(options.proof) and bool(options.proof) == bool(options.note)
    if not one or (options.allocations and not options.export):
        parser.error("give either --list (and --export for --allocations), or --proof and --note")
    report = Report(write=(lambda _: None) if options.json else sys.stdout.write)
    try:
        code, answer = 0, (check_proof if options.proof else judge)(options, report)
    except Exception as error:  # an input can fail in any way: say so, and neither yes nor no
        refused = options.proof is not None and not isinstance(error, OSError)
        code, answer = 1 if refused else 2, f"{type(error).__name__} {error}"
    if wrong := report.texts("wrong"):
        code, answer = 1, wrong[0]
    answer = "; not checked: ".join([answer, *report.texts("not checked")])
    report.tell(("yes", "no", "cannot say")[code], answer)
    if options.json:
        sys.stdout.write(json.dumps({"exit": code, "lines": report.lines}, indent=1) + "\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
