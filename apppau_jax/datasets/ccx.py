"""The paper's fourth set: Montgomery, Shenzhen and JSRT combined.

`Dataset("ccx")`, which training uses, is a view over the three prepared sets.
`builder.builder_class("ccx")` is a TFDS builder that writes the same examples
from the three raw sets into shards of its own, for users of TFDS.
"""

from apppau_jax.datasets import stratified_split

NAME = "ccx"
MEMBERS = ("montgomery", "shenzhen", "jsrt")
PAPER_COUNTS = (615, 69, 228)


def moved_to_training(test: list[str], *, seed: int) -> str:
  """Returns the Shenzhen test image that `ccx` trains on.

  The test parts of the three sets hold 229 images together. Table 3 of the
  paper has 228 for their union, and one image more for training.

  Args:
    test: the test part of Shenzhen under split `paper`.
    seed: of the split.
  """
  return stratified_split.lowest(test, salt=f"{seed}:ccx", count=1)[0]
