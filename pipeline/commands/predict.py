"""The command predict: classes of the windows of videos, streams and cameras."""

from typing import Any

import click

from embedonce.pipeline.commands.click_options import build_config, command
from embedonce.pipeline.commands.output import echo
from embedonce.pipeline.predict.settings import PredictConfig


@command("predict", settings=PredictConfig)
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.pass_context
def predict(context: click.Context, **options: Any) -> None:
    """Predict the classes of videos, window by window, with a trained student.

    Each SOURCE is a video file, a folder of videos, an http://, https:// or rtsp:// URL, or a camera such as camera:0.
    Every window is a JSON line with its times and most probable classes, printed as soon as it is complete.
    """
    config = build_config(PredictConfig, options)
    from embedonce.pipeline.predict import predict as predicting

    context.exit(predicting.predict(config, echo))
