const customers = new Map();
const months = {};
for (const order of parameters.orders) {
  if (order.status === "cancelled") continue;
  const cents = order.items.reduce((sum, item) => sum + item.cents * item.quantity, 0);
  const customer = customers.get(order.customer) ?? { customer: order.customer, countries: [], orders: 0, cents: 0, skus: {} };
  customer.orders++;
  customer.cents += cents;
  if (!customer.countries.includes(order.country)) customer.countries.push(order.country);
  for (const { sku, quantity } of order.items) customer.skus[sku] = (customer.skus[sku] ?? 0) + quantity;
  customers.set(order.customer, customer);
  const month = order.placed.slice(0, 7);
  months[month] = (months[month] ?? 0) + cents;
}
const sorted = [...customers.values()].sort((a, b) => b.cents - a.cents || (a.customer < b.customer ? -1 : 1));
return {
  customers: sorted.map(({ skus, countries, ...rest }) => ({
    ...rest,
    countries: countries.sort().join(","),
    favourite: Object.entries(skus).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))[0][0],
  })),
  months: Object.entries(months).sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([month, cents]) => ({ month, cents })),
};
