"""Detection and segmentation by keras-hub, from a learned backbone."""
