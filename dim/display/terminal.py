"""What is drawn on a terminal: behind this console no text is markup, and none steers the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import rich.console
import rich.progress
import rich.text
from rich.segment import Segment

from dim.display.visible import visible


class Text(rich.text.Text):
    """Styled text of rich whose words are shown as they are."""

    def __init__(self, text: str = "", style: Any = "", **options: Any) -> None:
        super().__init__(visible(text), style, **options)

    def append(self, text: rich.text.Text | str, style: Any = None) -> Text:
        """Adds text, with a style where it is no `Text`."""
        super().append(visible(text) if isinstance(text, str) else text, style)
        return self


class TextColumn(rich.progress.TextColumn):
    """A column of a progress bar without markup."""

    def render(self, task: rich.progress.Task) -> Text:
        """What it says of a task."""
        return Text(self.text_format.format(task=task))


class Console(rich.console.Console):
    """A console of rich that shows every text as it is: without markup, and with control characters written out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def say(self, text: str | rich.text.Text, highlight: bool | None = None) -> None:
        """Prints a text in one line, however long it is: what is piped or copied is not broken.

        Args:
            text: It.
            highlight: Whether numbers and paths are coloured; None: as of the console, which colours those of a `str`.
        """
        self.print(text, soft_wrap=True, highlight=highlight)

    def render_str(self, text: str, **options: Any) -> rich.text.Text:
        """The words of a string, as text."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: Any, options: rich.console.ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is drawn; the texts of rich's own columns and bars come by here."""
        return super().render(_shown(renderable), options)


def _shown(renderable: Any) -> Any:
    if not isinstance(renderable, rich.text.Text) or visible(renderable.plain) == renderable.plain:
        return renderable
    shown = renderable.blank_copy()
    for part in renderable.divide(range(1, len(renderable))):
        shown.append_text(Text(part.plain, part.spans[0].style if part.spans else part.style))
    return shown
