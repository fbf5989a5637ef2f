"""Printing: everything that commands write to standard output goes through here, and notes about the run."""

import click

from embedonce.pipeline.console.printable import one_line


def echo(line: object = "") -> None:
    """Print one line of results; line breaks and control characters in it are escaped."""
    click.echo(one_line(line))


def show(text: str) -> None:
    """Print results of several lines that printable.block() has made."""
    click.echo(text)


def tell(line: object) -> None:
    """Print one line about the run itself to standard error."""
    click.echo(one_line(line), err=True)
