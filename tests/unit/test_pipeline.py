"""Which pipelines can be written, and what is refused before anything is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from wsgi_sepkg.errors import ForeignFile, UsageError
from wsgi_sepkg.package import pipeline

EXAMPLE = Path(__file__).parents[2] / "examples" / "guestbook"


@pytest.fixture
def project(tmp_path):
    shutil.copytree(EXAMPLE, tmp_path / "guestbook", ignore=shutil.ignore_patterns("out"))
    return tmp_path / "guestbook"


def files(project: Path, kind: str = "copr", *targets: str) -> dict[str, bytes]:
    made = pipeline.pipeline(kind, pipeline.targets_of(str(project), targets))
    return dict(made.files)


def test_the_targets_of_the_description_are_taken_that_somebody_builds_for(project):
    trees = pipeline.targets_of(str(project), [])
    assert [t.loaded.target.name for t in trees] == ["el9", "el10", "fedora"]


def test_a_target_that_nobody_builds_for_is_refused(project):
    with pytest.raises(UsageError, match="nobody builds for debian-12"):
        pipeline.targets_of(str(project), ["debian-12"])


def test_targets_whose_files_differ_have_no_common_pipeline(project):
    with (project / "wsgi-sepkg.toml").open("a") as stream:
        stream.write("\n[target.el9.project]\nrelease = 7\n")
    with pytest.raises(UsageError) as caught:
        pipeline.targets_of(str(project), ["el9", "el10"])
    assert "guestbook.spec" in caught.value.message
    assert "[target.NAME]" in caught.value.hint
    assert pipeline.targets_of(str(project), ["el10", "fedora"])


def test_an_unknown_pipeline_is_refused(project):
    with pytest.raises(UsageError, match="no such pipeline"):
        files(project, "jenkins")


def test_a_folder_that_no_makefile_can_name_is_refused(project, tmp_path):
    (tmp_path / ".git").mkdir()
    other = project.rename(tmp_path / "guest book")
    with pytest.raises(UsageError, match="guest book"):
        files(other)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("copr", ".copr/Makefile"),
        ("packit", ".packit.yaml"),
        ("gitlab", ".gitlab-ci.yml"),
        ("github", ".github/workflows/rpm.yml"),
    ],
)
def test_a_pipeline_has_its_file_the_script_and_the_list(project, kind, name):
    made = files(project, kind)
    assert set(made) == {name, "packaging/make-srpm.sh", "packaging/archive.files"}
    assert made[name].startswith(b"# Written by wsgi-sepkg init-pipeline")


def test_the_list_names_what_is_packaged_and_nothing_that_was_generated(project):
    listed = files(project)["packaging/archive.files"].decode().splitlines()
    assert listed[0] == "."
    assert "entries/views.py" in listed
    assert not [n for n in listed if n.startswith(("packaging", "selinux", ".copr"))]
    pipeline.write(pipeline.pipeline("copr", pipeline.targets_of(str(project), [])))
    assert files(project)["packaging/archive.files"].decode().splitlines() == listed


def test_nothing_is_written_when_one_file_is_not_ours(project):
    (project / ".copr").mkdir()
    (project / ".copr" / "Makefile").write_text("srpm:\n\ttrue\n")
    before = sorted(p.relative_to(project) for p in project.rglob("*"))
    made = pipeline.pipeline("copr", pipeline.targets_of(str(project), []))
    with pytest.raises(ForeignFile, match=r"\.copr/Makefile"):
        pipeline.write(made)
    assert sorted(p.relative_to(project) for p in project.rglob("*")) == before
    pipeline.write(made, force=True)
    assert b"make-srpm.sh" in (project / ".copr" / "Makefile").read_bytes()


def test_a_second_pipeline_leaves_the_first_alone(project):
    for kind in ("copr", "gitlab", "koji"):
        pipeline.write(pipeline.pipeline(kind, pipeline.targets_of(str(project), [])))
    for name in (".copr/Makefile", ".gitlab-ci.yml", "dist-git/guestbook.spec"):
        assert (project / name).is_file()
    # Written again, nothing changes; what was edited is not overwritten.
    made = pipeline.pipeline("gitlab", pipeline.targets_of(str(project), []))
    assert [d.written for d in pipeline.write(made)] == [(), ()]
    (project / ".gitlab-ci.yml").write_text("stages: []\n")
    with pytest.raises(ForeignFile):
        pipeline.write(made)
