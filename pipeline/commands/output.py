"""Printing results: everything that commands write to standard output goes through here."""

import click

from embedonce.pipeline.console.printable import one_line


def echo(line: object = "") -> None:
    """Print one line of results; line breaks and control characters in it are escaped."""
    click.echo(one_line(line))


def show(text: str) -> None:
    """Print results of several lines that printable.block() has made."""
    click.echo(text)
