"""Conformance tests of an export format. Subclass ExportFormatConformance and override make_format."""

import copy

import numpy as np
import pytest
import torch

from embedonce.models.names import ATTENTION, MEAN
from embedonce.models.student import VideoStudent
from embedonce.models.student_config import student_config
from embedonce.pipeline.clips.inference import Predictions
from embedonce.pipeline.export.exported_student import ExportedOutput, ExportedStudent
from embedonce.pipeline.export.facts import HeldOutFacts
from embedonce.pipeline.export.format import ExportFormat, ExportInputs
from embedonce.pipeline.export.parity import check_parity, measure_parity
from tests.support.export_facts import make_facts
from tests.support.small_student import SmallBackbone

RESOLUTION, DIM = 128, 16
HELD_OUT = HeldOutFacts("labels", "val", "train", 0.5, 0.5)


class ExportFormatConformance:
    """What every export format must do; class Test…(ExportFormatConformance) runs it for one."""

    @classmethod
    def make_format(cls) -> ExportFormat:
        """An instance of the format; skip here if its libraries are optional and missing."""
        raise NotImplementedError("override make_format")

    @pytest.fixture(scope="class")
    @classmethod
    def export_format(cls) -> ExportFormat:
        return cls.make_format()

    @pytest.fixture(
        scope="class",
        params=[(3, ATTENTION), *(pytest.param(one, marks=pytest.mark.slow) for one in ((0, ATTENTION), (3, MEAN)))],
        ids=["3 classes", "no classes", "mean"],
    )
    @classmethod
    def student(cls, request) -> VideoStudent:
        torch.manual_seed(0)
        classes, pooling = request.param
        return VideoStudent(student_config("tiny", DIM, classes, RESOLUTION, pooling=pooling), SmallBackbone()).eval()

    @pytest.fixture(scope="class")
    @classmethod
    def inputs(cls, student) -> ExportInputs:
        frames = np.random.default_rng(0).integers(0, 256, (8, 3, RESOLUTION, RESOLUTION), np.uint8)
        classes = ["a", "b", "c"][: student.config.num_classes]
        facts = make_facts({"size": "tiny", "resolution": RESOLUTION, "embed_dim": DIM}, classes)
        return ExportInputs.of(student, facts, frames)

    @pytest.fixture(scope="class")
    @classmethod
    def files(cls, export_format, inputs) -> dict[str, bytes]:
        return export_format.write(inputs)

    def test_it_writes_the_files_that_it_names(self, export_format, files):
        assert set(files) == set(export_format.file_names) and len(set(export_format.file_names)) > 0
        assert all(isinstance(data, bytes) and data for data in files.values())
        assert all(part and not part.startswith(".") for name in files for part in name.split("/"))

    def test_its_files_do_not_replace_those_of_every_export(self, export_format):
        common = {"README.md", "config.json", "parity.json", "export_config.yaml", "source.json"}
        assert not set(export_format.file_names) & (common | {"model.safetensors", "student_parts.safetensors"})

    @pytest.mark.parametrize(("clips", "length"), [(1, 1), (3, 5)])
    def test_any_batch_size_and_clip_length_can_be_run(self, export_format, files, student, clips, length):
        exported = run(export_format, files, example(clips, length))
        assert exported.clip_embedding.shape == (clips, DIM)
        assert exported.clip_logits.shape == (clips, student.config.num_classes)
        norms = exported.clip_embedding.norm(dim=-1)
        torch.testing.assert_close(norms, torch.ones(clips), atol=1e-3, rtol=0)

    def test_its_outputs_match_pytorch_within_its_own_limits(self, export_format, files, student):
        batch = example(8, 4)
        with torch.inference_mode():
            trained, in_double = student(*batch), copy.deepcopy(student).double()(*batch)
        outputs = (run(export_format, files, batch), trained, in_double)
        parity = measure_parity(*map(predictions, outputs))
        check_parity("conformance", parity, export_format.limits)

    def test_loading_depends_on_the_written_files_alone(self, export_format, files):
        copies = {name: bytes(data) for name, data in reversed(files.items())}
        first, second = (run(export_format, some, example(2, 2)) for some in (files, copies))
        torch.testing.assert_close(first.clip_embedding, second.clip_embedding)

    def test_the_model_card_gets_text_about_its_files(self, export_format, inputs):
        paragraphs = export_format.card_paragraphs(inputs.facts, HELD_OUT)
        assert all(isinstance(text, str) and text.strip() for text in paragraphs)


@torch.inference_mode()
def run(export_format: ExportFormat, files: dict[str, bytes], batch: tuple[torch.Tensor, ...]) -> ExportedOutput:
    """Load the files and run them on a batch of clips, as the export does."""
    return ExportedStudent(export_format.load(files))(*batch)


def example(clips: int, length: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random frames, times and mask of clips; the last clip has one frame fewer if it can."""
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 256, (clips, length, 3, RESOLUTION, RESOLUTION), generator=generator, dtype=torch.uint8)
    mask = torch.ones(clips, length, dtype=torch.bool)
    mask[-1, max(1, length - 1) :] = False
    return frames, torch.arange(length).float().repeat(clips, 1), mask


def predictions(output) -> Predictions:
    """What a student or an exported one returns, as arrays."""
    embeddings, logits = output.clip_embedding.float().numpy(), output.clip_logits.float().numpy()
    return Predictions(logits, embeddings, logits, embeddings, np.full(len(embeddings), -1))
