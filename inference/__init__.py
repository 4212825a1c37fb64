"""The scoring job: an exported model and images in, one row for every image out."""
