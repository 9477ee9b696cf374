import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from dim.errors import ConfigError, DataError
from dim.methods.generative.prompt import Prompt, Prompts, answer, ask, pad_left, window

LINES = [
    answer("Leto", "Leto sings in Berlin.", "Jared Leto"),
    answer("Apollo", "Artemis, Zeus.\n[Question]", "Apollo 11"),
]


@pytest.fixture(scope="module")
def tokenizer():
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    inner.train_from_iterator(LINES, trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def tokenizing(tokenizer):
    return lambda texts: tokenizer(texts, add_special_tokens=False)["input_ids"]


def frame(mentions, contexts, starts=None, ends=None):
    empty = [None] * len(mentions)
    return pd.DataFrame(
        {"mention": mentions, "context": contexts, "start": starts or empty, "end": ends or empty}, dtype=object
    )


MENTIONS = frame(["Leto", "Apollo", "Zeus", "Hera"], ["Leto sings.", "By Apollo!\n[Question]", None, "Hera."])
NAMES = ["Jared Leto", "Apollo 11", "Zeus", None]
EXAMPLES = np.array([[-1, 2, 1], [2, 0, -1], [-1, -1, -1], [0, 1, 2]])


def prompts_of(
    tokenizer, max_tokens=1000, prefix_length=2, mentions=MENTIONS, names=NAMES, examples=EXAMPLES, **options
):
    has_image = options.get("has_image", np.arange(len(mentions)) != 1)
    return Prompts(mentions, names, tokenizing(tokenizer), examples, has_image, prefix_length, max_tokens)


def texts_of(tokenizer, prompt):
    return [tokenizer.decode(tokens) for tokens in prompt.tokens]


def test_a_prompt_is_its_examples_with_their_images_and_the_question_last(tokenizer):
    first, second = prompts_of(tokenizer).of(np.array([3, 0]))
    assert texts_of(tokenizer, first) == [
        "[Text]Leto sings.\n[Question]What does Leto mentioned in the text refer to?\n[Answer]Jared Leto\n",
        "[Text]By Apollo!\n[Question]\n[Question]What does Apollo mentioned in the text refer to?\n[Answer]Apollo 11\n",
        "[Text]\n[Question]What does Zeus mentioned in the text refer to?\n[Answer]Zeus\n",
        "[Text]Hera.\n[Question]What does Hera mentioned in the text refer to?\n[Answer]",
    ]
    assert first.images.tolist() == [0, -1, 2, 3]  # Apollo has no image
    assert second.images.tolist() == [2, -1, 0]
    assert all(tokens.dtype == np.int64 for tokens in first.tokens)
    assert first.tokens[0].tolist() == tokenizer(answer("Leto", "Leto sings.", "Jared Leto"))["input_ids"]
    assert first.length(2) == sum(len(tokens) for tokens in first.tokens) + 3 * 2


def test_the_counts_are_of_the_mentions_that_are_named(tokenizer):
    prompts = prompts_of(tokenizer)
    prompts.of(np.array([3, 0, 3]))
    prompts.of(np.array([1]))
    assert prompts.counts(np.array([0, 3])) == {
        "mentions": 2,
        "too_few_examples": 1,
        "examples_left_out": 0,
        "text_cut": 0,
    }
    tight = prompts_of(tokenizer, max_tokens=len(tokenizer(ask("Hera", "Hera."))["input_ids"]) + 2 - 1)
    tight.of(np.array([3, 3]))
    assert tight.counts(np.array([3])) == {"mentions": 1, "too_few_examples": 0, "examples_left_out": 1, "text_cut": 1}


def test_the_least_similar_examples_go_first_and_a_budget_that_just_fits_keeps_all(tokenizer):
    (whole,) = prompts_of(tokenizer).of(np.array([3]))
    needed = whole.length(2)
    (same,) = prompts_of(tokenizer, max_tokens=needed).of(np.array([3]))
    assert same.images.tolist() == [0, -1, 2, 3]
    (fewer,) = prompts_of(tokenizer, max_tokens=needed - 1).of(np.array([3]))
    assert fewer.images.tolist() == [-1, 2, 3]
    assert texts_of(tokenizer, fewer) == texts_of(tokenizer, whole)[1:]
    (shorter,) = prompts_of(tokenizer, max_tokens=fewer.length(2) - 1).of(np.array([3]))
    assert shorter.images.tolist() == [2, 3]


def test_each_mention_is_tokenized_once_as_a_question_and_once_as_an_example(tokenizer):
    asked = []

    def counting(texts):
        asked.extend(texts)
        return tokenizing(tokenizer)(texts)

    prompts = Prompts(MENTIONS, NAMES, counting, EXAMPLES, np.ones(4, bool), 1, 1000)
    for rows in ([3, 0, 3], [0, 1, 2, 3], []):
        prompts.of(np.array(rows, np.int64))
    assert len(asked) == len(set(asked)) == 4 + 3


LONG = "Muses dance. " * 30 + "Then Leto sings and Leto weeps. " + "Gods look on. " * 30


@pytest.mark.parametrize(
    ("start", "end", "kept"),
    [
        (395, 399, "Then Leto sings"),
        (None, None, "Then Leto sings"),
        (410, 414, "and Leto weeps"),
        (9_000, 9_004, "Then Leto"),
    ],
)
def test_a_long_text_becomes_a_window_around_the_mention(tokenizer, start, end, kept):
    mentions = frame(["Leto"], [LONG], [start], [end])
    prompts = prompts_of(
        tokenizer, 90, mentions=mentions, names=["x"], examples=np.empty((1, 0), np.int64), has_image=np.array([True])
    )
    (prompt,) = prompts.of(np.array([0]))
    (text,) = texts_of(tokenizer, prompt)
    cut = text.removeprefix("[Text]").removesuffix(
        "\n[Question]What does Leto mentioned in the text refer to?\n[Answer]"
    )
    assert cut in LONG
    assert kept in cut
    assert 85 <= prompt.length(2) <= 90
    assert prompts.counts(np.array([0]))["text_cut"] == 1
    assert text == ask("Leto", cut)


def test_a_mention_that_is_not_in_its_long_text_keeps_the_beginning(tokenizer):
    prompts = prompts_of(
        tokenizer, 90, mentions=frame(["Hera"], [LONG]), names=["x"], examples=np.empty((1, 0), np.int64)
    )
    assert texts_of(tokenizer, prompts.of(np.array([0]))[0])[0].startswith("[Text]Muses dance. Muses")


@given(st.text(max_size=20), st.text(max_size=40), st.data())
def test_a_window_is_a_piece_of_its_width_that_holds_the_mention_if_it_can(mention, before, data):
    context = before + mention + data.draw(st.text(max_size=40))
    width = data.draw(st.integers(0, len(context)))
    found = window(mention, context, (len(before), len(before) + len(mention)), width)
    assert len(found) == width
    assert found in context
    assert mention in found or width < len(mention)


def test_a_question_that_does_not_fit_without_its_text_names_what_is_needed(tokenizer):
    size = len(tokenizer(ask("Zeus", ""))["input_ids"])
    assert prompts_of(tokenizer, size + 2).of(np.array([2]))[0].length(2) == size + 2
    with pytest.raises(
        ConfigError, match=rf"at most {size + 1} tokens.*\n.*{size + 2} for .*Zeus.*2 of them for its image"
    ):
        prompts_of(tokenizer, size + 1).of(np.array([2]))
    with pytest.raises(ConfigError, match="longer context, or fewer prefix tokens"):
        prompts_of(tokenizer, size + 1).of(np.array([2]))


def test_an_example_without_an_answer_is_refused(tokenizer):
    examples = np.array([[3], [3], [3], [0]])
    with pytest.raises(DataError, match=r"none to 'Hera' \(row 3\)"):
        prompts_of(tokenizer, examples=examples).of(np.array([0]))


@st.composite
def worlds(draw):
    num = draw(st.integers(1, 6))
    texts = st.lists(st.text(alphabet="Leto sång.\n[]é日", max_size=60), min_size=num, max_size=num)
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    examples = generator.integers(-1, num, (num, 3))
    return frame(draw(texts), draw(texts)), [f"name {i}" for i in range(num)], examples, generator.random(num) < 0.6


@settings(max_examples=60, deadline=None)
@given(worlds(), st.integers(0, 5), st.integers(1, 400))
def test_no_prompt_is_longer_than_its_budget_and_no_example_left_out_would_have_fitted(
    tokenizer, world, prefix_length, max_tokens
):
    mentions, names, examples, has_image = world
    prompts = Prompts(mentions, names, tokenizing(tokenizer), examples, has_image, prefix_length, max_tokens)
    try:
        found = prompts.of(np.arange(len(mentions)))
    except ConfigError:
        bare = [ask(mention, "") for mention in mentions["mention"]]
        sizes = [len(tokens) for tokens in tokenizing(tokenizer)(bare)] + prefix_length * has_image
        assert sizes.max() > max_tokens
        return
    for row, prompt in enumerate(found):
        assert prompt.length(prefix_length) <= max_tokens
        wanted = [other for other in examples[row].tolist() if other >= 0]
        used = wanted[len(wanted) - len(prompt.tokens) + 1 :]
        texts = [answer(mentions["mention"][other], mentions["context"][other], names[other]) for other in used]
        assert [tokens.tolist() for tokens in prompt.tokens[:-1]] == tokenizing(tokenizer)(texts or [""])[: len(texts)]
        assert prompt.images.tolist() == [other if has_image[other] else -1 for other in [*used, row]]
        if len(used) < len(wanted):
            other = wanted[-len(used) - 1]
            (next_one,) = tokenizing(tokenizer)(
                [answer(mentions["mention"][other], mentions["context"][other], names[other])]
            )
            size = len(next_one) + prefix_length * has_image[other]
            assert prompt.length(prefix_length) + size > max_tokens
        whole = tokenizing(tokenizer)([ask(mentions["mention"][row], mentions["context"][row])])[0]
        if len(whole) + prefix_length * has_image[row] <= max_tokens:
            assert prompt.tokens[-1].tolist() == whole


@settings(max_examples=20, deadline=None)
@given(worlds(), st.integers(0, 150), st.randoms(use_true_random=False))
def test_a_prompt_is_the_same_alone_and_in_any_batch(tokenizer, world, spare, random):
    mentions, names, examples, has_image = world
    rows = list(range(len(mentions))) * 2
    random.shuffle(rows)
    bare = tokenizing(tokenizer)([ask(mention, "") for mention in mentions["mention"]])
    max_tokens = max(map(len, bare)) + 1 + spare  # cuts texts, and leaves out examples
    together = Prompts(mentions, names, tokenizing(tokenizer), examples, has_image, 1, max_tokens)
    for row, prompt in zip(rows, together.of(np.array(rows)), strict=True):
        alone = Prompts(mentions, names, tokenizing(tokenizer), examples, has_image, 1, max_tokens)
        (other,) = alone.of(np.array([row]))
        assert prompt.images.tolist() == other.images.tolist()
        assert [tokens.tolist() for tokens in prompt.tokens] == [tokens.tolist() for tokens in other.tokens]


def by_loops(prompts, prefix_length, answers):
    """Position by position: (token, mask, mention whose block starts here or None), then padded."""
    items = []
    for prompt, end in zip(prompts, answers, strict=True):
        cells = []
        for image, tokens in zip(prompt.images.tolist(), prompt.tokens, strict=True):
            if image >= 0:
                cells += [(0, 1, image if i == 0 else None) for i in range(prefix_length)]
            cells += [(token, 1, None) for token in tokens.tolist()]
        items.append(cells + [(token, 1, None) for token in end])
    length, longest = max(map(len, items), default=0), max(map(len, answers), default=0)
    items = [[(0, 0, None)] * (length - len(cells)) + cells for cells in items]
    slots = [(b, i, cell[2]) for b, cells in enumerate(items) for i, cell in enumerate(cells) if cell[2] is not None]
    labels = [[-100] * (longest - len(end)) + list(end) for end in answers]
    return [[c[0] for c in cells] for cells in items], [[c[1] for c in cells] for cells in items], slots, labels


@st.composite
def batches(draw):
    tokens = st.lists(st.integers(1, 99), max_size=6)
    parts = st.lists(st.tuples(st.integers(-1, 30), tokens), min_size=1, max_size=4)
    prompts = [
        Prompt(np.array([image for image, _ in part]), tuple(np.array(tokens, np.int64) for _, tokens in part))
        for part in draw(st.lists(parts, max_size=5))
    ]
    return prompts, draw(st.lists(tokens, min_size=len(prompts), max_size=len(prompts)))


@given(batches(), st.integers(1, 4), st.booleans())
def test_pad_left_equals_a_loop(batch, prefix_length, with_answers):
    prompts, answers = batch
    layout = pad_left(prompts, prefix_length, answers if with_answers else None)
    answers = answers if with_answers else [[]] * len(prompts)
    tokens, mask, slots, labels = by_loops(prompts, prefix_length, answers)
    assert layout.tokens.tolist() == tokens
    assert layout.mask.tolist() == mask
    assert list(zip(layout.items.tolist(), layout.places.tolist(), layout.mentions.tolist(), strict=True)) == slots
    assert layout.labels.tolist() == labels
    for values in (layout.tokens, layout.mask, layout.labels, layout.items, layout.places, layout.mentions):
        assert values.dtype == np.int64
    for row, (prompt, end) in enumerate(zip(prompts, answers, strict=True)):
        assert layout.mask[row].sum() == prompt.length(prefix_length) + len(end)


def test_labels_stand_where_their_tokens_stand():
    prompts = [Prompt(np.array([4]), (np.array([7, 8]),)), Prompt(np.array([-1]), (np.array([9]),))]
    layout = pad_left(prompts, 2, [[5], [6, 3, 2]])
    assert layout.tokens.tolist() == [[0, 0, 7, 8, 5], [0, 9, 6, 3, 2]]
    assert layout.mask.tolist() == [[1, 1, 1, 1, 1], [0, 1, 1, 1, 1]]
    assert layout.labels.tolist() == [[-100, -100, 5], [6, 3, 2]]
    assert (layout.items.tolist(), layout.places.tolist(), layout.mentions.tolist()) == ([0], [0], [4])
