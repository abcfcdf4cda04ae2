// Package front is the way in: the listeners, their bounds and certificates, and
// what a stranger must pass before Graph's paths are looked at. It knows net/http
// and nothing of what is served.
//
// # The story
//
// The public listener can be reached by anyone, so everything about it is
// bounded: the time for headers, body and answer, the size of headers, TLS 1.2 at
// least. [Serve] finishes what is in hand when it is told to stop.
//
// [Guard] stands before Graph's paths alone, because the mediator and operators
// show a token instead. An allow-list is the operator's choice: Graph's addresses
// change without notice. The rate limit is for floods only; it counts each source
// by itself and lets through several times what Graph sends in its worst bursts,
// because a notification that is refused comes late. Both go by the address of
// the caller, or by what a trusted proxy says it is.
//
// [Bound] keeps what is in hand within what can be kept: more than that is refused
// before memory or Redis suffer, and comes again.
//
// A certificate comes from two files ([Certificate]), read again when they
// change, or from an ACME server ([ACME]). The latter keeps what it obtains, and
// the answers to the server's challenges, in a [Vault] that all replicas share:
// one of them orders, any may be asked, and all serve the same certificate. Who
// can read the vault can pretend to be the service.
package front
