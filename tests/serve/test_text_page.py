"""The page at /text in a real browser: a text's mentions are marked, shown, corrected, added and removed."""

from collections.abc import Iterator

import pytest
from demo_run import demo_run, linker_of, questions_of
from page_browser import Watched, launched
from page_looks import contrasts, has_no_overflow
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from proxies import proxied
from serving import Running, running

from dim.linker import Entity, Linker, Question

MINE = [
    Entity("ada", "Ada Lovelace", text="wrote the first program"),
    Entity("countess", "Lovelace Institute", text="a house of learning"),
    Entity("painter", "齐白石", text="painted shrimps"),
    Entity("turned", "Zumbra \u202egnp", text="turns its name"),
]
TEXT = "🙂 Old Ada Lovelace Institute.\n\nShe saw 齐白石, and\nZumbra \u202egnp, and Nobody Known."
READ = ["h1", "label", ".hint", "#link", "#status", ".mention", ".mention[aria-pressed=true]", "#marked > span", "h2"]
READ += [".tools", ".tools button", "#unmark", ".text", ".measure", "nav a"]
PHONE = {"viewport": {"width": 360, "height": 740}}


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    linker = linker_of(demo_run(tmp_path_factory))
    linker.add_entities(MINE)
    return linker


@pytest.fixture(scope="module")
def server(linker: Linker) -> Iterator[Running]:
    with running(linker) as server:
        yield server


@pytest.fixture(scope="module")
def address(server: Running) -> str:
    return f"http://127.0.0.1:{server.port}/text"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    watched = Watched(browser)
    yield watched
    watched.close()


def find(page: Page, text: str = TEXT) -> None:
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Find mentions").click()
    settled(page)


def settled(page: Page) -> None:
    page.locator("#answers[aria-busy=false]").wait_for()
    expect(page.locator("#link")).to_have_text("Find mentions")


def marks(page: Page) -> Locator:
    return page.locator("#marked .mention")


def chosen(page: Page) -> Locator:
    return page.locator("#marked .mention[aria-pressed=true]")


def select(page: Page, words: str) -> None:
    """Selects words of the marked text, as a mouse does."""
    page.evaluate(
        """words => {
            const host = document.getElementById("marked");
            const at = place => {
                for (const part of host.childNodes) {
                    const length = part.textContent.length;
                    if (place <= length) return [part.firstChild, place];
                    place -= length;
                }
            };
            const start = host.textContent.indexOf(words);
            getSelection().setBaseAndExtent(...at(start), ...at(start + words.length));
        }""",
        words,
    )


def test_a_text_has_its_mentions_marked_and_each_shows_its_entities(
    watched: Watched, address: str, linker: Linker
) -> None:
    page = watched.open(address)
    find(page)
    expect(marks(page)).to_have_text(["Ada Lovelace", "齐白石", r"Zumbra \u202egnp"])
    expect(page.locator("#status")).to_contain_text("3 mentions · ")
    assert (page.locator("#marked").text_content() or "").replace(r"\u202e", "\u202e") == TEXT
    expected = linker.annotate(TEXT)
    for place, annotation in enumerate(expected):
        marks(page).nth(place).click()
        expect(chosen(page)).to_have_count(1)
        expect(page.locator("#chosen-name")).to_have_text(annotation.mention.replace("\u202e", r"\u202e"))
        expect(page.locator(".answer code.soft")).to_have_text([answer.id for answer in annotation.answers])
    assert page.evaluate("window.hacked") is None


def test_the_image_counts_for_every_mention(
    watched: Watched, address: str, linker: Linker, tmp_path_factory: pytest.TempPathFactory
) -> None:
    question: Question = next(each for each in questions_of(demo_run(tmp_path_factory)) if each.image)
    text = "齐白石 was here.\n\nAnd\nAda Lovelace."  # in a form each end of a line would be two characters
    page = watched.open(address)
    page.get_by_label("Choose an image").set_input_files(str(question.image))
    find(page, text)
    expect(marks(page)).to_have_text(["齐白石", "Ada Lovelace"])
    for place, annotation in enumerate(linker.annotate(text, image=question.image)):
        marks(page).nth(place).click()
        expect(page.locator(".answer code.soft")).to_have_text([answer.id for answer in annotation.answers])


def test_a_span_is_corrected_by_selecting_the_right_words(watched: Watched, address: str, linker: Linker) -> None:
    page = watched.open(address)
    find(page)
    select(page, "Lovelace Institute")
    page.get_by_role("button", name="Mark “Lovelace Institute”").click()
    settled(page)
    expect(marks(page)).to_have_text(["Lovelace Institute", "齐白石", r"Zumbra \u202egnp"])
    expect(chosen(page)).to_have_text("Lovelace Institute")
    start = TEXT.index("Lovelace Institute")
    (expected,) = linker.annotate(TEXT, [(start, start + len("Lovelace Institute"))])
    expect(page.locator(".answer code.soft")).to_have_text([answer.id for answer in expected.answers])
    expect(page.locator("#add")).to_be_hidden()
    select(page, "gnp, and Nobody")
    page.get_by_role("button", name="Mark “gnp, and Nobody”").click()
    expect(marks(page)).to_have_text(["Lovelace Institute", "齐白石", "gnp, and Nobody"])


def test_marks_are_corrected_added_and_removed_by_keyboard_alone(watched: Watched, address: str) -> None:
    page = watched.open(address)
    press = page.keyboard.press
    field = page.get_by_label("Text", exact=True)
    field.focus()
    page.keyboard.insert_text(TEXT)
    press("Control+Enter")
    expect(marks(page)).to_have_count(3)
    marks(page).nth(1).focus()
    press("Enter")
    expect(chosen(page)).to_have_text("齐白石")
    expect(chosen(page)).to_be_focused()
    marks(page).nth(0).focus()
    press(" ")
    expect(chosen(page)).to_have_text("Ada Lovelace")
    for name, text in (
        ("End a word later", "Ada Lovelace Institute"),
        ("Start a word later", "Lovelace Institute"),
        ("Start a word earlier", "Ada Lovelace Institute"),
        ("End a word earlier", "Ada Lovelace"),
        ("End a word earlier", "Ada"),
        ("End a word earlier", "Ada"),  # nothing would be left
    ):
        page.get_by_role("button", name=name).focus()
        press("Enter")
        expect(chosen(page)).to_have_text(text)
        settled(page)
        expect(page.get_by_role("button", name=name)).to_be_focused()
    field.focus()
    press("Control+End")
    for _ in range(len("Known.")):
        press("Shift+ArrowLeft")
    page.get_by_role("button", name="Mark “Known.”").focus()
    press("Enter")
    expect(chosen(page)).to_have_text("Known.")
    page.get_by_role("button", name="Remove the mark").focus()
    press("Enter")
    expect(marks(page)).to_have_text(["Ada", "齐白石", r"Zumbra \u202egnp"])
    expect(page.locator("#status")).to_have_text("3 mentions")


def test_everything_that_acts_is_reached_by_tab_and_seen(watched: Watched, address: str) -> None:
    page = watched.open(address)
    find(page)
    page.locator("nav a").first.focus()
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        if not focused.count():
            break
        seen = page.locator(":focus, .drop:has(:focus)").first
        assert seen.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
        reached.append(focused.evaluate("e => e.dataset.move || e.id || e.className || e.tagName"))
        if reached[-1] == "unmark":
            break
    assert {"text", "image", "link", "mention", "start -1", "end 1", "unmark"} <= set(reached)


def test_a_text_without_names_says_so_and_can_be_marked(watched: Watched, address: str) -> None:
    page = watched.open(address)
    find(page, "Here walks nobody.")
    expect(page.locator("#status")).to_contain_text("No mention was found.")
    expect(page.locator("#chosen")).to_be_hidden()
    select(page, "nobody")
    page.get_by_role("button", name="Mark “nobody”").click()
    expect(chosen(page)).to_have_text("nobody")
    expect(page.locator(".answer")).to_have_count(5)


def test_what_cannot_be_asked_is_said(watched: Watched, address: str) -> None:
    page = watched.open(address)
    page.get_by_role("button", name="Find mentions").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no text yet.")
    expect(page.get_by_label("Text", exact=True)).to_be_focused()
    find(page, "x" * 200_001)
    expect(page.get_by_role("alert")).to_contain_text("a text of at most 200,000 characters")
    find(page)
    expect(page.get_by_role("alert")).to_be_empty()
    expect(marks(page)).to_have_count(3)
    page.context.set_offline(True)
    find(page, "Ada Lovelace")
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(marks(page)).to_have_text(["Ada Lovelace"])


def test_markup_in_a_text_stays_text(watched: Watched, address: str) -> None:
    page = watched.open(address)
    find(page, 'Ada Lovelace <img src=x onerror="window.hacked=1"> <b>')
    expect(page.locator("#marked")).to_contain_text("<img src=x")
    assert page.locator("#marked img").count() == 0
    assert page.evaluate("window.hacked") is None


def test_an_example_is_tried_and_the_pages_lead_to_each_other(watched: Watched, address: str) -> None:
    page = watched.open(address)
    page.get_by_role("button", name="Try an example").click()
    expect(marks(page).first).to_be_visible()
    page.get_by_role("link", name="One mention").click()
    expect(page.locator("#mention")).to_be_visible()
    page.get_by_role("link", name="A whole text").click()
    expect(page.get_by_label("Text", exact=True)).to_be_visible()


def test_the_token_is_asked_for(watched: Watched, linker: Linker) -> None:
    with running(linker, token="open sesame") as server:
        page = watched.open(f"http://127.0.0.1:{server.port}/text")
        token = page.get_by_label("Token")
        expect(token).to_be_focused()
        token.fill("open sesame")
        token.press("Enter")
        expect(token).to_be_hidden()
        find(page)
        expect(marks(page)).to_have_count(3)


def test_below_a_path_of_a_proxy_a_text_is_asked(watched: Watched, linker: Linker) -> None:
    with running(linker, root_path="/mel") as server, proxied(server.port, strips=True) as proxy:
        page = watched.open(f"{proxy.base_url}/mel/text")
        find(page)
        expect(marks(page)).to_have_count(3)
        page.get_by_role("link", name="One mention").click()
        expect(page.locator("#mention")).to_be_visible()
        assert page.url == f"{proxy.base_url}/mel/"


def test_a_phone_needs_no_sideways_scrolling_and_sees_what_it_chose(watched: Watched, address: str) -> None:
    page = watched.open(address, **PHONE)
    assert has_no_overflow(page)
    find(page, f"{TEXT} {'Donaudampfschifffahrt' * 6}")
    assert has_no_overflow(page)
    marks(page).nth(1).click()
    expect(page.locator("#chosen-name")).to_be_in_viewport()
    assert has_no_overflow(page)


def test_light_and_dark_text_have_the_contrast_of_aa(watched: Watched, address: str) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        page = watched.open(address, color_scheme=scheme)
        find(page)
        found = contrasts(page, READ)
        select(page, "Nobody")
        found |= contrasts(page, ["#add"])
        assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]
