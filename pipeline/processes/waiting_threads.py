"""Lets the threads of OpenMP sleep while they wait, where other processes need the cores. Imports nothing slow.

By default, GNU's OpenMP, which PyTorch's wheels contain, has threads spin while they wait for one another. Beside
decode processes on all cores, they wait for one whose core is taken.
"""

import os

WAITING = "OMP_WAIT_POLICY"
_OF_THE_USER = (WAITING, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def let_waiting_threads_sleep() -> bool:
    """Set this for this process and those that it starts. Call it before torch is imported.

    Returns whether that was set: not where the user's environment says how threads wait.
    """
    if any(name in os.environ for name in _OF_THE_USER):
        return False
    os.environ[WAITING] = "PASSIVE"
    return True
