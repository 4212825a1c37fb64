"""The exported model's contract: three signatures that differ in their input alone; boxes in each image's own pixels.

N is dynamic and may be 0, M is the model's max_detections. Rows beyond an image's num_detections are zero. An image
that cannot be read gets status 1 and no detections; the others of its batch are not affected.
"""

# Encoded photographs of any sizes.
SERVING = "serving_default"
# JPEG, PNG, GIF or BMP bytes, string [N]. EXIF orientation is ignored: bake it first (detection.images).
IMAGE_BYTES = "image_bytes"

# Records of a data set.
TF_EXAMPLE = "tf_example"
# Serialized tf.train.Example, string [N]; only detection.examples.ENCODED is read.
EXAMPLES = "examples"

# Photographs of one size that are decoded already, such as frames of a video.
IMAGE_TENSOR = "image_tensor"
# RGB, uint8 [N, height, width, 3]; height and width are dynamic.
IMAGES = "images"

# The one input of model.tflite and model.onnx. RGB, uint8 [1, H, W, 3], laid out as trainer.preprocess.letterbox does.
# Their outputs are detection_boxes, in pixels of the canvas and not clipped to it, detection_scores, detection_classes
# and num_detections, with N = 1.
CANVAS = "canvas"

# Outputs.
BOXES = "detection_boxes"  # float32 [N, M, 4], (ymin, xmin, ymax, xmax) in pixels of each decoded image
SCORES = "detection_scores"  # float32 [N, M], falling
CLASSES = "detection_classes"  # int32 [N, M], label ids 1..K
COUNT = "num_detections"  # int32 [N]
IMAGE_SIZE = "image_size"  # int32 [N, 2], (height, width) of each decoded image
STATUS = "status"  # int32 [N], one of the two below

STATUS_OK = 0
STATUS_NOT_DECODABLE = 1
