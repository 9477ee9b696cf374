"""The OpenAPI document as a page for people: it can be read without a script, and tried with one of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

LIMITS = {"minimum": "from", "maximum": "to", "maxLength": "characters up to"}  #: Of a schema, in words.
EXAMPLES = {
    "/link": {"mention": "Jordan", "context": "Jordan won six titles with the Bulls."},
    "/link/batch": {"questions": [{"mention": "Jordan"}, {"mention": "Amman", "context": "Amman, in Jordan"}]},
    "/entities": {
        "entities": [{"id": "Q1", "name": "Ada Lovelace", "aliases": ["Lovelace"], "text": "wrote a program"}]
    },
    "/entities/remove": {"ids": ["Q1"]},
    "/annotate": {"text": "Jordan won six titles with the Bulls."},
}
NIF = """@prefix nif: <http://persistence.uni-leipzig.org/nlp2rdf/ontologies/nif-core#> .
<urn:example#char=0,22> a nif:Context ; nif:isString "Jordan won six titles." .
<urn:example#char=0,6> a nif:Phrase ; nif:referenceContext <urn:example#char=0,22> ;
    nif:beginIndex 0 ; nif:endIndex 6 ; nif:anchorOf "Jordan" ."""


def api_page(document: Mapping[str, Any]) -> str:
    """The page, as HTML; its addresses are relative."""
    template = files("dim.serve").joinpath("docs/docs.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    schemas = document["components"]["schemas"]
    return environment.from_string(template).render(
        info=document["info"],
        needs_token="securitySchemes" in document["components"],
        operations=list(_operations(document)),
        schemas=[(name, _fields(schema, schemas)) for name, schema in schemas.items()],
    )


def _operations(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    root_path = document.get("servers", [{"url": ""}])[0]["url"]
    token = " -H 'Authorization: Bearer TOKEN'" if "securitySchemes" in document["components"] else ""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            body = _body(operation, document["components"]["schemas"])
            parameters = operation.get("parameters", ())
            yield {
                "in_path": [each["name"] for each in parameters if each["in"] == "path"],
                "is_form": body is not None and body["type"] == "multipart/form-data",
                "text": NIF if path == "/nif" else json.dumps(EXAMPLES.get(path, {}), indent=2),
                "method": method.upper(),
                "path": path,
                "says": operation.get("description", ""),
                "body": body,
                "example": _example(path, root_path, token),
                "answers": [(status, each["description"]) for status, each in operation["responses"].items()],
            }


def _body(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> dict[str, Any] | None:
    if "requestBody" not in operation:
        return None
    ((kind, content),) = operation["requestBody"]["content"].items()
    return {"type": kind, "fields": _fields(content["schema"], schemas)}


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[dict[str, str]]:
    if "$ref" in schema:
        schema = schemas[_named(schema)]
    required = schema.get("required", ())
    return [
        {
            "name": name,
            "kind": _kind(field),
            "default": "required" if name in required else json.dumps(field.get("default")),
            "says": field.get("description", ""),
        }
        for name, field in schema.get("properties", {}).items()
    ]


def _kind(field: Mapping[str, Any]) -> str:
    """A schema in words, such as `list of string`."""
    if "$ref" in field:
        return _named(field)
    if "anyOf" in field:
        return " or ".join(_kind(each) for each in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_kind(field['items'])}"
    if field.get("type") == "object":
        return f"object of {_kind(field['additionalProperties'])}"
    limits = [f"{word} {int(field[key]):,}" for key, word in LIMITS.items() if key in field]
    return ", ".join([str(field.get("type", "anything")), *limits])


def _named(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _example(path: str, root_path: str, token: str) -> str:
    if path not in EXAMPLES:
        return ""
    body = json.dumps(EXAMPLES[path])
    return f"curl http://127.0.0.1:8000{root_path}{path}{token} -H 'Content-Type: application/json' -d '{body}'"
