"""Compare a training step, ours and PyTorch's, in alternating turns.

  python -m benchmarks.step --json=step.json
  python -m benchmarks.step --quick --nets=unet

Networks: unet, attention_unet, ppau_unet (S alone, Table 1), appau (both
players, half of the batch unlabelled, Table 2). Peers: torch eager in both
memory formats, torch.compile unless --nocompile, and on a GPU also automatic
mixed precision, alone and with CUDA graphs, against ours in bfloat16. Ours runs
like launch.train. The last lines have the smallest ratio of times (above 1 ours
is faster) and the largest ratio of peak resident memory (above 1 ours needs
more).
"""

from absl import app, flags

from benchmarks import round_robin

_QUICK = flags.DEFINE_bool(
  "quick", False, "Small networks and few rounds: two minutes."
)
_JSON = flags.DEFINE_string("json", None, "File to write the results to.")
_WIDTH = flags.DEFINE_integer("width", 16, "Base width of S and D.")
_BATCH = flags.DEFINE_integer("batch", 16, "Images per minibatch.")
_RESOLUTION = flags.DEFINE_integer("resolution", 128, "Pixels per side.")
_NETS = flags.DEFINE_list(
  "nets", ["unet", "ppau_unet", "appau"], "Networks to compare."
)
_ROUNDS = flags.DEFINE_integer("rounds", 12, "Rounds; 3 with --quick.")
_CORES = flags.DEFINE_integer(
  "cores",
  0,
  "Number of cores for each contender; 0: all. On a busy machine, compare the "
  "CPU time on one core, where waiting threads use no time.",
)
_COMPILE = flags.DEFINE_bool("compile", True, "Include torch.compile.")
_PATIENCE = flags.DEFINE_float(
  "patience",
  300.0,
  "Seconds to compile. On a GPU all contenders compile at once, and those that "
  "take longer are left out.",
)
_AUGMENT = flags.DEFINE_bool("augment", True, "Include ours with augmentation.")


def main(argv) -> None:
  """Measure every network; print the table and the smallest ratio."""
  del argv
  device = _device()
  tables, slowest, largest = {}, (float("inf"), "none", device), (0.0, "none")
  for net in _NETS.value:
    rows = _measure(net, device)
    tables[net] = rows
    _show(net, rows)
    ratios = [row["ratio"] for row in rows if "ratio" in row]
    slowest = min(slowest, (min(ratios, default=float("inf")), net, device))
    memory = [row["ratio_memory"] for row in rows if "ratio_memory" in row]
    largest = max(largest, (max(memory, default=0.0), net))
  round_robin.write(_JSON.value, {"device": device, "nets": tables})
  print(
    f"slowest ratio to the best peer: {slowest[0]:.3f} "
    f"({slowest[1]}, {slowest[2]})"
  )
  print(f"largest ratio of memory to a peer: {largest[0]:.2f} ({largest[1]})")


def _device() -> str:
  import torch

  return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def _specs(net: str, device: str) -> dict[str, dict]:
  quick = _QUICK.value
  shape = {
    "work": "step",
    "net": net,
    "width": min(8, _WIDTH.value) if quick else _WIDTH.value,
    "batch": min(8, _BATCH.value) if quick else _BATCH.value,
    "resolution": _RESOLUTION.value,
    "steps": 1 if device == "cpu" else 20,
    "cores": _CORES.value,
  }
  per_call = 1 if device == "cpu" else 20  # like train.steps_per_call
  ours = {**shape, "by": "ours", "per_call": per_call}
  torch = {**shape, "by": "torch"}
  last = {"channels_last": True}
  specs = {
    "ours": ours,
    "torch eager": torch,
    "torch channels_last": {**torch, **last},
  }
  if _AUGMENT.value:
    specs["ours, augmenting"] = {**ours, "augment": True}
  if _COMPILE.value and not quick:
    specs["torch.compile"] = {**torch, **last, "compiled": "default"}
  if device != "cpu":
    half = {"dtype": "bfloat16"}
    specs["ours bfloat16"] = {**ours, **half}
    specs["ours bfloat16, 1 a call"] = {**ours, **half, "per_call": 1}
    specs["torch AMP"] = {**torch, **last, **half}
    for mode in ("default", "graphs") if _COMPILE.value else ():
      specs[f"torch AMP, {mode}"] = {**torch, **last, **half, "compiled": mode}
  return specs


def _measure(net: str, device: str) -> list[dict]:
  specs = _specs(net, device)
  found = round_robin.compete(
    specs,
    rounds=3 if _QUICK.value else _ROUNDS.value,
    limit=None if device == "cpu" else _PATIENCE.value,
  )
  by_name = {contender.name: contender for contender in found}
  rows = []
  for contender in found:
    spec = specs[contender.name]
    row = round_robin.row(contender, images=spec["batch"])
    # Mixed precision is compared with ours in bfloat16.
    half = spec.get("dtype") == "bfloat16"
    ours = by_name.get("ours bfloat16" if half else "ours")
    if ours is None:
      pass
    elif spec["by"] == "torch":
      row["ratio"] = round_robin.ratio(ours, contender)
      row["ratio_cpu"] = round_robin.ratio(ours, contender, key="cpu")
      row["ratio_memory"] = ours.facts["peak_mib"] / contender.facts["peak_mib"]
    elif spec.get("augment"):
      row["augmentation"] = 1 / round_robin.ratio(contender, ours) - 1
    rows.append(row)
  return rows


def _show(net: str, rows: list[dict]) -> None:
  print(f"\n{net}\n")
  lines = []
  for row in rows:
    ratio = (
      f"{row['ratio']:.2f} ({row['ratio_cpu']:.2f})" if "ratio" in row else ""
    )
    if "augmentation" in row:
      ratio = f"augmentation {row['augmentation']:+.0%}"
    share = row.get("share_of_matrix_rate")
    lines.append(
      (
        row["contender"],
        round_robin.milliseconds(row["wall_s"]),
        f"{row['cpu_s']['median'] * 1e3:.0f}",
        f"{row['images_per_s']:.1f}",
        f"{row['flops'] / 1e9:.0f}" if "flops" in row else "",
        f"{share:.0%}" if share else "",
        f"{row['peak_mib']:.0f}",
        f"{row['first_turn_s']:.1f}",
        ratio,
        f"{row['ratio_memory']:.2f}" if "ratio_memory" in row else "",
      )
    )
  round_robin.show(
    (
      "contender",
      "ms per step (quartiles)",
      "CPU ms",
      "images/s",
      "GFLOP",
      "share of the matrix rate",
      "peak MiB",
      "seconds to the first step",
      "theirs / ours (CPU time)",
      "memory, ours / theirs",
    ),
    lines,
  )


if __name__ == "__main__":
  app.run(main)
