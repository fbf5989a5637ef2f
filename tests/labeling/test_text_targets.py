"""--embed-texts: texts of clips become vectors in the cache, with extract-teacher or later with relabel."""

import numpy as np
import pytest

from embedonce.cache import clip_texts
from embedonce.cache.store import open_reader, open_writer
from embedonce.cache.verify import verify
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction import teacher_loading
from embedonce.pipeline.labeling.requests import request_label_set
from embedonce.pipeline.labeling.space import RowSize, label_bytes
from embedonce.pipeline.labeling.text_targets import with_texts, write_texts
from embedonce.pipeline.sources.source import Clip, Source
from embedonce.pipeline.teachers.teacher import LongTexts
from tests.commands.test_cli import call, error_of
from tests.support.cache_parts import make_cache
from tests.support.ego4d_files import U2, label, moments_video, narrated, narration, write
from tests.support.fake_teacher import FakeTeacher
from tests.support.shared_units import PLAIN
from tests.support.videos import write_video

pytestmark = pytest.mark.usefixtures("forked_workers")

ROWS = ["video,start,end,label,text", "a.mp4,0,1,cut,cut the bread", "a.mp4,1,2,stir,", "b.mp4,0,2,cut,cut the bread"]
CONTEXT = 4  # words


class Texts(FakeTeacher):
    """Counts what it embeds, and reads CONTEXT words. Without its text tower it embeds no more texts."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def class_text(self, prompts):
        assert self.asked is not None, "the text tower is gone"
        self.asked += [text for texts in prompts for text in texts]
        return super().class_text(prompts)

    def drop_text_tower(self):
        self.asked = None

    def long_texts(self, prompts):
        long = [(label, texts[0], len(texts[0].split())) for label, texts in enumerate(prompts)]
        long = [entry for entry in long if entry[2] > CONTEXT]
        return LongTexts(len(long), CONTEXT, tuple(long[:1]))


@pytest.fixture
def teacher(monkeypatch) -> Texts:
    made = Texts()
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: made)
    return made


@pytest.fixture
def place(tmp_path, teacher) -> list:
    """Options of both commands: a manifest of two videos, and a cache."""
    for name in "ab":
        write_video(tmp_path / f"{name}.mp4", 60)
    (tmp_path / "m.csv").write_text("\n".join(ROWS))
    return ["--manifest", tmp_path / "m.csv", "--cache-dir", tmp_path / "c"]


def texts_of(root, label_set=None) -> dict[str, str]:
    reader = open_reader(root)
    labels = reader.label_set(label_set)
    texts = reader.texts(labels.name).read()
    return {clip.clip_id: text for clip in labels.clips if texts is not None and (text := texts.text_of(clip))}


@pytest.mark.integration
def test_extraction_embeds_each_text_once_and_only_if_it_is_told_to(place, teacher, tmp_path, caplog):
    call("extract-teacher", *place)
    assert "2 of 3 clips have a narration (text), which --embed-texts makes targets of" in caplog.text
    assert texts_of(tmp_path / "c") == {} and teacher.asked is None
    teacher.asked = []
    call("extract-teacher", *place, "--embed-texts")
    assert texts_of(tmp_path / "c") == {"a_2Emp4:0-1": "cut the bread", "b_2Emp4:0-2": "cut the bread"}
    assert teacher.asked.count("cut the bread") == 1 and not verify(tmp_path / "c").problems
    store = open_reader(tmp_path / "c").texts(open_reader(tmp_path / "c").label_sets()[0])
    vector, expected = store.vectors(store.read(), np.array([0])), teacher.class_text([["cut the bread"]])[0]
    np.testing.assert_allclose(vector, expected, atol=1e-3)


@pytest.mark.integration
def test_relabel_adds_texts_to_an_existing_label_set_without_videos(place, teacher, tmp_path, caplog):
    call("extract-teacher", *place)
    for name in "ab":
        (tmp_path / f"{name}.mp4").unlink()
    name = open_reader(tmp_path / "c").label_sets()[0]
    teacher.asked, again = [], ["relabel", *place, "--label-set", name, "--embed-texts"]
    call(*again)
    assert texts_of(tmp_path / "c") == {"a_2Emp4:0-1": "cut the bread", "b_2Emp4:0-2": "cut the bread"}
    (tmp_path / "m.csv").write_text("\n".join([*ROWS[:3], "b.mp4,0,2,cut,open the door with the left hand"]))
    teacher.asked = []
    call(*again[:-1])
    assert "1 clips of label set 'zero-shot' have other texts in the data than in the cache" in caplog.text
    caplog.clear()
    call(*again)
    assert "other texts in the data" not in caplog.text
    assert "1 of 1 texts are longer than the 4 tokens that the teacher reads" in caplog.text
    assert "7 tokens: 'open the door with the left hand'" in caplog.text
    assert texts_of(tmp_path / "c") == {
        "a_2Emp4:0-1": "cut the bread",
        "b_2Emp4:0-2": "open the door with the left hand",
    }
    assert teacher.asked.count("cut the bread") == 0  # it is in the cache
    next((tmp_path / "c" / "labels" / name / "texts.vectors").iterdir()).write_bytes(b"")
    told = call("repair-cache", "--cache-dir", tmp_path / "c", "--yes")
    assert f"texts of label set {name}: run the relabel command that made it again, with --embed-texts" in told
    assert "extract-teacher" not in told.splitlines()[-1]
    call(*again)
    classes = tmp_path / "other.txt"
    classes.write_text("slice\nmix\n")
    teacher.asked = []
    call("relabel", "--cache-dir", tmp_path / "c", "--clips-from", name, "--classes", classes, "--embed-texts")
    assert not {"cut the bread", "open the door with the left hand"} & set(teacher.asked)  # vectors were copied
    assert texts_of(tmp_path / "c", "other") == texts_of(tmp_path / "c", name)


@pytest.mark.integration
def test_narrations_of_ego4d_are_kept_as_they_were_written(tmp_path, teacher):
    narrations = {U2: narrated(narration(1.0, "#C C puts  down a cup"), narration(3.0))}
    moments = {"videos": [moments_video(U2, "train", [label("wash", 0, 4)])]}
    write(tmp_path, {"narration.json": narrations, "moments_train.json": moments})
    write_video(tmp_path / "v2" / "full_scale" / f"{U2}.mp4", 240)
    options = ["--data-dir", tmp_path, "--cache-dir", tmp_path / "c", "--annotations", "narrations,moments"]
    call("extract-teacher", *options, "--embed-texts")
    assert texts_of(tmp_path / "c", "moments") == {}
    assert set(texts_of(tmp_path / "c", "narrations").values()) == {
        "#C C puts down a cup",
        narration(3.0)["narration_text"],
    }


def mistakes(place, *options) -> str:
    return error_of("extract-teacher", *place, "--embed-texts", *options, code=2)


def test_mistakes_are_one_sentence(place, tmp_path):
    assert "--embed-texts cannot be used with --part: when everything is extracted" in mistakes(place, "--part", "1/2")
    assert "--embed-texts cannot be used with --engine ray" in mistakes(place, "--engine", "ray")
    (tmp_path / "m.csv").write_text("\n".join(line.rsplit(",", 1)[0] for line in ROWS))
    assert mistakes(place).startswith("--embed-texts: no clip has a text; narrations of Ego4D")


def test_a_teacher_without_a_text_tower_is_one_sentence(tmp_path, place, monkeypatch):
    class NoText(FakeTeacher):
        class_text = property()

    request = request_label_set(a_source(("x",)), "", "none")
    with pytest.raises(InputError, match="the teacher onnx:m has no text tower, which --embed-texts needs"):
        with_texts([request], "onnx:m")
    monkeypatch.setattr(teacher_loading, "load_teacher", lambda config, cached=None: NoText())
    assert "the teacher fake has no text tower, which --embed-texts needs" in mistakes(place)


def a_source(texts: tuple[str, ...]) -> Source:
    clips = (Clip(f"v{i}-0", f"v{i}", 0.0, 2.5, -1, "train", text) for i, text in enumerate(texts))
    return Source(None, "folder", (), tuple(clips), ())


def test_the_estimate_counts_each_text_once():
    source = a_source(tuple(f"a text of clip {i // 2}" for i in range(12)))
    (request,) = with_texts([request_label_set(source, "", "none", "tiny")], "ViT-B-32")
    size = RowSize("hdf5", 1, 64)
    estimated = label_bytes([request], 0, size) - label_bytes([request_label_set(source, "", "none", "tiny")], 0, size)
    assert 6 * 64 * 2 < estimated < 6 * 64 * 2 + 12 * 60


def test_clips_of_one_id_with_different_texts_are_one_sentence(tmp_path):
    root = tmp_path / "c"
    make_cache(root, {"a": range(4)}, label_sets=(PLAIN,))
    clips = tuple(Clip("a:0", "a", 0.0, 3.0, 0, "train", text) for text in ("cut", "stir"))
    request = request_label_set(Source(None, "folder", (), clips, PLAIN.classes), "", "none", "plain")
    writer = open_writer(root, open_reader(root).identity)
    with pytest.raises(
        InputError, match=r"two clips of a\.mp4 have the id 'a:0' and different texts, 'cut' and 'stir'"
    ):
        write_texts(writer, request, Texts())
    writer.close()


def test_no_more_texts_are_embedded_at_once_than_a_file_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(clip_texts, "FILE_BYTES", 2 * 2 * 16)  # two vectors
    uids = [f"v{i}" for i in range(5)]
    make_cache(tmp_path / "c", dict.fromkeys(uids, range(4)), label_sets=(PLAIN,))
    sizes = []

    class Counting(Texts):
        def class_text(self, prompts):
            sizes.append(len(prompts))
            return super().class_text(prompts)

    clips = tuple(Clip(f"{uid}:0", uid, 0.0, 3.0, 0, "train", f"text {uid}") for uid in uids)
    request = request_label_set(Source(None, "folder", (), clips, PLAIN.classes), "", "none", "plain")
    writer = open_writer(tmp_path / "c", open_reader(tmp_path / "c").identity)
    texts = write_texts(writer, request, Counting())
    writer.close()
    assert sizes == [2, 2, 1] and [file.num_texts for file in texts.files] == sizes
    assert texts_of(tmp_path / "c") == {f"{uid}:0": f"text {uid}" for uid in uids}
