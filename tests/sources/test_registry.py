"""The registry of video sources: which one opens a folder, with which options."""

import dataclasses
from types import SimpleNamespace

import pytest

from embedonce.pipeline.errors import InputError
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.settings import RelabelConfig
from embedonce.pipeline.settings.options import setting
from embedonce.pipeline.sources import registry
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.folder.options import FolderOptions
from embedonce.pipeline.sources.folder.video_source import FolderSource
from embedonce.pipeline.sources.registry import choose_source, open_sources, options_of, read_sources, register
from embedonce.pipeline.sources.source import UNLABELED
from tests.support.ego4d_files import MOMENTS_OF_U2, write
from tests.support.folders import touch


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwinOptions:
    twin: str | None = setting(help="Name of the twin.")
    fps: float = 1.0  # an option of the command

    def __post_init__(self):
        if self.twin == "":
            raise ValueError("--twin must be a name, got ''")


class TwinSource(FolderSource):
    """A plug-in: the folder source under another name, recognized by an option."""

    name, description = "twin", "a twin"
    options_type = TwinOptions
    own_options = ("twin",)

    def recognizes(self, root, options):
        return options.twin is not None

    def open(self, request):
        self.request = request
        return FolderSource().open(dataclasses.replace(request, options=FolderOptions()))


@pytest.fixture
def twin(monkeypatch) -> TwinSource:
    monkeypatch.setattr(registry, "SOURCES", list(registry.SOURCES))
    register(TwinSource())
    return registry.SOURCES[0]


@pytest.fixture
def folder(tmp_path):
    return touch(tmp_path / "data", "a/1.mp4", "b/1.mp4")


def test_the_folder_decides_which_source_opens_it(folder, tmp_path):
    assert choose_source(folder).name == "folder"
    assert choose_source(write(tmp_path / "ego", MOMENTS_OF_U2)).name == "ego4d"
    assert choose_source(folder, SimpleNamespace(use_synthetic=True)).name == "synthetic"
    with pytest.raises(InputError, match="no data: name a folder with --data-dir, or a table of clips with --manifest"):
        choose_source(None)


def test_options_of_another_source_are_refused(folder, tmp_path):
    root = write(tmp_path / "ego", MOMENTS_OF_U2)
    with pytest.raises(
        InputError, match=r"--layout is for a folder .*ego is an Ego4D download .*: leave the option out"
    ):
        choose_source(root, FolderOptions(layout="flat"))
    with pytest.raises(InputError, match=r"--annotations is for Ego4D downloads, but there is no ego4d.json"):
        open_sources(folder, Ego4dOptions(annotations="moments"))
    with pytest.raises(InputError, match=r"--layout is for .* is synthetic data"):
        choose_source(folder, SimpleNamespace(use_synthetic=True, layout="flat"))


def test_a_registered_source_takes_precedence_and_gets_its_options(folder, twin):
    config = ExtractConfig(folder, False, folder, fps=4.0, source_settings={"twin": "x"})
    assert list(read_sources(folder, config, cached_uids=("u",), cache_dir=folder / "c")) == [""]
    assert twin.request.options == TwinOptions(twin="x", fps=4.0)
    assert (twin.request.cached_uids, twin.request.cache_dir) == (("u",), folder / "c")
    assert twin.request.needs_labels and twin.request.needs_files
    assert choose_source(folder, ExtractConfig(folder, False, folder)).name == "folder"
    with pytest.raises(InputError, match="--layout is for a folder of videos"):
        choose_source(folder, ExtractConfig(folder, False, folder, layout="flat", source_settings={"twin": "x"}))


def test_a_value_that_a_source_refuses_is_an_error_of_input(folder, twin):
    with pytest.raises(InputError, match="--twin must be a name, got ''"):
        open_sources(folder, SimpleNamespace(twin=""))


def test_a_name_is_registered_once(twin):
    with pytest.raises(ValueError, match="'twin' is already registered"):
        register(TwinSource())


def test_options_of_registered_sources_are_settings(folder, twin):
    assert "twin" in {option.name for option in ExtractConfig.options()}
    config = ExtractConfig.from_options({"data_dir": folder, "cache_dir": folder, "twin": "x"})
    assert config.as_dict()["twin"] == "x" and "source_settings" not in config.as_dict()
    assert options_of(twin, config).twin == "x"
    assert options_of(twin, ExtractConfig(folder, False, folder)).twin is None


def test_relabel_reads_annotations_only_if_an_option_of_a_source_asks_for_them(folder, twin):
    names = folder / "names.txt"
    assert not RelabelConfig(cache_dir=folder, data_dir=folder, classes=names).asks_for_annotations
    assert RelabelConfig(cache_dir=folder, data_dir=folder, annotations="oscc").asks_for_annotations
    assert RelabelConfig(cache_dir=folder, data_dir=folder, source_settings={"twin": "x"}).asks_for_annotations


def test_classes_are_those_that_the_settings_name(folder, tmp_path, twin):
    (tmp_path / "names.txt").write_text("one\ntwo\nthree\n")
    (tmp_path / "map.csv").write_text("a,first\nb,second\n")
    assert open_sources(folder)[""].classes == ("a", "b")
    settings = SimpleNamespace(classes=tmp_path / "names.txt", twin="x")
    assert open_sources(folder, settings)[""].classes == ("one", "two", "three")
    assert not twin.request.needs_labels
    assert open_sources(folder, SimpleNamespace(class_names=tmp_path / "map.csv"))[""].classes == ("first", "second")
    assert len(open_sources(folder, SimpleNamespace(num_actions=1))[""].classes) == 1
    twin.selects_classes = True
    assert len(open_sources(folder, SimpleNamespace(num_actions=1, twin="x"))[""].classes) == 2


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"no folder .*give the folder"):
        open_sources(tmp_path / "absent")
    touch(tmp_path, "a.mp4", "empty/readme.txt")
    with pytest.raises(InputError, match=r"is a file; give the folder"):
        open_sources(tmp_path / "a.mp4")
    with pytest.raises(InputError, match=r"no video file in .*\.mp4 .*\.264"):
        open_sources(tmp_path / "empty")
    touch(tmp_path, "torn/readme.txt")
    (tmp_path / "torn" / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    with pytest.raises(InputError, match=r"none of 1 video files .* broken link"):
        open_sources(tmp_path / "torn")


def test_class_names_from_a_file(tmp_path):
    touch(tmp_path / "data", "a/1.mp4", "b/1.mp4")
    names = tmp_path / "names.txt"
    names.write_text("\ufeff# classes\n\n  open door \nécrire\n", "utf-8")
    source = open_sources(tmp_path / "data", SimpleNamespace(classes=names))[""]
    assert source.classes == ("open door", "écrire")
    assert {clip.label for clip in source.clips} == {UNLABELED}
    assert any("2 class names" in note for note in source.notes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "contains no class name"),
        (b"# only\n\n", "contains no class name"),
        (b"a\nb\na\n", "line 3: class 'a' is already on line 1"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a\tb\n", "line 1: .*control characters"),
        (None, "No such file"),
    ],
)
def test_unusable_class_files(tmp_path, content, message):
    touch(tmp_path, "v.mp4")
    names = tmp_path / "names.txt"
    if content is not None:
        names.write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_sources(tmp_path, SimpleNamespace(classes=names))


def test_the_annotations_option_is_refused_without_ego4d_json(tmp_path):
    touch(tmp_path, "v2/full_scale/a.mp4")
    assert open_sources(tmp_path)[""].kind == "folder"
    with pytest.raises(InputError, match=r"--annotations is for Ego4D downloads, but there is no ego4d.json"):
        open_sources(tmp_path, Ego4dOptions(annotations="moments"))
