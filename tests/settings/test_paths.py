"""Paths on the command line and in configuration files: every option expands them and refuses URLs."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from embedonce import cli
from embedonce.pipeline.commands.parameter_types import LocalPath, LocalPathOrName, LocalPathOrUrl
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.settings.paths import check_local, expand, without_secrets, without_secrets_in
from tests.support.folders import touch

URLS = ["s3://bucket/c", "s3:/bucket/c", "gs://b/c", "https://x.y/c", "HTTP://x/c", "hdfs://n/c", "ssh://h/c",
        "me@host:/data", "host:/data", "abfss://c@a.net/x", "file:///data/c", "file:/data/c"]  # fmt: skip
OPTIONS = [(name, param) for name, command in cli.main.commands.items() for param in command.params]
OF_PATHS = [(name, param) for name, param in OPTIONS if isinstance(param.type, (LocalPath, LocalPathOrName))]
LOCAL_ONLY = [(name, param) for name, param in OF_PATHS if not isinstance(param.type, LocalPathOrUrl)]
NOT_PATHS = {"label_set", "clips_from", "aws_profile", "scenarios", "student_size", "annotations", "formats",
             "version", "teacher_preprocess", "video", "part", "device", "ray_address", "epic_labels", "name",
             "teacher", "teachers", "egtea_labels", "assembly101_labels", "charades_labels", "egoexo_labels",
             "hd_epic_labels", "frames_prefix", "repo", "license", "revision", "text", "class_name", "sources",
             "report_to"}  # fmt: skip


def ids(pairs) -> list[str]:
    return [f"{name} {param.name}" for name, param in pairs]


def given(command: str, param: click.Parameter, value: str) -> list[str]:
    """A command line with this value for the parameter, and with all other required parameters."""
    needed = [p for p in cli.main.commands[command].params if p.required and p is not param]
    others = [text for p in needed for text in (p.opts[0], p.type.choices[0] if hasattr(p.type, "choices") else "x")]
    place = [value] if isinstance(param, click.Argument) else [param.opts[-1], value]
    return [command, *others, *place]


@pytest.mark.parametrize(("command", "param"), OPTIONS, ids=ids(OPTIONS))
def test_every_option_that_takes_a_path_expands_and_refuses(command, param):
    """No option has click's own path type, and every text option is known not to take a path."""
    assert not isinstance(param.type, (click.Path, click.File)) or isinstance(param.type, LocalPath)
    if isinstance(param.default, Path):
        assert isinstance(param.type, LocalPath)
    if param.type is click.STRING and not getattr(param, "hidden", False):  # arguments are never hidden
        assert param.name in NOT_PATHS, f"{command} {param.name}: a name, or a path?"


@pytest.mark.parametrize("url", ["s3://bucket/c", "gs:/bucket/c"])
@pytest.mark.parametrize(("command", "param"), LOCAL_ONLY, ids=ids(LOCAL_ONLY))
def test_every_other_path_option_refuses_urls_before_any_work(tmp_path, monkeypatch, command, param, url):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli.main, given(command, param, url))
    assert result.exit_code == 2 and f"{url!r} is a URL" in " ".join(result.output.split())
    assert list(tmp_path.iterdir()) == []


def test_options_that_take_urls_leave_them_as_they_are_and_refuse_other_places():
    accepting = [(name, param) for name, param in OF_PATHS if isinstance(param.type, LocalPathOrUrl)]
    of_caches = {(name, param.name) for name, param in OF_PATHS if param.name == "cache_dir"}
    others = {("convert-cache", "output_dir"), ("extract-teacher", "data_dir"), ("plan", "data_dir")}
    others |= {("distill", "data_dir")}
    others |= {("merge", "caches"), ("merge", "into")}
    assert {(name, param.name) for name, param in accepting} == of_caches | others
    for _, param in accepting:
        assert param.type.convert("s3://b/$HOME ~/c", param, None) == "s3://b/$HOME ~/c"
        with pytest.raises(click.BadParameter, match="'s3:/b/c' has one slash; a URL is written s3://b/c"):
            param.type.convert("s3:/b/c", param, None)
        for text in ("s3:/bucket/c", "me@host:/data", "file:///data/c"):
            with pytest.raises(click.BadParameter):
                param.type.convert(text, param, None)


@pytest.mark.parametrize(("command", "param"), OF_PATHS, ids=ids(OF_PATHS))
def test_every_path_option_expands(tmp_path, monkeypatch, command, param):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", str(tmp_path))
    (tmp_path / "there").write_text("")
    for text in ("~/there", "$PLACE/there", "${PLACE}/there"):
        converted = param.type.convert(text, param, None)
        assert Path(converted) == tmp_path / "there"


def test_paths_in_a_configuration_file_are_expanded_and_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    touch(tmp_path, "empty/readme.txt")
    (tmp_path / "c.yaml").write_text("data-dir: ~/empty\ncache-dir: $HOME/cache\n")
    output = CliRunner().invoke(cli.main, ["extract-teacher", "--config", "~/c.yaml"]).output
    assert f"no video file in {tmp_path}/empty" in output
    (tmp_path / "c.yaml").write_text("data-dir: empty\nclasses: s3://bucket/classes\n")
    result = CliRunner().invoke(cli.main, ["extract-teacher", "--config", "c.yaml"])
    assert result.exit_code == 2 and "'s3://bucket/classes' is a URL" in " ".join(result.output.split())


@pytest.mark.parametrize("url", URLS)
def test_urls(url):
    with pytest.raises(ValueError, match="is a URL"):
        check_local(url)
    with pytest.raises(ValueError, match="is a URL"):
        expand(url)
    with pytest.raises(ValueError, match=r"--cache-dir: .* is a URL"):
        ExtractConfig(None, True, Path(url))


@pytest.mark.parametrize("path", ["/a/b", "a:b", "C:/videos", "./s3:/b", "a/s3://b", "hf-hub:org/m", "12:30/x", "写:x"])
def test_local_paths(path):
    assert expand(path) == path


def test_the_message_of_a_file_url_gives_the_path():
    with pytest.raises(ValueError, match="give the path itself: /data/c"):
        expand("file:///data/c")


def test_what_cannot_be_expanded_is_refused_unless_it_exists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOWHERE", raising=False)
    monkeypatch.setenv("EMPTY", "")
    for text, message in [("$NOWHERE/x", "NOWHERE is not set"), ("${EMPTY}/x", "EMPTY is not set"),
                          ("~nobody-of-that-name/x", "no such user"), ("", "empty"), ("  ", "empty")]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            expand(text)
    (tmp_path / "$NOWHERE").mkdir()
    (tmp_path / "~x").mkdir()
    assert expand("$NOWHERE") == "$NOWHERE" and expand("~x") == "~x"
    assert expand("price$5/a$") == "price$5/a$"
    monkeypatch.setenv("BUCKET", "s3://bucket")
    with pytest.raises(ValueError, match="is a URL"):
        expand("$BUCKET/x")


def test_an_existing_folder_with_a_variable_in_its_name_is_not_expanded(tmp_path, monkeypatch):
    """So that every existing path can be given, and every printed command can be run."""
    monkeypatch.setenv("PLACE", "here")
    written = f"{tmp_path}/of $PLACE"
    assert expand(written) == f"{tmp_path}/of here" and expand(f"{written}/new") == f"{tmp_path}/of here/new"
    (tmp_path / "of $PLACE").mkdir()
    assert expand(written) == written and expand(f"{written}/new") == f"{written}/new"
    (tmp_path / "of here").mkdir()
    with pytest.raises(ValueError, match=r"both '.*of \$PLACE' itself and '.*of here' exist"):
        expand(f"{written}/new")
    monkeypatch.delenv("PLACE")
    assert expand(f"{written}/new") == f"{written}/new"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://host/a b.mp4?X-Signature=secret&x=1", "https://host/a b.mp4"),
        ("https://me:secret@host:80/a", "https://host:80/a"),
        ("https://secret@host", "https://host"),
        ("https://host/a#secret", "https://host/a"),
        ("https://host/me@home.mp4", "https://host/me@home.mp4"),
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
        ("abfs://container@account/a", "abfs://container@account/a"),
        ("abfs://container:secret@account/a", "abfs://account/a"),
        ("s3://bucket/a", "s3://bucket/a"),
    ],
)
def test_what_is_secret_in_a_url_is_left_out(url, shown):
    assert without_secrets(url) == shown
    assert without_secrets_in(f"url='{url.replace(' ', '_')}': failed") == f"url='{shown.replace(' ', '_')}': failed"


def test_settings_are_saved_without_secrets(tmp_path):
    config = ExtractConfig(data_dir="https://me@host/folder/?token=secret", cache_dir=tmp_path)
    assert config.as_dict()["data_dir"] == "https://host/folder/" and "secret" not in config.as_yaml()


def test_the_folder_of_a_model_is_expanded_behind_its_schema(monkeypatch):
    monkeypatch.setenv("MODELS", "/data/models")
    assert expand("local-dir:$MODELS/siglip") == "local-dir:/data/models/siglip"
    assert expand("local-dir:./siglip") == "local-dir:./siglip"
    with pytest.raises(ValueError, match="the path is empty"):
        expand("local-dir:")
