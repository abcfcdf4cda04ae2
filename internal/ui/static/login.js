// A browser that followed a link from another site did not send the session, which is
// SameSite=Strict, with the first request. It sends it with this one.
const answer = await fetch("api/summary", { headers: { Accept: "application/json" } });
if (answer.ok) location.reload();
