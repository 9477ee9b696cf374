"""The OpenAPI document, exact: with the limits of these settings, and the token."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from dim.serve.gate import is_open
from dim.serve.settings import Settings


def exact_document(app: FastAPI, settings: Settings) -> dict[str, Any]:
    """What `/openapi.json` says."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    if settings.root_path:
        document["servers"] = [{"url": settings.root_path}]
    schemas = document["components"]["schemas"]
    forms = [
        document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
        for path in ("/link/image", "/annotate/image")
    ]
    asked = [schema for name, schema in schemas.items() if name.startswith("Asked")]
    for schema in (*asked, *forms):
        for name, field in schema.get("properties", {}).items():
            _limit(name, field, settings)
    if settings.token is not None:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if settings.token is None:
                operation["responses"].pop("401", None)
            elif not is_open(path):
                operation["security"] = [{"token": []}]
            if busy := operation["responses"].get("503"):
                busy["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return document


def _limit(name: str, field: dict[str, Any], settings: Settings) -> None:
    if name == "top_k":
        field["maximum"] = settings.max_top_k
    elif name in ("questions", "spans", "images"):
        for each in (field, *field.get("anyOf", ())):
            if each.get("type") == "array":
                each["maxItems"] = settings.max_batch
    elif name in ("entities", "ids"):
        field |= {"minItems": 1, "maxItems": settings.max_entities}
    elif name in ("context", "text") and field.get("type") == "string":
        field["maxLength"] = settings.max_body_bytes
