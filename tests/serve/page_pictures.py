"""Pictures of both pages: PYTHONPATH=.:tests:tests/serve python tests/serve/page_pictures.py RUN docs/images.

RUN is of a demo world (`make demo`), with the ranker of `dim rank --nil_precision 0.8`. The text is made of contexts of
its dev mentions, with whole names in the place of mentions, which a dictionary finds; the image is that of the first.
The sentence is the first of them; that of somebody who is not in the KB is the first that the linker calls so.
"""

import sys
from pathlib import Path
from typing import Any

from page_browser import Watched, launched
from playwright.sync_api import Page, expect, sync_playwright
from serving import running

from dim.data.dataset import NIL, Dataset
from dim.inference.places import read_config
from dim.linker import Linker

WIDE, PHONE = {"width": 1240, "height": 1000}, {"width": 360, "height": 1100}
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light"},
}
NUM_CONTEXTS = 4


def pictures(run: Path, folder: Path) -> None:
    """Writes a picture of each page in each of `LOOKS` into a folder, and one of a mention that the KB lacks."""
    linker = Linker.from_checkpoint(run, device="cpu")
    world = Dataset(Path(str(read_config(run)["data"]["root"])))
    dev = world.split("dev")
    named = [row for row in dev.itertuples() if row.context and row.mention in row.context]
    told = [row for row in named if len(row.images) and row.entity_id in linker]
    rows, photo = told[:NUM_CONTEXTS], str(world.image_root / told[0].images[0])
    text = "\n\n".join(row.context.replace(row.mention, linker[row.entity_id].name, 1) for row in rows)
    absent = next(row for row in named if row.entity_id not in linker and says_nil(linker, row))

    def show_text(page: Page) -> None:
        page.get_by_label("Text", exact=True).fill(text)
        page.get_by_label("Choose an image").set_input_files(photo)
        page.get_by_role("button", name="Find mentions").click()
        expect(page.locator(".mention").first).to_be_visible()

    def show_mention(page: Page) -> None:
        ask(page, rows[0])
        page.get_by_label("Choose an image").set_input_files(photo)
        page.get_by_role("button", name="Link", exact=True).click()

    def show_absent(page: Page) -> None:
        ask(page, absent)
        page.get_by_role("button", name="Link", exact=True).click()

    wanted = [(f"text_{name}", "/text", look, show_text) for name, look in LOOKS.items()]
    wanted += [(f"serve_{name}", "/", look, show_mention) for name, look in LOOKS.items()]
    wanted += [("serve_nil", "/", LOOKS["light"], show_absent)]
    with running(linker) as server, sync_playwright() as playwright:
        watched = Watched(launched(playwright))
        for name, path, look, show in wanted:
            page = watched.open(f"http://127.0.0.1:{server.port}{path}", reduced_motion="reduce", **look)
            show(page)
            expect(page.locator(".picture img").first).to_be_visible()
            for picture in page.locator(".picture img").all()[:3]:  # those further down load when they come into sight
                picture.evaluate("e => e.decode()")
            page.screenshot(path=folder / f"{name}.png")
        watched.close()
        watched.browser.close()


def ask(page: Page, row: Any) -> None:
    """Fills in a mention and its sentence."""
    page.get_by_label("Mention").fill(row.mention)
    page.get_by_label("Sentence").fill(row.context)


def says_nil(linker: Linker, row: Any) -> bool:
    """Whether the linker says that the KB lacks it."""
    return linker.link(row.mention, row.context, top_k=1)[0].id == NIL


if __name__ == "__main__":
    pictures(Path(sys.argv[1]), Path(sys.argv[2]))
