"""Images of files: in folders, archives, lists and other places (see places/)."""

import hashlib
import json
import os

from npid_tf.data.sources.contents import Contents
from npid_tf.data.sources.manifest import (
    check_same_contents,
    check_same_files,
    first_of,
    make_manifest,
    read_manifest,
    write_manifest,
)
from npid_tf.data.sources.places import LeftOut, list_images
from npid_tf.data.sources.places.labels import labels_of
from npid_tf.data.sources.places.listing import in_words
from npid_tf.data.sources.places.reading import reader
from npid_tf.data.sources.source import RandomAccess, digest_of
from npid_tf.data.sources.splits import choose


def load_folder(
    places,
    split="train",
    manifest_path=None,
    skip_corrupt=False,
    tables=None,
    stratified=True,
    labels="folder",
):
    """A source of the images in one or several places, in the order of their paths.

    What is left out is printed, counted by reason, and kept as `left_out`. Its
    `keep(manifest_path)` writes what spares later programs reading all files, and the
    manifest of a run that begins.

    Args:
        places: as in `list_images`: a folder of images (unlabelled) or of one
            sub-folder per class, an archive, a list, or several.
        split: `train`, or a part of it as in `train[:80%]`: of every class its share.
        manifest_path: where path -> index is saved at the first call and read
            afterwards, so that indices never move.
        skip_corrupt: leave out files that do not decode, instead of raising.
        tables: folder of what is known of files' contents (see contents.py), or None.
        stratified: False: parts are one after the other in the order of the paths.
        labels: what the classes are, as in `labels_of`.

    Raises:
        ValueError: for a folder that is missing or empty, a file that does not decode
            (named), or files that came, went or changed since the manifest was written.
    """
    places = os.fspath(places)
    listing = list_images(places)
    contents = Contents(places, tables)
    has_manifest = manifest_path and os.path.exists(manifest_path)
    if has_manifest:
        manifest = read_manifest(manifest_path)
        check_same_files(places, manifest, listing.items)
        listing.items = {path: listing.items[path] for path in manifest["paths"]}
        digests = contents.digest_images(listing)
        check_same_contents(places, manifest, digests)
    else:
        digests = contents.digest_images(listing)
        manifest = make_manifest(
            places, listing.items, digests, skip_corrupt, contents.reasons
        )
    left_out = listing.left_out + [
        LeftOut(path, "files that do not decode", contents.reasons.get(path, ""))
        for path in manifest["corrupt"]
    ]
    if left_out:
        named = f": {first_of(manifest['corrupt'])}" * bool(manifest["corrupt"])
        print(f"Left out {in_words(left_out)} in {places}{named}", flush=True)

    def keep(manifest_path=None):
        contents.save()
        if manifest_path:
            write_manifest(manifest_path, manifest)

    items = [listing.items[path] for path in manifest["paths"]]
    # Of all files: a class has the same number in every part.
    numbers, class_names = labels_of(items, labels, places, listing.class_names)
    chosen = choose(len(items), split, numbers if stratified else None)
    items = [items[index] for index in chosen]
    paths = [manifest["paths"][index] for index in chosen]
    keep(None if has_manifest else manifest_path)
    sizes = [manifest["sizes"][path] for path in paths]
    return RandomAccess(
        read=reader(items),
        num_instances=len(items),
        fingerprint={
            "name": "folder",
            "num_instances": len(paths),
            "sha256": hashlib.sha256(json.dumps([paths, sizes]).encode()).hexdigest(),
            "contents": digest_of([digests[path] for path in paths]),
        },
        labels=None if numbers is None else numbers[chosen],
        class_names=class_names,
        paths=[item.path for item in items],
        keep=keep,
        left_out=left_out,
    )
