// Package tunnel gives a service that the internet can't reach, such as one on a laptop, a
// public URL. It only knows ngrok, not what is served.
//
// [Ngrok] opens an endpoint at ngrok from this process and serves its connections, without
// a listener on this machine. [Agent] opens nothing: it asks the local API of a running
// ngrok agent for the tunnel to a port. Both report each new URL, because a free tunnel
// gets a new one whenever it opens, and its loss. Both retry forever; only a token that ngrok
// refuses at the first try ends [Ngrok.Run], because retries are useless then.
//
// A tunnel leads from the internet into a machine that trusts its own loopback. The command
// chooses what callers reach through it, for an agent's with [Fence].
//
// ngrok's error texts may contain the token, so only their codes are shown.
package tunnel
