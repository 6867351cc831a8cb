// Pictures that a test makes up.

import { crc32, deflateSync } from "node:zlib";

/** A black picture of so many pixels a side: grey, or with 4 channels one that cannot be seen at all. */
export function blackPng(side, channels = 1) {
  const chunk = (kind, content) => {
    const body = Buffer.concat([Buffer.from(kind), content]);
    const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(content.length);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header[8] = 8; // bits of a sample
  header[9] = { 1: 0, 4: 6 }[channels]; // grey; red, green, blue and opacity
  // each row is the number of its filter, none, and its samples
  const rows = deflateSync(Buffer.alloc(side * (1 + channels * side)));
  const chunks = [chunk("IHDR", header), chunk("IDAT", rows), chunk("IEND", Buffer.alloc(0))];
  return new Uint8Array(Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...chunks]));
}
