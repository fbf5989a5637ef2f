// Which matrix a video track states for its colors. Browsers report BT.709 for streams that state none.

const NAMES = { 1: "bt709", 5: "smpte170m", 6: "smpte170m", 9: "bt2020-ncl" };
export const UNSPECIFIED = "unspecified";
const HIGH_PROFILES = [100, 110, 122, 244, 44, 83, 86, 118, 128];
const EXPLICIT_ASPECT = 255;

// A name as in VideoColorSpace, UNSPECIFIED, or null if only the decoder knows. kind: name of the configuration box;
// bytes: its content; color: DataView of the container's `colr` box, or undefined.
export function statedMatrix(kind, bytes, color) {
  const inStream = { avcC: () => ofAvc(bytes), vpcC: () => bytes[9] }[kind]?.();
  const isListed = color && String.fromCharCode(...new Uint8Array(color.buffer, color.byteOffset, 3)) === "ncl";
  const inContainer = isListed ? color.getUint16(8) : undefined;
  const stated = NAMES[inStream] ?? NAMES[inContainer];
  return stated ?? (inStream === undefined ? null : UNSPECIFIED);
}

// Matrix coefficients of the first sequence parameter set of H.264; 2 if it states none.
function ofAvc(bytes) {
  if ((bytes[5] & 31) === 0) return 2;
  const length = (bytes[6] << 8) | bytes[7];
  return ofParameterSet(new BitReader(bytes.subarray(9, 8 + length))); // after the header of the NAL unit
}

// The fields of a sequence parameter set, in their order (ITU-T H.264, 7.3.2.1.1 and E.1.1).
function ofParameterSet(bits) {
  const profile = bits.fixed(8);
  bits.fixed(16); // constraints, level
  bits.unsigned(); // id
  if (HIGH_PROFILES.includes(profile)) skipHighFields(bits);
  bits.unsigned(); // frame numbers
  const orderKind = bits.unsigned();
  if (orderKind === 0) bits.unsigned();
  if (orderKind === 1) {
    bits.fixed(1);
    bits.unsigned(); // signed numbers have the same length
    bits.unsigned();
    for (let left = bits.unsigned(); left > 0; left--) bits.unsigned();
  }
  bits.unsigned(); // reference frames
  bits.fixed(1);
  bits.unsigned(); // width
  bits.unsigned(); // height
  if (!bits.fixed(1)) bits.fixed(1); // fields
  bits.fixed(1);
  if (bits.fixed(1)) for (let i = 0; i < 4; i++) bits.unsigned(); // cropping
  return bits.fixed(1) ? ofUsabilityInformation(bits) : 2;
}

function skipHighFields(bits) {
  const chroma = bits.unsigned();
  if (chroma === 3) bits.fixed(1);
  bits.unsigned(); // bit depths
  bits.unsigned();
  bits.fixed(1);
  if (!bits.fixed(1)) return;
  for (let i = 0; i < (chroma === 3 ? 12 : 8); i++) if (bits.fixed(1)) skipScalingList(bits, i < 6 ? 16 : 64);
}

function skipScalingList(bits, size) {
  for (let i = 0, last = 8, next = 8; i < size; i++) {
    if (next !== 0) next = (last + bits.signed() + 256) % 256;
    last = next || last;
  }
}

function ofUsabilityInformation(bits) {
  if (bits.fixed(1) && bits.fixed(8) === EXPLICIT_ASPECT) bits.fixed(32);
  if (bits.fixed(1)) bits.fixed(1); // overscan
  if (!bits.fixed(1)) return 2;
  bits.fixed(4); // format, range
  if (!bits.fixed(1)) return 2;
  bits.fixed(16); // primaries, transfer
  return bits.fixed(8);
}

// Reads bits and Exp-Golomb codes; bytes that protect from start codes are left out.
class BitReader {
  constructor(bytes) {
    this.bytes = bytes.filter((byte, i) => !(byte === 3 && bytes[i - 1] === 0 && bytes[i - 2] === 0));
    this.at = 0;
  }

  fixed(count) {
    let value = 0;
    for (; count > 0; count--, this.at++) value = value * 2 + ((this.bytes[this.at >> 3] >> (7 - (this.at & 7))) & 1);
    return value;
  }

  unsigned() {
    let zeros = 0;
    while (this.fixed(1) === 0 && zeros < 32) zeros++;
    return 2 ** zeros - 1 + this.fixed(zeros);
  }

  signed() {
    const code = this.unsigned();
    return code % 2 ? (code + 1) / 2 : -code / 2;
  }
}
