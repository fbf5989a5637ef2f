"""Parts of a plan that a listing lacks: whether they are missing, or the listing is out of date."""

from collections.abc import Sequence

from embedonce.cache.errors import StorageError
from embedonce.cache.layout import numbered_file
from embedonce.cache.stores.stored_path import StoredPath


def first_missing(plan: StoredPath, names: Sequence[str]) -> int:
    """The number of the first part that is missing from a plan of which these files were listed.

    StorageError if it is there, although the store did not list it.
    """
    for number, name in enumerate(names):
        if name != numbered_file(number):
            refuse_unlisted(plan, number)
            return number
    return len(names)


def refuse_unlisted(plan: StoredPath, number: int) -> None:
    """StorageError if this part of a plan, which was not listed, is there: listings of the store are out of date.

    Only for a part that must exist, or must not: a writer may add the next one at any time.
    """
    path = plan / numbered_file(number)
    if path.exists():
        raise StorageError(
            f"{plan} was listed without {path.name}, which is there: the store's listings are out of date. "
            "Nothing was changed; run the command again in a while"
        )
