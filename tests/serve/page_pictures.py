"""Pictures of the page of a text: PYTHONPATH=.:tests python tests/serve/page_pictures.py runs/demo_plus docs/images.

The text is made of contexts of the run's dev mentions, with whole names in the place of mentions, which a dictionary
finds; the image is that of the first.
"""

import sys
from pathlib import Path

from page_browser import Watched, launched
from playwright.sync_api import expect, sync_playwright
from serving import running

from dim.data.dataset import Dataset
from dim.inference.places import read_config
from dim.linker import Linker

LOOKS = {
    "text_light": {"viewport": {"width": 1240, "height": 1000}, "color_scheme": "light"},
    "text_dark": {"viewport": {"width": 1240, "height": 1000}, "color_scheme": "dark"},
    "text_phone": {"viewport": {"width": 360, "height": 1100}, "color_scheme": "light"},
}
NUM_CONTEXTS = 4


def pictures(run: Path, folder: Path) -> None:
    """Writes a picture of each of `LOOKS` into a folder."""
    linker = Linker.from_checkpoint(run, device="cpu")
    world = Dataset(Path(str(read_config(run)["data"]["root"])))
    dev = world.mentions[(world.mentions["split"] == "dev") & (world.mentions["images"].map(len) > 0)]
    told = [row for row in dev.itertuples() if row.context and row.mention in row.context and row.entity_id in linker]
    rows = told[:NUM_CONTEXTS]
    text = "\n\n".join(row.context.replace(row.mention, linker[row.entity_id].name, 1) for row in rows)
    with running(linker) as server, sync_playwright() as playwright:
        watched = Watched(launched(playwright))
        for name, look in LOOKS.items():
            page = watched.open(f"http://127.0.0.1:{server.port}/text", reduced_motion="reduce", **look)
            page.get_by_label("Text", exact=True).fill(text)
            page.get_by_label("Choose an image").set_input_files(str(world.image_root / rows[0].images[0]))
            page.get_by_role("button", name="Find mentions").click()
            expect(page.locator(".mention").first).to_be_visible()
            page.locator(".picture img").first.evaluate("e => e.decode()")
            page.screenshot(path=folder / f"{name}.png")
        watched.close()
        watched.browser.close()


if __name__ == "__main__":
    pictures(Path(sys.argv[1]), Path(sys.argv[2]))
