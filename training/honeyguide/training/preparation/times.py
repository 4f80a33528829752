"""Reads times: numbers whose unit shows in their size, and datetimes in ISO 8601 or a format that is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from honeyguide.sdk.errors import ConfigError, DataError

__all__ = ["YEAR_2100", "TimeReader", "date_remedy", "moment_text", "parse_cut", "telling_date"]

YEAR_1971 = int(datetime(1971, 1, 1, tzinfo=UTC).timestamp() * 1000)
YEAR_2100 = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000)
_MS = {"seconds": 1e3, "milliseconds": 1.0, "microseconds": 1e-3, "nanoseconds": 1e-6}
"""Milliseconds in each unit."""
_FROM = {"nanoseconds": 1e17, "microseconds": 1e14, "milliseconds": 1e11, "seconds": 0.0}
"""The size from which on a number is taken to be in the unit: 1e11 seconds lie in the year 5138, as ms in 1973."""
_MOST = float(2**62)
_PACKED = r"^(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"
"""A date without marks, such as 20200913."""
_DATE = re.compile(r"(\d{1,4})([./-])(\d{1,2})\2(\d{1,4})(?:([ T]+)(\d{1,2}):(\d{2})(:\d{2})?(\.\d+)?( ?[AaPp][Mm])?)?")


class TimeReader:
    """Reader of a column of times, block by block; the first values decide on the unit where none is given."""

    def __init__(self, unit: str, format_: str) -> None:
        self.unit = unit or ("datetime" if format_ else "")
        """Of the column, once it is known."""
        self._format = format_.replace(".%f", "%.f")  # as chrono has it
        self._given = bool(self.unit)
        self._likely = ""

    def ms(self, values: pl.Series, text: pl.Series, number: pl.Series) -> pl.Series:
        """Returns milliseconds since 1970 (int64), null where a value is no time or missing.

        Args:
            values: one block's column as it was read.
            text: the same as text, stripped, null where missing.
            number: the same as float64, null where it is no number.
        """
        if values.dtype.is_temporal():
            self.unit = "datetime"
            return values.cast(pl.Datetime("ms")).dt.epoch("ms")
        given = text.drop_nulls()
        if not self.unit and given.len() and given.str.contains(_PACKED).all():
            self.unit, self._format = "datetime", "%Y%m%d"  # as seconds these were days of 1970
        if not self.unit and given.len():
            numbers = number.len() - number.null_count()
            self.unit = _unit_of(number) if 2 * numbers >= given.len() else "datetime"
        if self.unit in _MS and not self._likely and given.len():
            self._likely = _unit_of(number)
        if self.unit == "datetime":
            return self._datetimes(text)
        scaled = number * _MS[self.unit or "seconds"]
        return scaled.clip(-_MOST, _MOST).round().cast(pl.Int64)

    def _datetimes(self, text: pl.Series) -> pl.Series:
        if self._format:
            moment = text.str.to_datetime(self._format, time_unit="ms", time_zone="UTC", strict=False)
            return moment.dt.epoch("ms")
        iso = text.str.replace(r"^(\d{4}-\d{2}-\d{2})[ T]+(\d{2}:\d{2})", "${1}T$2")
        iso = iso.str.replace(r"(T\d{2}:\d{2})($|Z|z| ?[+-])", "$1:00$2").str.replace(
            r" ?([Zz]|[+-]\d{2}:?\d{2})$", "$1"
        )
        made = iso.to_frame("t").select(
            pl.coalesce(
                pl.col("t").str.to_datetime(format_, time_unit="ms", time_zone="UTC", strict=False)
                for format_ in ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d")
            ).dt.epoch("ms")
        )
        return made.to_series()

    def needed(self) -> str:
        """Says what a value must be."""
        if self.unit == "datetime":
            return f"a datetime of the format {self._format!r}" if self._format else "an ISO 8601 time"
        return f"a number of {self.unit or 'seconds'}"

    def check(self, times: NDArray[np.int64], where: Callable[[int], tuple[Path, int]], column: str) -> list[str]:
        """Returns what looks odd; raises `DataError` where the size of most times shows another unit than the given.

        Args:
            times: (events,) milliseconds.
            where: tells file and row of the event at a place of ``times``.
            column: the times' column.
        """
        if not len(times):
            return []
        if self.unit in _MS:
            middle = np.median(times)
            likely = self._likely
            early = times.max() < YEAR_1971 and self.unit != "seconds"
            if likely not in ("", self.unit) and (early or middle >= YEAR_2100):
                side = "before 1971" if early else "after the year 2100"
                file, row = where(0 if early else int((times >= YEAR_2100).argmax()))
                raise DataError(
                    f"read as {self.unit}, {'every time lies' if early else 'most times lie'} {side}",
                    file=str(file),
                    row=row,
                    column=column,
                    remedy=f"these look like {likely}: --time-unit {likely}",
                )
            if not self._given:
                self._check_alike(times, where, column)
        if times.max() < YEAR_1971:
            return [f"every time lies before 1971 (column {column!r}, read as {self.unit}): are these times?"]
        return []

    def _check_alike(self, times: NDArray[np.int64], where: Callable[[int], tuple[Path, int]], column: str) -> None:
        """Raises `DataError` where some numbers are of a size that tells another unit than most."""
        sizes = list(_FROM.items())  # the largest first
        place = [unit for unit, _ in sizes].index(self.unit)
        least, most = sizes[place][1], sizes[place - 1][1] if place else np.inf
        in_ms = _MS[self.unit]
        size = np.abs(times)
        odd = (size >= most * in_ms) | ((size < least * in_ms) & (size > 0))
        if odd.any():
            at = int(odd.argmax())
            file, row = where(at)
            number = float(times[at]) / in_ms
            likely = _unit_of(pl.Series([number]))
            raise DataError(
                f"{number:.0f} is of the size of {likely}, and most times are {self.unit}",
                file=str(file),
                row=row,
                column=column,
                remedy="repair such rows, or prepare files of different units one by one; or say "
                f"--time-unit {self.unit} if all are of that unit",
            )


def _unit_of(numbers: pl.Series) -> str:
    middle = abs(float(numbers.drop_nulls().median() or 0.0))  # type: ignore[arg-type]  # of float64
    return next(unit for unit, size in _FROM.items() if middle >= size)


def date_remedy(value: str) -> str:
    """Says how a date that is not ISO could be meant, each reading with its format; "" where it is no date at all."""
    parts = _DATE.fullmatch(value.strip())
    if not parts:
        return ""
    first, mark, _, third, gap, hour, _, seconds, fraction, half = parts.groups()
    clock = ""
    if hour:
        clock = f"{gap}{'%I' if half else '%H'}:%M" + (":%S" if seconds else "") + (".%f" if fraction else "")
        clock += (" %p" if half[0] == " " else "%p") if half else ""
    year = "%Y" if len(third) == 4 else "%y"
    readings = {"year first": f"%Y{mark}%m{mark}%d"} if len(first) == 4 else {}
    readings |= {"day first": f"%d{mark}%m{mark}{year}", "month first": f"%m{mark}%d{mark}{year}"}
    words = []
    for order, date in readings.items():
        try:
            moment = datetime.strptime(value.strip(), date + clock)
        except ValueError:
            continue
        words.append(f"{order} it is {moment:%Y-%m-%d}: --time-format '{date}{clock}'")
    return "; ".join(words)


def telling_date(values: pl.Series, rows: list[int]) -> int:
    """Returns the first of some rows whose date has several readings that differ, else the first."""
    for row in rows[:1000]:
        parts = _DATE.fullmatch(str(values[row]).strip())
        if parts and len(parts[1]) < 3 and parts[1] != parts[3]:
            return row
    return rows[0]


def parse_cut(text: str, unit: str) -> int:
    """Reads a moment as milliseconds: a number in the unit of the data, or an ISO date (20111001 too) or time (UTC)."""
    if re.fullmatch(r"(19|20)\d\d", text.strip()):
        raise ConfigError(f"time {text!r} looks like a year; write {text.strip()}-01-01")
    if unit in _MS and re.fullmatch(r"[+-]?\d+(\.\d+)?", text) and not re.fullmatch(r"(19|20)\d{6}", text):
        number = float(text)
        likely = _unit_of(pl.Series([number]))
        if number and likely != unit:
            raise ConfigError(
                f"time {text!r} is of the size of {likely}, and the log has {unit}: "
                f"write a date such as 2011-10-01, or the number of {unit}"
            )
        return round(number * _MS[unit])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"time {text!r} is neither a number nor an ISO date such as 2011-10-01") from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def moment_text(time_ms: int) -> str:
    """Returns a moment as people read it, UTC."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds")
