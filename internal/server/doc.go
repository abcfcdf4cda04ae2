// Package server is the way in: the listeners, their bounds and certificates, and
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
// before memory or Redis suffer, and comes again. It has to hold against those who
// send nothing as well as against those who send too much, so nothing is given for a
// mere promise. A body is read before its request is worked on, and memory is taken
// as bytes come: each has 64 KiB, which is more than Graph's mostly are, and longer
// ones share room that short ones never need. A place is only lent to who is still
// sending: if none is left, the one that has been sending for longest makes way, in
// its own source first if that has its share. An honest body is here within
// milliseconds, so that it is never the one, however many dawdle. Where what is
// refused would not come again, a short body is heard all the same, to be remembered. Who has room for a
// long body must use it: it makes way too when others wait and it falls behind 512
// KiB/s. The first 64 KiB have 5 s, each 64 KiB more has one, and all have 8. At most
// 2,048 connections are open on a listener; beyond that the one that has been quiet
// for longest is closed.
//
// A certificate comes from two files ([Certificate]), read again when they
// change, or from an ACME server ([ACME]). The latter keeps what it obtains, and
// the answers to the server's challenges, in a [Vault] that all replicas share:
// one of them orders, any may be asked, and all serve the same certificate. Who
// can read the vault can pretend to be the service.
package server
