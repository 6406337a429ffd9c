"""Compare prediction, ours and PyTorch's, of one image and of batches.

  python -m benchmarks.predict --json=predict.json

A turn computes probabilities in the host's memory from uint8 images in the
host's memory, like launch.predict between reading files and writing masks. One
image is a batch of one; a folder is predicted in batches of 16.
"""

from absl import app, flags

from benchmarks import round_robin

_QUICK = flags.DEFINE_bool("quick", False, "Small networks and few rounds.")
_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_WIDTH = flags.DEFINE_integer("width", 16, "Base width of S.")
_RESOLUTION = flags.DEFINE_integer("resolution", 128, "Pixels per side.")
_NETS = flags.DEFINE_list("nets", ["unet", "ppau_unet"], "Networks to compare.")
_ROUNDS = flags.DEFINE_integer("rounds", 12, "Rounds; 3 with --quick.")


def main(argv) -> None:
  """Measure; print the table and the smallest ratio."""
  del argv
  tables, lines, slowest = {}, [], (float("inf"), "none", 0)
  for net in _NETS.value:
    for batch in (1, 16):
      rows = _measure(net, batch)
      tables[f"{net}, {batch}"] = rows
      for row in rows:
        if "ratio" in row:
          slowest = min(slowest, (row["ratio"], net, batch))
        lines.append(_line(net, batch, row))
  round_robin.show(
    ("net", "images", "contender", "ms per call (quartiles)", "theirs / ours"),
    lines,
  )
  round_robin.write(_JSON.value, {"nets": tables})
  print(
    f"slowest ratio to the best peer: {slowest[0]:.3f} "
    f"({slowest[1]}, {slowest[2]} images)"
  )


def _measure(net: str, batch: int) -> list[dict]:
  shape = {
    "work": "predict",
    "net": net,
    "width": min(8, _WIDTH.value) if _QUICK.value else _WIDTH.value,
    "batch": batch,
    "resolution": _RESOLUTION.value,
    "steps": 5 if batch == 1 else 1,
  }
  torch = {**shape, "by": "torch"}
  found = round_robin.compete(
    {
      "ours": {**shape, "by": "ours"},
      "torch eager": torch,
      "torch channels_last": {**torch, "channels_last": True},
    },
    rounds=3 if _QUICK.value else _ROUNDS.value,
  )
  rows = [round_robin.row(contender, images=batch) for contender in found]
  for row, contender in zip(rows[1:], found[1:]):
    row["ratio"] = round_robin.ratio(found[0], contender)
    row["ratio_cpu"] = round_robin.ratio(found[0], contender, key="cpu")
  return rows


def _line(net: str, batch: int, row: dict) -> tuple[str, ...]:
  ratio = ""
  if "ratio" in row:
    ratio = f"{row['ratio']:.2f} ({row['ratio_cpu']:.2f} of CPU time)"
  time = round_robin.milliseconds(row["wall_s"])
  return (net, f"{batch}", row["contender"], time, ratio)


if __name__ == "__main__":
  app.run(main)
