"""Class lists of taxonomy files."""

import json

from pipeline.ego4d.reading import Reading

MAX_BYTES = 16 << 20


def fho_taxonomy(reading: Reading, file: str, words: str) -> tuple[str, ...] | None:
    """The list `words` (verbs or nouns) of a taxonomy file, in its order; None where the file is not there."""
    if not reading.exists(file):
        return None
    path, name = reading.folder / file, reading.name(file)
    try:
        if path.stat().st_size > MAX_BYTES:
            reading.problems.add_file(name, "a taxonomy", f"{path.stat().st_size} bytes")
            return None
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        reading.problems.add_file(name, "JSON", str(error))
        return None
    names = document.get(words) if isinstance(document, dict) else None
    is_list = isinstance(names, list) and all(isinstance(n, str) and n.strip() and n.isprintable() for n in names)
    if not (is_list and names and len(set(names)) == len(names)):
        reading.problems.add_file(name, f"a list of different names at `{words}`", names)
        return None
    return tuple(names)
