"""OpenTelemetry: a span for each request, sent where the OTEL_* variables of the environment say (extra `otel`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from dim.display.log import log
from dim.errors import ConfigError, MissingExtraError

LOG = log("dim.serve")
#: Each of them has traces sent.
ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


class Tracing:
    """Makes spans, and sends them in a thread of its own.

    Args:
        provider: The SDK's TracerProvider.
    """

    def __init__(self, provider: Any) -> None:
        self.provider = provider

    def add_to(self, app: FastAPI) -> None:
        """Has each request be a span, of the trace that its `traceparent` names, but for OTEL_PYTHON_EXCLUDED_URLS."""
        from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
        from opentelemetry.util.http import get_excluded_urls

        app.add_middleware(
            OpenTelemetryMiddleware,
            tracer_provider=self.provider,
            default_span_details=lambda scope: (scope["method"], {}),
            excluded_urls=get_excluded_urls("ASGI"),
            exclude_spans=["receive", "send"],
        )

    def name(self, method: str, route: str) -> None:
        """Names the span of the request that is being answered: by its path, each entity would be a kind of its own."""
        from opentelemetry import trace

        span = trace.get_current_span()
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)

    def trace_id(self) -> str | None:
        """That of the request that is being answered, as logs have it."""
        from opentelemetry import trace

        context = trace.get_current_span().get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else None

    def stop(self) -> None:
        """Sends what has not been sent, and ends; waits for the receiver as long as OTEL_EXPORTER_OTLP_TIMEOUT says."""
        self.provider.shutdown()


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment says that traces shall be sent.

    Example:
        >>> is_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}), is_wanted({})
        (True, False)
        >>> is_wanted({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
        False
    """
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER")
    return exporter != "none" if exporter else any(environment.get(name) for name in ENDPOINTS)


def tracing_of(environment: Mapping[str, str] = os.environ) -> Tracing | None:
    """What sends spans where the environment says; None: it says nothing, or the extra is absent, which the log tells.

    Raises:
        ConfigError: It says what cannot be done here.
    """
    if not is_wanted(environment):
        return None
    try:
        return Tracing(_provider(environment))
    except ImportError as error:
        missing = MissingExtraError(error.name or "opentelemetry", "otel")
        LOG.warning("no traces are sent, although the environment has OTEL_ variables: %s", missing)
        return None


def _provider(environment: Mapping[str, str]) -> Any:
    import opentelemetry.instrumentation.asgi  # noqa: F401  # so that it is known now whether it is there
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    own = Resource({"service.name": "dim"})
    provider = TracerProvider(resource=Resource.create().merge(own).merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(_exporter(environment)))
    return provider


def _exporter(environment: Mapping[str, str]) -> Any:
    kind = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    protocol = next((environment[name] for name in PROTOCOLS if environment.get(name)), "http/protobuf")
    if kind == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if kind != "otlp" or protocol != "http/protobuf":
        found = f"{kind} by {protocol}" if kind == "otlp" else kind
        remedy = "Change OTEL_TRACES_EXPORTER, or OTEL_EXPORTER_OTLP_PROTOCOL; collectors take it at port 4318."
        raise ConfigError("traces sent by otlp as http/protobuf, to the console, or none", found, remedy)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
