"""Errors of the models, each with the exit code of the command line."""


class ModelError(Exception):
    """A model cannot be built or loaded. The message is one sentence, shown to the user."""

    exit_code = 5


class ModelOptionError(ModelError, ValueError):
    """The chosen model, weights or options of a model are invalid or do not go together."""

    exit_code = 2


class WeightsError(ModelError, ValueError):
    """A weights file is damaged, unsafe to load, or belongs to another model."""

    exit_code = 4
