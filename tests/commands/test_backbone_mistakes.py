"""Backbones that cannot be built or downloaded: one sentence with a remedy, exit code 5, and nothing is written."""

import pytest
import timm
from click.testing import CliRunner

from embedonce import cli
from embedonce.models.names import CONVOLUTIONAL_SIZES, PRETRAINED_SIZES
from embedonce.models.trunks import TRUNKS
from tests.support.tiny_cache import make_tiny_cache


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make_tiny_cache(tmp_path_factory.mktemp("cache") / "cache", 6)


def refused(cache, folder, *words: str) -> str:
    """The output of a training that must fail with exit code 5, as one line; nothing may be in its folder."""
    short = ("--student-resolution", "128", "--epochs", "1", "--num-workers", "0", "--device", "cpu")
    arguments = ["train-student", "--cache-dir", cache, "--output-dir", folder, *short, *words]
    result = CliRunner().invoke(cli.main, [str(word) for word in arguments])
    assert result.exit_code == 5 and isinstance(result.exception, SystemExit), result.output
    assert not folder.exists() or not list(folder.iterdir())
    return " ".join(result.output.split())


@pytest.mark.parametrize("size", PRETRAINED_SIZES)
def test_weights_that_cannot_be_downloaded(cache, tmp_path, monkeypatch, size):
    def offline(name, pretrained, **settings):
        raise OSError(f"no network for {name}")

    monkeypatch.setattr(timm, "create_model", offline)
    name = TRUNKS.get(size, f"mobilevit_{size}")
    expected = f"Error: the ImageNet weights of {name} could not be downloaded; connect to the network once, or start "
    expected += "from scratch with --no-student-pretrained"
    assert refused(cache, tmp_path / "out", "--student-size", size) == expected


@pytest.mark.parametrize("size", CONVOLUTIONAL_SIZES)
def test_a_timm_that_builds_a_backbone_without_the_layers_that_are_cut_off(cache, tmp_path, monkeypatch, size):
    real = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, **settings: real("resnet10t", num_classes=0))
    message = f"the installed timm builds {TRUNKS[size]} without the layers that are cut off; pip install -U timm"
    output = refused(cache, tmp_path / "out", "--student-size", size, "--no-student-pretrained")
    assert output == f"Error: {message}"


def test_of_several_students_none_is_begun_if_one_cannot_be_built(cache, tmp_path, monkeypatch):
    real = timm.create_model

    def offline(name, pretrained, **settings):
        if name == TRUNKS["mnv4s100"]:
            raise OSError("no network")
        return real(name, pretrained=False, **settings)

    monkeypatch.setattr(timm, "create_model", offline)
    output = refused(cache, tmp_path / "out", "--student-size", "lcnet050,mnv4s100")
    assert "the ImageNet weights of mobilenetv4_conv_small could not be downloaded" in output
