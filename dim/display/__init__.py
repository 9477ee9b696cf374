"""Texts of strangers where people read them: one door a medium, behind which every text is shown as text.

`visible` is for texts of any medium, `terminal` prints, `log` records, `markdown` and `spreadsheet` write files. Pages
of HTML escape by themselves (Jinja with autoescape, the browser's text nodes), plots by `text.parse_math: False`.
"""
