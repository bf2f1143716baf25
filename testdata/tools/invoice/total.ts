import { cents, format } from 'plain-money';
import { vat, type Country } from './lib/vat';

interface Parameters {
  country: Country;
  lines: { text: string; amount: number }[];
}

export default ({ country, lines }: Parameters) => {
  const net = lines.reduce((sum, line) => sum + cents(line.amount), 0);
  const tax = vat(net, country);
  return { net: format(net), vat: format(tax), gross: format(net + tax) };
};
