"""How good detections are against the truth: COCO's numbers, thresholds, counts, mistakes; numpy over COCO's lists."""
