type Input = { body: string; signature: string; secret?: string; now: number };
type Verdict = { genuine: boolean; reason?: string };

export default function (input: Input, { credentials }: { credentials: { webhookSecret?: string } }): Verdict {
  const secret = input.secret ?? credentials.webhookSecret;
  if (!secret) throw new Error("give the credential webhookSecret");

  const header = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(input.signature);
  if (!header) return { genuine: false, reason: "the header is malformed" };
  const [, sentAt, given] = header;

  if (!equal(hmacSha256(secret, `${sentAt}.${input.body}`), given)) {
    return { genuine: false, reason: "the signature doesn't match" };
  }
  if (Math.abs(input.now - Number(sentAt)) > 300) {
    return { genuine: false, reason: "it is older than 5 minutes" };
  }
  return { genuine: true };
}

// equal takes the same time wherever the first difference is.
function equal(a: string, b: string): boolean {
  let different = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) different |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return different === 0;
}

function hmacSha256(key: string, text: string): string {
  let block = utf8(key);
  if (block.length > 64) block = sha256(block);
  const pad = (byte: number) => Array.from({ length: 64 }, (_, i) => (block[i] ?? 0) ^ byte);
  const inner = sha256([...pad(0x36), ...utf8(text)]);
  const mac = sha256([...pad(0x5c), ...inner]);
  return mac.map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function utf8(text: string): number[] {
  return [...unescape(encodeURIComponent(text))].map((c) => c.charCodeAt(0));
}

// sha256 as FIPS 180-4 describes it; its constants are the fractional bits of
// the roots of the first primes.
function sha256(message: number[]): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) {
    if (primes.every((p) => n % p !== 0)) primes.push(n);
  }
  const fraction = (x: number) => ((x - Math.floor(x)) * 2 ** 32) | 0;
  const k = primes.map((p) => fraction(Math.cbrt(p)));
  const hash = primes.slice(0, 8).map((p) => fraction(Math.sqrt(p)));

  const bits = message.length * 8;
  const padded = [...message, 0x80];
  while (padded.length % 64 !== 56) padded.push(0);
  for (let shift = 56; shift >= 0; shift -= 8) padded.push(Math.floor(bits / 2 ** shift) & 255);

  const rotate = (x: number, n: number) => (x >>> n) | (x << (32 - n));
  for (let at = 0; at < padded.length; at += 64) {
    const w: number[] = [];
    for (let i = 0; i < 64; i++) {
      if (i < 16) {
        const [a, b, c, d] = padded.slice(at + i * 4, at + i * 4 + 4);
        w[i] = (a << 24) | (b << 16) | (c << 8) | d;
        continue;
      }
      const s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ (w[i - 15] >>> 3);
      const s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ (w[i - 2] >>> 10);
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + t1) | 0, c, b, a, (t1 + t2) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((x, i) => (hash[i] = (hash[i] + x) | 0));
  }
  return hash.flatMap((x) => [x >>> 24, (x >>> 16) & 255, (x >>> 8) & 255, x & 255]);
}
