#!/usr/bin/env python3
"""Writes the CycloneDX bill of materials of one package, built for one target, to standard output.

usage: sbom.py TARGET PACKAGE

What the package is linked with, without the dependencies of tests, build scripts and macros, each with
its version, licence, source and checksum. The same lock file gives the same bytes.
"""

import json
import pathlib
import subprocess
import sys

PROJECT = pathlib.Path(__file__).resolve().parent.parent


def main(target: str, package: str) -> None:
    metadata = json.loads(cargo("metadata", "--format-version", "1", "--locked", "--filter-platform", target))
    # Metadata has the features of the whole workspace, a tree those of the package alone.
    tree = cargo("tree", "-p", package, "-e", "normal,no-proc-macro", "--target", target, "--prefix", "none", "--locked")
    built = {tuple(line.split(" ")[:2]) for line in tree.splitlines() if line}
    packages = {entry["id"]: entry for entry in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(entry["id"] for entry in metadata["packages"] if entry["name"] == package)
    edges = {}
    pending = [root]
    while pending:
        found = pending.pop()
        if found not in edges:
            linked = (dependency["pkg"] for dependency in nodes[found]["deps"])
            linked = {entry for entry in linked if (packages[entry]["name"], f"v{packages[entry]['version']}") in built}
            edges[found] = sorted(linked, key=lambda entry: reference(packages[entry]))
            pending.extend(edges[found])
    checksums = lock_file_checksums()
    parts = [component(packages[entry], checksums) for entry in edges if entry != root]
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(packages[root], checksums, kind="application")},
        "components": sorted(parts, key=lambda part: part["bom-ref"]),
        "dependencies": sorted(
            (
                {"ref": reference(packages[entry]), "dependsOn": [reference(packages[to]) for to in targets]}
                for entry, targets in edges.items()
            ),
            key=lambda dependency: dependency["ref"],
        ),
    }
    json.dump(bill, sys.stdout, indent=1)
    print()


def cargo(*arguments: str) -> str:
    return subprocess.run(["cargo", *arguments], cwd=PROJECT, check=True, stdout=subprocess.PIPE, text=True).stdout


def lock_file_checksums() -> dict[tuple[str, str], str]:
    checksums = {}
    name = version = ""
    for line in (PROJECT / "Cargo.lock").read_text().splitlines():
        key, _, value = line.partition(" = ")
        if key == "name":
            name = value.strip('"')
        elif key == "version":
            version = value.strip('"')
        elif key == "checksum":
            checksums[name, version] = value.strip('"')
    return checksums


def component(package: dict, checksums: dict, kind: str = "library") -> dict:
    part = {
        "type": kind,
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["license"]:
        part["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        part["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return part


def reference(package: dict) -> str:
    return f"pkg:cargo/{package['name']}@{package['version']}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
