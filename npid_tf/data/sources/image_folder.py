"""Images of files: in folders, archives, lists and other places (see places/)."""

import os

from npid_tf.data.decoding.rules import DEFAULT
from npid_tf.data.sources.contents import Contents
from npid_tf.data.sources.manifest import (
    fingerprint_of,
    first_of,
    make_manifest,
    part_of,
)
from npid_tf.data.sources.places import LeftOut, list_images
from npid_tf.data.sources.places.labels import labels_of
from npid_tf.data.sources.places.listing import UNDECODED, in_words, no_garbage
from npid_tf.data.sources.places.reading import reader
from npid_tf.data.sources.source import RandomAccess
from npid_tf.data.sources.splits import choose


@no_garbage()
def load_folder(
    places,
    split="train",
    skip_corrupt=False,
    tables=None,
    stratified=True,
    labels="folder",
    decoding=DEFAULT,
):
    """A source of the images in one or several places, in the order of their paths.

    What is left out is printed, counted by reason, and kept as `left_out`. Its `keep()`
    writes what spares later programs reading all files.

    Args:
        places: as in `list_images`: a folder of images (unlabelled) or of one
            sub-folder per class, an archive, a list, or several.
        split: `train`, or a part of it as in `train[:80%]`: of every class its share.
        skip_corrupt: leave out files that do not decode, instead of raising.
        tables: folder of what is known of files' contents (see contents.py), or None.
        stratified: False: parts are one after the other in the order of the paths.
        labels: what the classes are, as in `labels_of`.
        decoding: how images must decode.

    Raises:
        ValueError: for a folder that is missing or empty, and a file that does not
            decode (named).
    """
    places = os.fspath(places)
    listing = list_images(places)
    contents = Contents(places, tables, decoding)
    digests = contents.digest_images(listing)
    manifest = make_manifest(
        places, listing.items, digests, skip_corrupt, contents.reasons
    )
    left_out = listing.left_out + [
        LeftOut(_path_of(listing, name), UNDECODED, contents.reasons.get(name, ""))
        for name in manifest["corrupt"]
    ]
    if left_out:
        named = f": {first_of(manifest['corrupt'])}" * bool(manifest["corrupt"])
        print(f"Left out {in_words(left_out)} in {places}{named}", flush=True)
    items = [listing.items[path] for path in manifest["paths"]]
    # Of all files: a class has the same number in every part.
    numbers, class_names = labels_of(items, labels, places, listing.class_names)
    chosen = choose(len(items), split, numbers if stratified else None)
    items = [items[index] for index in chosen]
    manifest = part_of(manifest, chosen)
    contents.save()
    return RandomAccess(
        read=reader(items),
        num_instances=len(items),
        fingerprint={"name": "folder", **fingerprint_of(manifest)},
        labels=None if numbers is None else numbers[chosen],
        class_names=class_names,
        paths=[item.path for item in items],
        keep=contents.save,
        left_out=left_out,
        manifest=manifest,
    )


def _path_of(listing, name):
    item = listing.items.get(name)
    return name if item is None else item.path
