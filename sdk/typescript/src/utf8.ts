/** UTF-8 by what every engine has: QuickJS has neither TextEncoder nor TextDecoder. */

// The most arguments that are passed to one call.
const PART = 8192;

/** Bytes as a text of the characters U+0000 to U+00FF. */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += PART) {
    text += String.fromCharCode.apply(null, bytes.subarray(at, at + PART) as unknown as number[]);
  }
  return text;
}

/** Whether a `latin1` text is the same in UTF-8. */
export const isAscii = (text: string): boolean => !/[\x80-\xff]/.test(text);

/** The text that a `latin1` text is in UTF-8. Throws a `URIError` if it is not UTF-8. */
export function fromLatin1(text: string): string {
  // `escape` writes each character below U+0100 as one byte, and `decodeURIComponent` reads bytes as UTF-8.
  return isAscii(text) ? text : decodeURIComponent(escape(text));
}

/** Decodes UTF-8. Throws a `URIError` for bytes that are not. */
export function decodeUtf8(bytes: Uint8Array): string {
  return fromLatin1(latin1(bytes));
}

/** Encodes as UTF-8; a lone surrogate becomes U+FFFD, as everywhere on the web. */
export function encodeUtf8(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length * 3);
  let end = 0;
  for (let at = 0; at < text.length; at++) {
    let code = text.charCodeAt(at);
    if (code < 0x80) {
      bytes[end++] = code;
      continue;
    }
    if (code >= 0xd800 && code < 0xe000) {
      const low = code < 0xdc00 ? text.charCodeAt(at + 1) : NaN;
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        at++;
      } else {
        code = 0xfffd;
      }
    }
    if (code < 0x800) {
      bytes[end++] = 0xc0 | (code >> 6);
    } else {
      if (code < 0x10000) {
        bytes[end++] = 0xe0 | (code >> 12);
      } else {
        bytes[end++] = 0xf0 | (code >> 18);
        bytes[end++] = 0x80 | ((code >> 12) & 63);
      }
      bytes[end++] = 0x80 | ((code >> 6) & 63);
    }
    bytes[end++] = 0x80 | (code & 63);
  }
  return bytes.slice(0, end);
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Base64 of bytes. */
export function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const [a = 0, b, c] = bytes.subarray(at, at + 3);
    const bits = (a << 16) | ((b ?? 0) << 8) | (c ?? 0);
    text +=
      DIGITS[bits >> 18]! +
      DIGITS[(bits >> 12) & 63]! +
      (b === undefined ? "=" : DIGITS[(bits >> 6) & 63]!) +
      (c === undefined ? "=" : DIGITS[bits & 63]!);
  }
  return text;
}
