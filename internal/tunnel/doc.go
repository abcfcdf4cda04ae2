// Package tunnel gives a service that nobody can reach from outside a public URL:
// a laptop's, most of the time. It knows ngrok and nothing of what is served.
//
// # The story
//
// [Ngrok] keeps an endpoint of ngrok's open from within this process and has the
// connections that come out of it answered; nothing listens for them on this
// machine. [Agent] opens nothing: it asks the local API of an ngrok agent, which
// somebody else started, for the tunnel that leads to our port. Both tell each
// new URL, because a free tunnel has another one every time it is opened, and
// both go on for ever: what is down is tried again with growing waits. Only a
// token that ngrok refuses at the first try ends [Ngrok.Run], because no waiting
// mends it.
//
// A tunnel leads from the internet into a machine that trusts its own loopback. What
// callers reach through it is decided in package server ([server.Only],
// [server.Fence]).
//
// ngrok's error texts may repeat the token; only their codes are shown.
package tunnel
