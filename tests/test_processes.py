"""What several processes compute together, against one process, number by number."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, nn

from dim.core.distributed import encode_together, from_first, gathered, num_processes, process_index

INPUTS = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))


def loss_and_gradient(num_rows: int) -> tuple[float, Tensor, Tensor]:
    """Of an in-batch loss with a scale of its own, as the contrastive loss has."""
    torch.manual_seed(1)
    tower, scale = nn.Linear(3, 4), nn.Parameter(torch.tensor(2.0))
    vectors = encode_together(lambda rows: tower(INPUTS[rows]), torch.arange(num_rows))
    loss = nn.functional.cross_entropy(scale * vectors @ vectors.T.roll(1, 0), torch.arange(num_rows))
    loss.backward()
    assert tower.weight.grad is not None
    assert scale.grad is not None
    return loss.item(), tower.weight.grad, scale.grad


def take_part(rank: int, meeting: str, num_rows: int) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=3)
    try:
        loss, tower, scale = loss_and_gradient(num_rows)
        for gradient in (tower, scale):  # what DDP does
            distributed.all_reduce(gradient)
            gradient /= 3
        drawn = from_first(torch.tensor([rank, 7]))
        parts = gathered(("part", rank))
        torch.save([loss, tower, scale, drawn, parts], f"{meeting}.{rank}")
    finally:
        distributed.destroy_process_group()


@pytest.mark.ddp
@pytest.mark.parametrize("num_rows", [7, 2])  # an uneven rest, and fewer rows than processes
def test_three_processes_have_the_loss_and_the_gradient_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_rows: int
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.spawn(take_part, (str(tmp_path / "meeting"), num_rows), nprocs=3)
    loss, tower, scale = loss_and_gradient(num_rows)
    for rank in range(3):
        found = torch.load(tmp_path / f"meeting.{rank}", weights_only=True)
        assert found[0] == pytest.approx(loss, abs=1e-6)
        assert torch.allclose(found[1], tower, atol=1e-6)
        assert torch.allclose(found[2], scale, atol=1e-6)
        assert found[3].tolist() == [0, 7]
        assert found[4] == [("part", 0), ("part", 1), ("part", 2)]


def test_alone_nothing_is_shared() -> None:
    rows = torch.arange(3)
    assert (num_processes(), process_index()) == (1, 0)
    assert torch.equal(encode_together(lambda share: share + 1, rows), rows + 1)
    assert from_first(rows) is rows
    assert gathered("a") == ["a"]
