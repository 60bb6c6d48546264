"""What ships with a build: its SBOM (CycloneDX) and its provenance (in-toto, SLSA).

Both follow from the packages, the description and the tools alone, so that two builds of one input
have the same ones: no clock, no path, no name of a host.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsgi_sepkg import __version__, process
from wsgi_sepkg.package.compare import headers, texts

SBOM = ".cdx.json"
PROVENANCE = ".provenance.json"
BUILD_TYPE = "https://github.com/wsgi-sepkg/wsgi-sepkg/build/v1"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
# Packages that a person does not install: what rpm asks of itself.
_NOT_A_PACKAGE = re.compile(r"^(?:rpmlib|config|rtld|python)\(|^/|^\(|\.so[.0-9]*\(")


@dataclass(frozen=True)
class How:
    """How a build was made: ``root`` is the engine's name of the target ('' on this host)."""

    engine: str
    target: str
    root: str = ""
    build: str = ""


def write(
    folder: Path,
    packages: Iterable[Path],
    how: How,
    description: Path | None,
    more: Iterable[Path] = (),
) -> tuple[Path, ...]:
    """Write SBOM and provenance of ``packages`` into ``folder`` and return their paths.

    ``description`` is the file that was built from, ``more`` are files that tell about the build
    root. Without a source package among ``packages`` nothing can be said, and () is returned.
    """
    from wsgi_sepkg.package.tree import replace_files

    every = sorted(set(packages))
    sources = [p for p in every if p.name.endswith(".src.rpm")]
    built = [p for p in every if p not in sources]
    if not sources or not built:
        return ()
    name = sources[0].name.removesuffix(".src.rpm")
    files = {
        f"{name}{SBOM}": sbom(sources[0], built, how),
        f"{name}{PROVENANCE}": provenance(sources[0], built, how, description, more),
    }
    replace_files(folder, {n: text.encode() for n, text in files.items()})
    return tuple(folder / n for n in files)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def source_digests(source: Path) -> dict[str, str]:
    """Return name and SHA-256 of the files in a source package: the spec and its sources."""
    data = headers(source)
    return dict(zip(texts(data, "basenames"), texts(data, "filemd5s"), strict=True))


# -- provenance ------------------------------------------------------------------------------------


def provenance(
    source: Path, built: Iterable[Path], how: How, description: Path | None, more: Iterable[Path]
) -> str:
    """Return the provenance as an in-toto statement: what was built, from what, with what."""
    inputs = [{"name": n, "digest": {"sha256": d}} for n, d in source_digests(source).items()]
    for path in [*([description] if description else []), *more]:
        inputs.append({"name": path.name, "digest": {"sha256": sha256(path)}})
    statement = {
        "_type": STATEMENT,
        "subject": [
            {"name": p.name, "digest": {"sha256": sha256(p)}} for p in [source, *sorted(built)]
        ],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "engine": how.engine,
                    "target": how.target,
                    "root": how.root,
                },
                "resolvedDependencies": sorted(inputs, key=lambda entry: str(entry["name"])),
            },
            "runDetails": {
                "builder": {"id": f"wsgi-sepkg:{how.engine}", "version": versions(how, source)},
                "metadata": {"invocationId": how.build},
            },
        },
    }
    return json.dumps(statement, indent=1, sort_keys=True) + "\n"


def versions(how: How, source: Path) -> dict[str, str]:
    """Return the versions of the tools that took part; of a chroot, rpm's alone is known."""
    found = {"wsgi-sepkg": __version__, "rpm": " ".join(texts(headers(source), "rpmversion"))}
    if how.engine == "rpmbuild":
        found["python"] = platform.python_version()
        for tool in ("checkmodule", "m4", "make"):
            said = process.run([tool, "-V" if tool == "checkmodule" else "--version"], check=False)
            found[tool] = (said.output.splitlines() or [""])[0]
    return found


# -- SBOM ------------------------------------------------------------------------------------------


def sbom(source: Path, built: Iterable[Path], how: How) -> str:
    """Return the CycloneDX document: the packages, the files of their source, what they require."""
    from cyclonedx.contrib.license.factories import LicenseFactory
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion
    from packageurl import PackageURL
    from packaging.utils import parse_wheel_filename

    licenses = LicenseFactory()
    distro = {"distro": how.target}

    def one(path: Path) -> Component:
        data = headers(path)
        name, version = texts(data, "name")[0], texts(data, "version")[0]
        release = texts(data, "release")[0]
        arch = "src" if path == source else texts(data, "arch")[0]
        qualifiers = {"arch": arch, **distro}
        epoch = texts(data, "serial")
        if epoch:
            qualifiers["epoch"] = epoch[0]
        purl = PackageURL("rpm", None, name, f"{version}-{release}", qualifiers)
        return Component(
            name=name,
            version=f"{version}-{release}",
            type=ComponentType.APPLICATION,
            bom_ref=f"{path.name}",
            purl=purl,
            description=texts(data, "summary")[0],
            licenses=[licenses.make_from_string(texts(data, "copyright")[0])],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256(path))],
        )

    main = one(source)
    packages = {path: one(path) for path in sorted(built)}

    def of_source(name: str, digest: str) -> Component:
        hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest)]
        ref = f"source:{name}"
        if not name.endswith(".whl"):
            return Component(name=name, type=ComponentType.FILE, bom_ref=ref, hashes=hashes)
        # A wheel is installed as it is: it is a part of the packages, too.
        package, version, _, _ = parse_wheel_filename(name)
        return Component(
            name=package,
            version=str(version),
            type=ComponentType.LIBRARY,
            bom_ref=ref,
            purl=PackageURL("pypi", None, package, str(version), {"file_name": name}),
            hashes=hashes,
        )

    files = [of_source(n, digest) for n, digest in sorted(source_digests(source).items())]
    own = {c.name for c in packages.values()}
    needed: dict[str, Component] = {}
    needs: dict[Path, list[Component]] = {}
    for path in packages:
        for name in sorted(set(texts(headers(path), "requirename"))):
            if not _NOT_A_PACKAGE.search(name) and name not in own:
                needed.setdefault(
                    name,
                    Component(
                        name=name,
                        type=ComponentType.LIBRARY,
                        bom_ref=f"requires:{name}",
                        purl=PackageURL("rpm", None, name, None, distro),
                    ),
                )
                needs.setdefault(path, []).append(needed[name])
    epoch = int(texts(headers(source), "buildtime")[0])
    digest = sha256(source)
    bom = Bom(
        components=[*packages.values(), *files, *needed.values()],
        metadata=BomMetaData(
            component=main,
            timestamp=datetime.datetime.fromtimestamp(epoch, tz=datetime.UTC),
            tools=ToolRepository(
                components=[
                    Component(
                        name="wsgi-sepkg", version=__version__, type=ComponentType.APPLICATION
                    )
                ]
            ),
        ),
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"{BUILD_TYPE}#{digest}"),
    )
    bom.register_dependency(main, [*packages.values(), *files])
    for path, component in packages.items():
        bom.register_dependency(component, needs.get(path, []))
    text = make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string()
    data: Mapping[str, Any] = json.loads(text)
    return json.dumps(data, indent=1, sort_keys=True) + "\n"
