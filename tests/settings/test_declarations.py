"""Settings declared once: fields give options their names and types, and declarations are checked."""

import dataclasses
import math
from pathlib import Path

import pytest

from embedonce.pipeline.evaluation.settings import CompareConfig, EvaluateConfig
from embedonce.pipeline.export.settings import ExportConfig
from embedonce.pipeline.extraction.plan_settings import PlanConfig
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.settings import RelabelConfig
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.options import GROUPS, Option, setting
from embedonce.pipeline.settings.ranges import FRACTION, SEED, Range, non_negative, positive
from embedonce.pipeline.training.settings import TrainConfig

ALL = (ExtractConfig, PlanConfig, RelabelConfig, TrainConfig, EvaluateConfig, CompareConfig, ExportConfig)


@pytest.mark.parametrize("settings", ALL, ids=lambda settings: settings.__name__)
def test_every_setting_is_declared_completely(settings):
    declared = {option.name: option for option in settings.options()}
    assert set(declared) == settings.names() - {"evaluations"}
    for option in declared.values():
        assert option.help.endswith(".") and option.group in GROUPS, option.name
        assert option.value_type in (bool, int, float, str, Path)
        if option.value_type in (int, float) and option.name != "student_resolution":  # a multiple of 32
            assert option.range is not None, f"{option.name} has no range"
        if option.default is None and not option.is_required:
            assert option.is_optional, option.name
        else:
            assert option.is_required or option.violation(option.default) is None, option.name


def test_fields_give_their_options_names_and_types():
    @dataclasses.dataclass(frozen=True)
    class Example(Settings):
        count: int | None = setting(help="Count.")
        folder: Path = setting(Option(default=Path("x"), help="Folder."))

    count, folder = Example.options()
    assert (count.name, count.value_type, count.is_optional) == ("count", int, True)
    assert (folder.name, folder.value_type, folder.is_optional) == ("folder", Path, False)
    assert Example().folder == Path("x") and Example().count is None


def test_own_options_come_before_inherited_ones():
    names = [option.name for option in RelabelConfig.options()]
    assert names.index("seed") < names.index("classes") < names.index("label_set")


def test_choices_are_checked_in_settings_that_no_command_line_made():
    with pytest.raises(ValueError, match="--split must be one of train, val, test, got 'dev'"):
        EvaluateConfig(split="dev")
    with pytest.raises(ValueError, match="--prompt-style must be one of english, v1, got 'v2'"):
        RelabelConfig(classes=Path("c"), prompt_style="v2")
    with pytest.raises(ValueError, match="--device must be one of auto, cuda, mps, cpu, got None"):
        TrainConfig(device=None)


def test_a_word_may_stand_for_a_number():
    for value in ("auto", 1, 512):
        assert ExtractConfig(Path("v"), False, Path("c"), batch_size=value).batch_size == value
    for value in ("automatic", "", 0, True, None):
        with pytest.raises(ValueError, match=f"--batch-size must be greater than 0 or auto, got {value!r}"):
            ExtractConfig(Path("v"), False, Path("c"), batch_size=value)


@pytest.mark.parametrize(
    ("numbers", "value", "message"),
    [
        (positive(), 0, "greater than 0"),
        (positive(), math.nan, "greater than 0"),
        (positive(), math.inf, "greater than 0"),
        (positive(1000.0, smallest=1e-3), 1e-9, "at least 0.001"),
        (positive(1000.0), 1e300, "at most 1000"),
        (non_negative(256), -1, "0 or more"),
        (non_negative(256), 10**400, "at most 256"),
        (non_negative(), "3", "0 or more"),
        (non_negative(), True, "0 or more"),
        (SEED, 2**63, f"at most {2**63 - 1}"),
        (FRACTION, 1, "at least 0 and below 1"),
        (FRACTION, math.nan, "at least 0 and below 1"),
        (Range(1, 5, includes_maximum=False), 5, "less than 5"),
        (Range(), -math.inf, "a finite number"),
    ],
)
def test_a_number_outside_the_range_is_refused_with_the_limit(numbers, value, message):
    assert numbers.violation(value) == message


@pytest.mark.parametrize(
    ("numbers", "value"), [(positive(5), 5), (non_negative(5), 0), (FRACTION, 0.999), (positive(smallest=0.1), 0.1)]
)
def test_numbers_inside_the_range_are_accepted(numbers, value):
    assert numbers.violation(value) is None
