type Kind = "length" | "weight" | "temperature";
type Unit = { kind: Kind; factor: number; offset?: number };

// value * factor + offset is metres, grams or kelvin.
const units: Record<string, Unit> = {
  mm: { kind: "length", factor: 0.001 },
  cm: { kind: "length", factor: 0.01 },
  m: { kind: "length", factor: 1 },
  km: { kind: "length", factor: 1000 },
  in: { kind: "length", factor: 0.0254 },
  ft: { kind: "length", factor: 0.3048 },
  mi: { kind: "length", factor: 1609.344 },
  g: { kind: "weight", factor: 1 },
  kg: { kind: "weight", factor: 1000 },
  oz: { kind: "weight", factor: 28.349523125 },
  lb: { kind: "weight", factor: 453.59237 },
  K: { kind: "temperature", factor: 1 },
  C: { kind: "temperature", factor: 1, offset: 273.15 },
  F: { kind: "temperature", factor: 5 / 9, offset: 459.67 * (5 / 9) },
};

export default async (input: { value: number; from: string; to: string }) => {
  const from = units[input.from], to = units[input.to];
  if (from.kind !== to.kind) {
    throw new TypeError(`${input.from} is a ${from.kind}, ${input.to} is a ${to.kind}`);
  }
  const base = input.value * from.factor + (from.offset ?? 0);
  const value = (base - (to.offset ?? 0)) / to.factor;
  return { value: Number(value.toPrecision(10)), unit: input.to };
};
