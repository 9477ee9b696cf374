"""A linker over HTTP: `dim serve`. The parts need the extra `serve`; `command` says so where it is absent."""
