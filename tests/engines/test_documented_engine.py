"""The engine of docs/extending.md is complete: it passes the conformance tests and extracts a video."""

from pathlib import Path

import pytest

from embedonce.cache.store import open_reader
from embedonce.pipeline.engines import child_process
from embedonce.pipeline.engines.engine import EngineOptions
from embedonce.pipeline.engines.registry import ENGINES, make_engine
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.extraction.preflight import run_preflight
from embedonce.pipeline.extraction.settings import ExtractConfig
from tests.commands.test_cli import call, error_of
from tests.extraction.test_runner import make_source
from tests.support.conformance.engine import EngineConformance
from tests.support.conformance.engine_tasks import run_named_task
from tests.support.documentation import code_blocks
from tests.support.fake_teacher import FakeTeacher
from tests.support.videos import write_video

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True, scope="module")
def documented_engine():
    """Run the example, which registers the engine `serial`."""
    (code,) = code_blocks(ROOT / "docs" / "extending.md", "Engine")
    assert len(code.splitlines()) <= 40
    exec(code, {"__name__": "example"})
    yield
    del ENGINES["serial"]


class TestSerialEngine(EngineConformance):
    """The example passes the conformance tests."""

    @staticmethod
    def make_engine(function, options):
        return make_engine("serial", function, options)


class TeacherWithTextTower(FakeTeacher):
    def drop_text_tower(self):
        pass


def test_extraction_runs_on_a_registered_engine(tmp_path, monkeypatch):
    """Without a single worker process."""
    (tmp_path / "videos" / "cut").mkdir(parents=True)
    write_video(tmp_path / "videos" / "cut" / "a.mp4", 30)
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config: TeacherWithTextTower())
    monkeypatch.setattr(child_process, "multiprocessing", None)
    arguments = ["extract-teacher", "--data-dir", tmp_path / "videos", "--cache-dir", tmp_path / "cache"]
    call(*arguments, "--engine", "serial")
    assert open_reader(tmp_path / "cache").num_rows == 2
    assert "engine: serial" in (tmp_path / "cache" / "extract_config.yaml").read_text()


def test_estimates_run_on_a_registered_engine(tmp_path, monkeypatch):
    """Without a single worker process."""
    write_video(tmp_path / "a.mp4", 30)
    monkeypatch.setattr(child_process, "multiprocessing", None)
    config = ExtractConfig(tmp_path, False, tmp_path / "cache", engine="serial")
    report = run_preflight(config, make_source(tmp_path, ["a"]), calibrated=True)
    assert report.estimate.frames == 2 and report.estimate.decode_sec > 0


def test_an_unknown_engine_is_refused_before_any_work(tmp_path):
    told = error_of("extract-teacher", "--data-dir", tmp_path, "--cache-dir", tmp_path / "cache", "--engine", "none")
    assert "engine" in told and "local" in told and "'none'" in told
    with pytest.raises(ValueError, match="unknown engine 'none': choose one of local, ray, serial"):
        make_engine("none", run_named_task, EngineOptions(1, 1.0))
