"""Bodies that nobody means well by are answered, and others meanwhile."""

from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest
from demo_run import demo_run, linker_of
from serving import Running, running

from benchmarks.hostile import Seen, bench_hostile, check, is_failure, send_bodies, sent
from benchmarks.hostile_bodies import FORM_BODIES, FORM_TYPE, JSON_BODIES
from dim.errors import DimError
from dim.linker import Linker

JSON = "application/json"
ROUTES = ("/link", "/link/batch", "/annotate")


@pytest.fixture(scope="module")
def linker(tmp_path_factory: pytest.TempPathFactory) -> Linker:
    return linker_of(demo_run(tmp_path_factory))


@pytest.fixture(scope="module")
def server(linker: Linker) -> Iterator[Running]:
    with running(linker) as server:
        yield server


def test_each_kind_of_body_is_answered_at_each_route(server: Running) -> None:
    kinds = [(kind, route, JSON, body) for kind, body in JSON_BODIES.items() for route in ROUTES]
    kinds += [(kind, "/link/image", FORM_TYPE, body) for kind, body in FORM_BODIES.items()]
    for kind, route, content_type, body in kinds:
        for size in (100, 20_000):
            status = sent(server.port, "POST", route, content_type, body(Random(size), size))
            assert status in (200, 400, 413, 415, 422), (kind, route, size)
    assert server.still_answers()
    assert server.batcher.accepted == 0


def test_drawn_bodies_are_answered_whatever_they_are(server: Running) -> None:
    seen = send_bodies(server.port, 200, seed=0)
    assert seen.total() == 200
    assert {status for *_, status in seen if is_failure(status) or not status} == set()
    assert {status for *_, status in seen} >= {200, 400, 413, 422}


def test_what_is_out_of_bounds_is_named() -> None:
    fine = {"health_p99": 20.0, "memory_growth": 100.0}
    check(fine, Counter({("/link", "right", 200): 1, ("/link", "right", 503): 1}))
    bad: Seen = Counter({("/link", "cut", 500): 2})
    with pytest.raises(
        DimError, match=r"1 kinds of failure: 500 at /link for cut; /health in 900 ms \(p99\); 5,000 MB"
    ):
        check({"health_p99": 900.0, "memory_growth": 5000.0}, bad)


@pytest.mark.long
def test_thousands_of_hostile_bodies_leave_health_and_memory_within_their_bounds() -> None:
    found = bench_hostile()  # it raises where they are not
    assert found["bodies"] == 30_000
    assert found["answers_5xx"] == found["unanswered"] == 0
