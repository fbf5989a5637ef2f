"""Errors of the pipeline, each with the exit code of the command that it ends."""

EXIT_QUARANTINED = 3  # of a run that completed without some videos, which is no error


class PipelineError(Exception):
    """The run cannot continue. The message is one sentence for the user, followed by optional lines of details."""

    exit_code = 5
    details: tuple[str, ...] = ()

    def with_details(self, lines) -> "PipelineError":
        self.details = tuple(lines)
        return self

    @property
    def sentence(self) -> str:
        return super().__str__()

    def __str__(self) -> str:
        return "\n".join([self.sentence, *self.details])


class InputError(PipelineError, ValueError):
    """The user's data or options are wrong."""

    exit_code = 2


class CheckpointError(PipelineError, ValueError):
    """A checkpoint is damaged or belongs to something else."""

    exit_code = 4


class DecoderError(PipelineError):
    """The chosen decoder is not available on this machine."""


class ResultsError(PipelineError, ValueError):
    """An evaluation is damaged, or cannot be compared with another one."""

    exit_code = 4
