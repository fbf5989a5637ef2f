"""What open_clip knows of how images are prepared for a model's weights, and what follows for weights of any kind.

open_clip comes as an argument: models.teacher_weights is its only importer.
"""

from embedonce.models.errors import ModelOptionError
from embedonce.models.preprocessing import OPTION, Preprocessing, choose, from_config, parse


def usual(open_clip) -> Preprocessing:
    """What open_clip uses where nothing else is said: OpenAI's."""
    cfg = open_clip.transform.PreprocessCfg()
    return Preprocessing(tuple(cfg.mean), tuple(cfg.std), cfg.interpolation, cfg.resize_mode)


def tags_of(open_clip, name: str) -> list[str]:
    """The tags of a model's published weights."""
    return open_clip.list_pretrained_tags_by_model(name)


def of_tag(open_clip, name: str, tag: str) -> Preprocessing:
    """What the weights behind a tag were trained with."""
    found = open_clip.get_pretrained_cfg(name, tag)
    keys = ("mean", "std", "interpolation", "resize_mode")
    return from_config({key: found.get(key) for key in keys}, f"the tag {tag!r} of {name}", usual(open_clip))


def asked_for(open_clip, name: str, text: str | None) -> Preprocessing | None:
    """What the user says: spelled out, or as TAG of this model or MODEL:TAG of any."""
    found = None if text is None else parse(text)
    if not isinstance(found, str):
        return found
    model, _, tag = found.rpartition(":")
    tags = tags_of(open_clip, model or name)
    if tag not in tags:
        offered = ", ".join(tags) or "none"
        raise ModelOptionError(f"{OPTION} {text!r} is no weights tag of {model or name} (it has: {offered})")
    return of_tag(open_clip, model or name, tag)


def preprocessing_of(
    open_clip,
    model: str,
    name: str,
    kind: str,
    stated: Preprocessing | None,
    asked: Preprocessing | None,
    known: Preprocessing | None,
) -> Preprocessing:
    """The preprocessing of weights. ModelOptionError where it must be said, or what is said contradicts.

    model: as the user names it, a configuration file with .json. kind: "file", "random", or a tag. stated: what the
    configuration file says; asked: the user; known: a cache of this teacher.
    """
    if kind not in ("file", "random"):
        trained_with = of_tag(open_clip, name, kind) if kind in tags_of(open_clip, name) else stated or usual(open_clip)
        for said, where in ((asked, f"{OPTION} is"), (stated, f"{model} says")):
            if said not in (None, trained_with):
                raise ModelOptionError(
                    f"the weights {kind!r} were trained with {trained_with}, and {where} {said}: leave it out"
                )
        return trained_with
    is_named = known is None and not model.endswith(".json")
    tags = {tag: of_tag(open_clip, name, tag) for tag in tags_of(open_clip, name)} if is_named else {}
    default = known or (usual(open_clip) if kind == "random" else None)
    return choose(name, kind, tags, stated, asked, default)
