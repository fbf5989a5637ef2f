"""Signatures and help of functions that take the options of a command as keyword arguments.

The functions themselves are declared with `**options`, so that no option is written twice.
"""

import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

from embedonce.pipeline.api.python_terms import in_terms_of
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.options import Option

OPTIONS_HEADING = "Options:"  # of the part of a docstring that lists them
Function = TypeVar("Function", bound=Callable[..., Any])


def takes_options_of(settings: type[Settings], without: Collection[str] = ()) -> Callable[[Function], Function]:
    """Show the options of these settings in the signature and in the help of a function, in place of `**options`.

    without: names of options that the function does not take.
    """

    def decorate(function: Function) -> Function:
        options = visible_options(settings, without)
        own = inspect.signature(function)
        parameters = [one for one in own.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        parameters += [_parameter(option) for option in options]
        function.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        function.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{_help(options)}"
        return function

    return decorate


def visible_options(settings: type[Settings], without: Collection[str] = ()) -> list[Option]:
    """The options that users are shown, without those of these names."""
    return [option for option in settings.options() if not option.is_hidden and option.name not in without]


def annotation_of(option: Option) -> Any:
    """The type of the values that an option takes as a keyword argument."""
    annotation: Any = Path | str if option.value_type is Path else option.value_type
    if option.words or option.may_be_path:
        annotation = annotation | (str if option.words else Path)
    return annotation | None if option.is_optional else annotation


def _parameter(option: Option) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(option.name, kind, default=option.default, annotation=annotation_of(option))


def _help(options: Collection[Option]) -> str:
    """One line per option."""
    lines = [in_terms_of(options, f"    {option.name}: {option.help}{_values(option)}") for option in options]
    return "\n".join([OPTIONS_HEADING, *lines])


def _values(option: Option) -> str:
    """The choices and the default of an option."""
    choices = f" One of {', '.join(map(repr, option.choices))}." if option.choices else ""
    return f"{choices} Default: {_default(option)}."


def _default(option: Option) -> str:
    return option.default_text or (
        repr(str(option.default)) if isinstance(option.default, Path) else f"{option.default!r}"
    )
