"""Documents whose arrays may grow with a data set: what would make one too long is kept in further files.

A continuation is named by its own SHA-256 and never changes, and the document lists it: so the document alone decides
which of them count, and can be read at any time while it is replaced.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from functools import partial, reduce

from embedonce.cache import documents
from embedonce.cache.commit import sha256, to_json
from embedonce.cache.documents import parse_list
from embedonce.cache.errors import DamagedError
from embedonce.cache.layout import continued_folder
from embedonce.cache.limits import brief
from embedonce.cache.schema import FORMAT_VERSION_2, check_sha256
from embedonce.cache.stores.stored_path import StoredPath

MAX_BYTES = 48 << 20  # of a document, or of the values in each of its files
CONTINUED_IN = "continued_in"  # field of a document: names of its continuations, in order
NUMBER = "number"  # field of a continuation: its position in that list, from 1 on; so no two are equal
VALUES = "values"  # field of a continuation: a list of [place, values]

Place = tuple[str | int, ...]  # the keys and positions that lead to an array of a document
Check = Callable[[dict, str], object]  # (document, name): raises DamagedError if a reader would


def publish(
    path: StoredPath,
    document: dict,
    places: Sequence[Place],
    check: Check,
    put: Callable[[bytes], None],
    is_shared: bool = False,
) -> None:
    """Write a document, after the files that hold what would make it too long.

    places: of the arrays that may be continued in further files. put: publishes or replaces the file at path.
    is_shared: others may do the same now, so that continuations that are not ours stay. ValueError, and nothing is
    changed, if a reader would refuse the document.
    """
    head, further = _cut(document, places)
    contents = {sha256(data): data for data in map(documents.serialize_with_checksum, further)}
    if contents:
        head = head | {CONTINUED_IN: list(contents), "format_version": FORMAT_VERSION_2}
    data = documents.serialize_verified(head, partial(_check_whole, check, contents), str(path))
    folder = continued_folder(path)
    if contents:
        folder.make_folder()
    for digest, continuation in contents.items():
        (folder / f"{digest}.json").replace(continuation)  # there may be a damaged one
    put(data)
    if not is_shared:
        _delete_others(folder, contents)


def read(path: StoredPath) -> dict:
    """The document in a file, with what is in its continuations. DamagedError if any of them cannot be read."""
    document, folder = documents.read(path), continued_folder(path)
    if CONTINUED_IN in document:
        folder.store.refuse_links((folder.relative,))
    return _joined(document, lambda digest: (folder / f"{digest}.json").get(), str(path))


def delete_unlisted(folder: StoredPath) -> None:
    """Delete the continuations that interrupted writers left in a folder of continuations: those that do not count.

    DamagedError if the document that they belong to cannot be read, or the folder is a link.
    """
    folder.store.refuse_links((folder.relative,))
    path = folder.parent / f"{folder.stem}.json"
    listed = documents.read(path).get(CONTINUED_IN, []) if path.exists() else []
    if not listed:
        folder.delete_folder()
        return
    _delete_others(folder, listed)


def _delete_others(folder: StoredPath, listed: Container[str]) -> None:
    for file in folder.list(".json"):
        if file.stem not in listed:
            file.delete()


def _cut(document: dict, places: Sequence[Place]) -> tuple[dict, list[dict]]:
    """(the document with the first values of its arrays, continuations with the others); the document if it is short"""
    if len(to_json(document)) <= MAX_BYTES:
        return document, []
    first, *others = _groups(document, places)
    for place in places:
        document = _with_array(document, place, first.get(place, []))
    about = {"format_version": FORMAT_VERSION_2}
    return document, [{NUMBER: i, VALUES: list(group.items()), **about} for i, group in enumerate(others, 1)]


def _groups(document: dict, places: Iterable[Place]) -> list[dict[Place, list]]:
    """The values of these arrays in order, in groups that a file can hold."""
    groups: list[dict[Place, list]] = [{}]
    room = MAX_BYTES
    for place in places:
        for value in _array(document, place):
            size = len(to_json(value)) + 1
            if size > room and groups[-1]:
                groups.append({})
                room = MAX_BYTES
            groups[-1].setdefault(place, []).append(value)
            room -= size
    return groups


def _with_array(value, place: Place, array: list):
    """A copy of a document, or of a part of it, with this array at a place in it."""
    if not place:
        return array
    copy = value.copy()
    copy[place[0]] = _with_array(copy[place[0]], place[1:], array)
    return copy


def _joined(document: dict, content_of: Callable[[str], bytes], name: str) -> dict:
    """The document with the values of its continuations. DamagedError, with its name, if they are not part of it."""
    with documents.as_damaged_error(name):
        digests = list(map(check_sha256, parse_list(document.pop(CONTINUED_IN, []))))
    for number, digest in enumerate(digests, 1):
        data, about = content_of(digest), f"{name}, continued in {digest}.json,"
        if sha256(data) != digest:
            raise DamagedError(f"{about} is damaged: the file's SHA-256 is not its name")
        continuation = documents.parse(data, about)
        with documents.as_damaged_error(about):
            if continuation[NUMBER] != number:
                raise ValueError(f"it is continuation {brief(continuation[NUMBER])}, not {number}")
            for place, values in parse_list(continuation[VALUES]):
                _array(document, place).extend(parse_list(values))
    return document


def _check_whole(check: Check, contents: dict[str, bytes], document: dict, name: str) -> None:
    check(_joined(document, contents.__getitem__, name), name)


def _array(document: dict, place: Iterable[str | int]) -> list:
    array = reduce(lambda value, key: value[key], place, document)
    if type(array) is not list:
        raise TypeError(f"there is no array at {place}")
    return array
