// The JavaScript client of the error reference. What it adds: URL and TOKEN come from the
// environment, each branch says on stdout that it was taken, and "wait and retry" does.

const { URL: url, TOKEN: token } = process.env;

async function main() {
  try {
    const response = await fetch(url, {
      headers: { Authorization: `Bearer ${token}` },
    });

    if (!response.ok) {
      const error = await response.json();
      console.error(`Error ${error.statusCode}: ${error.message}`);

      if (response.status === 401) {
        // Redirect to login
        console.log("login");
      } else if (response.status === 429) {
        const retryAfter = response.headers.get("Retry-After");
        // Wait and retry
        console.log(`wait ${retryAfter}`);
        await new Promise((resolve) => setTimeout(resolve, retryAfter * 1000));
        return main();
      }
    } else {
      console.log(`ok ${(await response.json()).success}`);
    }
  } catch (networkError) {
    console.error("Network error:", networkError);
    console.log("network error");
  }
}

main();
