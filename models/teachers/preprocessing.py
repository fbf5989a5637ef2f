"""The image preprocessing of open_clip weights: of published tags, local files and random weights.

The open_clip module is passed as an argument: only models.teachers.weights imports it.
"""

from embedonce.models.errors import ModelOptionError
from embedonce.models.preprocessing import OPTION, Preprocessing, choose, from_config, parse


def default_preprocessing(open_clip) -> Preprocessing:
    """open_clip's default: that of OpenAI's models."""
    cfg = open_clip.transform.PreprocessCfg()
    return Preprocessing(tuple(cfg.mean), tuple(cfg.std), cfg.interpolation, cfg.resize_mode)


def tags_of(open_clip, name: str) -> list[str]:
    """Tags of the model's published weights."""
    return open_clip.list_pretrained_tags_by_model(name)


def of_tag(open_clip, name: str, tag: str) -> Preprocessing:
    """The preprocessing that the weights of a tag were trained with."""
    config = open_clip.get_pretrained_cfg(name, tag)
    fields = {key: config.get(key) for key in ("mean", "std", "interpolation", "resize_mode")}
    return from_config(fields, f"the tag {tag!r} of {name}", default_preprocessing(open_clip))


def from_option(open_clip, name: str, text: str | None) -> Preprocessing | None:
    """The value of --teacher-preprocess: spelled out, TAG of this model, or MODEL:TAG of another."""
    parsed = None if text is None else parse(text)
    if not isinstance(parsed, str):
        return parsed
    model, _, tag = parsed.rpartition(":")
    tags = tags_of(open_clip, model or name)
    if tag not in tags:
        available = ", ".join(tags) or "none"
        raise ModelOptionError(f"{OPTION} {text!r} is not a weights tag of {model or name} (available: {available})")
    return of_tag(open_clip, model or name, tag)


def preprocessing_of(
    open_clip,
    described: tuple[str, bool],
    kind: str,
    configured: Preprocessing | None,
    option: Preprocessing | None,
    known: Preprocessing | None,
) -> Preprocessing:
    """The preprocessing of a model's weights. Raises ModelOptionError if it is ambiguous or contradictory.

    Args:
        open_clip: the module.
        described: the name of the model, and whether its configuration is from a file.
        kind: "file", "random", or a tag.
        configured: of the configuration file.
        option: of --teacher-preprocess.
        known: of a cache of this teacher.
    """
    name, from_file = described
    tags = tags_of(open_clip, name)
    if kind not in ("file", "random"):
        of_weights = of_tag(open_clip, name, kind) if kind in tags else configured or default_preprocessing(open_clip)
        for given, where in ((option, f"{OPTION} is"), (configured, f"the configuration of {name} has")):
            if given not in (None, of_weights):
                raise ModelOptionError(
                    f"the weights {kind!r} were trained with {of_weights}, and {where} {given}: leave it out"
                )
        return of_weights
    by_tag = {tag: of_tag(open_clip, name, tag) for tag in tags} if known is None and not from_file else {}
    default = known or (default_preprocessing(open_clip) if kind == "random" else None)
    return choose(name, kind, by_tag, configured, option, default)
