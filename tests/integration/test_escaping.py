"""Through the real m4 and compiler: a hostile text or path leaves the compiled policy as it is."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest
from policy_tools import HLL_PP, compile_module, include_folder, rendered

pytestmark = pytest.mark.integration

DATA = Path(__file__).parent.parent / "data"
TEXTS: dict[str, str] = tomllib.loads((DATA / "hostile-texts.toml").read_text(encoding="utf-8"))
HOST = "debian-12"
INCLUDE = include_folder(HOST)

if INCLUDE is None or not Path(HLL_PP).exists():
    pytest.skip("no policy headers on this host", allow_module_level=True)


def compiled(text: str, folder: Path) -> str:
    """Return the CIL of the description in which every text is ``text``."""
    folder.mkdir()
    file = folder / "wsgi-sepkg.toml"
    template = (DATA / "hostile.toml").read_text(encoding="utf-8")
    # rpm refuses a summary that begins like a directive, and so does the description.
    said = template.replace("@SUMMARY@", json.dumps(f"book {text}"))
    file.write_text(said.replace("@TEXT@", json.dumps(text)), encoding="utf-8")
    return cil(file, folder)


def cil(file: Path, folder: Path) -> str:
    assert INCLUDE is not None
    module = rendered(file, HOST, folder)
    compile_module(folder, module.policy.module, INCLUDE)
    done = subprocess.run(
        [HLL_PP, module.package], text=True, capture_output=True, timeout=60, check=True
    )
    return done.stdout


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compiled("plain", tmp_path_factory.mktemp("plain") / "x")


def test_the_plain_policy_has_what_the_description_says(plain: str) -> None:
    assert "(booleanif " in plain
    assert "guestbook_metrics" in plain
    assert plain.count("(filecon ") == 4


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_a_hostile_text_leaves_the_compiled_policy_as_it_is(
    name: str, plain: str, tmp_path: Path
) -> None:
    folder = tmp_path / "x"
    assert compiled(TEXTS[name], folder) == plain
    assert not [p for p in folder.rglob("*") if p.name == "here"]


PATHS = [
    "/srv/include",
    "/srv/dnl",
    "/srv/dnl/x",
    "/opt/define/len",
    "/srv/template/interface",
    "/srv/index/format-eval",
    "/srv/ifdef.unix",
    "/srv/gen_context",
    "/srv/read_file_perms/can_exec",
    "/srv/c++/a-b_c@d",
]


def test_paths_of_m4_words_come_out_as_they_were_written(tmp_path: Path) -> None:
    head = (DATA / "hostile.toml").read_text(encoding="utf-8").partition("[path]")[0]
    contexts = "".join(
        f"\n[[file-context]]\npattern = '{path}/said/define(/.*)?'\n"
        'type = "etc_t"\nreason = "x"\n'
        for path in ("/srv/syscmd", "/opt/dnl")
    )
    file = tmp_path / "wsgi-sepkg.toml"
    file.write_text(
        head.replace("@SUMMARY@", '"x"') + f"[path]\ndata = {json.dumps(PATHS)}\n" + contexts,
        encoding="utf-8",
    )
    out = cil(file, tmp_path / "out")
    written = {line.split('"')[1] for line in out.splitlines() if line.startswith("(filecon ")}
    literal = {path.replace(".", r"\.").replace("+", r"\+") for path in PATHS}
    said = {"/srv/syscmd/said/define(/.*)?", "/opt/dnl/said/define(/.*)?"}
    assert {pattern.replace("\\\\", "\\") for pattern in written} == {
        f"{path}(/.*)?" for path in literal
    } | said
