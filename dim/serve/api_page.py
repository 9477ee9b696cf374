"""The OpenAPI document as a page for people, without a script."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

EXAMPLES = {
    "/link": {"mention": "Jordan", "context": "Jordan won six titles with the Bulls."},
    "/link/batch": {"questions": [{"mention": "Jordan"}, {"mention": "Amman", "context": "Amman, in Jordan"}]},
    "/annotate": {"text": "Jordan won six titles with the Bulls."},
}


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
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield {
                "method": method.upper(),
                "path": path,
                "says": operation.get("description", ""),
                "body": _body(operation, document["components"]["schemas"]),
                "example": _example(path, root_path),
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


LIMITS = {"minimum": "from", "maximum": "to", "maxLength": "characters up to"}


def _named(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _example(path: str, root_path: str) -> str:
    if path not in EXAMPLES:
        return ""
    body = json.dumps(EXAMPLES[path])
    return f"curl http://127.0.0.1:8000{root_path}{path} -H 'Content-Type: application/json' -d '{body}'"
