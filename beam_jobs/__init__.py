"""The data set job: labelled images in, a TFRecord data set out.

There is nothing here to be called from Python: its commands are the interface (docs/python.md).

Commands (`main`): `prepare` writes a data set, `check` only reports what is wrong, `labels` writes a label map, and
`export` writes a data set as COCO or YOLO (the room of this name).

Begin reading at `pipeline`, whose docstring draws the graph, then follow one image: `join` (image and annotation) →
`plan` (labels, split, id, shard) → `shards` and `records` (pixels, boxes, record) → `commit` (the files beside the
shards, dataset.json last). `prepare` is the launcher; `rows` holds what flows between the steps. `partitions` calls the
verbs for many rows at once, which cross a shuffle in `batches`; `tally` counts.
"""
