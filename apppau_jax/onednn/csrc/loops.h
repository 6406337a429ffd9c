/* The loops over memory; kernels.c includes this file once for every generation
   of processors, with TARGET and NAMED defined for it.

   They visit runs of rows, in these LANES channels at a time, and the channels
   that are left one by one; so the values of a channel stay in registers. A run
   is small enough for the nearest cache. */

/* Add sum and sum of squares of each channel to `total`. */
TARGET static void NAMED(add_moments)(const norm *n, int64_t from, int64_t to,
                        double *total) {
  const int64_t c = n->channels;
  const float *restrict x = n->x;
  EACH_RUN(from, to) {
    int64_t j = 0;
    for (; j + LANES <= c; j += LANES) {
      vector sum[2] = {{0}}, square[2] = {{0}};
      for (int64_t r = first; r < last; r += 2)
        for (int k = 0; k < 2 && r + k < last; k++) {
          const vector value = AT(x, (r + k) * c + j);
          sum[k] += value;
          square[k] += value * value;
        }
      sum[0] += sum[1];
      square[0] += square[1];
      for (int k = 0; k < LANES; k++) {
        total[j + k] += sum[0][k];
        total[c + j + k] += square[0][k];
      }
    }
    for (; j < c; j++) {
      float sum = 0, square = 0;
      for (int64_t r = first; r < last; r++) {
        sum += x[r * c + j];
        square += x[r * c + j] * x[r * c + j];
      }
      total[j] += sum;
      total[c + j] += square;
    }
  }
}

TARGET static void NAMED(normalize)(const norm *n, int64_t from, int64_t to) {
  const int64_t c = n->channels;
  const int32_t relu = n->relu;
  const float *restrict x = n->x;
  float *restrict y = n->y;
  EACH_RUN(from, to) {
    int64_t j = 0;
    for (; j + LANES <= c; j += LANES) {
      const vector mean = AT(n->mean, j), bias = AT(n->bias, j);
      const vector factor = AT(n->inverse, j) * AT(n->scale, j);
      for (int64_t r = first; r < last; r++) {
        const vector value = (AT(x, r * c + j) - mean) * factor + bias;
        const bits cut = (bits)(value < (vector){0}) & -relu;
        PUT(y, r * c + j) = ONLY(~cut, value); /* NaN stays NaN */
      }
    }
    for (; j < c; j++) {
      const float mean = n->mean[j], bias = n->bias[j];
      const float factor = n->inverse[j] * n->scale[j];
      for (int64_t r = first; r < last; r++) {
        const float value = (x[r * c + j] - mean) * factor + bias;
        y[r * c + j] = relu && value < 0 ? 0 : value;
      }
    }
  }
}

/* Add sums of the slopes and of slope * normalised x to `total`. */
TARGET static void NAMED(add_slopes)(const norm *n, int64_t from, int64_t to, double *total) {
  const int64_t c = n->channels;
  const int32_t relu = n->relu;
  const float *restrict x = n->x, *restrict slope = n->slope;
  EACH_RUN(from, to) {
    int64_t j = 0;
    for (; j + LANES <= c; j += LANES) {
      const vector mean = AT(n->mean, j), bias = AT(n->bias, j);
      const vector inverse = AT(n->inverse, j);
      const vector factor = inverse * AT(n->scale, j);
      vector sum[2] = {{0}}, product[2] = {{0}};
      for (int64_t r = first; r < last; r += 2)
        for (int k = 0; k < 2 && r + k < last; k++) {
          const vector centred = AT(x, (r + k) * c + j) - mean;
          const bits passed = PASSED(relu, centred * factor + bias);
          const vector own = ONLY(passed, AT(slope, (r + k) * c + j));
          sum[k] += own;
          product[k] += own * centred;
        }
      sum[0] += sum[1];
      product[0] = (product[0] + product[1]) * inverse;
      for (int k = 0; k < LANES; k++) {
        total[j + k] += sum[0][k];
        total[c + j + k] += product[0][k];
      }
    }
    for (; j < c; j++) {
      const float mean = n->mean[j], bias = n->bias[j];
      const float factor = n->inverse[j] * n->scale[j];
      float sum = 0, product = 0;
      for (int64_t r = first; r < last; r++) {
        const float centred = x[r * c + j] - mean;
        if (relu && !(centred * factor + bias > 0)) continue;
        sum += slope[r * c + j];
        product += slope[r * c + j] * centred;
      }
      total[j] += sum;
      total[c + j] += product * n->inverse[j];
    }
  }
}

/* `dx` may be `slope`. */
TARGET static void NAMED(differentiate)(const norm *n, int64_t from, int64_t to) {
  const int64_t c = n->channels;
  const int32_t relu = n->relu;
  const float *restrict x = n->x, *slope = n->slope;
  float *dx = n->dx;
  EACH_RUN(from, to) {
    int64_t j = 0;
    for (; j + LANES <= c; j += LANES) {
      const vector mean = AT(n->mean, j), bias = AT(n->bias, j);
      const vector factor = AT(n->inverse, j) * AT(n->scale, j);
      const vector shift = AT(n->shift, j);
      const vector correction = AT(n->inverse, j) * AT(n->correction, j);
      for (int64_t r = first; r < last; r++) {
        const vector centred = AT(x, r * c + j) - mean;
        const bits passed = PASSED(relu, centred * factor + bias);
        const vector own = ONLY(passed, AT(slope, r * c + j));
        PUT(dx, r * c + j) = factor * (own - shift - centred * correction);
      }
    }
    for (; j < c; j++) {
      const float mean = n->mean[j], bias = n->bias[j], shift = n->shift[j];
      const float factor = n->inverse[j] * n->scale[j];
      const float correction = n->inverse[j] * n->correction[j];
      for (int64_t r = first; r < last; r++) {
        const float centred = x[r * c + j] - mean;
        const int passed = !relu || centred * factor + bias > 0;
        const float own = passed ? slope[r * c + j] : 0;
        dx[r * c + j] = factor * (own - shift - centred * correction);
      }
    }
  }
}

/* NaN wins, as in XLA. */
TARGET static inline float NAMED(larger)(float a, float b) {
  return a != a || a > b ? a : b;
}

TARGET static void NAMED(pool_row)(const pool *p, int64_t row) {
  const int64_t c = p->channels, line = 2 * p->columns * c;
  const float *restrict above = p->image + 2 * row * line;
  const float *restrict below = above + line;
  float *restrict result = p->result + row * p->columns * c;
  for (int64_t i = 0; i < p->columns; i++) {
    int64_t j = 0;
    for (; j + LANES <= c; j += LANES) {
      const vector a = AT(above, j), b = AT(above, c + j);
      const vector d = AT(below, j), e = AT(below, c + j);
      const vector ab = LARGER(a, b), de = LARGER(d, e);
      PUT(result, j) = LARGER(ab, de);
    }
    for (; j < c; j++)
      result[j] = NAMED(larger)(NAMED(larger)(above[j], above[c + j]),
                                NAMED(larger)(below[j], below[c + j]));
    above += 2 * c;
    below += 2 * c;
    result += c;
  }
}

TARGET static void NAMED(spread_row)(const pool *p, int64_t row) {
  const int64_t c = p->channels, line = 2 * p->columns * c;
  const float *restrict image = p->image + 2 * row * line;
  const float *restrict maximum = p->maximum + row * p->columns * c;
  const float *restrict slope = p->slope + row * p->columns * c;
  float *restrict result = p->result + 2 * row * line;
  const int64_t at[4] = {0, c, line, line + c};
  for (int64_t i = 0; i < p->columns; i++) {
    int64_t j = 0;
    for (; j + LANES <= c; j += LANES) {
      const vector most = AT(maximum, j), own = AT(slope, j);
      bits is[4], count = {0};
      for (int k = 0; k < 4; k++) {
        is[k] = (bits)(AT(image, at[k] + j) == most);
        count -= is[k];
      }
      const vector share = own / __builtin_convertvector(count, vector);
      for (int k = 0; k < 4; k++)
        PUT(result, at[k] + j) = ONLY(is[k], share);
    }
    for (; j < c; j++) {
      int count = 0;
      for (int k = 0; k < 4; k++) count += image[at[k] + j] == maximum[j];
      for (int k = 0; k < 4; k++)
        result[at[k] + j] =
            image[at[k] + j] == maximum[j] ? slope[j] / (float)count : 0;
    }
    image += 2 * c;
    result += 2 * c;
    maximum += c;
    slope += c;
  }
}

static const kernels NAMED(kernels) = {
    NAMED(add_moments),   NAMED(normalize), NAMED(add_slopes),
    NAMED(differentiate), NAMED(pool_row),  NAMED(spread_row),
};

#undef TARGET
#undef NAMED
