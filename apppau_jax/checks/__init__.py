"""The doctor: what is wrong with a set, all of it, before training on it.

findings          what was found, and every check's name
film              what is measured of one image and its mask
pictures, masks   checks of one film
collection        checks of a set: counts, clinical texts
likeness, leaks   one picture under two names; what parts of a split share
raw, prepared     a set's films, from the owner's files or from the shards
verdict           the findings beside the data, for who trains on them
page              the suspects to look at
"""
