import rates from 'vat-rates';

export type Country = keyof typeof rates;

export function vat(net: number, country: Country): number {
  return Math.round(net * rates[country] / 100);
}
