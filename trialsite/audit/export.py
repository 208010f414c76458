"""
The trail as one file that can be checked without us: ``python -m trialsite.audit.verify``.

The bundle is a zip whose bytes follow from the trail alone (fixed order, fixed times): every
event, every signed checkpoint, a fresh one last, the log's public key, the commitments to the
randomization list and its extensions, and a signed manifest over the bytes of all of them.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Sequence

from trialsite.audit import notes
from trialsite.audit.commitments import extension_name
from trialsite.audit.models import Checkpoint, Entry
from trialsite.audit.signing import sign_checkpoint, signer

# A zip entry needs a time; the earliest that the format knows says nothing.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def bundle(*, commitment_note: str, extension_notes: Sequence[str] = ()) -> bytes:
    """
    Return the zip of the trail up to a checkpoint signed now.

    :param commitment_note: the statistician's signed note over the list; "" before there is one.
    :param extension_notes: those over its extensions, in their order.
    :raises trialsite.audit.signing.TrailRolledBack: if the trail has gone back.
    """
    size = notes.open_checkpoint(sign_checkpoint(), [signer().verifier])[0].size
    digests: list[tuple[str, str]] = []
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, chunks in _files(size, commitment_note, extension_notes):
            digest = hashlib.sha256()
            with archive.open(zipfile.ZipInfo(name, _NO_TIME), "w", force_zip64=True) as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
            digests.append((digest.hexdigest(), name))
        text = "".join(f"{digest}  {name}\n" for digest, name in digests)
        archive.writestr(zipfile.ZipInfo("manifest.note", _NO_TIME), notes.sign_note(text, signer()))
    return buffer.getvalue()


def _files(
    size: int, commitment_note: str, extension_notes: Sequence[str]
) -> Iterator[tuple[str, Iterator[bytes]]]:
    yield "entries.jsonl", _entries(size)
    for checkpoint in Checkpoint.objects.filter(size__lte=size).order_by("size"):
        yield f"checkpoints/{checkpoint.size:012d}.note", iter([checkpoint.note.encode()])
    yield "keys.txt", iter([f"{signer().verifier.vkey}\n".encode()])
    yield "commitment.note", iter([commitment_note.encode()])
    for ordinal, note in enumerate(extension_notes, start=1):
        yield extension_name(ordinal), iter([note.encode()])


def _entries(size: int) -> Iterator[bytes]:
    entries = Entry.objects.filter(position__lt=size).order_by("position")
    for position, body in entries.values_list("position", "body").iterator(chunk_size=2000):
        yield json.dumps({"seq": position, "body": base64.b64encode(body).decode()}).encode() + b"\n"
