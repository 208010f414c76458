"""The transaction of a use case."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import transaction

Given = ParamSpec("Given")
Made = TypeVar("Made")


def whole(service: Callable[Given, Made]) -> Callable[Given, Made]:
    """
    Let a service happen whole or not at all, as ``transaction.atomic`` does.

    Within a request it needs no savepoint: the floor opens the one durable transaction, in which
    nothing is kept if the service raises. Two statements less for each service on a hot path.
    """

    @wraps(service)
    def happens(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        in_a_request = any(block.durable for block in transaction.get_connection().atomic_blocks)
        with transaction.atomic(savepoint=not in_a_request):
            return service(*args, **kwargs)

    return happens
