// A browser that comes from elsewhere does not send the session along with the
// first request, but with this one.
const answer = await fetch("api/summary", { headers: { Accept: "application/json" } });
if (answer.ok) location.reload();
