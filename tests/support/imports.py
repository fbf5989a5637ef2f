"""Which modules a piece of code imports, in a process of its own."""

import subprocess
import sys


def modules_after(code: str) -> set[str]:
    """The names of all modules that are loaded after running this code in a new interpreter."""
    program = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(ran.stdout.split())
