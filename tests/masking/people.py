"""The people of the day at their screens: what each asks, and what masked ones are sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.masking.child import one_time_code
from tests.masking.compare import Seen
from tests.masking.stage import Play
from tests.masking.wire import Answer

API = "/api/v1/"


class Person:
    """
    Somebody with a token, at one face.

    Everything that a masked person is sent is kept to be compared, unless ``kept`` says otherwise.
    """

    def __init__(self, play: Play, name: str, face: str = "masked", *, masked: bool = True) -> None:
        self.play, self.name, self.face, self.masked = play, name, face, masked
        self.secrets: Mapping[str, str] = play.world.people[name]
        self._headers = {"Authorization": f"Bearer {self.secrets['token']}"}
        self._keys = 0

    def send(
        self,
        method: str,
        target: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        kept: bool | None = None,
    ) -> Answer:
        sent = {**self._headers, **(headers or {})}
        step = self.play.step + 1
        answer = self.play.ask(self.face, method, target, sent, body)
        what = f"{step:04} {self.face} {self.name}: {method} {target} {answer.status}"
        if self.masked if kept is None else kept:
            self.play.seen.append(Seen(what, answer.raw))
        else:
            self.play.unmasked.append(Seen(what, answer.raw))
        return answer

    def get(self, path: str, status: int = 200) -> Any:
        answer = self.send("GET", API + path)
        assert answer.status == status, f"{self.name} GET {path}: {answer.raw.decode()}"
        return answer.json() if "json" in answer.headers["Content-Type"] else answer.body

    def post(self, path: str, *, key: str = "", kept: bool | None = None, **body: Any) -> Any:
        """Do something that succeeds, and return the answer."""
        answer = self._post(path, body, key=key, kept=kept)
        assert answer.status in (200, 201), f"{self.name} POST {path}: {answer.raw.decode()}"
        return answer.json()

    def refused(self, code: str, path: str, *, key: str = "", **body: Any) -> None:
        """Do something that is refused for that reason and no other."""
        answer = self._post(path, body, key=key, kept=None)
        assert answer.json()["code"] == code, f"{self.name} POST {path}: {answer.raw.decode()}"

    def _post(self, path: str, body: Mapping[str, Any], *, key: str, kept: bool | None) -> Answer:
        self._keys += 1
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": key or f"{self.name}-{self.face}-{self._keys}",
        }
        return self.send("POST", API + path, body=json.dumps(body).encode(), headers=headers, kept=kept)

    def sign(self) -> dict[str, str]:
        """Return a whole signature: password and the one-time code of the next request's moment."""
        code = one_time_code(self.secrets["totp_secret"], self.play.now)
        return {"password": self.secrets["password"], "otp": code}

    def open_session(self) -> None:
        session = self.post("sessions", kept=False, **self.sign())["session"]
        self._headers = {**self._headers, "X-Session": session}
