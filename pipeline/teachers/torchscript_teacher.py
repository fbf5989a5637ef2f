"""TorchScript files as teachers. torch is imported when one is loaded."""

from embedonce.pipeline.teachers.encoder_teacher import EncoderTeacher, OverlappingEncoderTeacher
from embedonce.pipeline.teachers.output_checks import checked_probe
from embedonce.pipeline.teachers.program_inputs import checked_file, preprocessing_of, size_of
from embedonce.pipeline.teachers.teacher import Teacher, TeacherLoader, TeacherOptions

OPTION = "--teacher-torchscript"
NAME = "torchscript"


class TorchScriptLoader(TeacherLoader):
    """Loads the file of --teacher-torchscript, whose code runs."""

    has_text_tower = False

    def load(self, options: TeacherOptions) -> Teacher:
        from embedonce.models.device import choose_device
        from embedonce.models.teachers.torchscript import TorchScriptEncoder

        path = checked_file(options, OPTION)
        device, size = choose_device(options.device), size_of(options, None, path)
        encoder = TorchScriptEncoder(path, NAME, size, preprocessing_of(options, path), device)
        made = OverlappingEncoderTeacher if device.type == "cuda" else EncoderTeacher
        return checked_probe(made(encoder), str(path))

    def check_options(self, options: TeacherOptions) -> None:
        checked_file(options, OPTION)

    def names(self, options: TeacherOptions) -> tuple[str, str]:
        return NAME, "file"
