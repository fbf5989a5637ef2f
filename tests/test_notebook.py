"""examples/embedonce.ipynb: it runs from beginning to end, and is kept without outputs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "examples" / "embedonce.ipynb"
RUNNING = """
import sys
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
nbformat.write(notebook, "executed.ipynb")
"""


def cells(path: Path) -> list[dict]:
    """The cells with code."""
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def test_it_is_kept_without_outputs():
    assert len(cells(NOTEBOOK)) > 5
    assert {(cell["execution_count"], len(cell["outputs"])) for cell in cells(NOTEBOOK)} == {(None, 0)}


@pytest.mark.slow
def test_it_runs(tmp_path):
    paths = [os.environ.get("PYTHONPATH"), str(ROOT)]
    own = {name: str(tmp_path / name) for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR")}
    environment = os.environ | own | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-c", RUNNING, NOTEBOOK]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200)
    assert ran.returncode == 0, ran.stderr
    outputs = [output for cell in cells(tmp_path / "executed.ipynb") for output in cell["outputs"]]
    printed = "".join("".join(output.get("text", "")) for output in outputs)
    assert "extracting frames: " in printed and "Cache('results/notebook/cache': " in printed
    assert "student: top-1 " in printed and sum("image/png" in output.get("data", {}) for output in outputs) == 3
    assert (tmp_path / "results" / "notebook" / "student" / "report.html").is_file()
