"""Which days a paper is of: ISO weeks, and the day an arXiv number was probably given."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta

from octavo.catalog import Paper
from octavo.errors import InputError

# New papers a month on average, by year, in hundreds (arXiv's own yearly submission counts).
_MONTHLY = {2007: 47, 2010: 58, 2013: 77, 2016: 94, 2018: 117, 2019: 130, 2020: 148}
_MONTHLY |= {2021: 151, 2022: 154, 2023: 203, 2024: 240, 2025: 260}
SLACK = timedelta(days=2)  # by which a day told from a number may be wrong


@dataclass(frozen=True)
class Week:
    """An ISO week, Monday to Sunday."""

    year: int
    number: int

    @property
    def first(self) -> date:
        """Its Monday."""
        return date.fromisocalendar(self.year, self.number, 1)

    @property
    def last(self) -> date:
        """Its Sunday."""
        return self.first + timedelta(days=6)

    def __str__(self) -> str:
        return f"{self.year}-W{self.number:02d}"


def week_of(text: str) -> Week:
    """The week that is written so. Raises InputError for anything else.

    >>> week_of("2019-W42").first
    datetime.date(2019, 10, 14)
    """
    found = re.fullmatch(r"(\d{4})-?W(\d{1,2})", text.strip(), re.IGNORECASE)
    try:
        week = Week(int(found[1]), int(found[2])) if found else None
        if week is None or not week.first:
            raise ValueError
    except ValueError:
        raise InputError(f"week {text!r}; give an ISO week, as in 2019-W42") from None
    return week


def before(today: date) -> Week:
    """The last week that is over.

    >>> str(before(date(2026, 11, 25)))
    '2026-W47'
    """
    year, number, _ = (today - timedelta(days=7)).isocalendar()
    return Week(year, number)


def day_of(paper: Paper) -> date | None:
    """The day a paper came to arXiv, as far as its number tells; None without one.

    Numbers are given in order within a month, so the day is the month's share that had been given:
    6,188 of about 13,000 is a little under half of October.

    >>> day_of(Paper("q8bert", "Q8BERT", arxiv="1910.06188"))
    datetime.date(2019, 10, 15)
    """
    found = re.fullmatch(r"(\d\d)(\d\d)\.(\d{4,5})", paper.arxiv or "")
    if found is None or not 1 <= int(found[2]) <= 12:
        return None
    year, month = 2000 + int(found[1]), int(found[2])
    days = calendar.monthrange(year, month)[1]
    known = max((each for each in _MONTHLY if each <= year), default=min(_MONTHLY))
    share = int(found[3]) / (100 * _MONTHLY[known])
    return date(year, month, min(days, 1 + int(share * days)))
