// From decoded pixels to a student's input: canonical frame, evaluation crop, resolution, orientation.
//
// The same steps as in training (docs/evaluation.md, "Input of a deployed student"), without the JPEG.

import { resizePlane, resizeWeights } from "./resample.js";

const SMALLEST = 8; // pixels on a side
const LUMA = { bt709: [0.2126, 0.0722], "bt2020-ncl": [0.2627, 0.0593], smpte170m: [0.299, 0.114] };

// Makes inputs of decoded frames. preprocessing: as in student.json.
export class Preparer {
  constructor(preprocessing) {
    this.preprocessing = preprocessing;
    this.weights = new Map(); // the frames of a video share them
  }

  // A Uint8Array (3, R, R) of RGB. image: { width, height, aspect (of pixels), planes: Y, U, V or R, G, B as
  // { data, offset, stride, step, width, height }, matrix: null for RGB, isFullRange }. orientation: how it is turned
  // upright, { isTransposed, isFlippedDown, isFlippedRight }.
  prepare(image, orientation) {
    const { resolution, interpolation } = this.preprocessing;
    if (Math.min(image.width, image.height) < SMALLEST) throw new Error(`its frames have only ${image.width}x${image.height} pixels`);
    const size = canonicalSize(image.width * image.aspect, image.height, this.preprocessing.canonical_short_side);
    const box = evaluationBox(size, this.preprocessing);
    const planes = image.planes.map((plane) => this.resized(plane, size, box, plane.width < image.width ? 0.25 : 0));
    const channels = image.matrix === null ? planes : toRgb(planes, image.matrix, image.isFullRange);
    const [width, height] = orientation.isTransposed ? [box.height, box.width] : [box.width, box.height];
    const columns = this.cached(width, resolution, 0, resolution, interpolation);
    const rows = this.cached(height, resolution, 0, resolution, interpolation);
    const input = new Uint8Array(3 * resolution * resolution);
    channels.forEach((values, channel) => {
      const upright = oriented(new Uint8ClampedArray(values), width, height, orientation);
      const plane = { data: upright, offset: 0, stride: width, step: 1 };
      input.set(resizePlane(plane, columns, rows, Uint8ClampedArray), channel * resolution * resolution);
    });
    return input;
  }

  // shift: of chroma samples that lie on the left of the pixels they belong to.
  resized(plane, size, box, shift) {
    const columns = this.cached(plane.width, size.width, box.left, box.width, "swscale", shift);
    const rows = this.cached(plane.height, size.height, box.top, box.height, "swscale");
    return resizePlane(plane, columns, rows, Float32Array);
  }

  cached(...request) {
    const key = request.join();
    if (!this.weights.has(key)) this.weights.set(key, resizeWeights(...request));
    return this.weights.get(key);
  }
}

// { width, height } with the given short side; the long side differs from it by an even number.
export function canonicalSize(width, height, short) {
  const resize = (side) => short + 2 * roundHalfEven(((side * short) / Math.min(width, height) - short) / 2);
  return { width: resize(width), height: resize(height) };
}

// { top, left, width, height } of the region of a canonical frame that is kept.
export function evaluationBox(size, { crop, crop_fraction: fraction }) {
  const square = Math.min(size.width, size.height);
  const kept = crop === "none" ? size : { width: square, height: square };
  const shrink = (side) => side - 2 * roundHalfEven((side * (1 - fraction)) / 2);
  const [width, height] = [shrink(kept.width), shrink(kept.height)];
  return { top: (size.height - height) >> 1, left: (size.width - width) >> 1, width, height };
}

function roundHalfEven(value) {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

function toRgb([luma, blue, red], matrix, isFullRange) {
  const [kr, kb] = LUMA[matrix] ?? LUMA.smpte170m;
  const kg = 1 - kr - kb;
  const [black, lumaScale, chromaScale] = isFullRange ? [0, 1, 1] : [16, 255 / 219, 255 / 224];
  const [toRed, toBlue] = [2 * (1 - kr) * chromaScale, 2 * (1 - kb) * chromaScale];
  const [redToGreen, blueToGreen] = [(toRed * kr) / kg, (toBlue * kb) / kg];
  for (let i = 0; i < luma.length; i++) {
    const y = (luma[i] - black) * lumaScale;
    const [u, v] = [blue[i] - 128, red[i] - 128];
    luma[i] = y + toRed * v;
    blue[i] = y - blueToGreen * u - redToGreen * v;
    red[i] = y + toBlue * u;
  }
  return [luma, blue, red]; // by now R, G, B
}

// An image of pixels turned to this width and height: transposed, then flipped.
function oriented(pixels, width, height, { isTransposed, isFlippedDown, isFlippedRight }) {
  if (!isTransposed && !isFlippedDown && !isFlippedRight) return pixels;
  const turned = new Uint8ClampedArray(pixels.length);
  for (let y = 0, to = 0; y < height; y++) {
    const row = isFlippedDown ? height - 1 - y : y;
    for (let x = 0; x < width; x++, to++) {
      const column = isFlippedRight ? width - 1 - x : x;
      turned[to] = isTransposed ? pixels[column * height + row] : pixels[row * width + column];
    }
  }
  return turned;
}
