"""The columns of a table, for sources that recognize a data set by them: names such as train.csv say too little."""

from pathlib import Path

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.sources.manifest.formats import open_table
from embedonce.pipeline.sources.manifest.table import TableError


def columns_of(path: Path) -> frozenset[str]:
    """The names in the first line of a CSV or TSV file, in lower case; none if there is no such file or line."""
    if not path.is_file():
        return frozenset()
    try:
        return frozenset(open_table(path, (), lambda line, message: None).columns)
    except (InputError, TableError):
        return frozenset()
