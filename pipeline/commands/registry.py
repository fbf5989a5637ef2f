"""The list of all commands."""

from embedonce.pipeline.commands.add_teacher import add_teacher
from embedonce.pipeline.commands.compare import compare
from embedonce.pipeline.commands.completion import completion
from embedonce.pipeline.commands.convert_cache import convert_cache
from embedonce.pipeline.commands.distill import distill
from embedonce.pipeline.commands.download_ego4d import download_ego4d
from embedonce.pipeline.commands.evaluate import evaluate
from embedonce.pipeline.commands.export_embeddings import export_embeddings
from embedonce.pipeline.commands.export_student import export_student
from embedonce.pipeline.commands.extract_teacher import extract_teacher
from embedonce.pipeline.commands.info import info
from embedonce.pipeline.commands.inspect_cache import inspect_cache
from embedonce.pipeline.commands.merge import merge
from embedonce.pipeline.commands.plan import plan
from embedonce.pipeline.commands.plan_ego4d import plan_ego4d
from embedonce.pipeline.commands.predict import predict
from embedonce.pipeline.commands.prepare_energon import prepare_energon
from embedonce.pipeline.commands.pull_cache import pull_cache
from embedonce.pipeline.commands.push_cache import push_cache
from embedonce.pipeline.commands.push_student import push_student
from embedonce.pipeline.commands.refresh import refresh
from embedonce.pipeline.commands.relabel import relabel
from embedonce.pipeline.commands.remove import remove
from embedonce.pipeline.commands.repair_cache import repair_cache
from embedonce.pipeline.commands.search_cache import search_cache
from embedonce.pipeline.commands.train_student import train_student
from embedonce.pipeline.commands.verify_cache import verify_cache

COMMANDS = (
    extract_teacher,
    train_student,
    evaluate,
    compare,
    export_student,
    predict,
    distill,
    relabel,
    add_teacher,
    verify_cache,
    repair_cache,
    remove,
    refresh,
    merge,
    inspect_cache,
    search_cache,
    convert_cache,
    prepare_energon,
    export_embeddings,
    push_cache,
    pull_cache,
    push_student,
    plan,
    download_ego4d,
    plan_ego4d,
    info,
    completion,
)
