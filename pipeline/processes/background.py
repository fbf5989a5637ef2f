"""A call in a thread beside the program, which does not wait for it when it ends early."""

import threading
from collections.abc import Callable


class BackgroundCall:
    """Runs a function in a thread of its own, from now on."""

    def __init__(self, function: Callable[[], object], name: str):
        """name: of the thread."""
        self._function = function
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait until the function has returned. Raises what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self._function()
        except BaseException as error:  # for whoever waits
            self._error = error
