"""Mentions of a text that a server answers together."""

import io
import json
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image
from serving import running

from dim.collective.coherence import COHERENCE
from dim.collective.collective import Collective
from dim.linker import Entity, Linker
from dim.reranker.ranker import Ranker

KB = [
    Entity("p1", "Ann Falk", (), "painter of the Dovecote House in Ambrel"),
    Entity("p2", "Ann Falk (judge)", (), "judge of the Granite Bank in Irsk"),
    Entity("q", "Bo Quist", (), "judge of the Granite Bank in Irsk"),
    *(Entity(f"r{place}", f"Cy Ren{place}", (), f"swimmer number {place}") for place in range(20)),
]
TEXT = "Ann Falk met Bo Quist."
SPANS = [(0, 8), (13, 21)]
ASKED = {"text": TEXT, "spans": [{"start": start, "end": end} for start, end in SPANS], "top_k": 2}


@pytest.fixture(scope="module")
def linker() -> Linker:
    return Linker.from_entities(KB)


@pytest.fixture(scope="module")
def client(linker: Linker) -> Iterator[httpx.Client]:
    with running(linker) as server:
        yield server.client


def test_a_text_is_answered_together_where_the_linker_learned_it(linker: Linker, client: httpx.Client) -> None:
    refused = client.post("/annotate", json=ASKED | {"collective": True})
    assert refused.status_code == 422
    assert refused.json()["error"]["remedy"] == "Leave collective out."
    ranker = linker.ranker  # type: ignore[attr-defined]
    assert isinstance(ranker, Ranker)
    learned = Collective(dict.fromkeys(COHERENCE, 0.0) | {"words": 30.0})
    ranker.facts["collective"] = learned.to_fact()
    try:
        alone = client.post("/annotate", json=ASKED).json()["annotations"]
        together = client.post("/annotate", json=ASKED | {"collective": True}).json()["annotations"]
        form = {"text": TEXT, "spans": json.dumps(ASKED["spans"]), "top_k": "2", "collective": "true"}
        expected = linker.annotate(TEXT, SPANS, top_k=2, collective=True)
        assert [[each["id"] for each in said["answers"]] for said in together] == [
            [answer.id for answer in said.answers] for said in expected
        ]
        assert alone[0]["answers"][0]["id"] == "p1"
        assert together[0]["answers"][0]["id"] == "p2"  # of one bank with Bo Quist
        assert [len(said["answers"]) for said in together] == [2, 2]
        image = io.BytesIO()
        Image.new("RGB", (8, 8)).save(image, "PNG")
        for said, best in (("true", "p2"), ("false", "p1")):
            files = {"image": ("x.png", image.getvalue(), "image/png")}
            sent = client.post("/annotate/image", data=form | {"collective": said}, files=files)
            assert sent.json()["annotations"][0]["answers"][0]["id"] == best, sent.text
    finally:
        del ranker.facts["collective"]
