"""Errors of the pipeline, each with the exit code a command line ends with."""


class PipelineError(Exception):
    """The run cannot go on. The message is one sentence for the user."""

    exit_code = 5


class InputError(PipelineError, ValueError):
    """The user's data or options are wrong."""

    exit_code = 2


class CheckpointError(PipelineError, ValueError):
    """A checkpoint is damaged or belongs to something else."""

    exit_code = 4


class DecoderError(PipelineError):
    """The decoder asked for is not to be had on this machine."""


class ResultsError(PipelineError, ValueError):
    """An evaluation is damaged, or is not to be set beside another."""

    exit_code = 4
