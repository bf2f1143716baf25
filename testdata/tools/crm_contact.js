// Finds a contact by e-mail and makes one where there is none.
const crm = axios.create({
  baseURL: 'https://crm.example.com/api/v3',
  headers: { 'X-Api-Key': credentials.crmKey ?? 'demo' },
  timeout: 5000,
})

const { data } = await crm.get('/contacts', { params: { email: parameters.email, fields: ['id', 'name'] } })
if (data.results.length > 0) {
  const [{ id, name }] = data.results
  return { id, name, created: false }
}

try {
  const response = await crm.post('/contacts', { email: parameters.email, name: parameters.name })
  return { id: response.data.id, name: parameters.name, created: true }
} catch (error) {
  // Somebody else was quicker: the answer names the contact.
  if (axios.isAxiosError(error) && error.response?.status === 409) {
    return { id: error.response.data.existing, name: parameters.name, created: false }
  }
  throw error
}
