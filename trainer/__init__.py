"""Trains RetinaNet (Lin et al. 2017, arXiv 1708.02002) on a data set, evaluates it and exports a SavedModel."""
