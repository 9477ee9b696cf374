"""The nginx that docs/how_to/deployment.md describes, in front of a server: what passes, and what ends there."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from demo_run import demo_run, linker_of
from serving import QUESTION, running
from waiting import HANG, wait_until

from dim.serve.origin import names_of
from dim.serve.server import bound_socket

PAGE = Path(__file__).parents[2] / "docs/how_to/deployment.md"
NAME = "linker.example"
#: What nginx writes to, in a folder of the test.
MAIN = """daemon off;
pid {0}/pid;
error_log {0}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {0}/body;
    proxy_temp_path {0}/proxy;
    fastcgi_temp_path {0}/fastcgi;
    uwsgi_temp_path {0}/uwsgi;
    scgi_temp_path {0}/scgi;
{1}
}}
"""

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not (shutil.which("nginx") and shutil.which("openssl")), reason="needs nginx and openssl"),
]


@pytest.fixture(scope="module", params=["", "/mel"])
def proxied(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    folder, names = tmp_path_factory.mktemp("nginx"), names_of("127.0.0.1", None, NAME)
    with running(linker_of(demo_run(tmp_path_factory)), allowed_hosts=names, root_path=request.param) as server:
        free = bound_socket("127.0.0.1", 0)
        port = free.getsockname()[1]
        free.close()
        whole, locations = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)
        if request.param:
            whole = re.sub(r"    location / .*\n}\n", lambda _: locations + "}\n", whole, flags=re.DOTALL)
            assert "location / " not in whole
        told = whole.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace("/etc/ssl", str(folder))
        told = told.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
        (folder / "nginx.conf").write_text(MAIN.format(folder, told))
        key = ["-keyout", str(folder / "linker.key"), "-out", str(folder / "linker.pem")]
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}", *key]
        subprocess.run(made, check=True, capture_output=True)
        command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "first.log")]
        tested = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert tested.returncode == 0, tested.stderr
        nginx = subprocess.Popen(command)
        try:
            headers = {"host": f"{NAME}:{port}"}
            with httpx.Client(
                base_url=f"https://127.0.0.1:{port}{request.param}", verify=False, headers=headers, timeout=HANG
            ) as client:
                wait_until(lambda: _answers(client))
                yield client
        finally:
            nginx.terminate()
            nginx.wait(HANG)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def test_questions_and_the_page_pass_and_other_sites_do_not(proxied: httpx.Client) -> None:
    origin = f"https://{proxied.headers['host']}"
    assert proxied.post("/link", json=QUESTION).json()["answers"]
    assert proxied.post("/link", json=QUESTION, headers={"origin": origin}).status_code == 200
    assert proxied.post("/link", json=QUESTION, headers={"origin": "https://other.example"}).status_code == 403
    for path in ("/", "/page/page.js", "/docs"):
        assert "text/" in proxied.get(path).headers["content-type"]


def test_pictures_are_where_answers_say(proxied: httpx.Client) -> None:
    (image, *_) = [example["image"] for example in proxied.get("/about").json()["examples"] if example["image"]]
    site = str(proxied.base_url).removesuffix("/").removesuffix("/mel")
    assert proxied.get(f"{site}{image}").headers["content-type"] == "image/jpeg"


def test_what_is_for_the_operator_ends_there(proxied: httpx.Client) -> None:
    assert [proxied.get("/metrics").status_code, proxied.post("/reload").status_code] == [403, 403]
    changes = ("POST", "/entities"), ("POST", "/entities/remove"), ("DELETE", "/entities/Q1")
    for answer in (proxied.request(method, path) for method, path in changes):
        assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html")  # dim's own is JSON


def test_a_large_body_ends_there(proxied: httpx.Client) -> None:
    assert proxied.post("/link", content=bytes(11_000_000)).status_code == 413
