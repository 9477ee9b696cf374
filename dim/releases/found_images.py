"""The images of a release: those that rows name, or that are called by a row's id, looked up without opening one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from dim.data.files import list_names
from dim.data.missing_images import NO_FOLDER, NamedImages, missing_sentence
from dim.data.skipped import NUM_EXAMPLES, Skipped
from dim.images.regions import split_region
from dim.images.remote import FETCHED, fetched_path
from dim.releases.base import Release
from dim.releases.image_cells import is_url
from dim.releases.image_folder import FOLDER_NAMES, ImageFolder, count_images, image_folders
from dim.releases.image_places import ImagePlaces, Place, State
from dim.releases.outside_images import folder_that_holds, name_from
from dim.releases.placeholder_images import find_placeholders

REASONS = {
    "missing": "no such file",
    "outside": "path leaves the image folder",
    "shared": "several paths lead to one file of that name",
}


@dataclass(frozen=True)
class LookedUp:
    """What `look_up_images` found.

    Attributes:
        problems: Paths that lead to no file, by reason.
        dropped: `mention` and `entity` → reason → how many named images and lost all their paths.
        named: The mentions and the entities that name images, and those of them that have none.
        has_image: [num_mentions], which mentions have an image file.
        images: [num_mentions], the images as the rows name them, without placeholders: rows that name one image
            belong together, whether it is there or not.
        said: Sentences on how the images fit the rows, for the first lines of a summary.
    """

    problems: Skipped
    dropped: Mapping[str, Mapping[str, int]]
    named: Sequence[NamedImages]
    has_image: Sequence[bool]
    images: Sequence[Sequence[str]]
    said: Sequence[str]


def look_up_images(release: Release, images: Path | None, root: Path | None = None) -> LookedUp:
    """Looks up every image path of a release, and drops in place those that must not be read.

    A path is looked up in the release's image folder and in its own, then, without its first folders, in every folder
    of images there (`ImagePlaces`). Rows that name none have the files that are called by their ids (`image_key`).
    Paths without a file stay, because the file may come later and a missing image is a state. Placeholders
    go: hundreds of captions have none. What the release knows by URL and has no file of becomes a path for what
    `dim fetch-images` gets (`image_urls`). Without an image folder, and without URLs, all paths go.

    Args:
        release: Its `images` columns, `image_root` and `notes` are put right, and its column `image_key` goes.
        images: The image folder that the user named, if any: the files are there, whatever folders the paths name.
        root: The release's folder.
    """
    owners = {"mention": release.mentions, "entity": release.entities}
    owners = {owner: table for owner, table in owners.items() if "images" in table}
    top = _top(release, images, root)
    if images is not None and root is not None:
        name_from(images, root, owners.values())
    folders = [] if top is None else image_folders(top)
    places = ImagePlaces([*filter(None, [images or release.image_root, top]), *folders])
    _name_by_key(release, places)
    found = places.find(path for table in owners.values() for paths in table["images"] for path in paths)
    base = images or release.image_root
    as_named = release.mentions["images"].tolist()
    fetched = _name_by_url(release, owners, found)
    base = base or (top if fetched else None)
    release.image_root = _image_root(base, top, {place.folder for place in found.values() if place.folder is not None})
    final = _relative(found, base, release.image_root) if release.image_root else {}
    if release.image_root:
        listed = ImageFolder(release.image_root)
        final |= {path: (listed.look_up(path), path) for path in fetched.values()}
    unused = _unused([folder for folder in (base, *folders) if folder and folder.name != FETCHED], found.values())
    placeholders = _drop_placeholders(owners, final, release.image_root)
    kept = release.mentions["images"].tolist()
    images_named = [
        [path for path in of if fetched.get(path, path) in left] for of, left in zip(as_named, kept, strict=True)
    ]
    if release.image_root is None:
        return _without_folder(release, owners, images_named, [*placeholders, *unused])
    outside = [path for path, (state, _) in final.items() if state == "outside"]
    holding = folder_that_holds(outside, root, len(outside) < len(final)) if root is not None else None
    problems, dropped = Skipped(), {}
    named = [_named_by(owner, table, final, holding, problems) for owner, table in owners.items()]
    of_mentions = release.mentions["images"].tolist() if "mention" in owners else [()] * len(release.mentions)
    has_image = [any(final[path][0] == "here" for path in paths) for paths in of_mentions]
    for of, table in zip(named, owners.values(), strict=True):
        table["images"] = [
            [final[path][1] for path in paths if final[path][0] != "outside"] for paths in table["images"]
        ]
        if lost := of.named - int(table["images"].map(bool).sum()):
            dropped[of.owner] = {REASONS["outside"]: lost}
    facts = {of.owner: of.as_json() for of in named}
    said = [*filter(None, [missing_sentence(facts)]), *placeholders, *unused]
    return LookedUp(problems, dropped, named, has_image, images_named, said)


def _named_by(
    owner: str, table: pd.DataFrame, final: Mapping[str, tuple[State, str]], holding: Path | None, problems: Skipped
) -> NamedImages:
    """What rows name and what is there of it; `problems` gets each path that is not."""
    states = [[final[path][0] for path in paths] for paths in table["images"]]
    absent = []
    for paths, of in zip(table["images"], states, strict=True):
        for path, state in zip(paths, of, strict=True):
            if state != "here":
                problems.add(REASONS[state], path)
        if paths and "here" not in of:
            absent.append((paths[0], of[0]))
    reasons = Counter(REASONS[state] for _, state in absent)
    return NamedImages(owner, sum(map(bool, states)), reasons, [path for path, _ in absent], holding)


def _top(release: Release, images: Path | None, root: Path | None) -> Path | None:
    """The folder in which everything is looked for."""
    if images is not None:
        list_names(images)
        return images
    declared = release.image_root
    if root is None or (declared is not None and not declared.resolve().is_relative_to(root.resolve())):
        return declared
    return root


def _name_by_key(release: Release, places: ImagePlaces) -> None:
    """Gives rows that name no image those that are called by their ids."""
    keys = release.mentions.pop("image_key").tolist() if "image_key" in release.mentions else []
    if not any(isinstance(key, str) for key in keys):
        return
    paths = release.mentions["images"].tolist()
    wanted = [key if isinstance(key, str) and not of else "" for key, of in zip(keys, paths, strict=True)]
    found = {key: places.by_key(key) for key in dict.fromkeys(wanted) if key}
    if release.images_by_key or any(found.values()):
        release.mentions["images"] = [
            ([place.path for place in found[key]] or [f"{key}.jpg"]) if key else of
            for key, of in zip(wanted, paths, strict=True)
        ]


def _name_by_url(release: Release, owners: Mapping[str, pd.DataFrame], found: Mapping[str, Place]) -> dict[str, str]:
    """Gives images without a file, whose URL the release says, the path that `dim fetch-images` puts them under.

    Returns:
        Image path as rows name it → that path.
    """
    urls = {path: url for path, url in release.named_urls.items() if is_url(url) and path in found}
    fetched = {path: fetched_path(url) for path, url in urls.items() if found[path].state == "missing"}
    for table in owners.values() if fetched else ():
        table["images"] = [[fetched.get(path, path) for path in paths] for paths in table["images"]]
    if fetched:
        named = {path: urls[local] for local, path in fetched.items()}
        release.image_urls |= named
        release.notes.append(f"images without a file whose URL is known: {len(named):,}; dim fetch-images gets them")
    return fetched


def _image_root(base: Path | None, top: Path | None, used: set[Path]) -> Path | None:
    """The folder that paths shall be relative to: the one that holds all, as far down as one does."""
    if used <= {base}:
        return base
    return next(iter(used)) if len(used) == 1 else top


def _relative(found: Mapping[str, Place], base: Path | None, root: Path) -> dict[str, tuple[State, str]]:
    """The state of each path, and what it is called from the image folder `root` on."""
    listed = ImageFolder(root)
    before = (
        PurePosixPath(base.relative_to(root)) if base is not None and base.is_relative_to(root) else PurePosixPath()
    )
    final: dict[str, tuple[State, str]] = {}
    for path, place in found.items():
        if place.folder is None:
            final[path] = place.state, str(before / path) if before.parts and place.state != "outside" else path
        elif place.folder == root:
            final[path] = place.state, place.path
        else:  # a folder that is a link to elsewhere is no part of the one that holds all
            whole = str(PurePosixPath(place.folder.relative_to(root)) / place.path)
            final[path] = listed.look_up(whole), whole
    return final


def _drop_placeholders(
    owners: Mapping[str, pd.DataFrame], final: Mapping[str, tuple[State, str]], root: Path | None
) -> list[str]:
    """Takes placeholders out of the tables, and names them."""
    files = {path: root / split_region(name)[0] for path, (state, name) in final.items() if root and state == "here"}
    found = find_placeholders(owners, files)
    for table in owners.values() if found else ():
        table["images"] = [[path for path in paths if split_region(path)[0] not in found] for paths in table["images"]]
    shown = ", ".join(f"{path} (for {what})" for path, what in list(found.items())[:NUM_EXAMPLES])
    return [f"placeholders are no images: {shown}; {len(found):,} in all"] if found else []


def _unused(folders: Sequence[Path], places: Iterable[Place]) -> list[str]:
    """A sentence for each folder of images that no row uses."""
    holding = {(place.folder / place.path).parent for place in places if place.folder is not None}
    idle = [folder for folder in dict.fromkeys(folders) if folder not in holding and folder.is_dir()]
    counts = {folder: count_images(folder) for folder in idle}
    return [
        f"no row uses the images in {folder} ({count:,} file{'s' * (count > 1)})"
        for folder, count in counts.items()
        if count
    ]


def _without_folder(
    release: Release, owners: Mapping[str, pd.DataFrame], images: Sequence[Sequence[str]], more: list[str]
) -> LookedUp:
    naming = {owner: int(table["images"].map(bool).sum()) for owner, table in owners.items()}
    lost = [NamedImages(owner, count, {NO_FOLDER: count}) for owner, count in naming.items() if count]
    said = more
    if lost:
        said = [
            str(missing_sentence({of.owner: of.as_json() for of in lost})),
            f"no row has its image: there is no folder {', '.join(FOLDER_NAMES)}, and no other holds one: text only; "
            "--images names another",
            *more,
        ]
    for table in owners.values():
        table["images"] = [[] for _ in range(len(table))]
    dropped = {of.owner: of.reasons for of in lost}
    return LookedUp(Skipped(), dropped, lost, [False] * len(release.mentions), images, said)
