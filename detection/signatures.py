"""The exported model's contract: signature ``serving_default`` from encoded images to boxes in their own pixels.

A batch may mix images of any sizes; N is dynamic, M is the model's max_detections. Rows beyond an image's
num_detections are zero.
"""

SERVING = "serving_default"

# Input: JPEG, PNG, GIF or BMP bytes, string [N]. EXIF orientation is ignored: bake it first (detection.images).
IMAGE_BYTES = "image_bytes"

# Outputs.
BOXES = "detection_boxes"  # float32 [N, M, 4], (ymin, xmin, ymax, xmax) in pixels of each decoded image
SCORES = "detection_scores"  # float32 [N, M], falling
CLASSES = "detection_classes"  # int32 [N, M], label ids 1..K
COUNT = "num_detections"  # int32 [N]
IMAGE_SIZE = "image_size"  # int32 [N, 2], (height, width) of each decoded image
STATUS = "status"  # int32 [N], one of the two below

STATUS_OK = 0
STATUS_NOT_DECODABLE = 1
