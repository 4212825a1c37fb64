"""The keys of a record's features, and the versions of the schema. Renaming a key changes the format.

See CONTRIBUTING.md, "The record schema".
"""

SCHEMA_VERSION = 1  # of a data set that knows everything of all its images
# Of a data set with images of which something is not known: their records have some of the keys of PARTIAL_KINDS.
PARTIAL_SCHEMA_VERSION = 2
SCHEMA_VERSIONS = (SCHEMA_VERSION, PARTIAL_SCHEMA_VERSION)

ENCODED = "image/encoded"
FORMAT = "image/format"
HEIGHT = "image/height"
WIDTH = "image/width"
FILENAME = "image/filename"
SOURCE_ID = "image/source_id"
SHA256 = "image/key/sha256"
YMIN = "image/object/bbox/ymin"
XMIN = "image/object/bbox/xmin"
YMAX = "image/object/bbox/ymax"
XMAX = "image/object/bbox/xmax"
TEXT = "image/object/class/text"
LABEL = "image/object/class/label"
AREA = "image/object/area"
IS_CROWD = "image/object/is_crowd"
DIFFICULT = "image/object/difficult"
TRUNCATED = "image/object/truncated"
OCCLUDED = "image/object/occluded"

BOX_KEYS = (YMIN, XMIN, YMAX, XMAX)
# The keys by the kind of their list, a field of example.proto's Feature.
KINDS = {
    "bytes_list": (ENCODED, FORMAT, FILENAME, SOURCE_ID, SHA256, TEXT),
    "int64_list": (HEIGHT, WIDTH, LABEL, IS_CROWD, DIFFICULT, TRUNCATED, OCCLUDED),
    "float_list": (*BOX_KEYS, AREA),
}

# Classes of which the image may show objects without a box.
NOT_EXHAUSTIVE_LABEL = "image/not_exhaustive/class/label"
NOT_EXHAUSTIVE_TEXT = "image/not_exhaustive/class/text"
# Areas in which nobody has looked for objects.
IGNORED_YMIN = "image/ignored/bbox/ymin"
IGNORED_XMIN = "image/ignored/bbox/xmin"
IGNORED_YMAX = "image/ignored/bbox/ymax"
IGNORED_XMAX = "image/ignored/bbox/xmax"

IGNORED_KEYS = (IGNORED_YMIN, IGNORED_XMIN, IGNORED_YMAX, IGNORED_XMAX)
# Keys that a record has only where they have values.
PARTIAL_KINDS = {
    "bytes_list": (NOT_EXHAUSTIVE_TEXT,),
    "int64_list": (NOT_EXHAUSTIVE_LABEL,),
    "float_list": IGNORED_KEYS,
}
