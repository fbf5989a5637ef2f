"""plan as one call: the clips of a data folder or a table by class and split, and what is odd, before anything runs.

Reads names and tables only: no video, no cache, no teacher.
"""

from pathlib import Path

from embedonce.cache.stores.registry import is_url
from embedonce.models.names import ENGLISH_STYLE
from embedonce.pipeline.console.next_commands import next_line
from embedonce.pipeline.extraction.label_requests import chosen_prompts
from embedonce.pipeline.extraction.plan_settings import DataPlanConfig
from embedonce.pipeline.labeling.requests import request_label_set
from embedonce.pipeline.sources.data_summary import summarize
from embedonce.pipeline.sources.registry import open_sources


def plan_data(config: DataPlanConfig) -> list[str]:
    """The plan as lines of text; remarks about class names and prompts are logged.

    InputError if the data cannot be read, or if extraction would refuse them or their classes.
    """
    prompts = chosen_prompts(config)
    sources = open_sources(config.data_dir, config)
    lines = summarize(sources).lines
    style = config.prompt_style or ENGLISH_STYLE
    choices = config.teacher_head, config.label_set, style, config.store_logits, prompts
    for kind, source in sources.items():
        request_label_set(source, kind, *choices)
    return [*lines, next_line("extract-teacher", _given(config))]


def _given(config: DataPlanConfig) -> dict[str, object]:
    """The options that differ from their defaults, as next_line() takes them."""
    values, options = config.as_dict(), [option for option in config.options() if option.value_type is Path]
    values |= {one.name: Path(v) for one in options if (v := values[one.name]) is not None and not is_url(v)}
    changed = {option.name: values[option.name] for option in config.options() if values[option.name] != option.default}
    return {f"no_{name}" if value is False else name: value is False or value for name, value in changed.items()}
