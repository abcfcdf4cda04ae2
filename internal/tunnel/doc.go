// Package tunnel gives a service that the internet can't reach, such as one on a laptop,
// a public URL. It knows ngrok and nothing of what is served.
//
// [Ngrok] opens an endpoint at ngrok from within this process and serves the
// connections that arrive there; nothing listens for them on this machine. [Agent] opens
// nothing: it asks the local API of a running ngrok agent for the tunnel that leads to
// our port. Both report each new URL, because a free tunnel gets another one every time
// it opens, and both retry for ever. Only a token that ngrok refuses at the first try
// ends [Ngrok.Run], because no retry helps.
//
// A tunnel leads from the internet into a machine that trusts its own loopback. What
// callers reach through it is decided in package server ([server.Only],
// [server.Fence]).
//
// ngrok's error texts may repeat the token; only their codes are shown.
package tunnel
