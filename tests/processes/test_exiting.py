"""A process that ends at once has finished all that exit functions and threads do, and dismantles nothing."""

import subprocess
import sys

import pytest

SCRIPT = """
import sys
from embedonce.pipeline.processes import exiting
import atexit, threading, time


class Dismantled:
    def __del__(self):
        print("dismantled")


kept = Dismantled()
atexit.register(print, "exit function")
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
if sys.argv[1] == "at once":
    exiting.end_at_once_with(3)
sys.exit(3)
"""


@pytest.mark.parametrize(("how", "last"), [("at once", []), ("as usual", ["dismantled"])])
def test_what_is_registered_is_done_before_the_process_ends(how, last):
    ran = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (3, "")
    assert ran.stdout.splitlines() == ["thread", "exit function", *last]


COMMAND = """
import atexit, sys
from embedonce import cli
from embedonce.pipeline.processes import exiting

atexit.register(lambda: print("code", exiting._code))
sys.argv = ["cli.py", *sys.argv[1:]]
cli.run()
"""


@pytest.mark.parametrize(("options", "code"), [(["--help"], 0), (["no-command"], 2)])
def test_a_command_ends_at_once_with_its_own_code(options, code):
    ran = subprocess.run([sys.executable, "-c", COMMAND, *options], capture_output=True, text=True)
    assert ran.returncode == code and ran.stdout.splitlines()[-1] == f"code {code}"
