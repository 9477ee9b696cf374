"""One world whose names, ids, texts, types and folders steer, link, format or compute: they are shown."""

import csv
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from releases import write_table
from tiny_fit import tiny_options

from dim.__main__ import main
from dim.data.dataset import Dataset
from dim.display.visible import visible

HOSTILE = (
    r"[b]x[/b] ![p](http://e.example) https://e <b>&amp; `c` $\frac$ **s**" + " \x1b[2J\x9b31m\x07\x08\u202e\u200b\x85"
)
FOLDER = "=run [b] $\\frac$ <b> \x1b[2J\u202e"
PEOPLE = ("Ada", "Alan", "Grace", "Edsger", "Barbara", "Donald", "Radia", "Tony")
IDS = [f"{sign}Q{number}\x1b[2J\u202e" for number, sign in enumerate("=+-@'=+-")]
SPLITS = ["train"] * 40 + ["dev"] * 8 + ["test"] * 8


def name_of(number: int) -> str:
    return f"={PEOPLE[number % len(PEOPLE)]} {HOSTILE}"


def write_world(root: Path) -> Path:
    entities = [
        {"id": entity_id, "name": name_of(n), "description": f"- {HOSTILE}\nlived in {n}", "type": f"=t{HOSTILE}"}
        for n, entity_id in enumerate(IDS)
    ]
    mentions = [
        {
            "mention": name_of(n),
            "context": f"{name_of(n)} in year {n}\r\nsaid =1+1",
            "entity_id": IDS[n % len(IDS)],
            "type": f"=type {n % 2} {HOSTILE}",
            "split": split,
            f"=topic {HOSTILE}": f"@{HOSTILE}",
        }
        for n, split in enumerate(SPLITS)
    ]
    for name, rows in (("entities", entities), ("mentions", mentions)):
        write_table(root / f"{name}.jsonl", rows)
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


def shown(args: list[str], capfd: pytest.CaptureFixture[str], status: int = 0) -> str:
    """What a command says, which is text and nothing else."""
    capfd.readouterr()
    assert main(args) == status, capfd.readouterr().err
    out, err = capfd.readouterr()
    for said in (out, err):
        assert visible(said) == said
    return out + err


def check_markdown(path: Path) -> str:
    """Looks for marks that a name made; gives the text."""
    text = path.read_text(encoding="utf-8")
    assert visible(text) == text
    rendered = MarkdownIt("gfm-like", {"linkify": False, "html": True}).render(text)
    tags = {"h1", "h2", "h3", "p", "strong", "table", "thead", "tbody", "tr", "th", "td", "ul", "li", "br", "code"}
    assert set(re.findall(r"<(\w+)", rendered)) <= tags | {"pre", "hr"}
    assert not re.search(r"<strong>s</strong>|<code>c</code>", rendered)
    assert not re.search(r"(?<!\\)://|(?<=www)\.", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return text


def check_cells(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    assert len({len(row) for row in rows}) == 1
    for cell in (cell for row in rows for cell in row):
        assert not re.match(r"[=+\-@\t\r]", cell) or re.fullmatch(r"[+-]?[\d.]+(e[+-]?\d+)?", cell), cell
    return rows


def test_a_world_of_hostile_names_is_text_from_prepare_to_report(
    place: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    world, run = place / f"world {FOLDER}", place / "runs" / FOLDER
    said = shown(["prepare", str(write_world(place / "raw")), str(world), f"--name={HOSTILE}"], capfd)
    assert "[b]x[/b] ![p](http://e.example)" in said
    assert Dataset(world).entities["id"].tolist() == IDS
    shown(["audit", str(world)], capfd)
    shown(["show", IDS[0], str(world)], capfd)
    shown(["fit", *tiny_options(world, run, "--data.entity_text", "brief")], capfd)
    monkeypatch.setenv("COLUMNS", "200")
    assert "[b]x[/b]" in shown(["show", str(Dataset(world).mentions["id"].iloc[-9]), str(world), f"--run={run}"], capfd)
    missing = shown(["show", f"no\x1b[2J{HOSTILE}", str(world)], capfd, status=1)
    assert r"no\x1b[2J[b]x[/b]" in missing

    linker = place / f"linker {FOLDER}"
    shown(["export", str(run), str(linker), "--verify", "false"], capfd)
    assert "=Ada" in check_markdown(linker / "README.md")
    code = re.search(r"```python\n(.*?)```", (linker / "README.md").read_text(), re.DOTALL)
    assert code
    compile(code[1], "README.md", "exec")

    ask = ["link", f"--model={linker}", "--device=cpu"]
    lines = shown([*ask, f"--mention={name_of(0)}", "--top_k=3"], capfd).splitlines()
    assert lines[0].split("\t")[:2] == ["rank", "id"]
    assert {line.count("\t") for line in lines} == {4}
    answers = json.loads(shown([*ask, f"--mention={name_of(0)}", "--as_json", "true"], capfd))
    assert {answer["id"] for answer in answers} <= set(IDS)

    with monkeypatch.context() as terminal:
        terminal.setenv("FORCE_COLOR", "1")
        terminal.setenv("TERM", "xterm")
        for args in ([*ask, f"--mention={name_of(0)}"], ["show", IDS[0], str(world)]):
            assert main(args) == 0
            said = re.sub(r"\x1b\[[\d;]*m", "", capfd.readouterr().out)  # the colours that rich sets
            assert visible(said) == said
            assert r"$\frac$ **s** \x1b[2J\x9b31m" in said

    check_answers_of_a_file(world, linker, ask, place, capfd)
    check_reports(run, world, place, capfd)


def check_answers_of_a_file(
    world: Path, linker: Path, ask: list[str], place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Answers as CSV and TSV are no formulas for a spreadsheet, and for dim what JSON lines say."""
    data = Dataset(world)
    dev = data.split("dev")
    rows = [{"mention_id": m.id, "=x": f"={HOSTILE}\r", "mention": m.mention} for m in dev.itertuples()]
    write_table(place / "asked.jsonl", rows)
    for suffix in (".jsonl", ".csv", ".tsv"):
        output = place / f"answers{suffix}"
        shown([*ask, f"--input={place / 'asked.jsonl'}", f"--output={output}", "--top_k=8"], capfd)
    for suffix in (".csv", ".tsv"):
        check_cells(place / f"answers{suffix}")
    exact = [json.loads(line) for line in (place / "answers.jsonl").read_text(encoding="utf-8").split("\n") if line]
    assert exact[0]["=x"] == f"={HOSTILE}\r"
    golds = dict(zip(dev["id"], dev["entity_id"], strict=True))
    ranks = [[a["id"] for a in row["answers"]].index(golds[row["mention_id"]]) + 1 for row in exact[: len(golds)]]
    write_table(
        place / "ranks.jsonl",
        [{"mention_id": row["mention_id"], "rank": r} for row, r in zip(exact[: len(ranks)], ranks, strict=True)],
    )
    for name in ("answers.csv", "answers.tsv", "ranks.jsonl"):
        run = place / "evaluated" / f"{FOLDER}{name}"
        shown(["evaluate", f"--ranks={place / name}", f"--dataset={world}", f"--run={run}"], capfd)
        found = pd.read_parquet(run / "ranks.parquet").set_index("mention_id")["rank"]
        assert found[[row["mention_id"] for row in exact[: len(golds)]]].tolist() == ranks


def check_reports(run: Path, world: Path, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = [place / f"report{suffix}" for suffix in (".md", ".csv", ".html", ".tex")]
    args = [
        "report",
        str(run),
        str(place / "evaluated" / f"{FOLDER}answers.csv"),
        str(place / "no run \x1b[2J"),
        "--by=all",
    ]
    said = shown([*args, f"--out={json.dumps([str(file) for file in files])}", "--rounds=100"], capfd)
    assert r"=run [b] $\frac$ <b> \x1b[2J\u202e" in said
    check_markdown(files[0])
    rows = check_cells(files[1])
    system = rows[0].index("system")
    assert f"'{FOLDER}answers.csv" in {row[system] for row in rows}
    tables = files[3].read_text(encoding="utf-8")
    assert visible(tables) == tables
    assert r"\$\textbackslash{}frac\$ \textless{}b\textgreater{} \textbackslash{}x1b{[}2J" in tables
    page = files[2].read_text(encoding="utf-8")
    assert visible(page) == page
    assert "<b>" not in page
    assert not re.search(r'(href|src)="(?!#|data:)', page)
    assert page.count("$\\frac$ &lt;b&gt; \\x1b[2J\\u202e") >= 4  # in tables, and in the plots as it stands
