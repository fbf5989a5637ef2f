"""The command info: what it says of an installation, also of a broken one."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from embedonce import cli
from embedonce.pipeline.environment import devices, machine, packages, report
from embedonce.pipeline.video import codecs


def run(*options: str):
    return CliRunner().invoke(cli.main, ["info", *options])


def test_it_prints_every_section_and_the_same_as_json():
    text, document = run(), run("--json")
    assert text.exit_code == document.exit_code == 0, text.output
    sections = json.loads(document.output)
    assert list(sections) == [line.split()[0] for line in text.output.splitlines() if not line.startswith(" ")]
    assert sections["devices"] == devices.devices() and sections["build"] == [devices.build()]
    assert f"torch {torch.__version__.partition('+')[0]}" in sections["packages"][0]
    assert "not known" not in document.output


def test_packages_belong_to_extras_and_those_of_developers_are_left_out():
    stated = ["numpy>=1.26", 'absent-a>=1; extra == "ray"', 'numpy>=999; extra == "gs"', 'flask; extra == "test"']
    found = packages.packages(stated)
    assert list(found) == ["", "ray", "gs"]
    assert found[""][0].fits and str(found["ray"][0]) == "absent-a is missing"
    assert str(found["gs"][0]).endswith("(needed: >=999)") and not found["gs"][0].fits


def test_what_is_always_needed_and_missing_is_an_error(monkeypatch):
    stated = ["absent-a>=1", "numpy>=999"]
    monkeypatch.setattr(packages.importlib.metadata, "requires", lambda name: stated)
    result = run()
    assert result.exit_code == 5 and "Traceback" not in result.output
    assert "absent-a is missing; numpy " in result.output and "install embedonce again" in result.output


def test_a_library_that_cannot_be_imported_is_told_in_its_line(monkeypatch):
    def fail():
        raise OSError("libcudart.so.12: cannot open\nshared object file")

    monkeypatch.setattr(devices, "devices", fail)
    sections = report.facts(Path.cwd())
    assert sections["devices"] == ["not known (OSError: libcudart.so.12: cannot open shared object file)"]
    assert sections["memory"] and not sections["memory"][0].startswith("not known")


def test_gpus_come_before_the_cpu(monkeypatch):
    one = SimpleNamespace(name="NVIDIA H200", total_memory=150 * 10**9, major=9, minor=0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda number: one)
    first, second, last = devices.devices()
    assert first == "cuda:0 (NVIDIA H200, 150.0 GB, compute capability 9.0)" and second.startswith("cuda:1")
    assert last.startswith("cpu (")


def test_a_codec_without_a_decoder_is_named(monkeypatch):
    monkeypatch.setitem(codecs.DECODERS, "AV1", ("no-such-decoder",))
    (line,) = report.facts(Path.cwd())["decodes"]
    assert line.startswith("H.264, HEVC") and line.endswith("; not AV1")


@pytest.mark.parametrize(
    "content, expected",
    [("MemTotal: 8 kB\nMemAvailable: 4 kB\n", "8.2 kB, of which 4.1 kB are free"), (None, "unknown")],
)
def test_memory_is_what_the_system_says(tmp_path, monkeypatch, content, expected):
    monkeypatch.setattr(machine, "MEMORY_INFO", tmp_path / "meminfo")
    if content is not None:
        machine.MEMORY_INFO.write_text(content)
    assert machine.memory() == expected


def test_no_variable_of_the_environment_is_shown_unless_it_is_listed(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden-value")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    output = run().output
    assert "OMP_NUM_THREADS=3" in output and "hidden-value" not in output
