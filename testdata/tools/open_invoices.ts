interface Invoice {
  id: string
  due: number
}

const url = new URL('https://billing.example.com/v2/invoices')
url.searchParams.set('customer', parameters.customer)
url.searchParams.set('status', 'open')

const invoices: Invoice[] = []
for (let page = 1; page <= 20; page++) {
  url.searchParams.set('page', String(page))
  const response = await fetch(url, { headers: { accept: 'application/json' } })
  if (response.status === 404) break
  if (!response.ok) throw new Error(`the billing service answered ${response.status}: ${await response.text()}`)
  invoices.push(...(await response.json()) as Invoice[])
  if (!response.headers.get('link')?.includes('rel="next"')) break
}
return { invoices: invoices.map(({ id }) => id), due: invoices.reduce((sum, { due }) => sum + due, 0) }
