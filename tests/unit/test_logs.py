"""Logs tell where something failed, and nothing of whom it was about."""

import logging

import pytest

from trialsite.logs import WithoutMessages


@pytest.mark.requirement(61)
def test_a_log_names_the_failure_and_the_place_but_quotes_no_value():
    def refuses_a_row(row, arm):
        try:
            raise ValueError(row)
        except ValueError as error:
            raise RuntimeError(arm) from error

    values = ["Key (identity)=(MARY JONES) already exists", "the arm is A"]
    with pytest.raises(RuntimeError) as caught:
        refuses_a_row(*values)
    record = logging.LogRecord("web", logging.ERROR, "", 1, "failed", (), caught._excinfo)

    line = WithoutMessages("%(message)s").format(record)

    assert "refuses_a_row" in line
    assert "ValueError" in line
    assert "RuntimeError" in line
    assert "MARY" not in line
    assert "the arm is A" not in line
