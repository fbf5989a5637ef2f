"""Class lists of taxonomy files."""

from embedonce.cache import strict_json
from embedonce.models.plain_files import read_plain
from embedonce.pipeline.sources.ego4d.reading import Reading

MAX_BYTES = 16 << 20


def fho_taxonomy(reading: Reading, file: str, words: str) -> tuple[str, ...] | None:
    """The list `words` (verbs or nouns) of a taxonomy file, in its order; None where the file is not there."""
    if not reading.exists(file):
        return None
    path, name = reading.folder / file, reading.name(file)
    try:
        document = strict_json.loads(read_plain(path, MAX_BYTES))
    except OSError as error:
        reading.problems.add_file(name, "a taxonomy", str(error.strerror))
        return None
    except ValueError as error:
        reading.problems.add_file(name, "JSON", str(error))
        return None
    names = document.get(words) if isinstance(document, dict) else None
    is_list = isinstance(names, list) and all(isinstance(n, str) and n.strip() and n.isprintable() for n in names)
    if not (is_list and names and len(set(names)) == len(names)):
        reading.problems.add_file(name, f"a list of different names at `{words}`", names)
        return None
    return tuple(names)
