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
  const size = Math.min(source, 2 * Math.ceil(radius * stretch) + 1);
  const starts = new Int32Array(count);
  const weights = new Float32Array(count * size);
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

// Resize a plane. plane: { data, offset, stride, step } in elements; columns, rows: weights of resizeWeights.
// Levels: the array type of the result (rows.count, columns.count) and of what is between the two directions:
// Float32Array, or Uint8ClampedArray to round to whole levels after each, as Pillow does.
export function resizePlane(plane, columns, rows, Levels) {
  const width = columns.starts.length;
  const top = rows.starts[0];
  const bottom = rows.starts[rows.starts.length - 1] + rows.size;
  const narrow = new Levels((bottom - top) * width);
  for (let y = top; y < bottom; y++) {
    resizeRow(plane.data, plane.offset + y * plane.stride, plane.step, columns, narrow, (y - top) * width);
  }
  return mixRows(narrow, width, top, rows, Levels);
}

function resizeRow(data, from, step, { starts, weights, size }, target, to) {
  for (let x = 0, w = 0; x < starts.length; x++) {
    let sum = 0;
    let at = from + starts[x] * step;
    for (const end = w + size; w < end; w++, at += step) sum += weights[w] * data[at];
    target[to + x] = sum;
  }
}

function mixRows(narrow, width, top, { starts, weights, size }, Levels) {
  const mixed = new Levels(starts.length * width);
  const sums = new Float32Array(width);
  for (let y = 0; y < starts.length; y++) {
    sums.fill(0);
    for (let k = 0; k < size; k++) {
      const weight = weights[y * size + k];
      if (weight === 0) continue;
      const from = (starts[y] - top + k) * width;
      for (let x = 0; x < width; x++) sums[x] += weight * narrow[from + x];
    }
    mixed.set(sums, y * width);
  }
  return mixed;
}
