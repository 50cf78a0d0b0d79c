"""Croissant 1.1 metadata over the Parquet files: what a data set loader reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import octavo
from octavo.site.doors import address
from octavo.site.doors.dump import TABLES, Column, Table
from octavo.site.doors.linked_data import ABOUT, LICENCE

KINDS = {"text": "Text", "texts": "Text", "whole": "Integer", "figure": "Float", "flag": "Boolean"}
CROISSANT, SCHEMA = "http://mlcommons.org/croissant/", "https://schema.org/"
OWN = (
    *("arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "extract", "field"),
    *("fileProperty", "fileObject", "fileSet", "format", "includes", "isArray", "isLiveDataset"),
    *("jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
CONTEXT: dict[str, Any] = {  # the context that the format's specification asks for
    "@language": "en",
    "@vocab": SCHEMA,
    "sc": SCHEMA,
    "cr": CROISSANT,
    "rai": CROISSANT + "RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    **{name: f"cr:{name}" for name in OWN},
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
}


def metadata(made: Mapping[str, bytes], day: str) -> dict[str, Any]:
    """The metadata of tables ``made`` (path -> content), last measured on ``day``."""
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": "octavo",
        "description": ABOUT,
        "license": LICENCE,
        "url": address.page("data"),
        "version": _version(made),
        "datePublished": day,
        "creator": {"@type": "sc:Organization", "name": "The Octavo authors"},
        "citeAs": "The Octavo authors: Octavo, neural-network compression, from paper to kernel.",
        "distribution": [_file(table, made) for table in TABLES],
        "recordSet": [_records(table) for table in TABLES],
    }


def _version(made: Mapping[str, bytes]) -> str:
    """A version that changes exactly when a table does: the release, and a mark of the contents."""
    mark = hashlib.sha256(b"".join(made[f"data/{table.name}.jsonl"] for table in TABLES))
    return f"{octavo.__version__}+{mark.hexdigest()[:12]}"


def _file(table: Table, made: Mapping[str, bytes]) -> dict[str, Any]:
    body = made[f"data/{table.name}.parquet"]
    return {
        "@type": "cr:FileObject",
        "@id": f"{table.name}.parquet",
        "name": f"{table.name}.parquet",
        "description": table.about,
        "contentUrl": address.file(f"data/{table.name}.parquet"),
        "contentSize": f"{len(body)} B",
        "encodingFormat": "application/x-parquet",
        "sha256": hashlib.sha256(body).hexdigest(),
    }


def _records(table: Table) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": table.about,
        "key": {"@id": f"{table.name}/id"},
        "field": [_field(table, column) for column in table.columns],
    }


def _field(table: Table, column: Column) -> dict[str, Any]:
    many = {"isArray": True, "arrayShape": "-1"} if column.kind == "texts" else {}
    return {
        "@type": "cr:Field",
        "@id": f"{table.name}/{column.name}",
        "name": column.name,
        "description": column.about,
        "dataType": f"sc:{KINDS[column.kind]}",
        **many,
        "source": {
            "fileObject": {"@id": f"{table.name}.parquet"},
            "extract": {"column": column.name},
        },
    }
