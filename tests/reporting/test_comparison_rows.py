"""The columns of comparison.csv and the keys of comparison.json, which other programs read."""

from dataclasses import fields

from embedonce.pipeline.metrics.results_schema import Majority
from embedonce.pipeline.reporting.comparison_rows import ComparisonRow, ComparisonTable

COLUMNS = """role name source size top1 top1_low top1_high top5 mean_class_accuracy
mean_class_low mean_class_high mean_average_precision map_low map_high calibration_error parameters
bytes_on_disk latency_p50_ms latency_p95_ms throughput_per_s macs peak_memory_bytes zero_shot_top1
agreement agreement_top5 kl_divergence embedding_cosine accuracy_drop_points compression
difference_points difference_low difference_high not_paired"""
KEYS = """schema_version note split num_clips num_videos num_labelled_clips num_classes multi_label chance
majority baseline rows remarks"""


def test_columns_and_keys_are_those_of_the_files():
    row = ComparisonRow(**dict.fromkeys(COLUMNS.split()))
    assert list(row.as_dict()) == COLUMNS.split()
    values = dict.fromkeys(field.name for field in fields(ComparisonTable))
    table = ComparisonTable(**(values | {"rows": [row], "majority": Majority("a", 0.5, 0.5, "train")}))
    assert list(table.as_dict()) == KEYS.split() and table.as_dict()["rows"] == [row.as_dict()]
    assert table.as_dict()["majority"]["class"] == "a" and isinstance(table.rows[0], ComparisonRow)
