"""What ``verify`` prints: what is the same, what may differ, what is wrong; and its status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wsgi_sepkg.package import verify
from wsgi_sepkg.package.compare import Comparison
from wsgi_sepkg.package.records import How
from wsgi_sepkg.package.verify import Verified
from wsgi_sepkg.report.verified import as_json, as_text

RECORD = Path("out/shop.provenance.json")
SAME = Comparison("shop.rpm", True, (), ())
EXPECTED = Comparison("shop.rpm", False, (("vendor", "who runs the service"),), ())
OTHER = Comparison("shop.rpm", False, (), (("require", "bash", "dash"),))


def verified(
    *comparisons: Comparison, faults: tuple[str, ...] = (), signed: tuple[str, ...] = ()
) -> Verified:
    how = How("koji", "el9")
    return Verified(RECORD, how, faults, signed, comparisons)


def test_a_package_that_comes_out_the_same_is_verified():
    assert as_text([verified(SAME)]).splitlines() == [
        f"{RECORD}: built by koji for el9",
        "  same    shop.rpm: every byte",
        "verified",
    ]


def test_a_signature_is_told_and_no_fault():
    text = as_text([verified(SAME, signed=("shop.rpm",))])
    assert "shop.rpm: every byte but the signature" in text
    assert text.endswith("\nverified")


def test_what_a_service_decides_is_named_and_explained_when_asked():
    text = as_text([verified(EXPECTED)])
    assert "differing, as expected of a service: vendor" in text
    assert "who runs the service" not in text
    assert "vendor: who runs the service" in as_text([verified(EXPECTED)], verbose=True)
    assert text.endswith("\nverified")


@pytest.mark.parametrize(
    ("one", "line"),
    [
        (verified(OTHER), "shop.rpm: require: 'bash' was built, 'dash' comes out now"),
        (verified(SAME, faults=("shop.rpm is damaged",)), "shop.rpm is damaged"),
    ],
)
def test_a_fault_is_a_failed_line_and_not_verified(one: Verified, line: str) -> None:
    assert f"  FAILED  {line}" in as_text([one]).splitlines()
    assert as_text([one]).endswith("\nNOT verified")


def test_programs_are_told_the_same():
    (data,) = json.loads(as_json([verified(EXPECTED, OTHER, faults=("x",), signed=("y",))]))
    assert (data["ok"], data["faults"], data["other-bytes-than-recorded"]) == (False, ["x"], ["y"])
    expected, other = data["packages"]
    assert expected["expected"] == [{"tag": "vendor", "why": "who runs the service"}]
    assert other["other"] == [{"tag": "require", "was": "bash", "is": "dash"}]
    assert (data["engine"], data["target"], data["record"]) == ("koji", "el9", str(RECORD))


def test_the_command_asks_about_each_record_and_ends_with_1_for_a_fault(run, tmp_path, monkeypatch):
    found = {"a": verified(SAME), "b": verified(OTHER)}
    for name in found:
        (tmp_path / f"{name}.provenance.json").touch()
    monkeypatch.setattr(verify, "verify", lambda record, *_, **__: found[record.name[0]])
    status, out, _ = run("verify", str(tmp_path))
    assert status == 1
    assert out.count("verified\n") == 2
    assert out.endswith("NOT verified\n")
    found["b"] = found["a"]
    assert run("verify", str(tmp_path), "--quiet")[:2] == (0, "")
    assert [one["ok"] for one in json.loads(run("verify", str(tmp_path), "--format", "json")[1])]


def test_a_folder_without_a_record_is_status_2_and_says_what_to_name(run, tmp_path):
    status, _, err = run("verify", str(tmp_path))
    assert status == 2
    assert "holds no provenance" in err
    assert "--outdir" in err


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"_type": "x"}', '{"predicate": {"buildDefinition": 1}}']
)
def test_a_record_that_cannot_be_read_is_status_2(run, tmp_path, text):
    (tmp_path / "a.provenance.json").write_text(text)
    status, _, err = run("verify", str(tmp_path))
    assert status == 2
    assert "is no provenance that can be read" in err
