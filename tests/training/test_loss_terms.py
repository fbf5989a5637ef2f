"""Loss terms as plug-ins: all conform, and a new one needs only its own file and its registration."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from embedonce.models.losses import registry
from embedonce.models.losses.feature import FEATURE
from embedonce.models.losses.registry import loss_settings, loss_terms, register
from embedonce.models.losses.term import LossTerm, WeightOption
from embedonce.pipeline.errors import InputError
from embedonce.pipeline.reporting.html.curves import training_section
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.settings import TrainConfig
from tests.support import small_students
from tests.support.conformance.loss_term import LossTermConformance
from tests.support.documentation import ROOT, code_blocks
from tests.support.tiny_cache import make_tiny_cache

(EXAMPLE,) = code_blocks(ROOT / "docs" / "extending.md", "Loss term")


@pytest.fixture
def smooth_l1(monkeypatch) -> LossTerm:
    """The term of the document, registered for one test."""
    monkeypatch.setattr(registry, "_terms", dict(registry._terms))
    exec(compile(EXAMPLE, "smooth_l1.py", "exec"), {"__name__": "smooth_l1"})
    return loss_terms()[-1]


class TestRegisteredTerms(LossTermConformance):
    @pytest.fixture(autouse=True, params=loss_terms(), ids=lambda term: term.name)
    def each_term(self, request):
        self.term = request.param


class TestTermOfTheDocument(LossTermConformance):
    @pytest.fixture(autouse=True)
    def example(self, smooth_l1):
        self.term = smooth_l1


def settings(cache_dir: Path, output_dir: Path, **options) -> TrainConfig:
    values = small_students.settings(cache_dir, output_dir).as_dict()
    return TrainConfig.from_options(values | {"cache_dir": cache_dir, "output_dir": output_dir} | options)


def test_the_documented_term_is_short():
    assert len(EXAMPLE.splitlines()) <= 40


@pytest.mark.integration
def test_a_run_trains_with_the_documented_term_and_logs_it(smooth_l1, tmp_path, monkeypatch):
    small_students.use(monkeypatch)
    cache = make_tiny_cache(tmp_path / "cache", 6)
    config = settings(cache, tmp_path / "with", smooth_l1_weight=50.0)
    training.train(config)
    log = (tmp_path / "with" / "train_log.csv").read_text()
    rows = list(csv.DictReader(log.splitlines()))
    assert len(rows) == 2 and all(float(row["smooth_l1"]) > 0 for row in rows)
    assert all(0 < float(row["gradient_share_smooth_l1"]) < 1 for row in rows)
    total = sum(w * float(rows[0][name]) for name, w in loss_settings(smooth_l1_weight=50.0).weights.items())
    assert float(rows[0]["total"]) == pytest.approx(total)
    assert [training_section(log).count(f" {name}</span>") for name in ("smooth_l1", "smooth l1")] == [1, 1]
    assert "smooth_l1_weight: 50.0\n" in (tmp_path / "with" / "train_config.yaml").read_text()
    assert training.train(config).summary.startswith("already trained")
    training.train(settings(cache, tmp_path / "without"))
    weights = [small_students.weights_of(tmp_path / name) for name in ("with", "without")]
    assert not small_students.are_equal(*weights)
    with pytest.raises(InputError, match=r"smooth_l1_weight: 50.0 -> 0.5"):
        training.train(settings(cache, tmp_path / "with", smooth_l1_weight=0.5))


@pytest.mark.integration
def test_the_documented_term_has_an_option_on_the_command_line(tmp_path):
    (tmp_path / "smooth_l1.py").write_text(EXAMPLE)
    (tmp_path / "run.py").write_text(
        "import json, smooth_l1\n"
        "from click.testing import CliRunner\n"
        "from embedonce import cli\n"
        "calls = (['--help'], ['--smooth-l1-weight', '-1'])\n"
        "print(json.dumps([CliRunner().invoke(cli.main, ['train-student', *call]).output for call in calls]))\n"
    )
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    ran = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    text, error = json.loads(ran.stdout)
    assert "--smooth-l1-weight FLOAT" in text and "Weight of the smooth L1 term." in text
    assert "--smooth-l1-weight must be 0 or more, got -1.0" in error


def test_names_and_options_of_terms_are_unique(monkeypatch):
    monkeypatch.setattr(registry, "_terms", dict(registry._terms))
    other = WeightOption("other_weight", 0.0, "Weight.")
    with pytest.raises(ValueError, match=r"'feature' is registered already"):
        register(replace(FEATURE, weight=other))
    with pytest.raises(ValueError, match=r"'total' is registered already"):
        register(replace(FEATURE, name="total", weight=other))
    with pytest.raises(ValueError, match=r"--label-weight of loss term 'x' belongs to another term"):
        register(replace(FEATURE, name="x", weight=replace(other, aliases=("label-weight",))))
    with pytest.raises(ValueError, match="must be named by lower-case letters"):
        replace(FEATURE, name="Not a name")
    with pytest.raises(ValueError, match=r"from 0 to 1e\+06"):
        replace(other, default=-1.0)


def test_unknown_weights_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"unknown loss weights delta; there are alpha, beta, gamma"):
        loss_settings(delta=1.0)
    with pytest.raises(ValueError, match=r"'delta' is not an option of a registered plug-in"):
        TrainConfig(tmp_path, tmp_path, plugin_weights={"delta": 1.0})
