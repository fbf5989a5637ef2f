"""Click options made from declarations: types, spellings, ranges, groups in help, aliases, options of plug-ins."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.pipeline.commands.click_options import SettingsCommand, build_config, click_option, command
from embedonce.pipeline.commands.parameter_types import LocalPath, LocalPathOrName
from embedonce.pipeline.commands.registry import COMMANDS
from embedonce.pipeline.files.recognition import is_settings
from embedonce.pipeline.settings.base import Settings
from embedonce.pipeline.settings.options import DATA, GROUPS, LOSS, Option, plugin_settings, setting
from embedonce.pipeline.settings.ranges import non_negative, positive
from tests.commands.test_cli import call, error_of

PLUGINS: list[Option] = []


@pytest.fixture
def plugin():
    """An option of a plug-in that is registered after its command was defined."""
    option = Option(name="hint_weight", value_type=float, default=0.5, help="Weight.", group=LOSS, range=non_negative())
    PLUGINS.append(option)
    yield option
    PLUGINS.clear()


@dataclass(frozen=True)
class ExampleSettings(Settings):
    data_dir: Path = setting(Path("data"), "Input folder.", group=DATA)
    size: int | None = setting(help="Size.", range=positive(10))
    weights: Mapping[str, object] = plugin_settings(lambda: tuple(PLUGINS))


@command("example", settings=ExampleSettings)
def example(**options):
    """An example."""
    config = build_config(ExampleSettings, options)
    click.echo(config.as_yaml())


def run(*arguments: str) -> str:
    return CliRunner().invoke(example, arguments).output


# -- conversion --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declaration", "expected_type"),
    [
        ({"value_type": int}, click.INT),
        ({"value_type": Path}, LocalPath),
        ({"may_be_path": True}, LocalPathOrName),
        ({"choices": ("a", "b")}, click.Choice),
    ],
)
def test_the_declaration_decides_the_click_type(declaration, expected_type):
    option = click_option(Option(name="x", **declaration))
    assert option.type is expected_type or isinstance(option.type, expected_type)


@pytest.mark.parametrize(
    ("default", "spellings"), [(False, ["--x"]), (True, ["--x", "--no-x"]), (None, ["--x", "--no-x"])]
)
def test_a_boolean_option_can_be_switched_away_from_its_default(default, spellings):
    option = click_option(Option(name="x", value_type=bool, default=default))
    assert [*option.opts, *option.secondary_opts] == spellings


def test_click_checks_the_range_of_options_that_no_settings_class_checks():
    option = click_option(Option(name="x", value_type=int, range=positive(9)), check_range=True)
    assert option.type.convert("9", option, None) == 9
    for value in ("0", "10"):
        with pytest.raises(click.BadParameter):
            option.type.convert(value, option, None)
    number = click_option(Option(name="x", value_type=float, range=positive(9)), check_range=True)
    for value in ("nan", "0", "9.5"):
        with pytest.raises(click.BadParameter):
            number.type.convert(value, number, None)


def test_a_name_that_is_registered_later_is_accepted():
    registry = {"one": 1}
    option = click_option(Option(name="x", choices=registry))
    with pytest.raises(click.BadParameter):
        option.type.convert("two", option, None)
    registry["two"] = 2
    assert option.type.convert("two", option, None) == "two"


# -- help --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
def test_help_lists_the_options_in_groups(name):
    headings = [line for line in call(name, "--help").splitlines() if line.endswith("options:")]
    known = [f"{group} options:" for group in GROUPS]
    assert headings == [heading for heading in known if heading in headings]
    assert "Runtime options:" in headings and "\nOptions:" not in call(name, "--help")


def test_help_of_training_has_the_groups_of_the_field():
    text = call("train-student", "--help")
    for group in ("Cache", "Student", "Training", "Loss", "Output", "Runtime"):
        assert f"{group} options:" in text
    assert "--alpha, --feature-weight" in text.partition("Loss options:")[2].partition("Output options:")[0]


def test_a_hidden_option_is_accepted_and_not_shown():
    hidden = Option(name="secret", help="Secret.", is_hidden=True)
    shown = Option(name="public", help="Public.", is_required=True)
    made = command("example", hidden, shown)(lambda secret, public: click.echo(f"{secret} {public}"))
    assert CliRunner().invoke(made, ["--secret", "a", "--public", "b"]).output == "a b\n"
    assert "Missing option '--public'" in CliRunner().invoke(made, []).output
    text = CliRunner().invoke(made, ["--help"]).output
    assert "--public" in text and "secret" not in text


def test_help_shows_no_range_and_no_hidden_option():
    for made in COMMANDS:
        text = call(made.name, "--help")
        assert "<=x" not in text and "RANGE" not in text
    assert "--use-synthetic" not in call("train-student", "--help")


# -- aliases -----------------------------------------------------------------------------------------------------------

ALIASES = {
    ("extract-teacher", "--num-classes"): "--num-actions",
    ("relabel", "--num-classes"): "--num-actions",
    ("relabel", "--clips-from-label-set"): "--clips-from",
    ("plan-ego4d", "--num-classes"): "--num-actions",
    ("train-student", "--num-classes"): "--num-actions",
    ("evaluate", "--num-classes"): "--num-actions",
    ("train-student", "--grad-accum-steps"): "--accumulate-steps",
    ("train-student", "--feature-weight"): "--alpha",
    ("train-student", "--logit-weight"): "--beta",
    ("train-student", "--label-weight"): "--gamma",
}


@pytest.mark.parametrize(("name", "alias"), ALIASES)
def test_an_alias_and_the_old_spelling_are_one_option(name, alias):
    (option,) = [param for param in cli.main.commands[name].params if alias in param.opts]
    assert ALIASES[name, alias] in option.opts and option.name == ALIASES[name, alias][2:].replace("-", "_")


def test_an_alias_can_be_used_in_a_configuration_file(tmp_path):
    (tmp_path / "c.yaml").write_text("grad-accum-steps: -2\n")
    told = error_of("train-student", "--config", tmp_path / "c.yaml")
    assert "--accumulate-steps must be greater than 0, got -2" in told
    (tmp_path / "c.yaml").write_text("alpha: 1.0\nfeature_weight: 2.0\n")
    assert "sets alpha twice, once as feature_weight" in error_of("train-student", "--config", tmp_path / "c.yaml")
    (tmp_path / "c.yaml").write_text("num_classes: many\nfps: no\n")
    assert "sets fps to False, not a number" in error_of("extract-teacher", "--config", tmp_path / "c.yaml")


# -- options of plug-ins -----------------------------------------------------------------------------------------------


def test_a_plug_in_registered_later_has_its_option_on_the_command_line(plugin):
    assert isinstance(example, SettingsCommand) and "--hint-weight FLOAT" in run("--help")
    assert "hint_weight: 0.5" in run() and "hint_weight: 0.25" in run("--hint-weight", "0.25")
    assert "--hint-weight must be 0 or more, got -1.0" in run("--hint-weight", "-1")


def test_a_plug_in_can_be_set_in_the_file_that_a_run_saved(plugin, tmp_path):
    (tmp_path / "saved.yaml").write_text(run("--hint-weight", "0.75"))
    assert run("--config", str(tmp_path / "saved.yaml")) == run("--hint-weight", "0.75")
    saved = ExampleSettings(weights={"hint_weight": 0.75}).as_yaml().encode()
    assert saved.decode().strip() == run("--hint-weight", "0.75").strip() and is_settings(saved, ExampleSettings)
    PLUGINS.clear()
    assert not is_settings(saved, ExampleSettings)


def test_paths_of_plug_ins_are_checked():
    PLUGINS.append(Option(name="file", value_type=Path, is_optional=True))
    with pytest.raises(ValueError, match="--file: 's3:/b' is a URL"):
        ExampleSettings(weights={"file": Path("s3:/b")})
    PLUGINS.clear()


def test_a_setting_of_an_unknown_plug_in_is_refused(plugin):
    with pytest.raises(ValueError, match="'other_weight' is not an option of a registered plug-in; there are: hint"):
        ExampleSettings(weights={"other_weight": 1.0})


def test_without_the_plug_in_its_option_is_unknown():
    assert "No such option" in run("--hint-weight", "1") and "hint" not in run()
