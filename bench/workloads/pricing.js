const rates = { standard: 0, silver: 0.05, gold: 0.1 };
const items = parameters.items.map((item) => ({ ...item, total: item.price * item.quantity }));
const net = items.reduce((sum, item) => sum + item.total, 0);
const discount = net * (rates[parameters.tier] ?? 0);
return { items, net, discount, gross: Math.round((net - discount) * 119) / 100 };
