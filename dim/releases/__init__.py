"""Published releases and users' own tables, read and prepared as dataset folders."""
