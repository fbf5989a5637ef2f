"""Writes a miniature Ego4D, as the official client would leave it on disk, with every special case of the schema.

python -m embedonce.pipeline.sources.ego4d_miniature.make FOLDER [--layout full_scale|video_540ss|clips] [--seed N]
"""

import argparse
import json
from pathlib import Path

from embedonce.pipeline.errors import InputError, PipelineError
from embedonce.pipeline.files.partial_files import check_documents, partial_path, write_json
from embedonce.pipeline.sources.ego4d_miniature.actions import fho_windows
from embedonce.pipeline.sources.ego4d_miniature.fho_main import main_document
from embedonce.pipeline.sources.ego4d_miniature.fho_tasks import oscc_windows, task_documents
from embedonce.pipeline.sources.ego4d_miniature.files import files_of, write_file
from embedonce.pipeline.sources.ego4d_miniature.goalstep import goalstep_documents, goalstep_windows
from embedonce.pipeline.sources.ego4d_miniature.invalid_entries import add_invalid_entries, extra_windows
from embedonce.pipeline.sources.ego4d_miniature.metadata import MARK, metadata_document
from embedonce.pipeline.sources.ego4d_miniature.moments import moments_documents, moments_windows
from embedonce.pipeline.sources.ego4d_miniature.narrations import narration_documents, narration_windows
from embedonce.pipeline.sources.ego4d_miniature.plan import SIZES, Miniature, Plan, Window, make_plan

LAYOUTS = tuple(SIZES)


def make_miniature(root: Path, layout: str = "full_scale", seed: int = 0) -> Miniature:
    """Write the miniature to root, or the part of it that is missing. ego4d.json is written last and completes it.

    Raises InputError for an unknown layout or a folder with other files, PipelineError if it cannot be written.
    """
    if layout not in LAYOUTS:
        raise InputError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    plan = make_plan(seed)
    contents = {root / "v2" / layout / name: content for name, content in files_of(plan, layout).items()}
    documents = documents_of(plan, layout)
    ours = {root / name for name in documents} | set(contents)
    if not _is_complete(root, documents["ego4d.json"][MARK]):
        _check_nothing_else(root, ours)
        check_documents({root / name: document for name, document in documents.items()})
        try:
            (root / "v2" / layout).mkdir(parents=True, exist_ok=True)
            for path, content in contents.items():
                if not path.is_file():
                    write_file(path, content, layout)
            for name, document in documents.items():
                write_json(root / name, document)
        except OSError as error:
            raise PipelineError(f"cannot write a miniature to {root}: {error.strerror or error}") from error
    return Miniature(root, layout, seed, plan.videos, plan.clips, windows_of(plan))


def documents_of(plan: Plan, layout: str) -> dict[str, dict]:
    """The content of each JSON file by its path below the root, ego4d.json last, with the invalid entries."""
    documents = plain_documents(plan, layout)
    add_invalid_entries(plan, documents)
    return {name if name == "ego4d.json" else f"v2/annotations/{name}": one for name, one in documents.items()}


def plain_documents(plan: Plan, layout: str) -> dict[str, dict]:
    """The content of each JSON file by its name, without the invalid entries."""
    return {
        **moments_documents(plan),
        "fho_main.json": main_document(plan),
        **task_documents(plan),
        **goalstep_documents(plan),
        **narration_documents(plan),
        "ego4d.json": metadata_document(plan, layout),
    }


def windows_of(plan: Plan) -> dict[str, tuple[Window, ...]]:
    """The windows that readers should get, by kind."""
    extra = extra_windows(plan)
    return {kind: windows + extra.get(kind, ()) for kind, windows in plain_windows(plan).items()}


def plain_windows(plan: Plan) -> dict[str, tuple[Window, ...]]:
    """The windows that readers should get without the invalid entries, by kind."""
    of_fho = {**fho_windows(plan), "oscc": oscc_windows(plan), "goalstep": goalstep_windows(plan)}
    return {"moments": moments_windows(plan), **of_fho, **narration_windows(plan)}


def _is_complete(root: Path, mark: dict) -> bool:
    """Whether root already has this miniature. Raises InputError if it has something else."""
    path = root / "ego4d.json"
    if root.is_file():
        raise InputError(f"{root} is a file; pass a folder for the miniature")
    if not path.exists():
        return False
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); pass another folder for the miniature") from error
    existing = document.get(MARK) if isinstance(document, dict) else None
    if existing != mark:
        content = f"a miniature with {existing}" if existing else "files that are not a miniature"
        raise InputError(f"{root} has {content}, not one with {mark}; pass another folder")
    return True


def _check_nothing_else(root: Path, ours: set[Path]) -> None:
    """Raise InputError if the folder has files that do not belong to this miniature."""
    allowed = ours | {partial_path(path) for path in ours}
    others = sorted(path for path in root.rglob("*") if not path.is_dir() and path not in allowed)
    if others:
        raise InputError(
            f"{root} has files that do not belong to this miniature, such as {others[0].relative_to(root)}; "
            "pass another folder"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a miniature Ego4D for tests and demos.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--layout", choices=LAYOUTS, default=LAYOUTS[0])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    try:
        make_miniature(arguments.folder, arguments.layout, arguments.seed)
    except PipelineError as error:
        parser.exit(error.exit_code, f"Error: {error}\n")


if __name__ == "__main__":
    main()
