"""`column = ANY(array)`: one parameter and one text whatever the number of values.

SQLAlchemy's `in_` writes a parameter for each value, and the driver then parses and plans every length anew: for the
batches of `intake` that was a third of the work.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, any_, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute


def among(column: InstrumentedAttribute[Any], name: str) -> ColumnElement[bool]:
    """True for rows whose `column` is one of the list that is bound as `name`."""
    return column == any_(bindparam(name, type_=ARRAY(column.type)))
