"""The conformance tests of video sources, for the sources of this package."""

import shutil

import pytest

from embedonce.pipeline.sources.assembly101.video_source import AssemblySource
from embedonce.pipeline.sources.charades_ego.video_source import CharadesEgoSource
from embedonce.pipeline.sources.ego4d.video_source import Ego4dSource
from embedonce.pipeline.sources.egoexo.video_source import EgoExoSource
from embedonce.pipeline.sources.egtea.video_source import EgteaSource
from embedonce.pipeline.sources.epic.video_source import EpicSource
from embedonce.pipeline.sources.file_lists.video_source import FileListSource
from embedonce.pipeline.sources.folder.video_source import FolderSource
from embedonce.pipeline.sources.frames.video_source import FramesSource
from embedonce.pipeline.sources.hd_epic.video_source import HdEpicSource
from embedonce.pipeline.sources.kinetics.video_source import KineticsSource
from embedonce.pipeline.sources.manifest.video_source import ManifestSource
from embedonce.pipeline.sources.registry import SOURCES
from embedonce.pipeline.sources.synthetic.generate import make_synthetic
from embedonce.pipeline.sources.synthetic.video_source import SyntheticSource
from embedonce.pipeline.sources.ucf101.video_source import UcfSource
from tests.support.assembly101_miniature import VIDEOS as ASSEMBLY_VIDEOS
from tests.support.assembly101_miniature import write_tables as write_assembly_tables
from tests.support.charades_ego_miniature import write_lists as write_charades_ego
from tests.support.conformance.source import SourceConformance
from tests.support.ego4d_files import U1, U2, label, moments_video, narrated, narration, write
from tests.support.egoexo_miniature import VIDEOS as EGOEXO_VIDEOS
from tests.support.egoexo_miniature import write_annotations as write_egoexo
from tests.support.egtea_miniature import CLIPS, clip_file
from tests.support.egtea_miniature import write_lists as write_egtea_lists
from tests.support.epic_miniature import write_tables
from tests.support.file_lists_miniature import VIDEOS as LISTED_VIDEOS
from tests.support.file_lists_miniature import write_lists as write_file_lists
from tests.support.folders import touch
from tests.support.hd_epic_miniature import VIDEOS as HD_EPIC_VIDEOS
from tests.support.hd_epic_miniature import write_annotations as write_hd_epic
from tests.support.image_files import write_frames, write_image
from tests.support.kinetics_miniature import FILES as KINETICS_FILES
from tests.support.kinetics_miniature import write_tables as write_kinetics_tables
from tests.support.ucf101_miniature import VIDEOS, write_lists


class TestFolderSource(SourceConformance):
    reads_annotations = False

    def make_source(self):
        return FolderSource()

    def make_data(self, root):
        for name in ("cut bread", "stir pot"):
            (root / name).mkdir()
            (root / name / "1.mp4").touch()
        return {}


class TestEgo4dSource(SourceConformance):
    def make_source(self):
        return Ego4dSource()

    def make_data(self, root):
        moments = {
            "moments_train.json": {"videos": [moments_video(U1, "train", [label("wash hands"), label("cook", 4, 8)])]},
            "moments_val.json": {"videos": [moments_video(U2, "val", [label("cook")])]},
        }
        narrations = {"narration.json": {uid: narrated(narration(1.0), narration(9.0)) for uid in (U1, U2)}}
        write(root, moments | narrations)
        return {"annotations": "moments,narrations-all"}


class TestManifestSource(SourceConformance):
    def make_source(self):
        return ManifestSource()

    def make_data(self, root):
        rows = ["video,start,end,label,split", "a.mp4,0,1:02.5,cut,train", "a.mp4,,,stir,train", "b/c.mp4,3,,cut,val"]
        touch(root, "a.mp4", "b/c.mp4")
        (root / "clips.csv").write_text("\n".join(rows))
        return {"manifest": root / "clips.csv"}


class TestEpicSource(SourceConformance):
    def make_source(self):
        return EpicSource()

    def make_data(self, root):
        write_tables(root)
        touch(root, "P01/P01_01.MP4", "P02/P02_102.MP4")
        return {"epic_labels": "verbs,nouns"}


class TestCharadesEgoSource(SourceConformance):
    def make_source(self):
        return CharadesEgoSource()

    def make_data(self, root):
        write_charades_ego(root)
        touch(root, *(f"CharadesEgo_v1/{name}.mp4" for name in ("ABCDE", "ABCDEEGO", "PQRST", "PQRSTEGO")))
        return {"charades_labels": "first,both,third-videos"}


class TestEgoExoSource(SourceConformance):
    def make_source(self):
        return EgoExoSource()

    def make_data(self, root):
        write_egoexo(root / "annotations")
        touch(root, *EGOEXO_VIDEOS.values())
        return {"egoexo_labels": "keysteps,all-keysteps"}


class TestHdEpicSource(SourceConformance):
    def make_source(self):
        return HdEpicSource()

    def make_data(self, root):
        write_hd_epic(root)
        touch(root, *HD_EPIC_VIDEOS.values())
        return {"hd_epic_labels": "verbs,nouns"}


class TestUcfSource(SourceConformance):
    def make_source(self):
        return UcfSource()

    def make_data(self, root):
        write_lists(root / "ucfTrainTestlist")
        touch(root, *(f"UCF-101/{name}" for name in VIDEOS))
        return {}


class TestFramesSource(SourceConformance):
    reads_annotations = False

    def make_source(self):
        return FramesSource()

    def make_data(self, root):
        for split in ("train", "val"):
            for name in ("cut bread", "stir pot"):
                write_frames(root / split / name / "clip 1", range(1, 4))
        return {"frames_rate": 29.97}


class TestSingleImages(TestFramesSource):
    def make_data(self, root):
        for name in ("cut bread/a.jpg", "cut bread/b.png", "stir pot/c.webp"):
            write_image(root / name, 1)
        return {}


class TestEgteaSource(SourceConformance):
    def make_source(self):
        return EgteaSource()

    def make_data(self, root):
        write_egtea_lists(root / "action_annotation")
        touch(root, *map(clip_file, CLIPS))
        return {"egtea_labels": "actions,verbs,nouns"}


class TestAssemblySource(SourceConformance):
    def make_source(self):
        return AssemblySource()

    def make_data(self, root):
        write_assembly_tables(root / "fine-grained-annotations")
        touch(root, *(f"recordings/{name}" for name in ASSEMBLY_VIDEOS))
        return {"assembly101_labels": "verbs,nouns"}


class TestKineticsSource(SourceConformance):
    def make_source(self):
        return KineticsSource()

    def make_data(self, root):
        write_kinetics_tables(root / "annotations")
        touch(root, *KINETICS_FILES)
        return {}


class TestFileListSource(SourceConformance):
    def make_source(self):
        return FileListSource()

    def make_data(self, root):
        write_file_lists(root)
        touch(root, *LISTED_VIDEOS)
        return {}


@pytest.fixture(scope="module")
def synthetic_videos(tmp_path_factory):
    return make_synthetic(tmp_path_factory.mktemp("synthetic"), 12, 2, 0)


@pytest.mark.integration
class TestSyntheticSource(SourceConformance):
    creates_videos = True
    reads_annotations = False

    @pytest.fixture(autouse=True)
    def folder_of_videos(self, synthetic_videos):
        self.folder = synthetic_videos

    def make_source(self):
        return SyntheticSource()

    def make_data(self, root):
        shutil.copytree(self.folder, root, dirs_exist_ok=True)  # opening it makes no video again
        return {"use_synthetic": True, "num_samples": 12, "num_actions": 2}


def test_every_registered_source_has_conformance_tests():
    tested = {
        type(tests().make_source()) for tests in SourceConformance.__subclasses__() if tests.__module__ == __name__
    }
    assert {type(source) for source in SOURCES} == tested
