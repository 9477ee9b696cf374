"""The page at / in a real browser: questions, their answers, and what it says when there is none."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from demo_run import demo_run, linker_of, questions_of
from page_browser import Watched, launched
from page_looks import contrasts, has_no_overflow
from playwright.sync_api import Browser, Locator, Page, Route, expect, sync_playwright
from proxies import proxied
from serving import Held, Running, running

from dim.display.visible import visible
from dim.linker import Answer, Entity, Linker, Question
from dim.reranker.features import FEATURES
from dim.reranker.network import RankerNetwork
from dim.reranker.nil import LIST_FEATURES
from dim.reranker.ranker import Ranker

SCRIPT = '<img src=x onerror="window.hacked=1">'
HOSTILE = [
    Entity("script", SCRIPT, text=f"<script>window.hacked=1</script>{SCRIPT}"),
    Entity("arabic", "عمر الشريف", text="ممثل مصري ولد في الإسكندرية"),
    Entity("turned", "Zumbra \u202egnp.exe\x1b[2J pay\u200dpal", text="می\u200cخواهم \u2067x\n👩\u200d👧"),
    Entity("long/?#", "Donaudampfschifffahrt" * 6, text="Kapitänswitwe" * 60),
]
#: Whose text is to be read, in the list of answers.
READ = """body|h1|label|.hint|#about|#link|.drop label|.example|.example b|nav a|#status|.nil h2|.nil p|.after-nil|h3
code.soft|.measure|.text|.bars dt|.bars dd|summary|.parts small|.plain""".replace("\n", "|").split("|")
PHONE = {"viewport": {"width": 360, "height": 740}}


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    """With a ranker of random weights, which says no NIL."""
    linker = linker_of(demo_run(tmp_path_factory))
    torch.manual_seed(0)
    nil = RankerNetwork(len(LIST_FEATURES) + len(FEATURES))
    linker.ranker = Ranker(RankerNetwork(len(FEATURES)), tuple(FEATURES), nil=nil, facts={"num_candidates": 32})
    linker.add_entities(HOSTILE)
    return linker


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Question:
    """With an image."""
    return next(each for each in questions_of(demo_run(tmp_path_factory)) if each.image and each.context)


@pytest.fixture(scope="module")
def address(linker: Linker) -> Iterator[str]:
    with running(linker) as server:
        yield address_of(server)


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


def address_of(server: Running) -> str:
    return f"http://127.0.0.1:{server.port}"


def fill(page: Page, mention: str, context: str = "") -> None:
    page.get_by_label("Mention").fill(mention)
    page.get_by_label("Sentence").fill(context)


def link(page: Page) -> None:
    page.get_by_role("button", name="Link", exact=True).click()
    page.locator("#answers[aria-busy=false]").wait_for()


def expect_answers(page: Page, answers: list[Answer]) -> None:
    """That the page shows these, in their order, with their probabilities."""
    expect(page.locator(".answer code.soft")).to_have_text([answer.id for answer in answers])
    expect(page.locator(".answer h3")).to_have_text([visible(answer.name) for answer in answers])
    values = page.locator(".answer .measure").all_inner_texts()
    for value, answer in zip(values, answers, strict=True):
        assert answer.probability is not None
        assert float(value.split()[-1].rstrip("%")) / 100 == pytest.approx(answer.probability, abs=6e-4)


def test_the_page_asks_and_answers_by_keyboard_alone(
    watched: Watched, address: str, linker: Linker, question: Question
) -> None:
    page = watched.open(address)
    expect(page.locator("#about")).to_have_text(f"{linker.about['dataset']} {len(linker):,} entities")
    press, reached = page.keyboard.press, []
    for _ in range(3):  # the links to the other page and to the API, then the sentence
        press("Tab")
    page.keyboard.type(question.context)
    press("Tab")
    page.keyboard.type(question.mention)
    press("Enter")
    expect_answers(page, linker.link(question.mention, question.context))
    expect(page.locator("#status")).to_contain_text(f"5 entities for “{question.mention}”")
    for _ in range(40):
        press("Tab")
        focused = page.locator(":focus")
        if not focused.count():
            break
        seen = page.locator(":focus, .drop:has(:focus)").first  # the file field itself is not seen
        assert seen.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
        reached.append(focused.evaluate("e => e.id || e.className || e.tagName"))
        if reached[-1] == "SUMMARY":
            break
    assert {"image", "link", "example", "SUMMARY"} <= set(reached)
    press("Enter")
    expect(page.locator("details[open] dt").first).to_contain_text("cosine of the mention's and the entity's vectors")
    assert page.locator("details[open] .parts > div").count() == len(FEATURES)


def test_selected_words_become_the_mention_and_enter_links(watched: Watched, address: str) -> None:
    page = watched.open(address)
    sentence = page.get_by_label("Sentence")
    sentence.fill("Barquist answered a few questions.")
    sentence.press("Control+Home")
    sentence.press("Control+Shift+ArrowRight")
    expect(page.get_by_label("Mention")).to_have_value("Barquist")
    sentence.press("Control+a")
    expect(page.get_by_label("Mention")).to_have_value("Barquist")
    sentence.press("Enter")
    expect(page.locator(".answer")).to_have_count(5)
    expect(sentence).to_have_value("Barquist answered a few questions.")


def test_a_question_is_shared_by_its_address(watched: Watched, address: str, linker: Linker) -> None:
    page = watched.open(address)
    fill(page, "Norski & <b>", 'Norski said: "100% #1".\nSo he did.')
    link(page)
    other = watched.open(page.url)
    expect(other.get_by_label("Sentence")).to_have_value('Norski said: "100% #1".\nSo he did.')
    expect_answers(other, linker.link("Norski & <b>", 'Norski said: "100% #1".\nSo he did.'))
    fill(page, "Talbach")
    link(page)
    page.go_back()
    expect(page.get_by_label("Mention")).to_have_value("Norski & <b>")
    expect(page.locator("#status")).to_contain_text("for “Norski & <b>”")


def test_an_image_is_chosen_shown_sent_and_removed(
    watched: Watched, address: str, linker: Linker, question: Question
) -> None:
    page = watched.open(address)
    fill(page, question.mention, question.context)
    page.get_by_label("Choose an image").set_input_files(str(question.image))
    expect(page.get_by_alt_text("The image that belongs to the sentence")).to_be_visible()
    link(page)
    with_image = linker.link(question.mention, question.context, question.image)
    without = linker.link(question.mention, question.context)
    assert [answer.id for answer in with_image] != [answer.id for answer in without]
    expect_answers(page, with_image)
    page.get_by_role("button", name="Remove the image").click()
    expect(page.get_by_label("Choose an image")).to_be_focused()
    link(page)
    expect_answers(page, without)


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(
    watched: Watched, address: str, linker: Linker, question: Question, way: str
) -> None:
    page = watched.open(address)
    content = list(Path(str(question.image)).read_bytes())
    files = page.evaluate_handle(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "portrait.png", { type: "image/png" }));
            data.items.add(new File(["some"], "notes.txt", { type: "text/plain" }));
            return data;
        }""",
        content,
    )
    page.evaluate(
        """([way, data]) => document.body.dispatchEvent(
            way === "drop"
                ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
                : new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true })
        )""",
        [way, files],
    )
    expect(page.locator("#preview-name")).to_contain_text("portrait.png")
    expect(page.locator("#image-note")).to_have_text("One image is read: portrait.png. The others are left out.")
    fill(page, "")
    link(page)
    expect_answers(page, linker.link("", image=question.image))
    expect(page.locator("#status")).to_contain_text("for the image")


def test_a_file_that_is_no_image_is_refused_by_page_or_server(watched: Watched, address: str, tmp_path: Path) -> None:
    page = watched.open(address)
    choose = page.get_by_label("Choose an image").set_input_files
    choose({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"some"})
    expect(page.locator("#image-note")).to_have_text("notes.txt is no image. Choose a PNG, JPEG or WebP file.")
    expect(page.locator("#preview")).to_be_hidden()
    (tmp_path / "large.png").write_bytes(b"\0" * 10_100_000)
    choose(tmp_path / "large.png")
    note = "large.png has 10.1 MB, and the server takes 10.0 MB. Make the image smaller."
    expect(page.locator("#image-note")).to_have_text(note)
    choose({"name": "false.png", "mimeType": "image/png", "buffer": b"none"})
    fill(page, "Norski")
    link(page)
    expect(page.get_by_role("alert")).to_contain_text("The server cannot use this question.")
    expect(page.get_by_role("alert")).to_contain_text("image")


def test_nil_is_said_before_the_best_candidates(
    watched: Watched, address: str, linker: Linker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linker.ranker, "nil_threshold", 0.0)
    nil, *rest = linker.link("Norski")
    assert nil.id == "NIL"
    assert nil.probability is not None
    page = watched.open(f"{address}/#mention=Norski")
    expect(page.get_by_role("heading", name="Not in this knowledge base")).to_be_visible()
    said = f"With a probability of {nil.probability:.1%}, none of its entities is meant."
    expect(page.locator(".nil p")).to_have_text(said)
    expect_answers(page, rest)
    expect(page.locator(".answer.first")).to_have_count(0)


def test_without_probabilities_scores_are_shown_and_named(
    watched: Watched, address: str, linker: Linker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linker, "ranker", None)
    page = watched.open(f"{address}/#mention=Norski")
    expect(page.locator("#list .hint")).to_contain_text("This linker has no probabilities. It shows scores")
    expect(page.locator(".measure")).to_have_text([f"Score {answer.score:.3f}" for answer in linker.link("Norski")])


def test_examples_are_asked_with_their_images(watched: Watched, address: str) -> None:
    page = watched.open(address)
    example = page.locator(".example:has(img)").first
    name = example.locator("b").inner_text()
    example.click()
    expect(page.locator("#status")).to_contain_text(f"for “{name}”")
    expect(page.locator("#preview")).to_be_visible()
    pictures = page.locator(".answer .picture img")
    assert pictures.count()
    expect(pictures.first).to_have_js_property("complete", True)
    assert pictures.first.evaluate("e => e.decode().then(() => e.naturalWidth)") > 0


def test_a_question_of_nothing_or_of_too_much_is_refused_in_words(watched: Watched, address: str) -> None:
    page = watched.open(address)
    trouble = page.get_by_role("alert")
    link(page)
    expect(trouble).to_contain_text("There is nothing to link yet.")
    expect(trouble).to_contain_text("a mention, or an image")
    expect(page.get_by_label("Mention")).to_be_focused()
    fill(page, "x" * 1_001)
    link(page)
    expect(trouble).to_contain_text("The server cannot use this question.")
    expect(trouble.locator("dt")).to_have_text(["Expected", "Found", "What to do"])
    expect(trouble).to_contain_text("1000 characters")


def test_what_is_asked_before_it_is_known_who_answers_is_asked_once_and_its_answer_stays(
    watched: Watched, address: str, question: Question
) -> None:
    page = watched.open(address)
    held: list[Route] = []
    page.route("**/about", lambda route: held.append(route))
    for mention, shown in (("", page.get_by_role("alert").locator("h2")), (question.mention, page.locator(".answer"))):
        with page.expect_request("**/about"):
            page.reload()
        fill(page, mention)
        num_asked = watched.requests.count(f"{address}/link")
        link(page)
        expect(shown).not_to_have_count(0)
        with page.expect_response("**/about"):
            held.pop().continue_()
        expect(page.locator(".example")).not_to_have_count(0)
        expect(shown).not_to_have_count(0)
        assert watched.requests.count(f"{address}/link") == num_asked + bool(mention)


def test_the_token_is_asked_for_kept_for_the_tab_and_sent_for_pictures_too(
    watched: Watched, linker: Linker, question: Question
) -> None:
    with running(linker, token="open sesame") as server:
        page = watched.open(f"{address_of(server)}/#mention={question.mention}")
        trouble, token = page.get_by_role("alert"), page.get_by_label("Token")
        expect(trouble).to_contain_text("The server asks for a token.")
        expect(token).to_be_focused()
        token.fill("wrong")
        token.press("Enter")
        expect(trouble).to_contain_text("The server does not accept this token.")
        token.fill("open sesame")
        token.press("Enter")
        expect_answers(page, linker.link(question.mention))
        expect(token).to_be_hidden()
        page.wait_for_function("() => document.querySelector('.picture img')?.naturalWidth > 0")
        page.reload()
        expect(page.locator(".answer")).to_have_count(5)
        assert "sesame" not in page.url


def test_a_busy_server_is_said_with_when_to_ask_again(watched: Watched, linker: Linker) -> None:
    with running(linker, timeout_s=0.001) as server, Held(linker):  # no answer is in time
        page = watched.open(address_of(server))
        fill(page, "Norski")
        link(page)
        expect(page.get_by_role("alert")).to_contain_text("The server is busy. Try again in 1 second.")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()


def test_a_server_that_is_gone_is_said_and_asked_again(watched: Watched, address: str) -> None:
    page = watched.open(address)
    fill(page, "Norski")
    link(page)
    expect(page.locator(".answer")).to_have_count(5)
    page.context.set_offline(True)
    link(page)
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
    expect(page.get_by_role("alert")).to_contain_text("Check that it runs (dim serve)")
    expect(page.locator(".answer")).to_have_count(0)
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".answer")).to_have_count(5)


def test_the_api_is_tried_on_its_own_page_with_the_token_and_an_image(
    watched: Watched, linker: Linker, question: Question
) -> None:
    with running(linker, token="open sesame") as server:
        page = watched.open(f"{address_of(server)}/docs")

        def sent(path: str) -> Locator:
            tried = page.locator(f"details:has(form[data-path='{path}'])")
            tried.locator("summary").first.click()
            form = tried.locator("form")
            if path == "/link/image":
                form.get_by_label("image").set_input_files(str(question.image))
                form.get_by_label("top_k").fill("2")
            if path == "/link":
                form.get_by_label("body").fill(json.dumps({"mention": "Norski", "top_k": 1}))
            form.get_by_role("button", name="Send").click()
            return form.locator("output")

        expect(sent("/ready")).to_contain_text("200 OK")
        expect(sent("/about")).to_contain_text("401 Unauthorized")
        page.get_by_label("To try it here").fill("open sesame")
        page.get_by_label("To try it here").blur()
        (expected,) = linker.link("Norski", top_k=1)
        expect(sent("/link")).to_contain_text(f'"id": {json.dumps(expected.id)}')
        expect(sent("/link/batch")).to_contain_text('"results"')
        expect(sent("/annotate")).to_contain_text('"annotations"')
        expect(sent("/nif")).to_contain_text("itsrdf:taIdentRef" if find_spec("pyoxigraph") else "501")
        expect(sent("/link/image").locator("pre")).to_contain_text('"answers"')
        picture = page.locator("details:has(form[data-path*='images'])")
        picture.locator("summary").first.click()
        entity = next(entity for entity in linker.knowledge if entity.images)
        picture.get_by_label("entity_id").fill(entity.id)
        picture.get_by_label("n", exact=True).fill("0")
        picture.get_by_role("button", name="Send").click()
        assert picture.locator("output img").evaluate("e => e.decode().then(() => e.naturalWidth)") > 0
        assert has_no_overflow(page)


@pytest.mark.parametrize("root_path", ["/mel", ""])
def test_below_a_path_of_a_proxy_the_page_asks_and_shows_pictures(
    watched: Watched, linker: Linker, question: Question, root_path: str
) -> None:
    with running(linker, root_path=root_path) as server, proxied(server.port, strips=True) as proxy:
        page = watched.open(f"{proxy.base_url}/mel/#mention={question.mention}")
        expect_answers(page, linker.link(question.mention))
        page.wait_for_function("() => document.querySelector('.picture img')?.naturalWidth > 0")
        page.get_by_role("link", name="API").click()
        expect(page.get_by_role("heading", name="the API")).to_be_visible()
        assert page.url == f"{proxy.base_url}/mel/docs"


def test_what_was_written_before_the_server_came_is_kept(watched: Watched, address: str, question: Question) -> None:
    page = watched.open(address)
    page.context.route("**/about", lambda route: route.abort())
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
    fill(page, "", question.context)
    page.get_by_label("Choose an image").set_input_files(str(question.image))
    page.context.unroute("**/about")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".answer")).to_have_count(5)
    expect(page.get_by_label("Sentence")).to_have_value(question.context)
    expect(page.locator("#preview")).to_be_visible()


def test_markup_in_names_texts_and_questions_stays_text(watched: Watched, address: str) -> None:
    page = watched.open(address)
    fill(page, SCRIPT, SCRIPT)
    link(page)
    shown = page.locator(".answer").filter(has_text="script")
    expect(shown.locator("h3")).to_have_text(SCRIPT)
    expect(shown.locator(".text")).to_have_text(HOSTILE[0].text or "")
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0


def test_what_turns_or_hides_is_written_out(watched: Watched, address: str) -> None:
    page = watched.open(address)
    fill(page, "Zumbra", "Zumbra")
    link(page)
    shown = page.locator(".answer").filter(has_text="turned")
    expect(shown.locator("h3")).to_have_text(r"Zumbra \u202egnp.exe\x1b[2J pay\u200dpal")
    assert shown.locator(".text").text_content() == "می\u200cخواهم \\u2067x\n👩\u200d👧"


def test_right_to_left_text_runs_so(watched: Watched, address: str) -> None:
    page = watched.open(address)
    fill(page, "عمر الشريف", "ولد عمر الشريف في الإسكندرية")
    link(page)
    shown = page.locator(".answer").filter(has_text="arabic")
    for element in (shown.locator("h3"), shown.locator(".text"), page.get_by_label("Sentence")):
        assert element.evaluate("e => getComputedStyle(e).direction") == "rtl"


def test_a_phone_needs_no_sideways_scrolling(watched: Watched, address: str) -> None:
    page = watched.open(address, **PHONE)
    assert has_no_overflow(page)
    name = HOSTILE[3].name
    fill(page, name, name)
    link(page)
    expect(page.locator("#status")).to_be_in_viewport()
    answer = page.locator(".answer").filter(has_text="long/?#")
    answer.get_by_role("button", name="Whole text").click()
    answer.locator("summary").click()
    expect(answer.locator(".parts")).to_be_visible()
    assert has_no_overflow(page)
    fill(page, "x" * 1_001)
    link(page)
    expect(page.get_by_role("alert")).to_contain_text("cannot use")
    expect(page.locator("#trouble h2")).to_be_in_viewport()
    assert has_no_overflow(page)


def test_light_and_dark_text_have_the_contrast_of_aa(
    watched: Watched, address: str, linker: Linker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linker.ranker, "nil_threshold", 0.0)
    grounds = []
    for scheme in ("light", "dark"):
        page = watched.open(f"{address}/#mention=Norski", color_scheme=scheme)
        expect(page.locator(".nil")).to_be_visible()
        page.locator("summary").first.click()
        found = contrasts(page, READ)
        fill(page, "x" * 1_001)
        link(page)
        expect(page.locator("#trouble h2")).to_be_visible()
        found |= contrasts(page, ["#trouble h2", "#trouble dt", "#trouble dd"])
        assert {name: ratio for name, ratio in found.items() if ratio < 4.5} == {}
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]


def test_motion_ends_where_it_is_not_wanted(watched: Watched, address: str) -> None:
    durations = []
    for wanted in ("no-preference", "reduce"):
        page = watched.open(address, reduced_motion=wanted)
        durations.append(page.locator("#list").evaluate("e => getComputedStyle(e).transitionDuration"))
    assert durations == ["0.15s", "0s"]
