"""`column = ANY(array)`: one parameter and one text whatever the number of values.

SQLAlchemy's `in_` writes a parameter for each value, and the driver then parses and plans every length anew: for the
batches of `intake` that was a third of the work.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from sqlalchemy import ColumnElement, any_, literal
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute

T = TypeVar("T")


def among(column: InstrumentedAttribute[T], values: Iterable[T]) -> ColumnElement[bool]:
    """True for rows whose `column` is one of `values`."""
    return column == any_(literal(list(values), ARRAY(column.type)))
