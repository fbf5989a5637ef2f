// Separable resampling of planes of pixels, with the weights of Pillow and of FFmpeg's swscale.
//
// Canvas smoothing differs from both, and from browser to browser; a student must get the pixels it was trained on.

const cubic = (a) => (x) =>
  x < 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
const KERNELS = {
  bicubic: { radius: 2, weight: cubic(-0.5), isFolded: false },
  bilinear: { radius: 1, weight: (x) => Math.max(0, 1 - x), isFolded: false },
  swscale: { radius: 2, weight: cubic(-0.6), isFolded: true },
};

// Weights that resize `source` pixels to `target` ones with antialiasing, for the `count` targets from `first` on.
// kernel: bicubic or bilinear, as in Pillow; or swscale, its bicubic, which repeats border pixels.
// shift: of the targets, in source pixels. Returns { starts (count), weights (count * size), size }.
export function resizeWeights(source, target, first, count, kernel, shift = 0) {
  const { radius, weight, isFolded } = KERNELS[kernel];
  const scale = source / target;
  const stretch = Math.max(scale, 1);
  const size = Math.min(source, Math.floor(2 * radius * stretch) + 1);
  const starts = new Int32Array(count);
  const weights = new Float64Array(count * size);
  for (let i = 0; i < count; i++) {
    const center = (first + i + 0.5) * scale - 0.5 + shift;
    const low = Math.ceil(center - radius * stretch);
    const high = Math.floor(center + radius * stretch);
    const start = Math.max(0, Math.min(low, source - size));
    const row = weights.subarray(i * size, (i + 1) * size);
    let sum = 0;
    for (let j = low; j <= high; j++) {
      const inside = Math.max(0, Math.min(j, source - 1));
      if (inside !== j && !isFolded) continue;
      const value = weight(Math.abs(j - center) / stretch);
      row[inside - start] += value;
      sum += value;
    }
    for (let j = 0; j < size; j++) row[j] /= sum;
    starts[i] = start;
  }
  return { starts, weights, size };
}

// Resize a plane. plane: { data, offset, stride, step } in elements; columns, rows: weights of resizeWeights, of four
// targets or more. Levels: the array type of the result (rows.count, columns.count) and of what is between the two
// directions: Float32Array, or Uint8ClampedArray to round to whole levels after each, as Pillow does.
export function resizePlane(plane, columns, rows, Levels) {
  const width = columns.starts.length;
  const top = rows.starts[0];
  const height = rows.starts[rows.starts.length - 1] + rows.size - top;
  const narrow = new Levels(height * width);
  const first = { ...plane, offset: plane.offset + top * plane.stride };
  narrowRows(first, columns, narrow, height);
  return mixRows(narrow, width, top, rows, new Levels(rows.starts.length * width));
}

// Resize rows to the width of the targets, four rows at a time: processors add four independent sums at once.
function narrowRows({ data, offset, stride, step }, { starts, weights, size }, narrow, height) {
  const width = starts.length;
  for (let y = 0; y < height; y += 4) {
    const row = Math.min(y, height - 4);
    const [one, two, three] = [stride, 2 * stride, 3 * stride];
    for (let x = 0, w = 0; x < width; x++) {
      let [a, b, c, d] = [0, 0, 0, 0];
      let at = offset + row * stride + starts[x] * step;
      for (const end = w + size; w < end; w++, at += step) {
        const weight = weights[w];
        a += weight * data[at];
        b += weight * data[at + one];
        c += weight * data[at + two];
        d += weight * data[at + three];
      }
      const to = row * width + x;
      narrow[to] = a;
      narrow[to + width] = b;
      narrow[to + 2 * width] = c;
      narrow[to + 3 * width] = d;
    }
  }
}

// Resize columns, four at a time.
function mixRows(narrow, width, top, { starts, weights, size }, mixed) {
  for (let y = 0; y < starts.length; y++) {
    const from = (starts[y] - top) * width;
    for (let x = 0; x < width; x += 4) {
      const column = Math.min(x, width - 4);
      let [a, b, c, d] = [0, 0, 0, 0];
      for (let w = y * size, at = from + column; w < (y + 1) * size; w++, at += width) {
        const weight = weights[w];
        a += weight * narrow[at];
        b += weight * narrow[at + 1];
        c += weight * narrow[at + 2];
        d += weight * narrow[at + 3];
      }
      const to = y * width + column;
      mixed[to] = a;
      mixed[to + 1] = b;
      mixed[to + 2] = c;
      mixed[to + 3] = d;
    }
  }
  return mixed;
}
