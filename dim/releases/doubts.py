"""What a user should look at in rows that were read as they are."""

from __future__ import annotations

from dim.releases.base import Release
from dim.releases.mention_rows import NilLabels

FAR = 300  #: Characters: about what the 77 tokens of CLIP hold.


def doubts_about(release: Release, nil: NilLabels) -> list[str]:
    """Notes on answers that may mean NIL, and on where mentions stand in their contexts."""
    notes = []
    if nil.met:
        shown = ", ".join(nil.met)
        notes.append(f"answers that mean NIL elsewhere were read as ids: {shown}; --nil_labels names those that do")
    table = release.mentions
    rows = zip(table["id"], table["mention"], table["context"], table["start"].isna(), strict=True)
    # One that stands there once has its place.
    twice = [mention_id for mention_id, mention, context, untold in rows if untold and mention and mention in context]
    if twice:
        notes.append(
            f"names that stand in their context more than once, and no offset says which is meant: {len(twice):,}, "
            f"first {twice[0]}"
        )
    far = table["id"][table["start"].fillna(0) > FAR].tolist()
    if far:
        notes.append(
            f"mentions that stand more than {FAR} characters into their context: {len(far):,}, first {far[0]}; "
            "where the text encoder does not read so far (CLIP: 77 tokens), the context is cut around the mention"
        )
    return notes
