"""From the bytes of an image file to uint8 RGB, in graphs of stock ops or by Pillow.

The rules of `rules.py` hold for both; `headers.py` tells which files TensorFlow's ops
read as Pillow does. All others are Pillow's.
"""
