"""Somebody at the admin's pages: signs in, and follows every link there is."""

from __future__ import annotations

import re
from collections import Counter
from html import unescape
from urllib.parse import urlencode, urljoin, urlsplit

from tests.masking.people import Person
from tests.masking.stage import Play
from tests.masking.wire import Answer

HOME = "/admin/"
PEOPLE = (f"{HOME}accounts/user/", f"{HOME}accounts/rolegrant/")
ENOUGH_PEOPLE = 4
_RECORD = re.compile(r"[^/]+(?=/(change|history)/)")
_LINK = re.compile(r'href="([^"]*)"')
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Browser(Person):
    """A masked person who signs in with password and one-time code instead of a token."""

    def __init__(self, play: Play, name: str) -> None:
        super().__init__(play, name)
        self._headers = {}
        self._cookies: dict[str, str] = {}

    def visit(self, target: str, form: dict[str, str] | None = None) -> Answer:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        body = b""
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(form).encode()
        answer = self.send("GET" if form is None else "POST", target, body=body, headers=headers)
        for cookie in answer.cookies:
            name, _, value = cookie.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer

    def sign_in(self, *, wrongly: bool = False) -> Answer:
        """Sign in by the form; ``wrongly``: with a code that is not right."""
        token = _TOKEN.search(self.visit(f"{HOME}login/?next={HOME}").body.decode())
        assert token
        signature = self.sign()
        if wrongly:
            signature["otp"] = f"{(int(signature['otp']) + 1) % 10**6:06}"
        answer = self.visit(
            f"{HOME}login/?next={HOME}",
            {"username": self.name, "csrfmiddlewaretoken": token[1], "next": HOME, **signature},
        )
        assert answer.status == (200 if wrongly else 302), answer.raw.decode()
        return answer

    def look_at_lists(self) -> list[str]:
        """Visit the index and every list; return their addresses."""
        links = self._links(HOME, self.visit(HOME))
        lists = [link for link in links if link.count("/") == 4]
        for link in lists:
            assert self.visit(link).status == 200
        return lists

    def look_at_everything(self) -> set[str]:
        """
        Visit the pages that links lead to, and return their addresses.

        Filters, orders and dates are followed from a list's first page only, and of the pages about
        people a few of each kind: all others are more of the same.
        """
        seen, waiting, visited = {HOME}, [HOME], set[str]()
        kinds: Counter[str] = Counter()
        while waiting:
            here = waiting.pop(0)
            kind = _RECORD.sub("*", here.partition("?")[0]) + "?" * ("?" in here)
            kinds[kind] += 1
            if kind.startswith(PEOPLE) and kinds[kind] > ENOUGH_PEOPLE:
                continue
            answer = self.visit(here)
            assert answer.status == 200, f"{here}: {answer.status}"
            visited.add(here)
            if not urlsplit(here).query:
                new = [link for link in self._links(here, answer) if link not in seen]
                seen.update(new)
                waiting.extend(new)
        return visited

    def _links(self, here: str, answer: Answer) -> list[str]:
        found = dict.fromkeys(urljoin(here, unescape(link)) for link in _LINK.findall(answer.body.decode()))
        return [link for link in found if link.startswith(HOME) and "logout" not in link and "#" not in link]
