"""What a search is offered, against names written out as texts."""

import numpy as np
import pytest
import torch

from dim.errors import ConfigError
from dim.methods.generative.choices import AnyToken, Offered, OfNames
from dim.methods.generative.name_graph import NameGraph
from dim.methods.generative.name_tree import NameTree

CPU = torch.device("cpu")
END = 1
NAMES = ["Ada", "Adam", "Adam Rill", "Bo", "Bodil", "Bodil Rill", "Cora", "Dag", "Dagny", "Eva"]
LATER = ["Bodo", "Adam", "Fay", "Dagny Rill"]
WIDTH = 140  # of the model: wider than the tokenizer's 128


def spell(texts: list[str]) -> list[list[int]]:
    return [list(map(ord, text)) for text in texts]


def names_of(names: list[str], later: list[str] | None = None) -> OfNames:
    tree = NameTree.build(names, np.arange(len(names)), spell, END, vocab_size=128)
    return (tree.with_names(later, np.arange(len(later)), spell) if later else tree).choices(CPU)


def going_on(names: list[str], prefix: str) -> set[int]:
    """The tokens that follow on a prefix."""
    return {ord((name + chr(END))[len(prefix)]) for name in names if name.startswith(prefix)}


def offered_in(offered: Offered) -> list[set[int]]:
    return [set(row[there].tolist()) for row, there in zip(offered.tokens, offered.likelihoods.isfinite(), strict=True)]


@pytest.mark.parametrize("later", [[], LATER])
def test_beams_are_offered_what_goes_on_with_a_name_wherever_they_came_from(later: list[str]) -> None:
    choices, names, rng = names_of(NAMES, later), [*NAMES, *later], np.random.default_rng(0)
    beams, places = [""] * 40, choices.begin(40, CPU)
    for _ in range(12):
        logits = torch.randn(len(beams), WIDTH)
        offered = choices.after(places, logits)
        expected = [going_on(names, beam) for beam in beams]
        assert offered_in(offered) == expected
        likelihoods = logits.log_softmax(-1)
        parents = rng.integers(0, len(beams), len(beams))  # beams change places
        nexts, columns = [], []
        for parent in parents:
            there = offered.likelihoods[parent].isfinite().nonzero()[:, 0].tolist()
            assert len({int(offered.tokens[parent, column]) for column in there}) == len(there)  # each token once
            column = int(rng.choice(there)) if there else 0
            token = int(offered.tokens[parent, column])
            if there:
                assert float(offered.likelihoods[parent, column]) == pytest.approx(
                    float(likelihoods[parent, token]), abs=1e-5
                )
            columns.append(column)
            nexts.append(beams[parent] + (chr(token) if there else "!"))
        beams, places = nexts, offered.places[torch.from_numpy(parents), torch.tensor(columns)]
    assert not any(offered_in(choices.after(places, torch.zeros(40, WIDTH))))  # all names have ended


def test_what_the_model_gives_no_likelihood_is_offered_none() -> None:
    choices = names_of(["Ada", "Bo"])
    logits = torch.zeros(1, WIDTH, dtype=torch.bfloat16)
    logits[0, ord("A")] = -torch.inf
    offered = choices.after(choices.begin(1, CPU), logits)
    assert offered_in(offered) == [{ord("B")}]
    assert offered.likelihoods.dtype == torch.float32


def test_a_model_without_scores_for_the_names_is_refused() -> None:
    choices = names_of(NAMES)
    with pytest.raises(ConfigError, match=r"scores for 122 tokens(.|\n)*a language model with 121"):
        choices.after(choices.begin(1, CPU), torch.zeros(1, 121))


def test_any_token_is_offered_but_those_that_are_barred() -> None:
    logits = torch.arange(6.0).repeat(2, 1)
    choices = AnyToken(torch.tensor([1, 4, 9]))
    offered = choices.after(choices.begin(2, CPU), logits)
    assert offered_in(offered) == [{0, 2, 3, 5}] * 2
    kept = [0, 2, 3, 5]
    assert torch.equal(offered.likelihoods[0, kept], logits.log_softmax(-1)[0, kept])
    assert offered_in(AnyToken().after(choices.begin(2, CPU), logits)) == [set(range(6))] * 2
    assert logits.isfinite().all()


def test_a_graph_has_a_node_for_each_prefix_and_each_end() -> None:
    graph = NameGraph.of([(5, 6), (5,), (7, 8)], END)
    assert len(graph) == 1 + 4 + 3
    tokens, nodes = graph.children(torch.tensor([0, 0]))
    assert tokens.tolist() == [[5, 7]] * 2
    tokens, _ = graph.children(nodes[0])
    assert [set(row) for row in tokens.tolist()] == [{END, 6}, {8, -1}]
    assert graph.children(torch.tensor([graph.nothing]))[0].tolist() == [[-1]]
    assert graph.nbytes == 4 * (2 * len(graph) + 1)
