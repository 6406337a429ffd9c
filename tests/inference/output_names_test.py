"""Names of predictions: those of the images, and never the same twice."""

import pytest

from apppau_jax.inference import output_names


def _stems(tmp_path, names, earlier=(), there=()):
  for stem in there:
    path = tmp_path / f"{stem}_mask.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
  stems = output_names.output_stems(
    names, earlier=earlier, output=tmp_path, kind="mask"
  )
  return [stems[name] for name in names]


@pytest.mark.parametrize(
  ("names", "stems"),
  [
    (["film.png"], ["film"]),
    (["film.png", "film.tif"], ["film_png", "film_tif"]),
    (["film.png", "Film.PNG"], ["film_png", "Film_PNG-2"]),
    (["a/film.png", "b/film.dcm"], ["a/film", "b/film"]),
    (["CR.1.2.1", "CR.1.2.2", "IM1"], ["CR.1.2.1", "CR.1.2.2", "IM1"]),
    (["film", "film.png"], ["film", "film_png"]),
    (["film.IMA", "x [1].png", "-a%#.png"], ["film", "x [1]", "-a%#"]),
    (
      ["film.png", "film.jpg", "film_png.tif"],
      ["film_png", "film_jpg", "film_png_tif"],
    ),
  ],
)
def test_the_suffix_enters_only_where_two_would_collide(tmp_path, names, stems):
  assert _stems(tmp_path, names) == stems


@pytest.mark.parametrize(
  ("names", "earlier", "there", "stems"),
  [
    # The name that earlier versions gave.
    (["film.png"], ["film.png"], ["film_png"], ["film_png"]),
    # A second film of the name: the first keeps its files.
    (["film.jpg"], ["film.png"], ["film"], ["film_jpg"]),
    (["a.jpg", "a.png"], ["a.png"], ["a"], ["a_jpg", "a"]),
    # A mask that is gone is made again.
    (["film.png"], ["film.png"], [], ["film"]),
  ],
)
def test_files_of_earlier_calls_keep_their_names(
  tmp_path, names, earlier, there, stems
):
  assert _stems(tmp_path, names, earlier, there) == stems
