"""Data validation: reports every problem of a data set before training.

findings            findings, and the name and advice of every check
radiograph          measurements of one image and its mask
radiograph_checks   checks of one image
dataset_checks      checks of a set: counts, clinical texts, its mean image
duplicates          pairs of ids that show one image
leakage             images and patients shared by parts of a split
raw_data            measures a set from its owner's files
prepared_data       measures a set from its prepared shards
validation          runs all checks
verification        validates a set, raw or prepared, and writes the result
saved_findings      stores findings beside prepared data
html_page           shows findings with thumbnails
"""
