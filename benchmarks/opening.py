"""Opens a cache in this process, to read or to write, and prints what that took: started by benchmarks.open_cache.

python -m benchmarks.opening reader CACHE
"""

import json
import re
import sys
import time
from pathlib import Path

from embedonce.cache.store import open_reader, open_writer, read_identity

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
DOCUMENTS = {"reader": "records", "writer": "plan"}  # the folders whose documents each of them has to parse


def memory(field: str) -> int:
    """Bytes: VmRSS of now, VmHWM of the peak."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return 1024 * int(found[1])


def opening(what: str, root: Path) -> dict[str, float]:
    """Wall and processor seconds, and bytes that are held when the cache is open and were held at most.

    json: processor seconds of json.loads for the same documents, afterwards.
    """
    identity = read_identity(root)
    CLEAR.write_text(RESET_PEAK)
    before, start, work_start = memory("VmRSS"), time.perf_counter(), time.process_time()
    opened = open_reader(root) if what == "reader" else open_writer(root, identity)
    seconds, processor = time.perf_counter() - start, time.process_time() - work_start
    held, peak = memory("VmRSS"), memory("VmHWM")
    opened.close()
    found = {"seconds": seconds, "processor": processor, "held": held - before, "peak": peak - before}
    return found | {"json": bare_parsing(root / DOCUMENTS[what])}


def bare_parsing(folder: Path) -> float:
    """Processor seconds of json.loads for all documents of a folder."""
    seconds = 0.0
    for path in folder.iterdir():
        text = path.read_bytes()
        start = time.process_time()
        json.loads(text)
        seconds += time.process_time() - start
    return seconds


if __name__ == "__main__":
    sys.stdout.write(json.dumps(opening(sys.argv[1], Path(sys.argv[2]))) + "\n")
