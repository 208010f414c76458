"""Key files: read only when nobody else can, written once, never shown."""

from __future__ import annotations

import base64
import datetime as dt
import os
import stat
from pathlib import Path

import pytest

from trialsite.keyfiles import ALGORITHMS, KeyFile, KeyFileError, read_key_file, write_key_file

SECRET = bytes(range(32))
ENCODED = base64.b64encode(SECRET).decode()
NOON = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
LINE = f"trialsite-key/v1 x25519 code-break-1 2026-03-01T12:00:00Z {ENCODED}\n"


def a_file(folder: Path, content: str | bytes, *, mode: int = 0o400) -> Path:
    path = folder / "a.key"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_is_read_back_as_it_was_written(tmp_path, alg):
    written = write_key_file(tmp_path / "a.key", alg, "identity-1", SECRET, NOON)

    read = read_key_file(tmp_path / "a.key")

    assert read == written == KeyFile(alg=alg, kid="identity-1", created=NOON, secret=SECRET)


def test_a_key_is_one_line_that_only_its_owner_may_read(tmp_path):
    old = os.umask(0)
    try:
        write_key_file(tmp_path / "a.key", "x25519", "code-break-1", SECRET, NOON)
    finally:
        os.umask(old)

    assert (tmp_path / "a.key").read_text() == LINE
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o400


def test_the_time_of_making_is_kept_in_utc(tmp_path):
    wuhan = dt.timezone(dt.timedelta(hours=8))

    write_key_file(tmp_path / "a.key", "x25519", "code-break-1", SECRET, NOON.astimezone(wuhan))

    assert (tmp_path / "a.key").read_text() == LINE


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o420, 0o402, 0o410, 0o401, 0o644, 0o600 | 0o040])
@pytest.mark.requirement(61)
def test_a_key_that_others_may_touch_is_refused(tmp_path, mode):
    path = a_file(tmp_path, LINE, mode=mode)

    with pytest.raises(KeyFileError, match="lets others read"):
        read_key_file(path)


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_key_that_only_its_owner_may_touch_is_read(tmp_path, mode):
    assert read_key_file(a_file(tmp_path, LINE, mode=mode)).secret == SECRET


def owned_by(monkeypatch: pytest.MonkeyPatch, uid: int) -> None:
    """From here on every open file shows that owner."""
    real = os.fstat

    def shown(handle: int) -> os.stat_result:
        fields = tuple(real(handle))
        return os.stat_result((*fields[:4], uid, *fields[5:10]))

    monkeypatch.setattr(os, "fstat", shown)


@pytest.mark.requirement(61)
def test_a_key_of_another_user_is_refused(tmp_path, monkeypatch):
    path = a_file(tmp_path, LINE)
    owned_by(monkeypatch, os.geteuid() + 1)

    with pytest.raises(KeyFileError, match="belongs to user"):
        read_key_file(path)


def test_a_key_of_root_or_of_this_user_is_read(tmp_path, monkeypatch):
    path = a_file(tmp_path, LINE)

    for uid in (0, os.geteuid()):
        owned_by(monkeypatch, uid)
        assert read_key_file(path).secret == SECRET


def test_a_key_is_never_written_over(tmp_path):
    path = a_file(tmp_path, LINE)

    with pytest.raises(KeyFileError):
        write_key_file(path, "x25519", "code-break-2", bytes(32), NOON)

    assert path.read_text() == LINE


def test_a_link_is_not_written_through(tmp_path):
    (tmp_path / "a.key").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(KeyFileError):
        write_key_file(tmp_path / "a.key", "x25519", "code-break-1", SECRET, NOON)

    assert not (tmp_path / "elsewhere").exists()


def test_a_link_to_a_private_file_is_read(tmp_path):
    # Orchestrators mount secrets as links; it is the mode of the file itself that counts.
    a_file(tmp_path, LINE).rename(tmp_path / "real")
    (tmp_path / "a.key").symlink_to(tmp_path / "real")

    assert read_key_file(tmp_path / "a.key").secret == SECRET


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        LINE[:-1],
        LINE + "\n",
        LINE + LINE,
        LINE.replace("\n", "\r\n"),
        " " + LINE,
        LINE.replace(" ", "  ", 1),
        LINE.replace(" ", "\t", 1),
        LINE.replace("v1", "v2"),
        LINE.replace("x25519", "rsa"),
        LINE.replace("code-break-1", "Code-Break-1"),
        LINE.replace("code-break-1", "../code-break-1"),
        LINE.replace("code-break-1", "-"),
        LINE.replace("code-break-1", ""),
        LINE.replace("code-break-1", "k" * 65),
        LINE.replace("T12:00:00Z", "T12:00:00"),
        LINE.replace("2026-03-01T12:00:00Z", "yesterday"),
        LINE.replace(ENCODED, base64.b64encode(SECRET[:-1]).decode()),
        LINE.replace(ENCODED, base64.b64encode(SECRET + b"\0").decode()),
        LINE.replace(ENCODED, ENCODED[:-1]),
        LINE.replace(ENCODED, ENCODED[:-2] + "9="),
        LINE.replace(ENCODED, "!" + ENCODED[1:]),
        LINE.replace(ENCODED, SECRET.hex()),
        LINE.encode().replace(b"x25519", b"x255\xff9"),
        LINE.encode("utf-16"),
        b"\0" * 5000,
    ],
)
def test_what_is_not_exactly_one_well_formed_line_is_refused(tmp_path, content):
    with pytest.raises(KeyFileError) as refusal:
        read_key_file(a_file(tmp_path, content))

    assert ENCODED[:8] not in str(refusal.value)


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o400)

    for name in ("pipe", "missing", "."):
        with pytest.raises(KeyFileError):
            read_key_file(tmp_path / name)


@pytest.mark.parametrize(
    ("alg", "kid", "secret", "created"),
    [
        ("rsa", "log-1", SECRET, NOON),
        ("ed25519", "log 1", SECRET, NOON),
        ("ed25519", "log-1", SECRET[:31], NOON),
        ("ed25519", "log-1", SECRET, NOON.replace(tzinfo=None)),
    ],
)
def test_a_malformed_key_is_not_written(tmp_path, alg, kid, secret, created):
    with pytest.raises(ValueError):
        write_key_file(tmp_path / "a.key", alg, kid, secret, created)

    assert not (tmp_path / "a.key").exists()


def test_half_a_key_is_not_left_behind(tmp_path, monkeypatch):
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(KeyFileError, match="No space"):
        write_key_file(tmp_path / "a.key", "x25519", "code-break-1", SECRET, NOON)

    assert not (tmp_path / "a.key").exists()


@pytest.mark.requirement(61)
def test_a_key_shows_nothing_of_its_secret(tmp_path):
    key = read_key_file(a_file(tmp_path, LINE))

    assert "secret" not in repr(key)
    assert repr(SECRET) not in repr(key)


def test_a_symmetric_key_has_no_public_half(tmp_path):
    key = write_key_file(tmp_path / "a.key", "hmac-sha256", "identity-1", SECRET, NOON)

    with pytest.raises(KeyFileError, match="no public half"):
        key.public_bytes()
