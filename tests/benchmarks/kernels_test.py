"""Kernels are counted in the body of the loop, by what they compute."""

from benchmarks import kernels

PROGRAM = """
HloModule jit_call

%sum (a: f32[], b: f32[]) -> f32[] {
  ROOT %c = f32[] add(%a, %b)
}

%fused_sums (p: f32[8,4]) -> (f32[4], f32[4]) {
  %p = f32[8,4]{1,0} parameter(0)
  ROOT %r = f32[4]{0} reduce(%p, %zero), dimensions={0}, to_apply=%sum
}

%fused_add (p: f32[8]) -> f32[8] {
  ROOT %r = f32[8]{0} add(%p, %p)
}

%body (s: (s32[], f32[8])) -> (s32[], f32[8]) {
  %s = (s32[], f32[8]{0}) parameter(0)
  %g = f32[8]{0} get-tuple-element(%s), index=1
  %conv = (f32[8]{0}, u8[0]{0}) custom-call(%g), target="__cudnn$convForward"
  %dot = f32[8]{0} fusion(%g), kind=kCustom, calls=%gemm_fusion_dot
  %both = (f32[4]{0}, /*index=1*/f32[4]{0}) fusion(%g), calls=%fused_sums
  %more = f32[8]{0} fusion(%g), kind=kLoop, calls=%fused_add
  %again = f32[8]{0} fusion(%g), kind=kLoop, calls=%fused_add
  %b = f32[8,1]{1,0} bitcast(%more)
  %copy = f32[8]{0} copy(%b)
  ROOT %t = (s32[], f32[8]{0}) tuple(%i, %copy)
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  %outside = f32[8]{0} fusion(%x), kind=kLoop, calls=%fused_add
  %w = (s32[], f32[8]{0}) while(%start), condition=%cond, body=%body
  ROOT %y = f32[8]{0} get-tuple-element(%w), index=1
}
"""


def test_a_step_of_a_loop():
  assert kernels.count(PROGRAM) == {
    "convolution": 1,
    "copy": 1,
    "elementwise": 2,
    "matrix": 1,
    "reduction": 1,
  }


def test_a_single_step():
  alone = PROGRAM.replace("body=%body", "")
  assert kernels.count(alone) == {"elementwise": 1}
