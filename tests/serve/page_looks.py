"""What can be measured of a page's looks."""

import re
from collections.abc import Sequence

from playwright.sync_api import Page

#: The colour of an element's text, and the grounds under it from its own down to the page's.
COLOURS = """element => {
    const grounds = [];
    for (let each = element; each; each = each.parentElement) grounds.push(getComputedStyle(each).backgroundColor);
    return [getComputedStyle(element).color, ...grounds];
}"""


def has_no_overflow(page: Page) -> bool:
    """Whether nothing is wider than the window."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def contrasts(page: Page, selectors: Sequence[str]) -> dict[str, float]:
    """Selector → the contrast ratio (WCAG 2.2) of the text of its first element."""
    found = {}
    for selector in selectors:
        text, *grounds = page.locator(selector).first.evaluate(COLOURS)
        ground = next(colour for colour in grounds if alpha(colour))
        assert alpha(text) == alpha(ground) == 1
        lighter, darker = sorted((luminance(text), luminance(ground)), reverse=True)
        found[selector] = (lighter + 0.05) / (darker + 0.05)
    return found


def alpha(colour: str) -> float:
    """The opacity of a colour as browsers write it."""
    parts = re.findall(r"[\d.]+", colour)
    return float(parts[3]) if len(parts) == 4 else 1.0


def luminance(colour: str) -> float:
    """The relative luminance of `rgb(r, g, b)`, 0 to 1 (WCAG 2.2).

    Example:
        >>> round(luminance("rgb(255, 255, 255)"), 3), luminance("rgb(0, 0, 0)")
        (1.0, 0.0)
    """
    parts = [int(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
