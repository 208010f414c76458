"""What may reach a log file."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType


class WithoutMessages(logging.Formatter):
    """
    Shows where an exception was raised and of which type, never its message.

    A database's message quotes the row that it refused, and a parser's the input that it could not
    read: either may be a participant's, or an arm's.
    """

    def formatException(  # noqa: N802 - the name is logging's
        self, ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
    ) -> str:
        lines: list[str] = []
        error = ei[1]
        while error is not None:
            lines += [*traceback.format_tb(error.__traceback__), f"{type(error).__qualname__}\n"]
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "".join(lines).rstrip()
