"""Every option of every command: its value reaches the settings, and a test shows its effect.

A row holds how the option may be given, so that the settings differ from the defaults, and the test that fails if the
option has no effect (a test of this file, or FILE::TEST). An option without a row fails, and so does a row without an
option or whose test does not exist.
"""

import ast
import dataclasses
import functools
import shlex
from pathlib import Path

import pytest
import yaml

from embedonce import cli
from embedonce.cache.store import open_reader
from embedonce.models.errors import ModelOptionError
from embedonce.pipeline.evaluation import compare as comparing
from embedonce.pipeline.evaluation import evaluate as evaluating
from embedonce.pipeline.evaluation import teacher_latency
from embedonce.pipeline.evaluation.settings import EvaluateConfig
from embedonce.pipeline.export import export as exporting
from embedonce.pipeline.extraction import data_plan, extract_teacher, plan_ego4d, teacher_loading
from embedonce.pipeline.extraction.added_teacher import add_teacher as adding
from embedonce.pipeline.extraction.plan_ego4d import plan
from embedonce.pipeline.extraction.plan_settings import PlanConfig
from embedonce.pipeline.extraction.settings import ExtractConfig
from embedonce.pipeline.labeling.settings import RelabelConfig
from embedonce.pipeline.predict import predict as predicting
from embedonce.pipeline.search import search as searching
from embedonce.pipeline.sources.ego4d.download import download
from embedonce.pipeline.sources.ego4d.options import Ego4dOptions
from embedonce.pipeline.sources.ego4d.video_source import Ego4dSource
from embedonce.pipeline.sources.registry import options_of
from embedonce.pipeline.training import trainer as training
from embedonce.pipeline.training.settings import TrainConfig
from tests.commands.test_cli import call, error_of
from tests.support.ego4d_files import (
    C1,
    C2,
    C3,
    U1,
    U2,
    action,
    fho_video,
    label,
    listed,
    moments_video,
    narrated,
    narration,
    write,
)
from tests.support.fake_teacher import FakeTeacher
from tests.support.tiny_cache import make_tiny_cache

EXTRACTION, CACHE = "extraction/test_wiring.py::", "cache/test_wiring.py::"
ENERGON = "energon/test_prepare.py::"
TRAINING, EVALUATION = "training/test_wiring.py::", "evaluation/test_wiring.py::"
BALANCE = "training/test_class_balance.py::"
SHAPES = TRAINING + "test_frames_resolution_and_batch_size_follow_the_options"
BY_HAND = TRAINING + "test_a_run_matches_a_reference_implementation"
MISTAKES = "commands/test_cli.py::test_every_mistake_is_one_sentence"
TOGETHER = "training/test_training.py::test_students_trained_jointly_equal_those_trained_alone"
THREE = "commands/test_cli.py::test_three_commands_in_a_row"
EXPORT = EVALUATION + "test_an_export_uses_the_clips_frames_and_formats_of_its_settings"
COMPARE = EVALUATION + "test_checkpoints_are_evaluated_with_the_settings_of_the_comparison"
RECOMPUTE = CACHE + "test_the_requested_rows_are_embedded_again"
REMOVAL = "cache/test_removal.py::"
EMBEDDINGS = "embedding_files/test_export.py::"
HUB = "hub/test_push_cache.py::"
STUDENTS = "hub/test_push_student.py::"
MERGE = "commands/test_merge.py::"
ADD = "extraction/added_teacher/test_add_teacher.py::"
ADDED = ADD + "test_the_chosen_teacher_is_loaded"
RELABEL = "test_relabel_loads_the_teacher_with_the_given_options"
DOWNLOAD = "sources/ego4d/test_download.py::"
SEARCHED, SEARCH_COMMAND = "search/test_search.py::", "search/test_search_cache.py::"
SEARCH_TEACHER = SEARCHED + "test_the_teacher_is_loaded_with_the_given_options"
OWN_FILES = "files/test_own_files.py::"
MODULE = "teachers/test_extending.py::test_the_documented_teacher_extracts_relabels_and_verifies"
PROGRAMS = "teachers/test_program_runs.py::test_a_program_extracts_and_its_rows_are_embedded_again"
PREPROCESS = "models/teachers/test_preprocessing.py::test_relabel_takes_the_preprocessing_from_the_cache"
SAVED = "extraction/test_dry_run.py::test_saved_settings_equal_the_settings_of_the_run"
SEVERAL = "extraction/test_teacher_processes.py::test_two_processes_make_the_same_cache_as_one_teacher"
PREDICT = "predict/test_command.py::"
PROMPTS = "labeling/test_prompts_option.py::"
STYLE = "labeling/test_prompts.py::test_a_label_set_has_prompts_of_the_chosen_style"
ANNOTATIONS = {
    "annotations": ("--annotations narrations", "test_annotation_options_reach_the_source"),
    "skip_invalid": ("--skip-invalid", "test_annotation_options_reach_the_source"),
    "max_narration_window": (
        "--max-narration-window 3.5",
        "sources/ego4d/test_narration_verbs.py::test_long_windows_are_shortened_with_a_note",
    ),
    "strict": ("--strict", "test_annotation_options_reach_the_source"),
    "fho_window": ("--fho-window critical", "test_annotation_options_reach_the_source"),
    "clip_splits": ("--clip-splits", "test_annotation_options_reach_the_source"),
    "num_actions": (
        "--num-actions 2",
        "labeling/test_relabel.py::test_several_kinds_of_annotations_extract_each_frame_once",
    ),
}
KEPT = "clips/test_open_cache.py::test_shards_are_kept_where_the_settings_say"
NOT_KEPT = "clips/test_open_cache.py::test_no_copies_of_local_folders_and_none_if_they_may_take_nothing"
LOCAL_COPIES = {
    "local_cache_dir": ("--local-cache-dir elsewhere", KEPT),
    "local_cache_gb": ("--local-cache-gb 5.5", NOT_KEPT),
}
STORE = "labeling/test_store_logits.py::test_a_label_set_without_stored_logits_keeps_its_choice"
REFUSED = dict.fromkeys(("data_dir", "use_synthetic"), (None, MISTAKES))
IMAGES = "sources/frames/test_source.py::"
TABLES = {
    "ucf_split": (None, "sources/ucf101/test_source.py::test_the_lists_give_classes_and_splits"),  # of a plug-in
    "epic_labels": (
        None,  # an option of a plug-in
        "sources/epic/test_frames.py::test_every_verb_and_noun_is_on_the_frames_of_its_timestamps",
    ),
    "charades_labels": (
        None,  # an option of a plug-in
        "sources/charades_ego/test_frames.py::test_every_frame_has_the_actions_that_are_going_on",
    ),
    "egoexo_labels": (
        None,  # an option of a plug-in
        "sources/egoexo/test_frames.py::test_every_keystep_is_on_the_frames_of_its_segments",
    ),
    "hd_epic_labels": (
        None,  # an option of a plug-in
        "sources/hd_epic/test_frames.py::test_every_verb_and_noun_is_on_the_frames_of_its_narration",
    ),
    "assembly101_labels": (
        None,
        "sources/assembly101/test_source.py::test_actions_verbs_and_nouns_label_the_same_clips",
    ),
    "egtea_labels": (None, "sources/egtea/test_source.py::test_actions_verbs_and_nouns_label_the_same_cut_clips"),
    "egtea_split": (None, "sources/egtea/test_source.py::test_actions_verbs_and_nouns_label_the_same_cut_clips"),
    "manifest": ("--manifest FILE", "sources/manifest/test_extraction.py::test_every_clip_has_its_frames"),
    "frames_rate": ("--frames-rate 29.97", "sources/frames/test_frames.py::test_every_image_is_a_frame_of_its_time"),
    "frames_layout": (
        "--frames-layout images",
        IMAGES + "test_numbered_images_may_stand_for_themselves",
    ),
    "frames_prefix": ("--frames-rate 5 --frames-prefix img_", IMAGES + "test_a_prefix_chooses_the_frames"),
    "skip_missing": (
        None,  # it requires --manifest
        "sources/manifest/test_source.py::test_missing_videos_are_left_out_on_demand_and_those_of_the_cache_keep_their_clips",
    ),
}
PLAN = "commands/test_plan.py::test_a_plan_follows_its_options"
DISTILL = "commands/test_distill.py::"
DISTILL_OPTIONS = (  # those of extract-teacher, train-student and export-student that distill has, too
    *(
        *ANNOTATIONS,
        *TABLES,
        "data_dir",
        "use_synthetic",
        "num_samples",
        "layout",
        "fps",
        "sampling",
        "views",
        "view_area",
    ),
    *("classes", "class_names", "prompts", "prompt_style", "teacher_head", "embed_texts", "label_set", "store_logits"),
    *("teacher_size", "teacher_model", "teacher_module", "teacher_onnx", "teacher_torchscript", "teacher_input_size"),
    *("teacher_weights", "teacher_activation", "teacher_preprocess", "teacher_runtime", "decode_workers"),
    *("student_size", "student_resolution", "student_pretrained", "frames_per_clip", "epochs", "formats"),
    *("cache_dir", "output_dir", "device", "seed", "num_workers"),
)
FILE_OF_DEFAULTS = (None, "test_a_configuration_file_gives_the_defaults")

ROWS: dict[str, dict[str, tuple[str | None, str]]] = {
    "extract-teacher": {
        **TABLES,
        "store_logits": ("--no-store-logits", STORE),
        "embed_texts": (
            "--embed-texts",
            "labeling/test_text_targets.py::test_extraction_embeds_each_text_once_and_only_if_it_is_told_to",
        ),
        **ANNOTATIONS,
        "data_dir": ("--data-dir elsewhere", THREE),
        "use_synthetic": ("--use-synthetic", EXTRACTION + "test_synthetic_videos_are_generated_as_configured"),
        "num_samples": ("--num-samples 36", EXTRACTION + "test_synthetic_videos_are_generated_as_configured"),
        "classes": ("--classes FILE", "commands/test_cli.py::test_class_names_for_zero_shot_logits_alone"),
        "cache_dir": ("--cache-dir elsewhere", THREE),
        "backend": ("--backend webdataset", "extraction/test_runner.py::test_both_backends_store_the_same_rows"),
        "fps": ("--fps 3.5", "commands/test_cli.py::test_a_saved_configuration_makes_the_same_run"),
        "sampling": (
            "--sampling keyframe",
            "extraction/test_decoding.py::test_key_frames_are_sampled_at_their_own_times",
        ),
        "snap_tolerance": (
            "--sampling snap --snap-tolerance 0.125",
            "extraction/test_snapping.py::test_another_tolerance_rate_or_sampling_is_another_identity",
        ),
        "decoder": ("--decoder nvdec", "extraction/test_decoding.py::test_the_decoder_is_part_of_the_identity"),
        "view_area": (
            "--views 1 --view-area 0.25",
            "extraction/test_view_area.py::test_the_share_is_part_of_the_identity_and_the_usual_one_is_absent",
        ),
        "views": ("--views 3", EXTRACTION + "test_views_depend_on_their_number_the_seed_and_the_video"),
        "teacher_size": ("--teacher-size large", EXTRACTION + "test_the_teacher_is_loaded_as_configured"),
        "teacher_model": ("--teacher-model RN50", EXTRACTION + "test_the_teacher_is_loaded_as_configured"),
        "teacher_module": ("--teacher-module mine.py", MODULE),
        "teacher_onnx": ("--teacher-onnx a.onnx", PROGRAMS),
        "teacher_torchscript": ("--teacher-torchscript a.pt", PROGRAMS),
        "teacher_input_size": ("--teacher-onnx a.onnx --teacher-input-size 32", PROGRAMS),
        "teacher_weights": ("--teacher-weights random", EXTRACTION + "test_the_teacher_is_loaded_as_configured"),
        "teacher_activation": ("--teacher-activation gelu", EXTRACTION + "test_the_teacher_is_loaded_as_configured"),
        "teacher_preprocess": ("--teacher-preprocess laion2b", PREPROCESS),
        "layout": (
            "--layout flat",
            "commands/test_folders.py::test_an_ambiguous_folder_is_refused_before_any_work_unless_layout_is_given",
        ),
        "class_names": (
            "--class-names FILE",
            "commands/test_folders.py::test_class_names_that_are_codes_are_refused_before_the_teacher_is_loaded",
        ),
        "teacher_head": ("--teacher-head none", THREE),
        "prompts": ("--prompts FILE", PROMPTS + "test_an_extraction_takes_its_prompts_from_the_file"),
        "prompt_style": ("--prompt-style v1", STYLE),
        "label_set": ("--label-set mine", EXTRACTION + "test_label_sets_have_the_configured_name_and_kind"),
        "teacher_runtime": (
            "--teacher-runtime onnx",
            "teachers/test_onnx_tower.py::test_a_cache_made_in_one_runtime_is_continued_in_the_other",
        ),
        "batch_size": ("--batch-size 9", EXTRACTION + "test_shards_and_batches_have_the_configured_sizes"),
        "shard_frames": ("--shard-frames 9", EXTRACTION + "test_shards_and_batches_have_the_configured_sizes"),
        "canonical_short_side": (
            "--canonical-short-side 300",
            EXTRACTION + "test_frames_are_stored_with_the_short_side_of_the_identity",
        ),
        "jpeg_quality": (
            "--jpeg-quality 97",
            EXTRACTION + "test_frames_are_stored_with_the_jpeg_quality_of_the_identity",
        ),
        "teacher_processes": ("--teacher-processes 2", SEVERAL),
        "decode_workers": ("--decode-workers 5", EXTRACTION + "test_engines_get_the_configured_workers_and_timeout"),
        "engine": (None, "engines/test_documented_engine.py::test_extraction_runs_on_a_registered_engine"),
        "ray_address": (
            "--engine ray --ray-address 10.0.0.1:6379",
            "extraction/cluster/test_ray_refusals.py::test_an_address_at_which_nothing_answers_is_refused_at_once",
        ),
        "ray_workers": (
            "--engine ray --ray-workers 3",
            "extraction/cluster/test_ray_refusals.py::test_workers_get_their_share_of_the_cluster",
        ),
        "part": ("--part 2/5", "extraction/test_part_runs.py::test_a_part_is_named_on_the_command_line"),
        "video_timeout": (
            "--video-timeout 7.5",
            EXTRACTION + "test_a_video_without_progress_fails_after_the_configured_timeout",
        ),
        "dry_run": (None, "extraction/test_resume.py::test_a_dry_run_from_the_command_line_loads_no_weights"),
        "device": ("--device cpu", "test_an_unavailable_device_is_refused"),
        "seed": ("--seed 4", EXTRACTION + "test_views_depend_on_their_number_the_seed_and_the_video"),
        "config": FILE_OF_DEFAULTS,
    },
    "train-student": {
        **LOCAL_COPIES,
        **REFUSED,
        "cache_dir": ("--cache-dir elsewhere", THREE),
        "output_dir": ("--output-dir elsewhere", THREE),
        "label_set": ("--label-set mine", TRAINING + "test_label_set_selects_the_label_set"),
        "student_size": (
            "--student-size tiny,s",
            "training/test_training.py::test_students_trained_jointly_equal_those_trained_alone",
        ),
        "student_resolution": (
            "--student-resolution 160",
            SHAPES,
        ),
        "student_pretrained": ("--student-pretrained", TRAINING + "test_pretrained_weights_follow_the_option"),
        "projection": ("--projection linear", TRAINING + "test_projection_selects_the_projection"),
        "pooling": ("--pooling mean", "training/test_order_of_frames.py::test_pooling_is_that_of_the_option"),
        "epochs": ("--epochs 3", TRAINING + "test_an_option_changes_the_weights"),
        "batch_size": ("--batch-size 5", SHAPES),
        "optimizer": ("--optimizer adamw", "training/test_muon.py::test_the_optimizer_follows_the_option"),
        "lr": ("--lr 0.5", BY_HAND),
        "weight_decay": ("--weight-decay 0.5", BY_HAND),
        "alpha": ("--alpha 0.5", BY_HAND),
        "beta": ("--beta 0.5", BY_HAND),
        "gamma": ("--gamma 0.25", BY_HAND),
        "text_weight": (
            "--text-weight 0.5",
            "training/test_text_term.py::test_the_text_term_raises_retrieval_of_held_out_clips",
        ),
        "temperature": ("--temperature 2.0", BY_HAND),
        "teachers": (
            "--teachers first:1,second:2",
            "training/test_several_teachers.py::test_the_checkpoint_records_the_teachers_and_their_shares",
        ),
        "frames_per_clip": (
            "--frames-per-clip 3",
            SHAPES,
        ),
        "views": ("--views 1", "training/test_training.py::test_fewer_views_than_stored_can_be_used"),
        "evaluation_view_share": (
            "--evaluation-view-share 0.25",
            "training/test_view_mixing.py::test_training_clips_follow_the_options_and_selection_clips_do_not",
        ),
        "evaluation_view_warmup": (
            "--evaluation-view-warmup 0.5",
            "training/test_view_mixing.py::test_training_clips_follow_the_options_and_selection_clips_do_not",
        ),
        "jitter": ("--jitter 0.25", TRAINING + "test_the_seed_determines_views_and_jitter"),
        "time_shift": (
            "--time-shift 0.25",
            "training/test_order_of_frames.py::test_training_clips_are_moved_by_the_option_and_selection_clips_are_not",
        ),
        "ema": ("--ema 0.5", BY_HAND),
        "class_weights": (
            "--class-weights balanced",
            BALANCE + "test_weights_are_those_of_the_clips_that_are_trained_on",
        ),
        "selection": ("--no-selection", "training/test_without_selection.py::test_all_clips_are_trained_on"),
        "sampler": ("--sampler balanced", BALANCE + "test_the_plan_of_a_balanced_epoch"),
        "accumulate_steps": ("--accumulate-steps 3", BY_HAND),
        "patience": ("--patience 3", TRAINING + "test_patience_counts_epochs_since_the_best_across_resumes"),
        "amp": ("--no-amp", TRAINING + "test_workers_compilation_and_precision_follow_the_options"),
        "compile": ("--compile", TRAINING + "test_workers_compilation_and_precision_follow_the_options"),
        "checkpoint_steps": ("--checkpoint-steps 3", TRAINING + "test_states_are_saved_every_checkpoint_steps_batches"),
        "report_to": (
            "--report-to csv,tensorboard",
            "tracking/test_tracking.py::test_wandb_keeps_a_run_on_this_machine",
        ),
        "tensorboard": ("--tensorboard", TRAINING + "test_tensorboard_files_are_written_only_with_the_option"),
        "num_workers": ("--num-workers 3", TRAINING + "test_workers_compilation_and_precision_follow_the_options"),
        "preload": ("--preload off", "training/test_preload.py::test_each_crop_is_decoded_once_if_all_are_kept"),
        "overwrite": ("--overwrite", TRAINING + "test_overwrite_starts_anew"),
        "num_samples": (None, MISTAKES),
        "teacher_size": (None, MISTAKES),
        "num_actions": (None, MISTAKES),
        "device": ("--device cpu", "test_an_unavailable_device_is_refused"),
        "seed": ("--seed 4", TRAINING + "test_the_seed_determines_weights_order_and_frames"),
        "config": FILE_OF_DEFAULTS,
    },
    "evaluate": {
        **LOCAL_COPIES,
        **REFUSED,
        "cache_dir": ("--cache-dir elsewhere", THREE),
        "student_checkpoint": ("--student-checkpoint other.pt", THREE),
        "output_dir": ("--output-dir elsewhere", THREE),
        "label_set": ("--label-set mine", EVALUATION + "test_the_split_and_the_label_set_are_those_of_the_settings"),
        "split": ("--split train", EVALUATION + "test_the_split_and_the_label_set_are_those_of_the_settings"),
        "num_samples": (
            "--num-samples 3",
            EVALUATION + "test_num_samples_draws_clips_by_the_seed",
        ),
        "batch_size": ("--batch-size 5", EVALUATION + "test_batch_size_workers_and_device_are_those_of_the_settings"),
        "num_workers": ("--num-workers 3", EVALUATION + "test_batch_size_workers_and_device_are_those_of_the_settings"),
        "teacher_latency": (None, "test_image_encoders_are_measured_with_teacher_latency"),
        "runtime": ("--runtime onnx", EVALUATION + "test_costs_are_measured_in_the_runtime_of_the_settings"),
        "teacher_model": (None, "test_image_encoders_are_measured_with_teacher_latency"),
        "overwrite": ("--overwrite", OWN_FILES + "test_an_evaluation_replaces_only_an_evaluation_of_the_same_inputs"),
        "student_size": (None, "training/test_stage_two.py::test_a_checkpoint_from_another_cache_is_refused"),
        "teacher_size": (None, "test_assertions_about_a_cache_are_checked"),
        "num_actions": (None, "test_assertions_about_a_cache_are_checked"),
        "device": ("--device cpu", "test_an_unavailable_device_is_refused"),
        "seed": ("--seed 4", EVALUATION + "test_num_samples_draws_clips_by_the_seed"),
        "config": FILE_OF_DEFAULTS,
    },
    "compare": {
        **LOCAL_COPIES,
        "evaluations": (None, "evaluation/test_compare.py::test_a_comparison_from_the_command_line"),
        "output_dir": ("--output-dir elsewhere", COMPARE),
        "cache_dir": ("--cache-dir elsewhere", COMPARE),
        "label_set": ("--label-set mine", COMPARE),
        "split": ("--split train", COMPARE),
        "batch_size": ("--batch-size 5", COMPARE),
        "num_workers": ("--num-workers 3", COMPARE),
        "overwrite": ("--overwrite", OWN_FILES + "test_a_comparison_replaces_only_a_comparison"),
        "device": ("--device cpu", COMPARE),
        "seed": ("--seed 4", COMPARE),
        "config": FILE_OF_DEFAULTS,
    },
    "export-student": {
        **LOCAL_COPIES,
        "cache_dir": ("--cache-dir elsewhere", EXPORT),
        "student_checkpoint": ("--student-checkpoint other.pt", EXPORT),
        "output_dir": ("--output-dir elsewhere", EXPORT),
        "label_set": ("--label-set mine", EXPORT),
        "formats": ("--formats fp16", EXPORT),
        "split": ("--split train", EXPORT),
        "num_samples": ("--num-samples 3", EXPORT),
        "calibration_frames": ("--calibration-frames 5", EXPORT),
        "web_runtime": ("--web-runtime elsewhere", "export/test_web.py::test_the_runtime_is_that_of_the_option"),
        "config": (None, SAVED),
        "seed": ("--seed 4", EXPORT),
        "overwrite": ("--overwrite", EXPORT),
    },
    "predict": {
        "sources": (None, PREDICT + "test_a_folder_is_predicted_but_for_its_broken_video"),
        "student": (
            "--student other.pt",
            PREDICT + "test_a_checkpoint_that_is_missing_or_of_another_version_is_refused",
        ),
        "cache_dir": ("--cache-dir elsewhere", PREDICT + "test_a_checkpoint_without_preparation_needs_its_cache"),
        "calibration": ("--calibration c.json", PREDICT + "test_a_calibration_of_another_checkpoint_is_refused"),
        "fps": ("--fps 3.0", PREDICT + "test_windows_follow_their_options"),
        "window": ("--window 2.0", PREDICT + "test_windows_follow_their_options"),
        "stride": ("--stride 0.5", PREDICT + "test_windows_follow_their_options"),
        "max_seconds": ("--max-seconds 9.0", PREDICT + "test_windows_follow_their_options"),
        "stall_timeout": ("--stall-timeout 3.0", "predict/test_live.py::test_a_camera_that_stalls_is_given_up"),
        "top": ("--top 5", PREDICT + "test_labels_below_a_threshold_are_null_and_top_limits_the_list"),
        "threshold": ("--threshold 0.5", PREDICT + "test_labels_below_a_threshold_are_null_and_top_limits_the_list"),
        "smoothing": ("--smoothing 0.5", PREDICT + "test_smoothing_is_an_average_over_windows"),
        "output": ("--output o.jsonl", PREDICT + "test_lines_and_the_annotated_video_go_to_their_files"),
        "annotated": ("--annotated a.mp4", PREDICT + "test_lines_and_the_annotated_video_go_to_their_files"),
        "device": ("--device cpu", PREDICT + "test_every_mistake_is_one_sentence"),
        "overwrite": ("--overwrite", PREDICT + "test_outputs_are_replaced_only_with_overwrite"),
        "config": FILE_OF_DEFAULTS,
    },
    "distill": dict.fromkeys(
        DISTILL_OPTIONS, (None, DISTILL + "test_options_reach_their_steps_and_nothing_else_is_given")
    )
    | {
        "overwrite": (None, DISTILL + "test_one_command_makes_everything_and_repeats_nothing"),
        "dry_run": (None, DISTILL + "test_a_dry_run_prints_the_commands_and_writes_nothing"),
        "sections": (None, DISTILL + "test_sections_set_what_the_command_line_does_not"),
    },
    "relabel": {
        **TABLES,
        "store_logits": ("--no-store-logits", STORE),
        "embed_texts": (
            "--embed-texts",
            "labeling/test_text_targets.py::test_relabel_adds_texts_to_an_existing_label_set_without_videos",
        ),
        **ANNOTATIONS,
        "cache_dir": (
            "--cache-dir elsewhere",
            "labeling/test_relabel.py::test_annotations_are_added_to_an_existing_cache",
        ),
        "data_dir": (
            "--data-dir elsewhere",
            "labeling/test_relabel.py::test_annotations_are_added_to_an_existing_cache",
        ),
        "classes": (
            "--classes FILE",
            "labeling/test_relabel.py::test_new_class_names_apply_to_existing_clips",
        ),
        "clips_from": (None, "labeling/test_relabel.py::test_new_class_names_apply_to_existing_clips"),
        "teacher_head": ("--teacher-head none", "labeling/test_relabel.py::test_a_fitted_head_needs_no_teacher"),
        "prompts": (
            "--prompts FILE",
            PROMPTS + "test_relabel_makes_a_label_set_of_the_same_classes_with_the_prompts_of_a_file",
        ),
        "prompt_style": ("--prompt-style v1", STYLE),
        "label_set": ("--label-set mine", "labeling/test_relabel.py::test_a_fitted_head_needs_no_teacher"),
        "teacher_module": ("--teacher-module mine.py", MODULE),
        "teacher_weights": ("--teacher-weights random", RELABEL),
        "teacher_model": ("--teacher-model RN50", RELABEL),
        "teacher_activation": ("--teacher-activation gelu", RELABEL),
        "teacher_preprocess": ("--teacher-preprocess laion2b", RELABEL),
        "class_names": (
            "--class-names FILE",
            "commands/test_folders.py::test_class_codes_of_a_cache_are_renamed_from_a_file_and_labels_are_kept",
        ),
        "device": ("--device cpu", RELABEL),
        "seed": ("--seed 4", RELABEL),
        "config": FILE_OF_DEFAULTS,
    },
    "plan": {
        **{name: (given, PLAN) for name, (given, _) in (ANNOTATIONS | TABLES).items()},
        "data_dir": ("--data-dir elsewhere", PLAN),
        "layout": ("--layout flat", PLAN),
        "classes": ("--classes FILE", PLAN),
        "class_names": ("--class-names FILE", PLAN),
        "label_set": ("--label-set mine", PLAN),
        "store_logits": ("--store-logits", PLAN),
        "teacher_head": ("--teacher-head none", PLAN),
        "prompt_style": ("--prompt-style v1", PLAN),
        "prompts": ("--prompts FILE", "commands/test_plan.py::test_prompts_are_checked_as_an_extraction_would"),
        "config": FILE_OF_DEFAULTS,
    },
    "plan-ego4d": {
        **{name: (given, "test_a_plan_follows_its_options") for name, (given, _) in ANNOTATIONS.items()},
        "data_dir": ("--data-dir elsewhere", "test_a_plan_follows_its_options"),
        "fps": ("--fps 3.5", "test_a_plan_follows_its_options"),
        "views": ("--views 3", "test_a_plan_follows_its_options"),
        "assume_downloaded": ("--assume-downloaded", "test_a_plan_follows_its_options"),
        "num_videos": ("--assume-downloaded --num-videos 1", "test_a_plan_follows_its_options"),
        "output": (None, "labeling/test_relabel.py::test_dry_run_and_plan_give_the_same_figures"),
        "overwrite": (None, OWN_FILES + "test_plan_ego4d_replaces_only_its_own_counts"),
        "config": (None, SAVED),
    },
    "download-ego4d": {
        "data_dir": ("--data-dir elsewhere", DOWNLOAD + "test_a_first_download"),
        "num_videos": ("--num-videos 3", DOWNLOAD + "test_more_videos_include_the_earlier_ones"),
        "scenarios": (
            "--scenario cooking",
            "sources/ego4d/test_video_selection.py::test_scenarios_match_a_part_of_the_name_ignoring_case",
        ),
        "max_gb": (
            "--max-gb 2.5",
            "sources/ego4d/test_video_selection.py::test_limits_are_met_whenever_they_can_be",
        ),
        "max_hours": (
            "--max-hours 2.5",
            "sources/ego4d/test_video_selection.py::test_limits_are_met_whenever_they_can_be",
        ),
        "seed": ("--seed 4", "sources/ego4d/test_video_selection.py::test_the_order_is_pinned"),
        "kind": ("--kind clips", DOWNLOAD + "test_clips_belong_to_the_selected_videos"),
        "version": ("--version v1", DOWNLOAD + "test_invalid_requests"),
        "aws_profile": ("--aws-profile mine", DOWNLOAD + "test_invalid_requests"),
        "dry_run": (None, DOWNLOAD + "test_a_dry_run_fetches_nothing"),
        "yes": (None, DOWNLOAD + "test_confirmation_needs_a_terminal"),
    },
    "add-teacher": {
        "cache_dir": ("--cache-dir elsewhere", ADD + "test_the_command_says_what_follows"),
        "name": ("--name other", ADD + "test_the_command_says_what_follows"),
        "teacher_size": ("--teacher-size large", ADDED),
        "teacher_model": ("--teacher-model RN50", ADDED),
        "teacher_module": ("--teacher-module mine.py", ADD + "test_several_teacher_processes_embed_the_same"),
        "teacher_onnx": ("--teacher-onnx a.onnx", ADDED),
        "teacher_torchscript": ("--teacher-torchscript a.pt", ADDED),
        "teacher_input_size": ("--teacher-onnx a.onnx --teacher-input-size 32", ADDED),
        "teacher_weights": ("--teacher-weights random", ADDED),
        "teacher_activation": ("--teacher-activation gelu", ADDED),
        "teacher_preprocess": ("--teacher-preprocess laion2b", ADDED),
        "teacher_runtime": ("--teacher-runtime onnx", ADDED),
        "teacher_processes": ("--teacher-processes 2", ADD + "test_several_teacher_processes_embed_the_same"),
        "batch_size": ("--batch-size 9", ADD + "test_provenance_and_settings_are_recorded"),
        "device": ("--device cpu", ADDED),
        "seed": ("--seed 4", ADDED),
        "dry_run": (None, ADD + "test_a_dry_run_writes_nothing"),
        "config": (None, ADD + "test_videos_that_were_added_since_are_embedded_by_the_same_command"),
    },
    "verify-cache": {
        "cache_dir": (None, CACHE + "test_verifying_compares_pixels_unless_disabled"),
        "pixels": (None, CACHE + "test_verifying_compares_pixels_unless_disabled"),
        "recompute": (None, RECOMPUTE),
        "teacher_module": (None, MODULE),
        "teacher_onnx": (None, PROGRAMS),
        "teacher_torchscript": (None, PROGRAMS),
        "teacher_weights": (None, RECOMPUTE),
        "teacher_model": (None, RECOMPUTE),
        "teacher_activation": (None, RECOMPUTE),
        "teacher_preprocess": (None, PREPROCESS),
        "device": (None, RECOMPUTE),
        "seed": (None, RECOMPUTE),
    },
    "repair-cache": {
        "cache_dir": (None, CACHE + "test_repairing_looks_at_pixels"),
        "yes": (None, "cache/test_repair.py::test_nothing_is_moved_that_was_not_agreed_to"),
        "purge": (None, "cache/test_repair.py::test_moved_files_stay_until_they_are_purged"),
        "rebuild_plan": (None, "cache/test_rebuild.py::test_rebuilding_prints_its_changes_and_asks_for_confirmation"),
    },
    "remove": {
        "cache_dir": (None, REMOVAL + "test_the_command_shows_asks_and_removes"),
        "video": (None, REMOVAL + "test_the_command_shows_asks_and_removes"),
        "videos": (None, REMOVAL + "test_the_command_shows_asks_and_removes"),
        "label_set": (None, REMOVAL + "test_the_command_shows_asks_and_removes"),
        "teacher": (None, "cache/test_added_teachers.py::test_the_commands_name_the_teacher"),
        "dry_run": (None, REMOVAL + "test_the_command_shows_asks_and_removes"),
        "yes": (None, REMOVAL + "test_the_command_shows_asks_and_removes"),
    },
    "refresh": {
        "cache_dir": (None, REMOVAL + "test_refreshing_shows_asks_and_takes_out"),
        "video": (None, REMOVAL + "test_refreshing_shows_asks_and_takes_out"),
        "videos": (None, REMOVAL + "test_refreshing_shows_asks_and_takes_out"),
        "dry_run": (None, REMOVAL + "test_refreshing_shows_asks_and_takes_out"),
        "yes": (None, REMOVAL + "test_refreshing_shows_asks_and_takes_out"),
    },
    "merge": {
        "caches": (None, MERGE + "test_the_command_shows_merges_and_tells"),
        "into": (None, MERGE + "test_the_command_shows_merges_and_tells"),
        "dry_run": (None, MERGE + "test_a_dry_run_shows_the_same_and_writes_nothing"),
    },
    "inspect-cache": {
        "cache_dir": (None, CACHE + "test_a_contact_sheet_has_the_requested_frames_and_names"),
        "html": (None, CACHE + "test_a_contact_sheet_has_the_requested_frames_and_names"),
        "label_set": (None, CACHE + "test_a_contact_sheet_has_the_requested_frames_and_names"),
        "prompts": (None, "labeling/test_prompts.py::test_inspect_cache_shows_prompts"),
        "json": (None, PROMPTS + "test_prompts_are_written_to_a_file_that_relabel_reads"),
        "frames": (None, CACHE + "test_a_contact_sheet_has_the_requested_frames_and_names"),
        "map": (None, "reporting/contact_sheet/test_sheet.py::test_the_map_is_drawn_by_the_chosen_method"),
        "overwrite": (None, OWN_FILES + "test_a_contact_sheet_replaces_only_a_contact_sheet"),
    },
    "export-embeddings": {
        "cache_dir": (None, EMBEDDINGS + "test_the_command_writes_what_its_options_say"),
        "format": (None, EMBEDDINGS + "test_the_command_writes_what_its_options_say"),
        "output": (None, EMBEDDINGS + "test_the_command_writes_what_its_options_say"),
        "dtype": (None, EMBEDDINGS + "test_the_command_writes_what_its_options_say"),
        "view": (None, EMBEDDINGS + "test_the_command_writes_what_its_options_say"),
        "teacher": (None, EMBEDDINGS + "test_an_added_teacher_is_exported_with_its_identity"),
        "label_set": (None, EMBEDDINGS + "test_the_command_writes_what_its_options_say"),
        "overwrite": (None, EMBEDDINGS + "test_only_an_earlier_export_is_replaced_and_only_on_demand"),
    },
    "push-cache": {
        "cache_dir": (None, HUB + "test_a_pulled_cache_has_everything"),
        "repo": (None, HUB + "test_a_pulled_cache_has_everything"),
        "license": (None, HUB + "test_a_license_is_required"),
        "frames": (None, HUB + "test_embeddings_are_shared_without_a_single_pixel"),
        "i_have_the_right_to_share": (None, HUB + "test_caches_of_known_data_sets_need_an_explicit_right"),
        "private": (None, HUB + "test_a_private_repository_is_created_as_one"),
        "revision": (None, HUB + "test_a_branch_is_pushed_and_pulled"),
        "dry_run": (None, HUB + "test_a_dry_run_shows_the_card_and_sends_nothing"),
    },
    "pull-cache": {
        "repo": (None, HUB + "test_a_pulled_cache_has_everything"),
        "output_dir": (None, HUB + "test_a_pulled_cache_has_everything"),
        "revision": (None, HUB + "test_a_branch_is_pushed_and_pulled"),
    },
    "push-student": {
        "export_dir": (None, STUDENTS + "test_timm_loads_a_pushed_student"),
        "student_checkpoint": (None, STUDENTS + "test_a_checkpoint_is_uploaded_beside_its_export"),
        "repo": (None, STUDENTS + "test_timm_loads_a_pushed_student"),
        "license": (None, STUDENTS + "test_timm_loads_a_pushed_student"),
        "private": (None, STUDENTS + "test_a_checkpoint_is_uploaded_beside_its_export"),
        "revision": (None, STUDENTS + "test_a_second_push_replaces_the_first_and_nothing_else"),
        "dry_run": (None, STUDENTS + "test_a_dry_run_sends_nothing"),
    },
    "search-cache": {
        "cache_dir": (
            "--cache-dir elsewhere",
            SEARCHED + "test_a_text_is_embedded_once_and_nothing_is_written_into_the_cache",
        ),
        "text": ("--text other", SEARCHED + "test_a_text_is_embedded_once_and_nothing_is_written_into_the_cache"),
        "image": (None, SEARCHED + "test_an_image_is_seen_as_the_teacher_sees_frames"),
        "video": (None, SEARCHED + "test_a_stored_moment_is_searched_for_without_a_teacher"),
        "time": (None, SEARCHED + "test_a_stored_moment_is_searched_for_without_a_teacher"),
        "class_name": (None, SEARCHED + "test_a_class_is_searched_for_by_its_stored_vector"),
        "duplicates": (None, SEARCH_COMMAND + "test_near_duplicates_are_listed"),
        "threshold": ("--threshold 0.5", SEARCH_COMMAND + "test_near_duplicates_are_listed"),
        "top": ("--top 3", SEARCH_COMMAND + "test_the_table_has_the_best_moments"),
        "min_gap": ("--min-gap 1.5", SEARCHED + "test_a_stored_moment_is_searched_for_without_a_teacher"),
        "split": ("--split val", SEARCHED + "test_a_split_and_its_label_set"),
        "label_set": ("--label-set mine", SEARCHED + "test_a_split_and_its_label_set"),
        "index": (
            "--index faiss",
            "search/test_approximate.py::test_moments_are_found_by_the_command",
        ),
        "index_dir": ("--index-dir elsewhere", SEARCHED + "test_a_damaged_vector_of_a_text_is_computed_again"),
        "student": ("--student a.pt", "search/test_student_rows.py::test_frames_are_embedded_once_per_checkpoint"),
        "teacher_model": ("--teacher-model RN50", SEARCH_TEACHER),
        "teacher_module": ("--teacher-module mine.py", SEARCH_TEACHER),
        "teacher_onnx": ("--teacher-onnx a.onnx", SEARCH_TEACHER),
        "teacher_torchscript": ("--teacher-torchscript a.pt", SEARCH_TEACHER),
        "teacher_weights": ("--teacher-weights random", SEARCH_TEACHER),
        "teacher_activation": ("--teacher-activation gelu", SEARCH_TEACHER),
        "teacher_preprocess": ("--teacher-preprocess laion2b", SEARCH_TEACHER),
        "json": ("--json a.json", SEARCH_COMMAND + "test_the_json_file_has_what_the_library_returns"),
        "html": ("--html a.html", SEARCH_COMMAND + "test_the_page_shows_the_moments"),
        "overwrite": ("--overwrite", SEARCH_COMMAND + "test_files_of_others_are_not_replaced"),
        "device": ("--device cpu", SEARCH_TEACHER),
        "seed": ("--seed 4", SEARCH_TEACHER),
        "config": FILE_OF_DEFAULTS,
    },
    "info": {"json": (None, "environment/test_info.py::test_it_prints_every_section_and_the_same_as_json")},
    "completion": {"shell": (None, "commands/test_completion.py::test_the_script_of_each_shell_calls_the_program")},
    "convert-cache": {
        "cache_dir": (None, CACHE + "test_converting_copies_everything_to_the_requested_back_end"),
        "output_dir": (None, CACHE + "test_converting_copies_everything_to_the_requested_back_end"),
        "backend": (None, CACHE + "test_converting_copies_everything_to_the_requested_back_end"),
    },
    "prepare-energon": {
        "cache_dir": (None, ENERGON + "test_energon_reads_each_frame_in_the_split_of_its_video"),
        "label_set": (None, ENERGON + "test_energon_reads_each_frame_in_the_split_of_its_video"),
        "output_dir": (None, ENERGON + "test_energon_reads_each_frame_in_the_split_of_its_video"),
    },
}

LOGGING = {  # which every command has
    "verbose": (None, "commands/test_logging_options.py::test_verbose_prints_more_and_writes_no_file"),
    "debug": (None, "commands/test_logging_options.py::test_the_log_has_the_traceback_of_a_handled_error"),
}
CALLED = {  # the function that each command passes its settings to, and the arguments that it requires
    "extract-teacher": (extract_teacher, "run", "--data-dir videos"),
    "train-student": (training, "train", ""),
    "evaluate": (evaluating, "evaluate", ""),
    "compare": (comparing, "compare", "one two"),
    "export-student": (exporting, "export", ""),
    "predict": (predicting, "predict", "v.mp4"),
    "relabel": (extract_teacher, "relabel", "--annotations moments --data-dir videos"),
    "add-teacher": (adding, "run", "--name second"),
    "plan": (data_plan, "plan_data", "--data-dir videos"),
    "search-cache": (searching, "find_moments", "--text cup"),
    "plan-ego4d": (plan_ego4d, "plan", "--data-dir videos"),
    "download-ego4d": (download, "Download", ""),
}
GIVEN = [
    (command, name, given)
    for command, rows in ROWS.items()
    for name, (given, _) in rows.items()
    if given is not None and command in CALLED
]


class GotError(Exception):
    """Raised with the settings that a command passes on."""


@pytest.fixture
def settings_of(monkeypatch, tmp_path):
    """A function of a command and its arguments that returns the settings made of them, as a flat dict."""
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    monkeypatch.setattr("embedonce.pipeline.commands.cache_assertions.check_cache", lambda *arguments: None)

    def settings(command: str, arguments: str) -> dict:
        module, function, _ = CALLED[command]

        def handed_over(config, *rest):
            raise GotError(config)

        with monkeypatch.context() as patch:
            patch.setattr(module, function, handed_over)
            with pytest.raises(GotError) as got:
                call(command, *shlex.split(arguments.replace("FILE", str(tmp_path / "names.txt"))))
        config = got.value.args[0]
        flat = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
        criteria = flat.pop("criteria", None)
        return flat if criteria is None else flat | dataclasses.asdict(criteria)

    return settings


def test_every_option_has_a_row_and_every_row_an_option():
    options = {name: {param.name for param in command.params} for name, command in cli.main.commands.items()}
    assert {name: {*rows, *LOGGING} for name, rows in ROWS.items()} == options


@functools.cache
def names_in(file: str) -> set[str]:
    tree = ast.parse((Path(__file__).parents[1] / file).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_tests_that_rows_name_exist():
    named = {test for rows in (*ROWS.values(), LOGGING) for _, test in rows.values()}
    places = [test.rpartition("::") for test in named]
    missing = [test for file, _, test in places if test not in names_in(file or "commands/test_options.py")]
    assert missing == []


@pytest.mark.parametrize(("command", "name", "given"), GIVEN, ids=[f"{c} {n}" for c, n, _ in GIVEN])
@pytest.mark.integration
def test_an_option_reaches_the_settings(settings_of, command, name, given):
    base, words = CALLED[command][2], shlex.split(given)
    field = {"aws_profile": "profile"}.get(name, name)
    only_with = " ".join(words[:-2])  # options that this one requires
    usual, changed = settings_of(command, f"{base} {only_with}"), settings_of(command, f"{base} {given}")
    assert {other for other in usual if usual[other] != changed[other]} == {field}
    if isinstance(changed[field], bool):
        assert changed[field] is not usual[field]
    elif words[-1] != "FILE":
        value = changed[field][0] if isinstance(changed[field], tuple) else changed[field]
        assert str(value) == words[-1]


# -- what comes of options that other tests do not look at -------------------------------------------------------------

WITH_FILES = sorted(n for n, c in cli.main.commands.items() if any(p.name == "config" for p in c.params))


IN_FILES = {
    "export-student": ("seed", {"split": "train"}),
    "plan": ("num_actions", {"layout": "flat"}),
    "predict": ("top", {"device": "cpu"}),
    "plan-ego4d": ("views", {"fps": 5.0}),
}


@pytest.mark.parametrize("command", WITH_FILES)
def test_a_configuration_file_gives_the_defaults(settings_of, tmp_path, command):
    base = CALLED[command][2]
    number, other = IN_FILES.get(command, ("seed", {"device": "cpu"}))
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({number: 11, **other}))
    usual = settings_of(command, base)
    found = settings_of(command, f"{base} --config {tmp_path / 'c.yaml'} --{number} 12")
    assert {field for field in usual if usual[field] != found[field]} == {number, *other}
    assert found[number] == 12 and found.items() >= other.items()  # the command line wins


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return make_tiny_cache(tmp_path_factory.mktemp("tiny") / "cache", 6)


@pytest.fixture
def without(monkeypatch) -> str:
    """The name of a device that is not available."""
    from embedonce.models import device

    monkeypatch.setitem(device._DEVICES, "mps", lambda: False)
    return "mps"


def test_an_unavailable_device_is_refused(tiny, tmp_path, monkeypatch, without):
    message = "--device mps is not available on this machine"
    output = error_of("train-student", "--cache-dir", tiny, "--output-dir", tmp_path / "o", "--device", without, code=2)
    assert message in output
    with pytest.raises(ModelOptionError, match=message):
        teacher_loading.load_teacher(ExtractConfig(None, False, tiny, device=without))
    monkeypatch.setattr(evaluating.checkpoint, "load_student", lambda path: (None, {"label_set": "tiny"}))
    monkeypatch.setattr(evaluating, "check_fit", lambda *arguments, **more: None)
    monkeypatch.setattr(evaluating, "main_teacher", lambda meta, reader: ("first", reader.identity.teacher))
    with pytest.raises(ModelOptionError, match=message):
        evaluating.evaluate(EvaluateConfig(tiny, tmp_path / "x.pt", tmp_path / "e", device=without))
    with pytest.raises(ModelOptionError, match=message):
        training.train(TrainConfig(tiny, tmp_path / "o", device=without))


def test_image_encoders_are_measured_with_teacher_latency(monkeypatch, tiny):
    calls, found = [], object()
    monkeypatch.setattr(teacher_latency, "image_encoders", lambda *arguments: calls.append(arguments) or found)

    def evaluated(config, towers, student_size):
        raise GotError(towers, student_size)

    monkeypatch.setattr(evaluating, "evaluate", evaluated)
    command = ["evaluate", "--cache-dir", tiny, "--device", "cpu"]
    for more, output, given in (
        ([], (None, None), []),
        (["--student-size", "xs"], (None, "xs"), []),
        (["--teacher-latency", "--teacher-model", "m"], (found, None), [(tiny, "cpu", "m")]),
    ):
        calls.clear()
        with pytest.raises(GotError) as got:
            call(*command, *more)
        assert got.value.args == output and calls == given


def test_assertions_about_a_cache_are_checked(tiny):
    for command in ("train-student", "evaluate"):
        output = error_of(command, "--cache-dir", tiny, "--num-actions", 5, code=4)
        assert "the label set has 3 classes" in output
        assert "was made by fake" in error_of(command, "--cache-dir", tiny, "--teacher-size", "base", code=4)


@pytest.mark.parametrize("kind", [ExtractConfig, RelabelConfig])
def test_annotation_options_reach_the_source(kind, tmp_path):
    usual = {"data_dir": tmp_path, "cache_dir": tmp_path, "annotations": "moments"}
    usual |= {"use_synthetic": False} if kind is ExtractConfig else {}

    def options(**changes) -> Ego4dOptions:
        return options_of(Ego4dSource(), kind(**usual | changes))

    assert options() == Ego4dOptions(annotations="moments")
    assert options(annotations="moments,narrations").annotation_kinds == ("moments", "narrations")
    changes = [{"fho_window": "critical"}, *({field: True} for field in ("skip_invalid", "strict", "clip_splits"))]
    for change in changes:
        assert options(**change) == Ego4dOptions(annotations="moments", **change)


def test_relabel_loads_the_teacher_with_the_given_options(tiny, tmp_path, monkeypatch):
    calls, seeds, real = [], [], extract_teacher.relabeling.write_labels

    def loaded(config, cached=None):
        calls.append(config)
        return FakeTeacher()

    def written(writer, labeling, seed):
        seeds.append(seed)
        return real(writer, labeling, seed)

    monkeypatch.setattr(teacher_loading, "load_teacher", loaded)
    monkeypatch.setattr(extract_teacher.relabeling, "write_labels", written)
    (tmp_path / "names.txt").write_text("one\ntwo\n")
    teacher = ["--teacher-weights", "w", "--teacher-model", "m", "--teacher-activation", "gelu"]
    teacher += ["--teacher-preprocess", "a-tag"]
    command = ["relabel", "--cache-dir", tiny, "--classes", tmp_path / "names.txt"]
    call(*command, "--label-set", "mine", "--clips-from", "tiny", *teacher, "--device", "cpu", "--seed", 6)
    (config,) = calls
    assert (config.teacher_weights, config.teacher_model, config.teacher_activation) == ("w", "m", "gelu")
    assert config.teacher_preprocess == "a-tag"
    assert (config.device, config.seed, seeds) == ("cpu", 6, [6])
    labels = open_reader(tiny).label_set("mine")
    assert labels.classes == ("one", "two") and labels.kind == "zero-shot"
    call(*command, "--label-set", "bare", "--clips-from", "tiny", "--teacher-head", "none")
    assert open_reader(tiny).label_set("bare").kind == "none" and len(calls) == 1


def test_a_plan_follows_its_options(tmp_path):
    torn = [
        *fho_video(U2, action(1, 5, "put"), action(5, 8, "take"), clip_uid=C2)["annotated_intervals"],
        *fho_video(U2, action(20, 28), clip_uid=C3)["annotated_intervals"],
    ]
    documents = {
        "moments_train.json": {"videos": [moments_video(U1, "train", [label(), label("cook", 4, 8)])]},
        "narration.json": {U2: narrated(narration(1.0), narration(30.0))},
        "fho_main.json": {
            "videos": [fho_video(U1, action(), clip_uid=C1), {"video_uid": U2, "annotated_intervals": torn}]
        },
        "fho_oscc-pnr_train.json": {"clips": [{"clip_uid": C1}, {"clip_uid": C2}]},
        "fho_lta_val.json": {"clips": [{"clip_uid": C3}]},
    }
    root = write(tmp_path / "data", documents, videos=[listed(U1), listed(U2)], on_disk=())

    def planned(**changes) -> dict:
        usual = {"assume_downloaded": True, "annotations": "moments,fho-verbs"}
        return plan(PlanConfig(root, **(usual | changes))).document

    usual = planned()
    assert planned(fps=4.0)["frames"] == pytest.approx(2 * usual["frames"], abs=4)
    assert planned(views=9)["frames"] == usual["frames"] and planned(views=9) != usual
    assert planned(annotations="moments") != usual != planned(annotations="moments,narrations")
    assert planned(num_actions=1) != usual and planned(num_videos=1) != usual
    assert planned(clip_splits=True) != usual and planned(fho_window="critical") != usual
    assert planned(skip_invalid=True) == usual == planned(strict=True)  # no annotation is invalid
    narrations = {"annotations": "narrations", "max_narration_window": 1.0}
    assert planned(**narrations) != planned(annotations="narrations")
