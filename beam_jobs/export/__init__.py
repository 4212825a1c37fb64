"""`export`: a data set that `prepare` wrote, as COCO or YOLO.

Begin with `launch`, which checks the request, then `pipeline`, whose docstring draws the graph. `shards` writes what
comes of a shard, `formats` says how an image is written in each format, `names` how its file is called, and `commit`
writes what is beside the images, export.json last.
"""
