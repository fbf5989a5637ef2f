"""Streams and cameras: what is predicted as frames come, what is dropped, and how each of them ends."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from embedonce.pipeline.checkpoints import checkpoint
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.predict.live_source import LiveError, NewestFrame, Received, StreamClock
from embedonce.pipeline.predict.model import Model, ModelFacts
from embedonce.pipeline.predict.predict import predict
from embedonce.pipeline.predict.settings import PredictConfig
from embedonce.pipeline.predict.source_names import source_names
from embedonce.pipeline.predict.student import PredictOptions, Student
from tests.support.live_videos import FakeCamera, stream_server, transport_stream
from tests.support.web_server import file_answers, serving

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def student(world) -> Student:
    return Student.load(world.checkpoint)


@pytest.fixture(scope="module")
def transport(world, tmp_path_factory) -> bytes:
    return transport_stream(world.video("wide"), tmp_path_factory.mktemp("ts") / "wide.ts").read_bytes()


def config(world, *sources: str, **changes) -> PredictConfig:
    return PredictConfig(sources, student=world.checkpoint, **({"window": 0.5} | changes))


def test_windows_of_a_camera_follow_each_other_with_their_latency(world, student):
    camera = FakeCamera(1.6)
    found = list(student.predict("camera:3", camera=camera.open, window=0.5, stall_timeout=7.0))
    assert camera.opened == [("3", 7.0)]
    assert [(round(one.start, 3), round(one.end, 3)) for one in found[:3]] == [(0.0, 0.5), (0.5, 1.0), (1.0, 1.5)]
    assert all(one.label in student.classes for one in found[:3] if one.num_frames > 1)  # unless this machine is busy
    assert {one.source for one in found} == {"camera:3"}
    assert all(one.latency_ms is not None and 0 < one.latency_ms < 60_000 for one in found[:3])


def test_a_limit_of_seconds_ends_a_camera(student):
    found = list(student.predict("camera:0", camera=FakeCamera(60).open, window=0.5, max_seconds=1.0))
    assert [round(one.end, 3) for one in found] == [0.5, 1.0]


def test_a_camera_that_ends_before_the_limit_has_no_windows_after_its_end(student):
    found = list(student.predict("camera:0", camera=FakeCamera(0.9).open, window=0.5, max_seconds=60))
    assert len(found) <= 2 and found[-1].end <= 1.001


def test_a_sampling_interval_longer_than_the_time_limit_is_no_stall(student):
    camera = FakeCamera(2.2)
    found = list(student.predict("camera:0", camera=camera.open, window=1.0, fps=0.5, stall_timeout=1.0))
    assert found[0].num_frames == 1 and found[-1].end > 2


def test_a_camera_that_vanishes_leaves_valid_files_and_ends_with_code_5(world, tmp_path, caplog):
    camera, lines, video = FakeCamera(1.3, ends="vanishes"), tmp_path / "p.jsonl", tmp_path / "p.mp4"
    caplog.set_level("INFO", "embedonce")
    with pytest.raises(LiveError, match=r"^camera:0 cannot be read: No such device$") as caught:
        predict(config(world, "camera:0", output=lines, annotated=video), print, camera.open)
    assert caught.value.exit_code == 5
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [one["start_sec"] for one in found] in ([0.0], [0.0, 0.5])  # one if this machine was busy
    with av.open(str(video)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times[0] == 0 and {round(time, 2) for time in times} <= {0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2}
    assert re.search(r"camera:0: \d windows, .*\d frames dropped, latency \d+ ms", caplog.text)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.jsonl", "p.mp4"]


def test_a_camera_that_stalls_is_given_up(world):
    camera, lines = FakeCamera(0.8, ends="stalls"), []
    with pytest.raises(LiveError, match=r"^camera:0 sent no frame for 1 s; .*--stall-timeout$"):
        predict(config(world, "camera:0", stall_timeout=1.0), lines.append, camera.open)
    camera.release()
    assert [json.loads(line)["start_sec"] for line in lines] == [0.0]


def test_a_camera_that_is_not_there_is_one_sentence(world):
    with pytest.raises(LiveError, match=r"^/dev/video987 cannot be read: No such file or directory$"):
        predict(config(world, "/dev/video987"), print)


def test_a_stream_over_http_has_the_classes_of_its_file(world, student, transport):
    with stream_server(transport) as url:
        found = list(student.predict(url, window=1.0))
    expected = list(student.predict(world.video("wide"), window=1.0))
    assert [one.num_frames for one in found[:2]] == [5, 5]
    shares = [[one.probability for one in some[:2]] for some in (found, expected)]
    np.testing.assert_allclose(*shares, atol=0.05)  # its frames are those at or after each time, not before
    assert found[0].latency_ms is not None and url.startswith(found[0].source[:20])


def test_a_stream_that_breaks_off_is_an_error_after_its_windows(world, transport):
    lines: list[str] = []
    with (
        stream_server(transport, has_end=False) as url,
        pytest.raises(LiveError, match=r"live.ts cannot be read: the connection broke off$"),
    ):
        predict(config(world, url), lines.append)
    assert len(lines) >= 4


def test_a_stream_that_stalls_is_given_up(world, transport):
    released, lines = threading.Event(), []
    with stream_server(transport, lambda: released.wait(60)) as url:
        with pytest.raises(LiveError, match=r"(sent no frame for|no data came within)"):
            predict(config(world, url, stall_timeout=1.5), lines.append)
        released.set()
    assert len(lines) >= 4 and json.loads(lines[0])["label"] is not None


@pytest.mark.parametrize(("status", "reason"), [(404, "the server answered 404"), (500, "the server answered 500")])
def test_a_server_that_refuses_is_one_sentence(world, status, reason):
    with (
        stream_server(b"", status=status) as url,
        pytest.raises(InputError, match=rf"^{url} cannot be read: {reason}$"),
    ):
        predict(config(world, url), print)


def test_a_server_that_is_not_there_is_one_sentence_without_secrets(world):
    with pytest.raises(InputError, match=r"^http://127.0.0.1:9/x.mp4 cannot be read: .*refused$"):
        predict(config(world, "http://127.0.0.1:9/x.mp4?token=secret"), print)


def test_a_stream_that_is_no_video_is_one_sentence(world):
    with stream_server(b"no video at all" * 100) as url, pytest.raises(LiveError, match="cannot be read: Invalid data"):
        predict(config(world, url), print)


def test_an_rtsp_server_that_is_not_there_is_one_sentence(world):
    with pytest.raises(LiveError, match=r"^rtsp://127.0.0.1:9/x cannot be read: Connection refused$"):
        predict(config(world, "rtsp://127.0.0.1:9/x"), print)


def test_only_the_newest_frame_waits_and_the_others_are_counted():
    place = NewestFrame()
    for number in range(4):
        place.put(Received(float(number), None, 0.0))
    assert place.take(1.0).time == 3.0 and place.num_dropped == 3
    with pytest.raises(TimeoutError):
        place.take(0.01)
    place.put(Received(4.0, None, 0.0))
    place.close(ValueError("gone"))
    assert place.take(1.0).time == 4.0  # what came before the end is not lost
    with pytest.raises(ValueError, match="gone"):
        place.take(1.0)


def test_a_stream_clock_begins_at_0_and_survives_missing_and_restarted_timestamps():
    clock = StreamClock()
    assert [clock(100.0, 5.0), clock(100.5, 5.5)] == [0.0, 0.5]
    assert clock(None, 6.0) == pytest.approx(1.0)
    assert clock(3.0, 6.25) == pytest.approx(1.25)  # the sender began anew
    assert clock(3.5, 6.5) == pytest.approx(1.75)
    assert clock(90.0, 6.75) == pytest.approx(2.0)  # or jumped


class SlowModel(Model):
    """A student that takes a fifth of a second for each frame."""

    def __init__(self, facts: ModelFacts):
        self.facts = facts

    def encode(self, frames: np.ndarray) -> np.ndarray:
        time.sleep(0.2)
        return np.zeros((len(frames), 4), np.float32)

    def classify(self, features: np.ndarray, t_rel_sec: np.ndarray) -> np.ndarray:
        return np.zeros(len(self.facts.classes), np.float32)


def test_a_slow_student_drops_frames_and_stays_with_the_newest(world):
    facts = ModelFacts(("a", "b"), 3, checkpoint.load(world.checkpoint).preprocessing, False, None)
    student, options = Student(SlowModel(facts)), PredictOptions(fps=20.0, window=0.5)
    source = student.open(source_names(("camera:0",))[0], options, FakeCamera(2.0, rate=20).open)
    found = list(student.run(source, "camera:0", options))
    seen = sum(one.num_frames for one in found)
    assert source.live.num_dropped >= 20 and 1 <= seen <= 20 and seen + source.live.num_dropped <= 40
    assert found[0].label is None and found[0].reason.endswith("of 10 frames could be used")


def test_ctrl_c_ends_a_live_run_with_valid_files_and_code_130(world, transport, tmp_path):
    released, lines, video = threading.Event(), tmp_path / "p.jsonl", tmp_path / "p.mp4"
    with stream_server(transport, lambda: released.wait(120)) as url:
        words = ["predict", url, "--student", world.checkpoint, "--window", 0.5, "--stall-timeout", 100]
        words = ["cli.py", *words, "--output", lines, "--annotated", video]
        program = subprocess.Popen([sys.executable, *map(str, words)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while not lines.exists() or lines.read_text().count("\n") < 4:
            assert program.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=60)
        released.set()
    assert program.returncode == 130 and "interrupted" in errors and "Traceback" not in errors
    assert "frames dropped, latency" in errors
    assert all(json.loads(line)["source"] == url for line in lines.read_text().splitlines())
    with av.open(str(video)) as container:
        assert len(list(container.decode(video=0))) >= 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.jsonl", "p.mp4"]


def test_a_file_of_a_web_server_is_read_as_a_file(world, student):
    pytest.importorskip("aiohttp", reason="aiohttp is an extra: pip install 'embedonce[http]'")
    with serving(file_answers(world.folder)) as (address, traffic):
        found = list(student.predict(f"{address}/wide.mp4?token=secret"))
    assert any("bytes=" in request for request in traffic.requests)
    expected = list(student.predict(world.video("wide")))
    assert [(one.start, one.top) for one in found] == [(one.start, one.top) for one in expected]
    assert found[0].source == f"{address}/wide.mp4" and found[0].latency_ms is None
