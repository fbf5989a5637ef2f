"""Errors of the models, each with the exit code a command line ends with."""


class ModelError(Exception):
    """A model cannot be built or loaded. The message is one sentence for the user."""

    exit_code = 5


class ModelOptionError(ModelError, ValueError):
    """The user's choice of model, weights or activation is wrong."""

    exit_code = 2


class WeightsError(ModelError, ValueError):
    """A weights file is damaged, hostile or of another model."""

    exit_code = 4
