"""Networks: linen, pure, NHWC, named outputs."""
