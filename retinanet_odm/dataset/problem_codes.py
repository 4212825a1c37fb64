"""The catalogue of the codes of problems: how severe each is, and what to do about it.

A new reason of a reject, or a new check, needs a line here and one in docs/dataset.md.
"""

from collections.abc import Mapping

from retinanet_odm.dataset.statistics import MAX_BOXES_PER_IMAGE
from retinanet_odm.labels.checks import ERROR, SUGGESTIONS, WARNING

INFO = "info"
SEVERITIES = (ERROR, WARNING, INFO)  # the most severe first

_FIX = "export the file again from the annotation tool, or correct it manually"

# What to do, by code. An image that is rejected is an error, and so is a file that cannot be read.
_ERRORS = {
    "avif_not_supported": "install Pillow 11.3 or later, or convert the images",
    "ambiguous_match": "give each annotation once, in one format, or rename the images",
    "annotation_empty": "the annotation file has no content: export it again",
    "annotation_kind_unknown": "narrow the pattern of --annotations, or export in a format that docs/dataset.md lists",
    "annotators_differ": "keep one annotation of the image, or mark one as ground truth",
    "coco_id_not_readable": f"ids must be integers or text: {_FIX}",
    "coco_id_twice": f"two entries have the same id: {_FIX}",
    "coco_unknown_category": f"the category of an object is not in the file: {_FIX}",
    "coco_unknown_image": f"the image of an annotation is not in the file: {_FIX}",
    "coordinates_are_corners": "write each bbox as [x, y, width, height]",
    "coordinates_not_relative": "write the boxes as fractions of the width and height of the image",
    "coordinates_relative": "write the boxes in pixels: multiply by the width and height of the image",
    "coco_without_name": f"an image or a category has no name: {_FIX}",
    "class_names_not_readable": "write names: [first, second, …] into data.yaml, or a name in each line of classes.txt",
    "class_without_name": "give the file with the names of the classes, such as data.yaml, by --annotations",
    "csv_not_well_formed": "the file is corrupt or truncated: export it again",
    "duplicate_image_name": "use one pattern above both folders, so that the names differ by the folder",
    "element_misplaced": f"an object, or a part of it, is not where the format has it: {_FIX}",
    "element_repeated": f"a part of the file that must be there once is repeated: {_FIX}",
    "exact_duplicate_across_splits": "keep one of the files, or both in one split by --split_group or --split_from",
    "file_changed": "the file was replaced during the job: run again, with --resume",
    "file_not_readable": "check permissions and storage, then run again",
    "flag_not_readable": f"a value must be 0 or 1: {_FIX}",
    "frame_missing_in_track": "export the video task with all frames",
    "git_lfs_pointer": "run git lfs pull where the images were cloned",
    "heif_not_supported": "pip install 'retinanet-odm[heif]', or convert the images to JPEG",
    "image_empty": "the file has 0 bytes: copy it again",
    "image_is_raw": "convert the raw image to TIFF or JPEG, at the size that was annotated",
    "image_not_annotated": "annotate the image, or leave it out: it was skipped, or only predicted",
    "image_not_decodable": "copy the file again; if it is not an image, narrow the pattern of --images",
    "image_turned": "annotate the image as it is stored: the annotation tool had turned it",
    "image_without_annotation": "add the annotation, or one without objects, or see --without_annotation",
    "image_without_name": f"an image in the file has no name: {_FIX}",
    "json_not_well_formed": "the file is corrupt or truncated: export it again",
    "label_ambiguous": "leave one attribute that names the species of a region, or name it label",
    "mask_not_readable": f"a mask cannot be decoded: {_FIX}",
    "no_labels": "annotate at least one object, or give a label map by --labels",
    "no_usable_box": "draw the boxes again, or delete them; they may belong to another image",
    "no_split_group": "change the rule of --split_group, so that it finds a group in the name of every image",
    "not_coco": "export as COCO instances, with images, annotations and categories",
    "not_in_split_list": "add a row for the image to the file of --split_from",
    "not_pascal_voc": "export as Pascal VOC, CVAT 1.1 or COCO",
    "number_not_readable": f"a coordinate is missing or not a number: {_FIX}",
    "object_without_box": "draw a box or an outline, or delete the object",
    "object_without_label": "give the object a name, or delete it",
    "points_not_readable": f"a coordinate of an outline is missing or not a number: {_FIX}",
    "predictions_not_accepted": "give --min_score to learn from predictions, or annotate the images",
    "same_label_twice": "keep one spelling, and map the other to it by --label_aliases",
    "segmented_without_objects": "export as CVAT for images or COCO, which hold outlines and masks",
    "shape_not_known": "draw the shape again as a box or a polygon",
    "structure_unexpected": f"the file is not as its tool writes it: {_FIX}",
    "size_mismatch": "give the version of the image that was annotated, or annotate this one",
    "too_many_images": "prepare the images in parts of at most 16,777,216",
    "track_without_end": "end the track on the first frame without its object, and export with all frames",
    "unknown_label": "correct the annotation, add the name to --labels, or map it by --label_aliases",
    "video_of_images": "export the task as CVAT for images 1.1",
    "video_too_long": "cut the video into shorter tasks",
    "xml_declares_entities": "annotation tools declare no entities: export it again",
    "xml_not_well_formed": "the file is corrupt or truncated: export it again",
    "xml_root_unexpected": "export as Pascal VOC, CVAT 1.1 or COCO",
    "zip_member_not_readable": "the archive is corrupt or has an unsupported form: create it again, or unpack it",
}
# Nothing is rejected, but the data may not be what the user thinks.
_WARNINGS = {
    **SUGGESTIONS,
    "annotation_without_image": "check for a misspelt or missing image, or a pattern of --images that is too narrow",
    "box_below_minimum": "nothing, if such small boxes are to be dropped; otherwise lower the minimum",
    "box_swapped": "nothing if report.html shows the boxes in the right places; else correct them",
    "box_outside_image": "correct or delete the box; it may belong to another image",
    "class_never_exhaustive": "search some training images for every object of the class, and list it for them in the"
    " file of --exhaustive: now nothing teaches what is background, so the detector finds the class everywhere",
    "duplicate_within_split": "keep one of the files: the same image counts twice",
    "exhaustive_class_never_seen": "look for a typing error in the file of --exhaustive; if the name is right, there is"
    " nothing to do",
    "exhaustive_row_unused": "compare the names with those in id_map.csv: an image without a row has all classes"
    " exhaustive, or those of the row *",
    "ignore_label_never_seen": "look for a typing error: under another label, the areas are learned as objects",
    "image_without_contrast": "look at the image: the lens was covered, the lamp failed, or the pixels were misread",
    "images_passed_over": "to use them, convert images to JPEG, PNG or TIFF, cut videos into frames, unpack archives",
    "low_anchor_recall": "train with a larger --image_size, or with --anchors=auto",
    "near_duplicate_across_splits": "keep neighbouring frames in one split: prepare with --split_group",
    "paired_across_folders": "check that these annotations are of these images, and give both the same folders",
    "paired_by_filename": "nothing if these annotations are of these images; rename the files like their images",
    "shapes_ignored": "draw boxes or outlines if these objects are to be detected: without a box they are background",
    "size_scaled": "check the boxes in the images of report.html: they were scaled to the image",
    "size_turned": "check the boxes in the images of report.html: the annotated image was rotated",
    "split_without_class": "annotate more of the class, or choose other splits by --split_group or --split_from",
    "too_many_boxes": f"the legacy TPU loader stops at more than {MAX_BOXES_PER_IMAGE} boxes: cut the image into tiles,"
    " or train with this program",
    "track_end_assumed": "check whether the object is on the last frame",
    "zero_size_box": "draw the box again, or delete it; tools that round to pixels make thin boxes vanish",
}
# For information: what was asked for, or what is usual.
_NOTES = {
    "class_not_exhaustive": "nothing, if no other images were searched for the class: elsewhere, it is neither learned"
    " as background nor evaluated",
    "boxes_clipped": "nothing: the parts outside the image were removed",
    "end_marker_added": "nothing: all pixels are there; the source may have lost the last bytes of other files, too",
    "files_passed_over": "nothing, if these files are neither images nor annotations",
    "images_without_objects": "nothing, if these images show none; otherwise annotate them: they are learned as empty",
    "pixels_scaled": "nothing, if the image looks right: its pixels were not 8-bit and were converted",
    "no_objects": "nothing: --negatives=drop requests it",
    "split_share_differs": "nothing, if it has enough images: names decide, so that no image moves when others are"
    " added, and few images or groups miss their share by chance; to choose, edit the column split in a copy of"
    " id_map.csv, and give it by --split_from",
    "tags_ignored": "nothing: tags of images and parts of objects are not detected",
}
# Codes whose problem stands for as many files, images, boxes or shapes as its value says.
COUNTED = frozenset(
    {
        "boxes_clipped",
        "files_passed_over",
        "images_passed_over",
        "paired_across_folders",
        "paired_by_filename",
        "shapes_ignored",
        "tags_ignored",
    }
)
CATALOGUE: Mapping[str, tuple[str, str]] = {
    code: (severity, suggestion)
    for severity, entries in ((ERROR, _ERRORS), (WARNING, _WARNINGS), (INFO, _NOTES))
    for code, suggestion in entries.items()
}
