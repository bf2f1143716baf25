# The Python client of the error reference. What it adds: URL and TOKEN come from the
# environment, and the branch that the reference leaves out says on stdout that it was taken.
import os

import requests

token = os.environ["TOKEN"]

response = requests.get(
    os.environ["URL"],
    headers={"Authorization": f"Bearer {token}"}
)

if not response.ok:
    error = response.json()
    print(f"Error {error['statusCode']}: {error['message']}")
else:
    print(f"ok {response.json()['success']}")
