import pytest


@pytest.fixture
def make():
  """A file of 12 bits; keywords are elements, None takes one away."""
  from fixtures import dicom_files

  return dicom_files.make
